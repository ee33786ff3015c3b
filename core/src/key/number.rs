//! Decimals, brought to one form for each value.

use crate::binlog::decimal;

/// Writes the value of a packed DECIMAL(precision, scale), free of scale: sign (`+`, `-`; zero is
/// `+`), digits without leading zeros, a point, decimals without trailing zeros. False, and nothing
/// written, if the bytes do not fit the type.
pub fn write_decimal(out: &mut Vec<u8>, packed: &[u8], precision: u8, scale: u8) -> bool {
    let mut text = String::with_capacity(usize::from(precision) + 3);
    if decimal::write_text(&mut text, packed, precision, scale).is_err() {
        return false;
    }
    let (negative, digits) = text.strip_prefix('-').map_or((false, text.as_str()), |digits| (true, digits));
    let (before, after) = digits.split_once('.').unwrap_or((digits, ""));
    let (before, after) = (before.trim_start_matches('0'), after.trim_end_matches('0'));
    let zero = before.is_empty() && after.is_empty();
    out.push(if negative && !zero { b'-' } else { b'+' });
    out.extend_from_slice(before.as_bytes());
    out.push(b'.');
    out.extend_from_slice(after.as_bytes());
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(packed: &[u8], precision: u8, scale: u8) -> Option<String> {
        let mut out = Vec::new();
        write_decimal(&mut out, packed, precision, scale).then(|| String::from_utf8(out).expect("ASCII"))
    }

    #[test]
    fn packed_decimals_are_read_as_the_manual_packs_them() {
        // 1234567890.1234 as DECIMAL(14,4): the example of the server's decimal2bin.
        let packed = [0x81, 0x0d, 0xfb, 0x38, 0xd2, 0x04, 0xd2];
        assert_eq!(text(&packed, 14, 4).as_deref(), Some("+1234567890.1234"));
        let negative: Vec<u8> = packed.iter().map(|byte| !byte).collect();
        assert_eq!(text(&negative, 14, 4).as_deref(), Some("-1234567890.1234"));
    }

    #[test]
    fn the_same_value_of_another_scale_has_the_same_form() {
        assert_eq!(text(&[0x80, 0x05, 0x32], 5, 2), text(&[0x85, 0x05], 2, 1)); // 5.50 and 5.5
        assert_eq!(text(&[0x80, 0x00, 0x00], 5, 2).as_deref(), Some("+."));
        assert_eq!(text(&[0x7f, 0xff, 0xff], 5, 2).as_deref(), Some("+."));
        assert_eq!(text(&[0x80, 0x00, 0x32], 5, 2).as_deref(), Some("+.5"));
        assert_eq!(text(&[0x80, 0x64], 4, 0).as_deref(), Some("+100."));
    }

    #[test]
    fn bytes_that_do_not_fit_are_refused() {
        assert_eq!(text(&[0x80, 0x05], 5, 2), None);
        assert_eq!(text(&[], 1, 0), None);
        assert_eq!(text(&[0x80], 1, 2), None);
        assert_eq!(text(&[0xff], 1, 0), None);
    }
}

//! Packed decimals, brought to one form for each value.

/// Bytes that hold 0 to 9 leftover digits of the packed form (MySQL internals, `decimal2bin`).
const BYTES_OF_DIGITS: [usize; 10] = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4];
/// Digits in each full group of four bytes.
const GROUP: usize = 9;

/// Writes the value of a packed DECIMAL(precision, scale), free of scale: sign (`+`, `-`; zero is
/// `+`), digits without leading zeros, a point, decimals without trailing zeros. False if the bytes
/// do not fit the type.
pub fn write_decimal(out: &mut Vec<u8>, packed: &[u8], precision: u8, scale: u8) -> bool {
    let (precision, scale) = (usize::from(precision), usize::from(scale));
    let Some(whole) = precision.checked_sub(scale) else { return false };
    let bytes_of = |digits: usize| digits / GROUP * 4 + BYTES_OF_DIGITS[digits % GROUP];
    if packed.is_empty() || packed.len() != bytes_of(whole) + bytes_of(scale) {
        return false;
    }
    // The first bit is set for positive values; all bits of negative ones are turned over.
    let negative = packed[0] & 0x80 == 0;
    let turned = if negative { 0xff } else { 0 };
    let mut bytes = packed.iter().enumerate().map(|(i, byte)| {
        let byte = byte ^ turned;
        if i == 0 { byte ^ 0x80 } else { byte }
    });
    // Groups before the point are filled from the point outwards: the leftover comes first.
    let mut digits = Vec::with_capacity(precision);
    let mut group = |count: usize| {
        let value =
            bytes.by_ref().take(BYTES_OF_DIGITS[count]).fold(0_u32, |v, byte| v << 8 | u32::from(byte));
        digits.extend(format!("{value:0count$}").bytes());
    };
    std::iter::once(whole % GROUP).filter(|n| *n > 0).for_each(&mut group);
    std::iter::repeat_n(GROUP, whole / GROUP).for_each(&mut group);
    std::iter::repeat_n(GROUP, scale / GROUP).for_each(&mut group);
    std::iter::once(scale % GROUP).filter(|n| *n > 0).for_each(&mut group);
    if digits.len() != precision {
        return false; // a group held more digits than it may: not a decimal
    }
    let (before, after) = digits.split_at(whole);
    let before = &before[before.iter().take_while(|digit| **digit == b'0').count()..];
    let after = &after[..after.iter().rposition(|digit| *digit != b'0').map_or(0, |last| last + 1)];
    out.push(if negative && !(before.is_empty() && after.is_empty()) { b'-' } else { b'+' });
    out.extend_from_slice(before);
    out.push(b'.');
    out.extend_from_slice(after);
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
    }

    #[test]
    fn bytes_that_do_not_fit_are_refused() {
        assert_eq!(text(&[0x80, 0x05], 5, 2), None);
        assert_eq!(text(&[], 0, 0), None);
        assert_eq!(text(&[0x80], 1, 2), None);
        assert_eq!(text(&[0xff], 1, 0), None);
    }
}

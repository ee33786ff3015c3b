//! DECIMAL in the server's packed form, as text.
//!
//! Digits are packed by nine into four bytes, big-endian, from the decimal point outwards; what is
//! left over at either end takes as few bytes as it needs. The first bit is set for numbers that are
//! not negative; negative ones have all bits inverted. Source: MySQL, `strings/decimal.c`,
//! `decimal2bin`.

use std::fmt::Write;

use super::cursor::{Cursor, Malformed};

/// Bytes that 0 to 9 digits take.
const BYTES_OF_DIGITS: [usize; 10] = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4];
const PRECISION_MAX: u8 = 65;

/// Length in bytes of a packed DECIMAL(precision, scale); None for what no server makes.
pub fn packed_len(precision: u8, scale: u8) -> Option<usize> {
    if precision > PRECISION_MAX || scale > precision {
        return None;
    }
    let len = |digits: usize| digits / 9 * 4 + BYTES_OF_DIGITS[digits % 9];
    Some(len(usize::from(precision - scale)) + len(usize::from(scale)))
}

/// Appends the number as SQL text with all `scale` digits behind the point, for example `-12.50`.
///
/// # Errors
/// The length is not that of such a DECIMAL, or a group of digits holds too great a number.
pub fn write_text(out: &mut String, packed: &[u8], precision: u8, scale: u8) -> Result<(), Malformed> {
    let what = "DECIMAL";
    let expected = packed_len(precision, scale)
        .ok_or(Malformed::Invalid { what: "DECIMAL precision", found: u64::from(precision) })?;
    if packed.len() != expected {
        return Err(Malformed::Short { what });
    }
    let negative = packed.first().is_some_and(|byte| byte & 0x80 == 0);
    let mut bytes = packed.to_vec();
    if let Some(first) = bytes.first_mut() {
        *first ^= 0x80;
    }
    if negative {
        bytes.iter_mut().for_each(|byte| *byte = !*byte);
    }
    let mut cursor = Cursor::new(&bytes, what);
    let (whole, fraction) = (usize::from(precision - scale), usize::from(scale));
    let mut digits = String::with_capacity(usize::from(precision));
    group(&mut cursor, &mut digits, whole % 9)?;
    for _ in 0..whole / 9 + fraction / 9 {
        group(&mut cursor, &mut digits, 9)?;
    }
    group(&mut cursor, &mut digits, fraction % 9)?;
    let (whole, fraction) = digits.split_at(whole);
    if negative {
        out.push('-');
    }
    let whole = whole.trim_start_matches('0');
    out.push_str(if whole.is_empty() { "0" } else { whole });
    if scale > 0 {
        out.push('.');
        out.push_str(fraction);
    }
    Ok(())
}

fn group(cursor: &mut Cursor<'_>, digits: &mut String, count: usize) -> Result<(), Malformed> {
    if count == 0 {
        return Ok(());
    }
    let bytes = cursor.take(BYTES_OF_DIGITS[count])?;
    let number = bytes.iter().fold(0u64, |number, &byte| number << 8 | u64::from(byte));
    if number >= 10u64.pow(count as u32) {
        return Err(cursor.invalid(number));
    }
    write!(digits, "{number:0count$}").expect("writing to a String does not fail");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The packed form of a number given by its digits.
    fn pack(negative: bool, whole: &str, fraction: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut put = |digits: &str| {
            let number: u64 = if digits.is_empty() { 0 } else { digits.parse().expect("digits") };
            let len = BYTES_OF_DIGITS[digits.len()];
            bytes.extend_from_slice(&number.to_be_bytes()[8 - len..]);
        };
        let (head, groups) = whole.split_at(whole.len() % 9);
        put(head);
        groups.as_bytes().chunks(9).for_each(|g| put(std::str::from_utf8(g).expect("digits")));
        fraction.as_bytes().chunks(9).for_each(|g| put(std::str::from_utf8(g).expect("digits")));
        if negative {
            bytes.iter_mut().for_each(|b| *b = !*b);
        }
        bytes[0] ^= 0x80;
        bytes
    }

    proptest! {
        #[test]
        fn packed_digits_come_back(negative: bool, whole in "[1-9][0-9]{0,34}", fraction in "[0-9]{0,30}") {
            let (precision, scale) = ((whole.len() + fraction.len()) as u8, fraction.len() as u8);
            let packed = pack(negative, &whole, &fraction);
            prop_assert_eq!(packed_len(precision, scale), Some(packed.len()));
            let mut text = String::new();
            write_text(&mut text, &packed, precision, scale).expect("valid");
            let point = if fraction.is_empty() { "" } else { "." };
            prop_assert_eq!(text, format!("{}{whole}{point}{fraction}", if negative { "-" } else { "" }));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40), p: u8, s: u8) {
            let _ = write_text(&mut String::new(), &bytes, p, s);
            if let Some(len) = packed_len(p, s) && len <= bytes.len() {
                let _ = write_text(&mut String::new(), &bytes[..len], p, s);
            }
        }
    }

    #[test]
    fn the_manuals_example_is_read() {
        let packed = [0x81, 0x0D, 0xFB, 0x38, 0xD2, 0x04, 0xD2];
        let mut text = String::new();
        write_text(&mut text, &packed, 14, 4).expect("valid");
        assert_eq!(text, "1234567890.1234");
    }
}

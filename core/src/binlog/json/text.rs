//! Documents as text, as the server prints them.

use std::fmt::Write;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::binlog::decimal;
use crate::binlog::image::{DATE, DATETIME, NEWDECIMAL, TIME, TIMESTAMP};

pub(super) fn write(out: &mut String, json: &Json<'_>) -> Result<(), Malformed> {
    match json {
        Json::Null => out.push_str("null"),
        Json::Bool(true) => out.push_str("true"),
        Json::Bool(false) => out.push_str("false"),
        Json::Int(number) => push(out, format_args!("{number}")),
        Json::UInt(number) => push(out, format_args!("{number}")),
        Json::Double(number) => double(out, *number)?,
        Json::Text(text) => quoted(out, text)?,
        Json::Opaque { column_type, content } => opaque(out, *column_type, content)?,
        Json::Array(values) => {
            out.push('[');
            for (i, value) in values.iter().enumerate() {
                out.push_str(if i == 0 { "" } else { ", " });
                write(out, value)?;
            }
            out.push(']');
        }
        Json::Object(members) => {
            out.push('{');
            for (i, (key, value)) in members.iter().enumerate() {
                out.push_str(if i == 0 { "" } else { ", " });
                quoted(out, key)?;
                out.push_str(": ");
                write(out, value)?;
            }
            out.push('}');
        }
    }
    Ok(())
}

fn push(out: &mut String, what: std::fmt::Arguments<'_>) {
    out.write_fmt(what).expect("writing to a String does not fail");
}

/// The shortest digits that read back as the same number; with an exponent where more than fifteen
/// zeros would stand behind the point, or a whole number has more than fifteen digits.
fn double(out: &mut String, number: f64) -> Result<(), Malformed> {
    if !number.is_finite() {
        return Err(Malformed::Invalid { what: "JSON number", found: number.to_bits() });
    }
    let (digits, exponent) = shortest(number.abs());
    let len = digits.len() as i32;
    // Digits before the point.
    let whole = exponent + 1;
    out.push_str(if number.is_sign_negative() { "-" } else { "" });
    if exponent < -15 || (whole > 15 && len <= whole) {
        let (first, rest) = digits.split_at(1);
        push(out, format_args!("{first}{}{rest}e{exponent}", if rest.is_empty() { "" } else { "." }));
    } else if whole <= 0 {
        push(out, format_args!("0.{:0>width$}", digits, width = (len - whole) as usize));
    } else if whole >= len {
        push(out, format_args!("{digits:0<width$}.0", width = whole as usize));
    } else {
        let (whole, fraction) = digits.split_at(whole as usize);
        push(out, format_args!("{whole}.{fraction}"));
    }
    Ok(())
}

/// Digits and decimal exponent of a number that is not negative. Of two that are as short and as near
/// the server takes the even one.
fn shortest(number: f64) -> (String, i32) {
    let shortest = format!("{number:e}");
    let decimals = shortest.find('e').map_or(0, |at| at.saturating_sub(2));
    let even = format!("{number:.decimals$e}");
    let text = if even.parse() == Ok(number) { even } else { shortest };
    let (digits, exponent) = text.split_once('e').expect("it was just written with one");
    (digits.replace('.', ""), exponent.parse().expect("it was just written as a number"))
}

fn quoted(out: &mut String, text: &[u8]) -> Result<(), Malformed> {
    let text = std::str::from_utf8(text)
        .map_err(|error| Malformed::Invalid { what: "JSON text", found: error.valid_up_to() as u64 })?;
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' => push(out, format_args!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    Ok(())
}

/// Values of SQL types: decimals as numbers, temporal ones in six digits, others as base64.
fn opaque(out: &mut String, column_type: u8, content: &[u8]) -> Result<(), Malformed> {
    match (column_type, content) {
        (NEWDECIMAL, [precision, scale, packed @ ..]) => {
            decimal::write_text(out, packed, *precision, *scale)?;
        }
        (DATE | DATETIME | TIMESTAMP | TIME, content) => {
            let packed = content.try_into().map(i64::from_le_bytes);
            temporal(out, column_type, packed.map_err(|_| Malformed::Short { what: "JSON time" })?);
        }
        _ => push(out, format_args!("\"base64:type{column_type}:{}\"", STANDARD.encode(content))),
    }
    Ok(())
}

/// Packed times have the microseconds in the lowest 24 bits; above them seconds and minutes 6 bits
/// each, then the hour: 5 bits and day 5 bits, year * 13 + month; in a TIME all the rest.
fn temporal(out: &mut String, column_type: u8, packed: i64) {
    let sign = if packed < 0 { "-" } else { "" };
    let packed = packed.unsigned_abs();
    let (micros, clock) = (packed & 0xff_ffff, packed >> 24);
    let (second, minute) = (clock & 63, clock >> 6 & 63);
    if column_type == TIME {
        let hour = clock >> 12 & 0x3ff;
        return push(out, format_args!("\"{sign}{hour:02}:{minute:02}:{second:02}.{micros:06}\""));
    }
    let (hour, date) = (clock >> 12 & 31, clock >> 17);
    let (day, month, year) = (date & 31, (date >> 5) % 13, (date >> 5) / 13);
    if column_type == DATE {
        return push(out, format_args!("\"{year:04}-{month:02}-{day:02}\""));
    }
    push(
        out,
        format_args!("\"{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{micros:06}\""),
    );
}

//! Values as SQL literals.
//!
//! A literal means the same in every session, whatever its character set and `sql_mode`: text and
//! bytes are hexadecimal, with the character set in front, so that no quote or backslash can be read
//! otherwise; floating-point numbers are written so that they come back bit by bit. Two things are
//! up to the session: `time_zone = '+00:00'` for TIMESTAMP, and a `sql_mode` without NO_ZERO_DATE,
//! NO_ZERO_IN_DATE and strict mode where zero dates and the empty ENUM value are to be stored.
//!
//! To find rows by index, put the literals into the derived list that [`key_list`] makes: its first,
//! empty branch gives every column of the list the type and collation of the table's own. Without
//! it, a list of strings has the default collation of its character set, and comparing that with a
//! column of another is an error, or a scan.

use std::fmt::Write;
use std::io::Read;

use crate::binlog::Malformed;
use crate::binlog::charset::{self, BINARY};
use crate::binlog::image::{BLOB_COMPRESSED, JSON, STRING, VARCHAR_COMPRESSED, real_type, string_max_bytes};
use crate::binlog::{decimal, json, value::Value};
use crate::catalog::Column;
use crate::tables::{TableName, quote};

const SECONDS_A_DAY: u32 = 86_400;
/// Longest value that a compressed column is unpacked to: a LONGBLOB's is bounded by the greatest
/// `max_allowed_packet`.
const UNPACKED_BYTES_MAX: u64 = 1 << 30;

/// Why a value has no literal. Stop: the row cannot go by SQL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LiteralError {
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("column {column} has collation {collation}, which this release does not know")]
    UnknownCollation { column: String, collation: u16 },
    #[error("column {column} holds a value that cannot be written as SQL: {what}")]
    NotPrintable { column: String, what: &'static str },
}

/// Appends the literal of a value of the column.
///
/// # Errors
/// The value cannot be written as SQL. `out` then has part of it.
pub fn write_literal(out: &mut String, value: &Value<'_>, column: &Column) -> Result<(), LiteralError> {
    let done = match *value {
        Value::Null => write!(out, "NULL"),
        Value::Int(number) => write!(out, "{number}"),
        Value::UInt(number) => write!(out, "{number}"),
        Value::Float(number) => return float(out, f64::from(number), column),
        Value::Double(number) => return float(out, number, column),
        Value::Decimal { packed, precision, scale } => {
            return Ok(decimal::write_text(out, packed, precision, scale)?);
        }
        Value::Date { year, month, day } => write!(out, "'{year:04}-{month:02}-{day:02}'"),
        Value::Time { negative, hours, minutes, seconds, micros, decimals } => {
            let sign = if negative { "-" } else { "" };
            write!(out, "'{sign}{hours:02}:{minutes:02}:{seconds:02}").and_then(|()| {
                fraction(out, micros, decimals);
                out.write_char('\'')
            })
        }
        Value::DateTime { year, month, day, hour, minute, second, micros, decimals } => {
            datetime(out, (year, month, day), (hour, minute, second), micros, decimals)
        }
        Value::Timestamp { seconds, micros, decimals } => timestamp(out, seconds, micros, decimals),
        Value::Year(year) => write!(out, "{year:04}"),
        // As a number: it compares with BIT columns by index, which a bit string does not.
        Value::Bit(bits) => {
            write!(out, "{}", bits.iter().fold(0u64, |number, &byte| number << 8 | u64::from(byte)))
        }
        Value::Enum(index) => return label(out, index, column),
        Value::Set(bits) => return set(out, bits, column),
        Value::Bytes(bytes) => return bytes_literal(out, bytes, column),
    };
    done.expect("writing to a String does not fail");
    Ok(())
}

/// Exact: the shortest decimal that reads back as the same double. A FLOAT is written as the double
/// that equals it, or comparing it with its column would be false.
fn float(out: &mut String, number: f64, column: &Column) -> Result<(), LiteralError> {
    if !number.is_finite() {
        return Err(not_printable(column, "not a finite number"));
    }
    write!(out, "{number:e}").expect("writing to a String does not fail");
    Ok(())
}

fn not_printable(column: &Column, what: &'static str) -> LiteralError {
    LiteralError::NotPrintable { column: column.name.clone(), what }
}

fn fraction(out: &mut String, micros: u32, decimals: u8) {
    if (1..=6).contains(&decimals) {
        let digits = format!("{:06}", micros % 1_000_000);
        out.push('.');
        out.push_str(&digits[..usize::from(decimals)]);
    }
}

fn datetime(
    out: &mut String,
    (year, month, day): (u16, u8, u8),
    (hour, minute, second): (u8, u8, u8),
    micros: u32,
    decimals: u8,
) -> std::fmt::Result {
    write!(out, "'{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")?;
    fraction(out, micros, decimals);
    out.write_char('\'')
}

fn timestamp(out: &mut String, seconds: u32, micros: u32, decimals: u8) -> std::fmt::Result {
    if seconds == 0 && micros == 0 {
        return datetime(out, (0, 0, 0), (0, 0, 0), 0, decimals);
    }
    let of_day = seconds % SECONDS_A_DAY;
    let clock = ((of_day / 3600) as u8, (of_day / 60 % 60) as u8, (of_day % 60) as u8);
    datetime(out, civil_date(seconds / SECONDS_A_DAY), clock, micros, decimals)
}

/// The date that is this many days after 1970-01-01. Counts in years that begin in March, so that
/// the leap day is the last; 400 years have 146,097 days.
fn civil_date(days: u32) -> (u16, u8, u8) {
    let since_year_0 = days + 719_468;
    let (era, of_era) = (since_year_0 / 146_097, since_year_0 % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, next_year) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    ((era * 400 + year_of_era + next_year) as u16, month as u8, day as u8)
}

/// By its label where that is known: in a derived list a number is compared as text.
fn label(out: &mut String, index: u16, column: &Column) -> Result<(), LiteralError> {
    match usize::from(index).checked_sub(1).and_then(|index| column.labels.get(index)) {
        Some(label) => hex(out, "_utf8mb4 ", label.as_bytes(), 0),
        // The empty text would be taken for the label.
        None if index == 0 && column.labels.iter().any(String::is_empty) => {
            return Err(not_printable(column, "an ENUM's error value beside the label ''"));
        }
        None if index == 0 => out.push_str("''"),
        None => write!(out, "{index}").expect("writing to a String does not fail"),
    }
    Ok(())
}

fn set(out: &mut String, bits: u64, column: &Column) -> Result<(), LiteralError> {
    let known = u32::try_from(column.labels.len()).unwrap_or(u32::MAX);
    if bits.checked_shr(known).is_some_and(|beyond| beyond != 0) {
        write!(out, "{bits}").expect("writing to a String does not fail");
        return Ok(());
    }
    let labels = column.labels.iter().enumerate();
    let chosen = labels.filter(|(bit, _)| *bit < 64 && bits & (1 << bit) != 0);
    let chosen: Vec<&str> = chosen.map(|(_, label)| label.as_str()).collect();
    hex(out, "_utf8mb4 ", chosen.join(",").as_bytes(), 0);
    Ok(())
}

fn bytes_literal(out: &mut String, bytes: &[u8], column: &Column) -> Result<(), LiteralError> {
    let unpacked;
    let bytes = match column.type_code {
        BLOB_COMPRESSED | VARCHAR_COMPRESSED => {
            unpacked = unpack_column(bytes).ok_or(not_printable(column, "damaged compressed content"))?;
            &unpacked
        }
        // MySQL's documents are binary; as text every server takes them.
        JSON => {
            hex(out, "_utf8mb4 ", json::text(bytes)?.as_bytes(), 0);
            return Ok(());
        }
        _ => bytes,
    };
    if column.collation == BINARY || column.collation == 0 {
        // BINARY(n), UUID and INET6 come without the zero bytes at their end.
        let whole = column.type_code == STRING && real_type(STRING, column.meta) == STRING;
        let padding = if whole { string_max_bytes(column.meta).saturating_sub(bytes.len()) } else { 0 };
        hex(out, "", bytes, padding);
        return Ok(());
    }
    let charset = charset::of_collation(column.collation).ok_or_else(|| LiteralError::UnknownCollation {
        column: column.name.clone(),
        collation: column.collation,
    })?;
    hex(out, &format!("_{charset} "), bytes, 0);
    Ok(())
}

/// `X'…'` behind an introducer, with zero bytes appended.
fn hex(out: &mut String, introducer: &str, bytes: &[u8], padding: usize) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.reserve(introducer.len() + 3 + 2 * (bytes.len() + padding));
    out.push_str(introducer);
    out.push_str("X'");
    for byte in bytes {
        out.push(char::from(DIGITS[usize::from(byte >> 4)]));
        out.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    out.extend(std::iter::repeat_n("00", padding));
    out.push('\'');
}

/// A value of a MariaDB COMPRESSED column. First byte: method in the high half (0 none, 8 zlib), bit
/// 3 set for a bare deflate stream, length of the length in the low bits; then the unpacked length,
/// big-endian. An empty value has no bytes at all.
fn unpack_column(bytes: &[u8]) -> Option<Vec<u8>> {
    let Some((&head, rest)) = bytes.split_first() else { return Some(Vec::new()) };
    if head >> 4 == 0 {
        return Some(rest.to_vec());
    }
    if head >> 4 != 8 {
        return None;
    }
    let (len, packed) = rest.split_at_checked(usize::from(head & 7))?;
    let len = len.iter().fold(0u64, |len, &byte| len << 8 | u64::from(byte));
    if len > UNPACKED_BYTES_MAX {
        return None;
    }
    let mut out = Vec::new();
    let read = if head & 8 != 0 {
        flate2::read::DeflateDecoder::new(packed).take(len + 1).read_to_end(&mut out)
    } else {
        flate2::read::ZlibDecoder::new(packed).take(len + 1).read_to_end(&mut out)
    };
    (read.ok()? as u64 == len).then_some(out)
}

/// A derived table of key values that joins with `table` by index: `rows` are lists of literals in
/// the order of `columns`, each without parentheses. Its columns are named like the table's, and it
/// reads no row of the table, so it locks none.
pub fn key_list(table: &TableName, columns: &[&Column], rows: &[String]) -> String {
    let names: Vec<String> = columns.iter().map(|column| quote(&column.name)).collect();
    let rows: Vec<String> = rows.iter().map(|row| format!("({row})")).collect();
    let (names, table, rows) = (names.join(","), table.quoted(), rows.join(","));
    format!("(SELECT {names} FROM {table} WHERE FALSE UNION ALL VALUES {rows})")
}

#[cfg(test)]
#[path = "literal_tests.rs"]
mod tests;

//! Row images: the values of one row, decoded without copying.
//!
//! An image is a bitmap of NULL columns (lowest bit first) and then the values of the others, one
//! behind the other; how long each is follows from its type, its metadata and, for strings, a length
//! in front. Little-endian but for DECIMAL, BIT and the temporal types with fractions. Source:
//! MariaDB Knowledge Base, "Rows_event_v1"; MySQL, `sql-common/my_time.cc`.

use super::cursor::Malformed;
use super::decimal;
use super::value::Value;
use crate::catalog::Column;

// Type bytes of table map events (`MYSQL_TYPE_*`).
pub const TINY: u8 = 1;
pub const SHORT: u8 = 2;
pub const LONG: u8 = 3;
pub const FLOAT: u8 = 4;
pub const DOUBLE: u8 = 5;
pub const NULL: u8 = 6;
pub const TIMESTAMP: u8 = 7;
pub const LONGLONG: u8 = 8;
pub const INT24: u8 = 9;
pub const DATE: u8 = 10;
pub const TIME: u8 = 11;
pub const DATETIME: u8 = 12;
pub const YEAR: u8 = 13;
pub const NEWDATE: u8 = 14;
pub const VARCHAR: u8 = 15;
pub const BIT: u8 = 16;
pub const TIMESTAMP2: u8 = 17;
pub const DATETIME2: u8 = 18;
pub const TIME2: u8 = 19;
/// MariaDB's `COMPRESSED` columns: values are compressed one by one.
pub const BLOB_COMPRESSED: u8 = 140;
pub const VARCHAR_COMPRESSED: u8 = 141;
/// MySQL 9.
pub const VECTOR: u8 = 242;
/// MySQL's binary JSON.
pub const JSON: u8 = 245;
pub const NEWDECIMAL: u8 = 246;
pub const ENUM: u8 = 247;
pub const SET: u8 = 248;
pub const TINY_BLOB: u8 = 249;
pub const MEDIUM_BLOB: u8 = 250;
pub const LONG_BLOB: u8 = 251;
pub const BLOB: u8 = 252;
pub const VAR_STRING: u8 = 253;
pub const STRING: u8 = 254;
pub const GEOMETRY: u8 = 255;

const WHAT: &str = "row image";
const SHORT_IMAGE: Malformed = Malformed::Short { what: WHAT };

/// The type that a column's type byte and metadata stand for: ENUM and SET travel as STRING with
/// the real type in the metadata.
pub const fn real_type(type_code: u8, meta: u16) -> u8 {
    if type_code != STRING {
        return type_code;
    }
    match meta as u8 {
        code @ (ENUM | SET) => code,
        _ => STRING,
    }
}

/// Greatest length in bytes of a STRING column's values: two of its bits hide, inverted, in the type.
pub const fn string_max_bytes(meta: u16) -> usize {
    let (high, low) = (meta & 0xff, meta >> 8);
    (low | ((high & 0x30) ^ 0x30) << 4) as usize
}

/// The values of one row image, in the order of the columns.
#[derive(Debug, Clone)]
pub struct Values<'a> {
    columns: std::slice::Iter<'a, Column>,
    nulls: &'a [u8],
    rest: &'a [u8],
    index: usize,
}

impl<'a> Values<'a> {
    /// Values of the image at the front of `image`; bytes behind it are left alone.
    pub fn new(columns: &'a [Column], image: &'a [u8]) -> Values<'a> {
        // An image without even its bitmap gives errors, not values: no bits are NULL, no bytes left.
        let (nulls, rest) = image.split_at_checked(columns.len().div_ceil(8)).unwrap_or_default();
        Values { columns: columns.iter(), nulls, rest, index: 0 }
    }
}

impl<'a> Iterator for Values<'a> {
    type Item = Result<Value<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let column = self.columns.next()?;
        let Some(&nulls) = self.nulls.get(self.index / 8) else { return Some(Err(SHORT_IMAGE)) };
        let null = nulls & (1 << (self.index % 8)) != 0;
        self.index += 1;
        if null {
            return Some(Ok(Value::Null));
        }
        let (prefix, len) = match measure(column, self.rest) {
            Ok(lengths) => lengths,
            Err(error) => return Some(Err(error)),
        };
        let Some((bytes, rest)) = self.rest.split_at_checked(prefix + len) else {
            return Some(Err(SHORT_IMAGE));
        };
        self.rest = rest;
        Some(decode(column, &bytes[prefix..]))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.columns.size_hint()
    }
}

/// Length in bytes of the image at the front of `bytes`.
///
/// # Errors
/// The bytes end before the image does.
pub fn image_len(columns: &[Column], bytes: &[u8]) -> Result<usize, Malformed> {
    let mut at = columns.len().div_ceil(8);
    let nulls = bytes.get(..at).ok_or(SHORT_IMAGE)?;
    for (index, column) in columns.iter().enumerate() {
        if nulls[index / 8] & (1 << (index % 8)) == 0 {
            let (prefix, len) = measure(column, bytes.get(at..).ok_or(SHORT_IMAGE)?)?;
            at += prefix + len;
        }
    }
    if at > bytes.len() { Err(SHORT_IMAGE) } else { Ok(at) }
}

/// Where each column's value stands in the image at the front of `bytes`, its length prefix included;
/// None where it is NULL.
///
/// # Errors
/// The bytes end before the image does.
pub fn value_places(
    columns: &[Column],
    bytes: &[u8],
) -> Result<Vec<Option<std::ops::Range<usize>>>, Malformed> {
    let mut at = columns.len().div_ceil(8);
    let nulls = bytes.get(..at).ok_or(SHORT_IMAGE)?;
    let mut places = Vec::with_capacity(columns.len());
    for (index, column) in columns.iter().enumerate() {
        if nulls[index / 8] & (1 << (index % 8)) != 0 {
            places.push(None);
            continue;
        }
        let (prefix, len) = measure(column, bytes.get(at..).ok_or(SHORT_IMAGE)?)?;
        let end = at + prefix + len;
        if end > bytes.len() {
            return Err(SHORT_IMAGE);
        }
        places.push(Some(at..end));
        at = end;
    }
    Ok(places)
}

/// Lengths of the length prefix and of the value behind it.
#[inline]
pub(super) fn measure(column: &Column, bytes: &[u8]) -> Result<(usize, usize), Malformed> {
    let meta = column.meta;
    let fixed = match column.type_code {
        TINY | YEAR => 1,
        SHORT => 2,
        LONG | FLOAT | TIMESTAMP => 4,
        INT24 | DATE | NEWDATE | TIME => 3,
        LONGLONG | DOUBLE | DATETIME => 8,
        TIMESTAMP2 => 4 + fraction_bytes(meta)?,
        DATETIME2 => 5 + fraction_bytes(meta)?,
        TIME2 => 3 + fraction_bytes(meta)?,
        NEWDECIMAL => decimal::packed_len(meta as u8, (meta >> 8) as u8).ok_or(bad_meta(meta))?,
        BIT => usize::from(meta >> 8) + usize::from(meta & 0xff > 0),
        NULL => 0,
        ENUM | SET => usize::from(meta >> 8),
        VARCHAR | VAR_STRING | VARCHAR_COMPRESSED => return prefixed(bytes, if meta < 256 { 1 } else { 2 }),
        TINY_BLOB | BLOB | MEDIUM_BLOB | LONG_BLOB | GEOMETRY | JSON | BLOB_COMPRESSED | VECTOR => {
            return prefixed(bytes, usize::from(meta));
        }
        STRING if real_type(STRING, meta) != STRING => usize::from(meta >> 8),
        STRING => return prefixed(bytes, if string_max_bytes(meta) < 256 { 1 } else { 2 }),
        code => return Err(Malformed::Invalid { what: "column type", found: u64::from(code) }),
    };
    Ok((0, fixed))
}

fn prefixed(bytes: &[u8], prefix: usize) -> Result<(usize, usize), Malformed> {
    if !(1..=4).contains(&prefix) {
        return Err(bad_meta(prefix as u16));
    }
    let len = little_endian(bytes.get(..prefix).ok_or(SHORT_IMAGE)?);
    Ok((prefix, len as usize))
}

const fn bad_meta(meta: u16) -> Malformed {
    Malformed::Invalid { what: "column metadata", found: meta as u64 }
}

fn fraction_bytes(meta: u16) -> Result<usize, Malformed> {
    if meta <= 6 { Ok(usize::from(meta).div_ceil(2)) } else { Err(bad_meta(meta)) }
}

#[inline]
fn little_endian(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

#[inline]
fn big_endian(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

#[inline]
fn integer<'a>(column: &Column, bytes: &[u8]) -> Value<'a> {
    let number = little_endian(bytes);
    if column.unsigned {
        return Value::UInt(number);
    }
    let unused = 64 - 8 * bytes.len() as u32;
    Value::Int((number << unused) as i64 >> unused)
}

/// Decodes a value of exactly the length that [`measure`] gave.
fn decode<'a>(column: &Column, bytes: &'a [u8]) -> Result<Value<'a>, Malformed> {
    let meta = column.meta;
    Ok(match column.type_code {
        TINY | SHORT | INT24 | LONG | LONGLONG => integer(column, bytes),
        FLOAT => Value::Float(f32::from_bits(little_endian(bytes) as u32)),
        DOUBLE => Value::Double(f64::from_bits(little_endian(bytes))),
        NEWDECIMAL => Value::Decimal { packed: bytes, precision: meta as u8, scale: (meta >> 8) as u8 },
        DATE | NEWDATE => {
            let date = little_endian(bytes);
            Value::Date { year: (date >> 9) as u16, month: (date >> 5 & 15) as u8, day: (date & 31) as u8 }
        }
        YEAR => Value::Year(if bytes[0] == 0 { 0 } else { 1900 + u16::from(bytes[0]) }),
        TIMESTAMP => Value::Timestamp { seconds: little_endian(bytes) as u32, micros: 0, decimals: 0 },
        TIMESTAMP2 => {
            let (seconds, fraction) = bytes.split_at(4);
            let micros = fraction_micros(big_endian(fraction), fraction.len())?;
            Value::Timestamp { seconds: big_endian(seconds) as u32, micros, decimals: meta as u8 }
        }
        TIME => old_time(bytes)?,
        TIME2 => time(bytes, meta as u8)?,
        DATETIME => old_datetime(little_endian(bytes))?,
        DATETIME2 => datetime(bytes, meta as u8)?,
        BIT => Value::Bit(bytes),
        NULL => Value::Null,
        ENUM | SET => labelled(column.type_code, bytes)?,
        STRING if real_type(STRING, meta) != STRING => labelled(real_type(STRING, meta), bytes)?,
        _ => Value::Bytes(bytes),
    })
}

fn labelled<'a>(code: u8, bytes: &[u8]) -> Result<Value<'a>, Malformed> {
    match (code, bytes.len()) {
        (ENUM, 1..=2) => Ok(Value::Enum(little_endian(bytes) as u16)),
        (SET, 1..=8) => Ok(Value::Set(little_endian(bytes))),
        (_, len) => Err(bad_meta(len as u16)),
    }
}

fn fraction_micros(fraction: u64, bytes: usize) -> Result<u32, Malformed> {
    let micros = match bytes {
        0 => 0,
        1 => fraction * 10_000,
        2 => fraction * 100,
        _ => fraction,
    };
    if micros > 999_999 {
        return Err(Malformed::Invalid { what: "fraction of a second", found: micros });
    }
    Ok(micros as u32)
}

/// HHMMSS as a signed decimal number (before MySQL 5.6).
fn old_time<'a>(bytes: &[u8]) -> Result<Value<'a>, Malformed> {
    let packed = (little_endian(bytes) << 40) as i64 >> 40;
    let digits = packed.unsigned_abs();
    Ok(Value::Time {
        negative: packed < 0,
        hours: (digits / 10_000) as u16,
        minutes: (digits / 100 % 100) as u8,
        seconds: (digits % 100) as u8,
        micros: 0,
        decimals: 0,
    })
}

/// Sign, 1 unused bit, hours 10, minutes 6, seconds 6 bits and the fraction, as one number that
/// is offset by half its range; a negative time is the whole number's complement, fraction included.
fn time<'a>(bytes: &[u8], decimals: u8) -> Result<Value<'a>, Malformed> {
    let fraction_bits = 8 * (bytes.len() as u32 - 3);
    let packed = big_endian(bytes) as i64 - (0x80_0000 << fraction_bits);
    let size = packed.unsigned_abs();
    let fraction = size & ((1 << fraction_bits) - 1);
    let clock = size >> fraction_bits;
    Ok(Value::Time {
        negative: packed < 0,
        hours: (clock >> 12 & 0x3ff) as u16,
        minutes: (clock >> 6 & 63) as u8,
        seconds: (clock & 63) as u8,
        micros: fraction_micros(fraction, bytes.len() - 3)?,
        decimals,
    })
}

/// YYYYMMDDhhmmss as a decimal number (before MySQL 5.6).
fn old_datetime<'a>(packed: u64) -> Result<Value<'a>, Malformed> {
    let year = u16::try_from(packed / 10_000_000_000)
        .map_err(|_| Malformed::Invalid { what: "DATETIME", found: packed })?;
    let two = |unit: u64| (packed / unit % 100) as u8;
    Ok(Value::DateTime {
        year,
        month: two(100_000_000),
        day: two(1_000_000),
        hour: two(10_000),
        minute: two(100),
        second: two(1),
        micros: 0,
        decimals: 0,
    })
}

/// Sign 1 (always set), year * 13 + month 17, day 5, hour 5, minute 6, second 6 bits, then the
/// fraction.
fn datetime<'a>(bytes: &[u8], decimals: u8) -> Result<Value<'a>, Malformed> {
    let (whole, fraction) = bytes.split_at(5);
    let packed = big_endian(whole)
        .checked_sub(0x80_0000_0000)
        .ok_or(Malformed::Invalid { what: "DATETIME", found: big_endian(whole) })?;
    let year_month = packed >> 22;
    Ok(Value::DateTime {
        year: (year_month / 13) as u16,
        month: (year_month % 13) as u8,
        day: (packed >> 17 & 31) as u8,
        hour: (packed >> 12 & 31) as u8,
        minute: (packed >> 6 & 63) as u8,
        second: (packed & 63) as u8,
        micros: fraction_micros(big_endian(fraction), fraction.len())?,
        decimals,
    })
}

#[cfg(test)]
#[path = "image_tests.rs"]
mod tests;

//! A literal made ready to be compared with the values of one column, as the server compares them.

use std::cmp::Ordering;

use super::parse::Literal;
use crate::binlog::Malformed;
use crate::binlog::charset::{self, BINARY};
use crate::binlog::decimal;
use crate::binlog::image::*;
use crate::binlog::value::Value;
use crate::catalog::Column;
use crate::key::collation;

/// Why a column cannot be compared with a literal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotComparable {
    #[error("its type is not supported in a condition")]
    Type,
    #[error("write a number without quotes")]
    NumberWanted,
    #[error("write a text in single quotes")]
    TextWanted,
    #[error("a YEAR is compared with whole numbers from 1000 to 9999")]
    YearWanted,
    #[error("write {0}")]
    MomentWanted(&'static str),
    #[error("text is compared by =, <> and IN alone")]
    TextIsNotOrdered,
    #[error("its collation (id {0}) is not one that can be weighed exactly")]
    Collation(u16),
    #[error(
        "the character set of its collation (id {0}) takes only letters, digits, spaces and -_.,: of ASCII here"
    )]
    Characters(u16),
}

/// A literal, ready to be compared.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Comparand {
    Number(Number),
    Double(f64),
    /// Weights of a text in the column's collation.
    Weights(Vec<u8>),
    Bytes(Vec<u8>),
    /// Year, month, day, hour, minute, second, microsecond.
    Moment([u32; 7]),
    /// Microseconds.
    Span(i64),
}

/// An exact decimal number without needless zeros.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Number {
    negative: bool,
    whole: String,
    decimals: String,
}

impl Number {
    /// Of an optional minus, digits, and perhaps a point with digits.
    fn new(text: &str) -> Number {
        let (sign, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
        let (whole, decimals) = digits.split_once('.').unwrap_or((digits, ""));
        let (whole, decimals) = (whole.trim_start_matches('0'), decimals.trim_end_matches('0'));
        let zero = whole.is_empty() && decimals.is_empty();
        Number { negative: sign && !zero, whole: whole.to_owned(), decimals: decimals.to_owned() }
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Number) -> Ordering {
        let size = |number: &Number| number.whole.len();
        let magnitude = size(self)
            .cmp(&size(other))
            .then_with(|| self.whole.cmp(&other.whole))
            .then_with(|| self.decimals.cmp(&other.decimals));
        match (self.negative, other.negative) {
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, false) => magnitude,
            (true, true) => magnitude.reverse(),
        }
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Number) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Comparand {
    /// `None`: NULL, which compares with nothing. `ordered`: it is compared by more than equality.
    pub fn new(
        column: &Column,
        literal: &Literal,
        ordered: bool,
    ) -> Result<Option<Comparand>, NotComparable> {
        let number = || match literal {
            Literal::Number(text) => Ok(text.as_str()),
            _ => Err(NotComparable::NumberWanted),
        };
        let text = || match literal {
            Literal::Text(text) => Ok(text.as_str()),
            _ => Err(NotComparable::TextWanted),
        };
        let kind = Kind::of(column)?;
        if *literal == Literal::Null {
            return Ok(None);
        }
        Ok(Some(match kind {
            Kind::Exact => Comparand::Number(Number::new(number()?)),
            Kind::Double => Comparand::Double(number()?.parse().map_err(|_| NotComparable::NumberWanted)?),
            Kind::Year => match number()?.parse::<u16>() {
                Ok(1000..=9999) => Comparand::Number(Number::new(number()?)),
                _ => return Err(NotComparable::YearWanted),
            },
            Kind::Text if ordered => {
                text()?;
                return Err(NotComparable::TextIsNotOrdered);
            }
            Kind::Text => Comparand::Weights(weights(column.collation, text()?)?),
            Kind::Bytes => Comparand::Bytes(text()?.as_bytes().to_vec()),
            Kind::Moment => {
                const FORMS: &str = "'YYYY-MM-DD' or 'YYYY-MM-DD HH:MM:SS'";
                Comparand::Moment(moment(text()?).ok_or(NotComparable::MomentWanted(FORMS))?)
            }
            Kind::Span => Comparand::Span(span(text()?).ok_or(NotComparable::MomentWanted("'HH:MM:SS'"))?),
        }))
    }

    /// How the value stands to the literal; None: it is NULL.
    ///
    /// # Errors
    /// The value cannot be read.
    pub fn order(&self, column: &Column, value: &Value<'_>) -> Result<Option<Ordering>, Malformed> {
        if matches!(value, Value::Null) {
            return Ok(None);
        }
        let order = match self {
            Comparand::Number(number) => exact(value)?.map(|value| value.cmp(number)),
            Comparand::Double(number) => double(value).and_then(|value| value.partial_cmp(number)),
            Comparand::Weights(weights) => text_of(column, value)
                .and_then(|text| collation::weigh(column.collation, text))
                .map(|value| value.cmp(weights)),
            Comparand::Bytes(bytes) => bytes_of(column, value).map(|value| value.as_slice().cmp(bytes)),
            Comparand::Moment(moment) => moment_of(value).map(|value| value.cmp(moment)),
            Comparand::Span(span) => span_of(value).map(|value| value.cmp(span)),
        };
        order.map(Some).ok_or(Malformed::Short { what: "value of a column in a condition" })
    }
}

/// How the values of a column are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Exact,
    Double,
    Year,
    Text,
    Bytes,
    Moment,
    Span,
}

impl Kind {
    fn of(column: &Column) -> Result<Kind, NotComparable> {
        let told = column.column_type.as_deref().unwrap_or_default();
        Ok(match real_type(column.type_code, column.meta) {
            TINY | SHORT | INT24 | LONG | LONGLONG | NEWDECIMAL => Kind::Exact,
            FLOAT | DOUBLE => Kind::Double,
            YEAR => Kind::Year,
            DATE | NEWDATE | DATETIME | DATETIME2 => Kind::Moment,
            TIME | TIME2 => Kind::Span,
            // UUID and INET columns travel as binary strings, and are none.
            STRING if column.collation == BINARY && !told.starts_with("binary") => {
                return Err(NotComparable::Type);
            }
            VARCHAR | VAR_STRING | STRING | TINY_BLOB | BLOB | MEDIUM_BLOB | LONG_BLOB => {
                match column.collation {
                    0 => return Err(NotComparable::Type),
                    BINARY => Kind::Bytes,
                    id if collation::supported(id) => Kind::Text,
                    id => return Err(NotComparable::Collation(id)),
                }
            }
            ENUM if !column.labels.is_empty() => match column.collation {
                0 | BINARY => return Err(NotComparable::Type),
                id if collation::supported(id) => Kind::Text,
                id => return Err(NotComparable::Collation(id)),
            },
            _ => return Err(NotComparable::Type),
        })
    }
}

/// The literal's weights, if the bytes of the text are the same in the column's character set.
fn weights(id: u16, text: &str) -> Result<Vec<u8>, NotComparable> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b" -_.,:".contains(&byte);
    let taken = match charset::of_collation(id).unwrap_or_default() {
        "utf8mb4" => true,
        "utf8mb3" => text.chars().all(|c| c.len_utf8() < 4),
        "ucs2" | "utf16" | "utf16le" | "utf32" | "" => false,
        _ => text.bytes().all(plain),
    };
    if !taken {
        return Err(NotComparable::Characters(id));
    }
    collation::weigh(id, text.as_bytes()).ok_or(NotComparable::Collation(id))
}

fn exact(value: &Value<'_>) -> Result<Option<Number>, Malformed> {
    Ok(Some(Number::new(&match *value {
        Value::Int(number) => number.to_string(),
        Value::UInt(number) => number.to_string(),
        Value::Year(year) => year.to_string(),
        Value::Decimal { packed, precision, scale } => {
            let mut text = String::new();
            decimal::write_text(&mut text, packed, precision, scale)?;
            text
        }
        _ => return Ok(None),
    })))
}

fn double(value: &Value<'_>) -> Option<f64> {
    match *value {
        Value::Float(number) => Some(f64::from(number)),
        Value::Double(number) => Some(number),
        _ => None,
    }
}

/// The text of a character or ENUM column, in its character set (labels of ENUMs are UTF-8).
fn text_of<'a>(column: &'a Column, value: &Value<'a>) -> Option<&'a [u8]> {
    match *value {
        Value::Bytes(bytes) if column.type_code == STRING => {
            // The spaces behind a CHAR are not part of it, whatever its collation.
            let end = bytes.iter().rposition(|byte| *byte != b' ').map_or(0, |last| last + 1);
            Some(&bytes[..end])
        }
        Value::Bytes(bytes) => Some(bytes),
        Value::Enum(0) => Some(b""),
        Value::Enum(index) => column.labels.get(usize::from(index) - 1).map(String::as_bytes),
        _ => None,
    }
}

/// The bytes of a binary column, with the zeros that the server cuts off the end of a BINARY.
fn bytes_of(column: &Column, value: &Value<'_>) -> Option<Vec<u8>> {
    let Value::Bytes(bytes) = *value else { return None };
    let mut bytes = bytes.to_vec();
    if column.type_code == STRING {
        bytes.resize(bytes.len().max(string_max_bytes(column.meta)), 0);
    }
    Some(bytes)
}

fn moment_of(value: &Value<'_>) -> Option<[u32; 7]> {
    Some(match *value {
        Value::Date { year, month, day } => [year.into(), month.into(), day.into(), 0, 0, 0, 0],
        Value::DateTime { year, month, day, hour, minute, second, micros, .. } => {
            [year.into(), month.into(), day.into(), hour.into(), minute.into(), second.into(), micros]
        }
        _ => return None,
    })
}

fn span_of(value: &Value<'_>) -> Option<i64> {
    let Value::Time { negative, hours, minutes, seconds, micros, .. } = *value else { return None };
    let seconds = (i64::from(hours) * 60 + i64::from(minutes)) * 60 + i64::from(seconds);
    let total = seconds * 1_000_000 + i64::from(micros);
    Some(if negative { -total } else { total })
}

/// Reads `YYYY-MM-DD` with or without ` HH:MM:SS[.ffffff]`; days that are in no calendar are none.
fn moment(text: &str) -> Option<[u32; 7]> {
    let (date, clock) = text.split_once(' ').unwrap_or((text, "00:00:00"));
    let [year, month, day] = fields(date, '-', [4, 2, 2])?;
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    let (clock, micros) = fraction(clock)?;
    let [hour, minute, second] = fields(clock, ':', [2, 2, 2])?;
    let valid = year > 0 && (1..=days).contains(&day) && hour < 24 && minute < 60 && second < 60;
    valid.then_some([year, month, day, hour, minute, second, micros])
}

/// Reads `[-]HH:MM:SS[.ffffff]`, up to 838 hours.
fn span(text: &str) -> Option<i64> {
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (clock, micros) = fraction(text)?;
    let hour_digits = clock.find(':').filter(|digits| (2..=3).contains(digits))?;
    let [hours, minutes, seconds] = fields(clock, ':', [hour_digits, 2, 2])?;
    if hours > 838 || minutes > 59 || seconds > 59 {
        return None;
    }
    let total = i64::from((hours * 60 + minutes) * 60 + seconds) * 1_000_000 + i64::from(micros);
    Some(if negative { -total } else { total })
}

/// Splits off a fraction of one to six digits, as microseconds.
fn fraction(text: &str) -> Option<(&str, u32)> {
    let Some((whole, digits)) = text.split_once('.') else { return Some((text, 0)) };
    let valid = (1..=6).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_digit());
    valid.then(|| format!("{digits:0<6}").parse().ok().map(|micros| (whole, micros)))?
}

/// Three numbers of so many digits each.
fn fields(text: &str, between: char, lengths: [usize; 3]) -> Option<[u32; 3]> {
    let mut out = [0; 3];
    let mut parts = text.split(between);
    for (field, length) in out.iter_mut().zip(lengths) {
        let part = parts.next()?;
        if part.len() != length || !part.bytes().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        *field = part.parse().ok()?;
    }
    parts.next().is_none().then_some(out)
}

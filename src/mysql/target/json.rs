//! Rows as JSON objects, for the conflict log: the same texts whether the server prints the row or
//! an image is decoded here.

use weft_core::binlog::value::Value;
use weft_core::catalog::{Column, TableVersion};
use weft_core::sink::literal::write_literal;
use weft_core::tables::quote;

use super::shape::Shape;
use super::sql::text_literal;

/// Collation id of binary strings.
pub(super) const BINARY: u16 = 63;

/// The row of table `t` as a JSON object: text as text, everything else as the server prints it,
/// bytes in hexadecimal.
pub(super) fn expression(shape: &Shape) -> String {
    let fields: Vec<String> = shape
        .table
        .columns
        .iter()
        .map(|column| {
            let name = format!("t.{}", quote(&column.name));
            let value = match column.collation {
                0 if is_bit(column) => format!("CAST({name}+0 AS CHAR)"),
                0 if has_no_text(column) => format!("CONCAT('0x',HEX({name}))"),
                BINARY => format!("CONCAT('0x',HEX({name}))"),
                _ => format!("CAST({name} AS CHAR)"),
            };
            format!("{},{value}", text_literal(&column.name))
        })
        .collect();
    format!("JSON_OBJECT({})", fields.join(","))
}

pub(super) fn is_bit(column: &Column) -> bool {
    column.column_type.as_deref().is_some_and(|kind| kind.starts_with("bit"))
}

/// Shapes and vectors: the server casts them to no text.
pub(super) fn has_no_text(column: &Column) -> bool {
    const KINDS: [&str; 5] = ["geometry", "point", "linestring", "polygon", "vector"];
    column.column_type.as_deref().is_some_and(|kind| KINDS.iter().any(|name| kind.contains(name)))
}

/// The decoded row as a JSON object of texts.
pub(super) fn object(table: &TableVersion, values: &[Value<'_>]) -> String {
    let fields: serde_json::Map<String, serde_json::Value> = table
        .columns
        .iter()
        .zip(values)
        .map(|(column, value)| {
            let text = text(value, column).map_or(serde_json::Value::Null, serde_json::Value::String);
            (column.name.clone(), text)
        })
        .collect();
    serde_json::Value::Object(fields).to_string()
}

/// The value as the server prints it; None for NULL.
pub(super) fn text(value: &Value<'_>, column: &Column) -> Option<String> {
    Some(match value {
        Value::Null => return None,
        Value::Int(number) => number.to_string(),
        Value::UInt(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Double(number) => number.to_string(),
        Value::Year(year) => format!("{year:04}"),
        Value::Enum(0) => String::new(),
        Value::Enum(number) => match column.labels.get(usize::from(*number) - 1) {
            Some(label) => label.clone(),
            None => number.to_string(),
        },
        Value::Set(bits) if !column.labels.is_empty() => {
            let set = column.labels.iter().zip(0..64).filter(|(_, bit)| bits >> bit & 1 == 1);
            set.map(|(label, _)| label.as_str()).collect::<Vec<_>>().join(",")
        }
        Value::Set(bits) => bits.to_string(),
        Value::Bit(bytes) => {
            bytes.iter().take(8).fold(0u64, |sum, byte| sum << 8 | u64::from(*byte)).to_string()
        }
        Value::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) if column.collation != BINARY && column.collation != 0 => text.to_owned(),
            _ => hex(bytes),
        },
        // The literal is the quoted text.
        Value::Decimal { .. }
        | Value::Date { .. }
        | Value::Time { .. }
        | Value::DateTime { .. }
        | Value::Timestamp { .. } => {
            let mut literal = String::new();
            write_literal(&mut literal, value, column).ok()?;
            literal.trim_matches('\'').to_owned()
        }
    })
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(bytes.len() * 2 + 2);
    text.push_str("0x");
    for byte in bytes {
        let _ = write!(text, "{byte:02X}");
    }
    text
}

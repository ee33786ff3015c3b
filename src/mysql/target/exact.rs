//! Rows as SQL literals by column name, so that a row can be written again exactly as it was, long
//! after its image is gone. Kept in the conflict log while a conflict is open.
//!
//! They are taken as they are: whoever may write the schema `weft` may do so as Weft.

use std::collections::BTreeMap;

use weft_core::binlog::value::Value;
use weft_core::catalog::{Column, TableVersion};
use weft_core::sink::literal::{LiteralError, write_literal};
use weft_core::tables::quote;

use super::json::{BINARY, has_no_text, is_bit};
use super::shape::Shape;
use super::sql::text_literal;

/// A row's literals by column name; None: NULL. Generated columns are left out.
pub(super) type Literals = BTreeMap<String, Option<String>>;

/// The literals of table `t`'s row, as a JSON object made by the server.
pub(super) fn expression(shape: &Shape) -> String {
    let stored = shape.table.columns.iter().filter(|column| !column.generated);
    let fields: Vec<String> =
        stored.map(|column| format!("{},{}", text_literal(&column.name), literal_of(column))).collect();
    format!("JSON_OBJECT({})", fields.join(","))
}

/// An expression whose value is the literal; NULL for NULL.
fn literal_of(column: &Column) -> String {
    let name = format!("t.{}", quote(&column.name));
    let kind = column.column_type.as_deref().unwrap_or_default().to_ascii_lowercase();
    let is = |names: &[&str]| names.iter().any(|name| kind.starts_with(name));
    let hexadecimal = |introducer: &str, value: &str| format!("CONCAT('{introducer}X''',HEX({value}),'''')");
    if is(&["enum", "set"]) || is_bit(column) {
        // By number: also the value that is no label.
        return format!("CAST({name}+0 AS CHAR)");
    }
    if has_no_text(column) || column.collation == BINARY {
        return hexadecimal("", &name);
    }
    if column.collation != 0 {
        return hexadecimal("_utf8mb4 ", &format!("CONVERT({name} USING utf8mb4)"));
    }
    if is(&["float", "double"]) {
        // A FLOAT prints fewer digits than it has; as a double it prints them all.
        return format!("CAST({name}+0e0 AS CHAR)");
    }
    if is(&["tinyint", "smallint", "mediumint", "int", "bigint", "decimal", "year"]) {
        return format!("CAST({name} AS CHAR)");
    }
    format!("CONCAT('''',CAST({name} AS CHAR),'''')")
}

/// The literals of a decoded row.
///
/// # Errors
/// A value that has no literal.
pub(super) fn of_values(table: &TableVersion, values: &[Value<'_>]) -> Result<Literals, LiteralError> {
    let stored = table.columns.iter().zip(values).filter(|(column, _)| !column.generated);
    stored.map(|(column, value)| Ok((column.name.clone(), literal(column, value)?))).collect()
}

/// The primary key: names and literals in the key's order.
///
/// # Errors
/// A value that has no literal.
pub(super) fn key_of(
    table: &TableVersion,
    values: &[Value<'_>],
) -> Result<Vec<(String, String)>, LiteralError> {
    let places = table.primary_key.iter().map(|at| usize::from(*at));
    places
        .map(|at| {
            let literal = literal(&table.columns[at], &values[at])?;
            Ok((table.columns[at].name.clone(), literal.unwrap_or_else(|| "NULL".to_owned())))
        })
        .collect()
}

fn literal(column: &Column, value: &Value<'_>) -> Result<Option<String>, LiteralError> {
    if *value == Value::Null {
        return Ok(None);
    }
    let mut text = String::new();
    write_literal(&mut text, value, column)?;
    Ok(Some(text))
}

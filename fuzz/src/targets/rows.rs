//! Row images of columns of every type, and the SQL literals of what they hold.

use arbitrary::Unstructured;
use weft_core::binlog::image::{Values, image_len};
use weft_core::binlog::value::Value;
use weft_core::catalog::{Column, TableVersion};
use weft_core::key::TableKeys;
use weft_core::sink::literal::write_literal;

use crate::make;

pub fn run(data: &[u8]) {
    let mut u = Unstructured::new(data);
    let Ok(table) = make::table(&mut u) else { return };
    image(&table, u.take_rest());
}

/// Reads an image in every way that there is, and holds them against each other.
pub fn image(table: &TableVersion, image: &[u8]) {
    let columns = &table.columns;
    let values: Vec<_> = Values::new(columns, image).collect();
    assert_eq!(values.len(), columns.len());
    let measured = image_len(columns, image);
    let Ok(values) = values.into_iter().collect::<Result<Vec<Value<'_>>, _>>() else { return };
    let len = measured.expect("values that can be read can be measured");
    let again: Result<Vec<Value<'_>>, _> = Values::new(columns, &image[..len]).collect();
    // As text: NaN is not equal to itself.
    assert_eq!(format!("{again:?}"), format!("{:?}", Ok::<_, ()>(&values)), "bytes behind an image count");
    TableKeys::new(table).primary(columns, &values);
    columns.iter().zip(&values).for_each(|(column, value)| literal(column, value));
}

/// A literal is one token, whatever the value: no quote or backslash of it reaches the statement.
fn literal(column: &Column, value: &Value<'_>) {
    let mut text = String::new();
    if write_literal(&mut text, value, column).is_err() {
        return;
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '+' | '.' | '_' | ':' | ' ');
    let whole = match text.split_once('\'') {
        Some((before, quoted)) => {
            before.chars().all(plain)
                && quoted.strip_suffix('\'').is_some_and(|inside| inside.chars().all(plain))
        }
        None => !text.is_empty() && text.chars().all(plain),
    };
    assert!(whole, "{value:?} of {column:?} as SQL: {text}");
}

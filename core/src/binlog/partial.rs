//! Partial update rows events (39): version 2 updates whose JSON columns may hold differences from the
//! row before instead of whole documents (`binlog_row_value_options = PARTIAL_JSON`).
//!
//! As a version 2 update, but before each image after the change there are options (packed; 1: there
//! are differences) and, if so, a bit for each JSON column, first in the lowest: it holds
//! [differences](super::json). Source: MySQL source documentation, `Update_rows_partial`.
//!
//! They are completed from the image before the change, which FULL images hold, so that nobody
//! downstream meets them.

use super::cursor::{Cursor, Malformed};
use super::event::{self, EventHeader, EventType, HEADER_BYTES, set_event_size};
use super::format::Format;
use super::image::{JSON, image_len, measure};
use super::json;
use super::rows::{RowsError, RowsEvent};
use crate::catalog::Column;

const WHAT: &str = "partial update";
const SHORT: Malformed = Malformed::Short { what: WHAT };
const HAS_DIFFERENCES: u64 = 1;
/// In front of documents and differences.
const LENGTH_BYTES: usize = 4;

/// The table that the event is about.
pub(super) fn table_id(event: &[u8]) -> Result<u64, Malformed> {
    Cursor::new(event::body(event), WHAT).u48()
}

/// The event as an ordinary update of version 2; `columns` are those of its table map, of which types
/// and metadata count.
///
/// # Errors
/// It ends early, lacks columns, or its differences do not fit.
pub(super) fn complete(event: &[u8], columns: &[Column], format: &Format) -> Result<Vec<u8>, RowsError> {
    if EventHeader::parse(event)?.kind != EventType::PartialUpdateRows {
        return Err(Malformed::Invalid { what: WHAT, found: u64::from(event[4]) }.into());
    }
    // Everything before the rows is the same.
    let mut whole = event.to_vec();
    whole[4] = EventType::UpdateRowsV2.code();
    let rows = RowsEvent::parse(&whole, format)?;
    let rows_at = rows.rows_at;
    if rows.columns != columns.len() {
        return Err(RowsError::ColumnCount { event: rows.columns, table: columns.len() });
    }
    whole.truncate(rows_at);
    debug_assert!(rows_at >= HEADER_BYTES);
    let mut cursor = Cursor::new(&event::body(event)[rows_at - HEADER_BYTES..], WHAT);
    while !cursor.is_empty() {
        let before = cursor.take(image_len(columns, cursor.rest())?)?;
        if before.is_empty() {
            return Err(SHORT.into());
        }
        whole.extend_from_slice(before);
        after(&mut cursor, columns, before, &mut whole)?;
    }
    set_event_size(&mut whole);
    Ok(whole)
}

/// Appends the completed image after the change.
fn after(
    cursor: &mut Cursor<'_>,
    columns: &[Column],
    before: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Malformed> {
    let documents = columns.iter().filter(|column| column.type_code == JSON).count();
    let options = cursor.packed()?;
    let partial = match options {
        0 => &[][..],
        HAS_DIFFERENCES => cursor.take(documents.div_ceil(8))?,
        other => return Err(cursor.invalid(other)),
    };
    let bitmap_bytes = columns.len().div_ceil(8);
    let nulls = cursor.take(bitmap_bytes)?;
    out.extend_from_slice(nulls);
    let (old_nulls, mut old) = before.split_at(bitmap_bytes);
    let mut nth_document = 0;
    for (index, column) in columns.iter().enumerate() {
        let is_null = |nulls: &[u8]| nulls[index / 8] & (1 << (index % 8)) != 0;
        let mut old_value = None;
        if !is_null(old_nulls) {
            let (prefix, len) = measure(column, old)?;
            let (value, rest) = old.split_at_checked(prefix + len).ok_or(SHORT)?;
            (old_value, old) = (Some(&value[prefix..]), rest);
        }
        let mut has_differences = false;
        if column.type_code == JSON {
            has_differences =
                partial.get(nth_document / 8).is_some_and(|bits| bits & (1 << (nth_document % 8)) != 0);
            nth_document += 1;
        }
        if is_null(nulls) {
            continue;
        }
        if !has_differences {
            let (prefix, len) = measure(column, cursor.rest())?;
            out.extend_from_slice(cursor.take(prefix + len)?);
            continue;
        }
        let len = cursor.u32()?;
        let document = json::apply(old_value.ok_or(SHORT)?, cursor.take(len as usize)?)?;
        let len = u32::try_from(document.len()).map_err(|_| SHORT)?.to_le_bytes();
        out.extend_from_slice(&len[..LENGTH_BYTES]);
        out.extend(document);
    }
    Ok(())
}

#[cfg(test)]
#[path = "partial_tests.rs"]
mod tests;

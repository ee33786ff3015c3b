//! Query events: the statements in the binlog.
//!
//! Body: post-header of 13 bytes (thread id 4, seconds of execution 4, length of the schema's name
//! 1, error code 2, length of the status variables 2), the status variables, the schema and a zero
//! byte, the statement. MariaDB's compressed query events compress the statement. Source: MariaDB
//! Knowledge Base, "QUERY_EVENT".

use std::borrow::Cow;

use super::cursor::{Cursor, Malformed};
use super::event::{self, EventHeader, EventType};
use super::format::Format;
use super::rows::{RowsError, unpacked};

/// A statement, with the session's default schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query<'a> {
    /// Error code that the statement ended with; 0: none.
    pub error_code: u16,
    /// Empty: none was chosen.
    pub schema: Cow<'a, str>,
    /// Bytes that are not UTF-8 are replaced.
    pub statement: Cow<'a, str>,
}

/// Where the parts of a query event are.
struct Layout {
    error_code: u16,
    schema: std::ops::Range<usize>,
    statement_at: usize,
}

fn layout(event: &[u8], format: &Format) -> Result<Layout, Malformed> {
    let kind = EventHeader::parse(event)?.kind;
    let mut cursor = Cursor::new(event::body(event), "query event");
    let post_header = format.post_header_len(kind).unwrap_or(13);
    let extra = post_header.checked_sub(11).ok_or(cursor.invalid(post_header as u64))?;
    cursor.take(8)?;
    let schema_len = usize::from(cursor.u8()?);
    let error_code = cursor.u16()?;
    let status_len = if extra >= 2 { usize::from(cursor.u16()?) } else { 0 };
    cursor.take(extra.saturating_sub(2) + status_len)?;
    let schema_at = event.len() - cursor.rest().len();
    cursor.take(schema_len + 1)?;
    let statement_at = event.len() - cursor.rest().len();
    Ok(Layout { error_code, schema: schema_at..schema_at + schema_len, statement_at })
}

impl<'a> Query<'a> {
    /// Reads a canonical query event, compressed or not.
    ///
    /// # Errors
    /// It ends early, or its compressed statement is damaged.
    pub fn parse(event: &'a [u8], format: &Format) -> Result<Query<'a>, RowsError> {
        let found = layout(event, format)?;
        let schema = String::from_utf8_lossy(&event[found.schema]);
        let statement = if EventHeader::parse(event)?.kind == EventType::QueryCompressed {
            let plain = unpacked(event, EventType::Query, found.statement_at)?;
            Cow::Owned(String::from_utf8_lossy(&plain[found.statement_at..]).into_owned())
        } else {
            String::from_utf8_lossy(&event[found.statement_at..])
        };
        Ok(Query { error_code: found.error_code, schema, statement })
    }
}

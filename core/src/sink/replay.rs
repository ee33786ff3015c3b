//! Row-event replay: row images gathered into `BINLOG` statements.
//!
//! A statement holds canonical events in base64: for each run of rows of one table a table map and
//! rows events, each with many images behind one post-header. The last rows event before another
//! table, and the last of the statement, ends it. The session must have been given the source's
//! format description event before ([`binlog_statement`] of
//! [`Format::canonical`](crate::binlog::format::Format::canonical)).
//!
//! `BINLOG` leaves the time of its events in the session's `timestamp`, and everything after it, the
//! transaction's time in the target's binlog included, would be that old: `SET timestamp = DEFAULT`
//! goes between the last `BINLOG` and `COMMIT`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::binlog::Malformed;
use crate::binlog::event::{EventHeader, EventType, HEADER_BYTES, set_event_size};
use crate::binlog::rows::{COMPLETE_ROWS, NO_FOREIGN_KEY_CHECKS, RowsKind, STATEMENT_END};
use crate::binlog::table_map::TableMap;
use crate::flavour::Flavour;

/// Table id of replayed events. The ids of a server's own tables do not meet it: a table map gives
/// it its meaning for one statement.
const TABLE_ID: u64 = 1;
/// Rows events are closed above this; servers write them in a few KiB, so this is generous.
const ROWS_EVENT_BYTES_MAX: usize = 8 << 20;
/// Text around the base64.
const STATEMENT_EXTRA_BYTES: usize = "BINLOG ''".len();
const FLAGS_AT: usize = HEADER_BYTES + 6;

/// The statement that hands these events to a session.
pub fn binlog_statement(events: &[u8]) -> String {
    let mut statement = String::with_capacity(events.len().div_ceil(3) * 4 + STATEMENT_EXTRA_BYTES);
    statement.push_str("BINLOG '");
    STANDARD.encode_string(events, &mut statement);
    statement.push('\'');
    statement
}

/// A format description event that MySQL servers of all versions read replayed events under: its
/// lengths of the post-headers are those of table maps and of rows events of both versions, and no
/// event has a checksum. One of a server would do as well, but a session that is given one may commit
/// no more under a GTID of its own until `gtid_next` is set again, which no transaction allows: so one
/// is given when the session opens, before it is known who the source is.
///
/// Layout: [`crate::binlog::format`].
pub fn mysql_format() -> Vec<u8> {
    /// By event type, from 1 to 32.
    const POST_HEADERS: [u8; 32] = [
        0, 13, 0, 8, 0, 0, 0, 0, 4, 0, 4, 0, 0, 0, 89, 0, 4, 26, 8, 0, 0, 0, 8, 8, 8, 2, 0, 0, 0, 10, 10, 10,
    ];
    const VERSION: &[u8; 50] =
        b"8.0.0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let header = EventHeader {
        timestamp: 0,
        kind: EventType::FormatDescription,
        server_id: 1,
        event_size: 0,
        log_pos: 0,
        flags: 0,
    };
    let mut event = header.to_bytes().to_vec();
    event.extend_from_slice(&4u16.to_le_bytes());
    event.extend_from_slice(VERSION);
    event.extend_from_slice(&0u32.to_le_bytes());
    event.push(HEADER_BYTES as u8);
    event.extend_from_slice(&POST_HEADERS);
    // Algorithm: none. Four bytes for a checksum stand there all the same.
    event.extend_from_slice(&[0; 5]);
    set_event_size(&mut event);
    event
}

/// Gathers row images into `BINLOG` statements, in the order in which they are given.
#[derive(Debug)]
pub struct ReplayBuilder {
    /// Bytes of events in one statement.
    limit_bytes: usize,
    v2: bool,
    events: Vec<u8>,
    /// The table map that is in force, with [`TABLE_ID`]; empty: none.
    table_map: Vec<u8>,
    /// Kind of the rows event that is open, and where it starts in `events`.
    open: Option<(RowsKind, usize)>,
    /// Where the last finished rows event starts: it may have to end the statement yet.
    last: Option<usize>,
    statements: Vec<String>,
}

impl ReplayBuilder {
    /// `limit_bytes` is the greatest length of a statement's text, which must be below the target's
    /// `max_allowed_packet`; a single row that is larger still goes out, in a statement of its own.
    /// Writes rows events of the version that servers of this flavour write: 1 on MariaDB, 2 on MySQL.
    pub fn new(limit_bytes: usize, flavour: Flavour) -> ReplayBuilder {
        ReplayBuilder {
            limit_bytes: limit_bytes.saturating_sub(STATEMENT_EXTRA_BYTES) / 4 * 3,
            v2: flavour == Flavour::MySql,
            events: Vec::new(),
            table_map: Vec::new(),
            open: None,
            last: None,
            statements: Vec::new(),
        }
    }

    /// Adds rows of one table: one image each, updates a before- and an after-image.
    ///
    /// # Errors
    /// `table_map_event` is not a table map event, or an update has no after-image.
    pub fn rows<'a>(
        &mut self,
        kind: RowsKind,
        table_map_event: &[u8],
        images: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<(), Malformed> {
        let columns = TableMap::column_count_of(table_map_event)?;
        let table_map = with_table_id(table_map_event);
        // Headers differ by their time: rows of one table from many transactions go together.
        if self.table_map.get(HEADER_BYTES..) != table_map.get(HEADER_BYTES..) {
            self.end_table();
            self.table_map = table_map;
        }
        let mut images = images.into_iter();
        while let Some(first) = images.next() {
            let second: &[u8] = if kind == RowsKind::Update {
                images.next().ok_or(Malformed::Short { what: "list of before- and after-images" })?
            } else {
                &[]
            };
            self.make_room(kind, columns, first.len() + second.len());
            self.events.extend_from_slice(first);
            self.events.extend_from_slice(second);
        }
        Ok(())
    }

    /// The statements, to be run in this order.
    pub fn statements(mut self) -> Vec<String> {
        self.end_statement();
        self.statements
    }

    /// Sees to it that a rows event of this kind is open, with room for this many bytes.
    fn make_room(&mut self, kind: RowsKind, columns: usize, bytes: usize) {
        let head = HEADER_BYTES + 10 + 9 + 2 * columns.div_ceil(8);
        let needed = self.table_map.len() + head + bytes;
        if !self.events.is_empty() && self.events.len() + needed > self.limit_bytes {
            self.end_statement();
        }
        if let Some((open, at)) = self.open
            && (open != kind || self.events.len() - at + bytes > ROWS_EVENT_BYTES_MAX)
        {
            self.close_event();
        }
        if self.open.is_some() {
            return;
        }
        if self.last.is_none() {
            self.events.extend_from_slice(&self.table_map);
        }
        self.open = Some((kind, self.events.len()));
        let timestamp = EventHeader::parse(&self.table_map).map_or(0, |header| header.timestamp);
        let server_id = EventHeader::parse(&self.table_map).map_or(0, |header| header.server_id);
        push_rows_head(&mut self.events, (kind, self.v2, columns), timestamp, server_id);
    }

    fn close_event(&mut self) {
        if let Some((_, at)) = self.open.take() {
            set_event_size(&mut self.events[at..]);
            self.last = Some(at);
        }
    }

    /// Ends the group of a table: its last rows event says so.
    fn end_table(&mut self) {
        self.close_event();
        if let Some(at) = self.last.take() {
            self.events[at + FLAGS_AT] |= STATEMENT_END as u8;
        }
    }

    fn end_statement(&mut self) {
        self.end_table();
        if !self.events.is_empty() {
            self.statements.push(binlog_statement(&self.events));
            self.events.clear();
        }
    }
}

/// Header, post-header, column count and bitmaps of a rows event.
fn push_rows_head(
    events: &mut Vec<u8>,
    (kind, v2, columns): (RowsKind, bool, usize),
    timestamp: u32,
    server_id: u32,
) {
    let kind_of_event = match (kind, v2) {
        (RowsKind::Write, false) => EventType::WriteRowsV1,
        (RowsKind::Update, false) => EventType::UpdateRowsV1,
        (RowsKind::Delete, false) => EventType::DeleteRowsV1,
        (RowsKind::Write, true) => EventType::WriteRowsV2,
        (RowsKind::Update, true) => EventType::UpdateRowsV2,
        (RowsKind::Delete, true) => EventType::DeleteRowsV2,
    };
    let header =
        EventHeader { timestamp, kind: kind_of_event, server_id, event_size: 0, log_pos: 0, flags: 0 };
    events.extend_from_slice(&header.to_bytes());
    events.extend_from_slice(&TABLE_ID.to_le_bytes()[..6]);
    events.extend_from_slice(&(NO_FOREIGN_KEY_CHECKS | COMPLETE_ROWS).to_le_bytes());
    if v2 {
        // Length of the extra data, which counts itself.
        events.extend_from_slice(&2u16.to_le_bytes());
    }
    match u8::try_from(columns) {
        Ok(small @ 0..=250) => events.push(small),
        _ => {
            events.push(252);
            events.extend_from_slice(&(columns as u16).to_le_bytes());
        }
    }
    let bitmaps = if kind == RowsKind::Update { 2 } else { 1 };
    for _ in 0..bitmaps {
        for byte in 0..columns.div_ceil(8) {
            let bits = (columns - byte * 8).min(8);
            events.push((0xffu16 >> (8 - bits)) as u8);
        }
    }
}

/// The table map event with [`TABLE_ID`], outside of any file.
fn with_table_id(table_map_event: &[u8]) -> Vec<u8> {
    let mut event = table_map_event.to_vec();
    event[13..17].fill(0);
    event[HEADER_BYTES..FLAGS_AT].copy_from_slice(&TABLE_ID.to_le_bytes()[..6]);
    event
}

/// Canonical events that delete one row, given by its image: a table map and a delete rows event of
/// version 1, which is read alike whoever logged what is around it.
///
/// # Errors
/// `table_map_event` is not a table map event.
pub fn delete_event(table_map_event: &[u8], image: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut builder = ReplayBuilder::new(usize::MAX, Flavour::MariaDb);
    builder.rows(RowsKind::Delete, table_map_event, [image])?;
    builder.end_table();
    Ok(builder.events)
}

#[cfg(test)]
#[path = "replay_tests.rs"]
mod tests;

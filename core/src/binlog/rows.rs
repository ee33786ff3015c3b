//! Rows events: which rows of a table were written, changed and deleted.
//!
//! Body: post-header (table id 6 bytes, flags 2; v2: 2 bytes of length of the extra data, counting
//! themselves, and that data), the number of columns (packed), a bitmap of the columns present in
//! the images (updates: one before and one after), then the images; an update's come in pairs.
//! MariaDB's compressed rows events compress what follows the bitmaps.
//!
//! Source: MariaDB Knowledge Base, "Rows_event_v1", "Compressed row events".

use std::borrow::Cow;
use std::io::Read;
use std::ops::Range;

use super::cursor::{Cursor, Malformed};
use super::event::{self, EventHeader, EventType, HEADER_BYTES, set_event_size};
use super::format::Format;
use super::image::image_len;
use crate::catalog::Column;

/// Last rows event of its statement.
pub const STATEMENT_END: u16 = 0x1;
/// Foreign keys are not checked when it is applied.
pub const NO_FOREIGN_KEY_CHECKS: u16 = 0x2;
/// Images have all columns.
pub const COMPLETE_ROWS: u16 = 0x8;

/// Longest content that a compressed event is unpacked to: the greatest `max_allowed_packet`.
const UNPACKED_BYTES_MAX: u64 = 1 << 30;

/// Why a rows event was not understood. Stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RowsError {
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("a row image is not FULL: columns are missing; set binlog_row_image = FULL on the source")]
    NotFull,
    #[error("a rows event has {event} columns where its table has {table}")]
    ColumnCount { event: usize, table: usize },
    #[error("a compressed event uses algorithm {0}, which this release does not know")]
    UnknownCompression(u8),
    #[error("a compressed event does not unpack to the {declared} bytes that it declares")]
    Unpack { declared: u64 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RowsKind {
    Write,
    Update,
    Delete,
}

/// A rows event in canonical form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowsEvent<'a> {
    pub kind: RowsKind,
    pub table_id: u64,
    pub flags: u16,
    /// Number of columns.
    pub columns: usize,
    /// Where the first image starts, in bytes from the start of the event.
    pub rows_at: usize,
    event: &'a [u8],
}

/// Where the images of one row are, in bytes from the start of the event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowImages {
    pub before: Option<Range<usize>>,
    pub after: Option<Range<usize>>,
}

/// What a rows event does, and how its post-header is laid out; None for other events.
fn layout(kind: EventType) -> Option<(RowsKind, bool)> {
    use EventType::*;
    Some(match kind {
        WriteRowsV1 | WriteRowsCompressedV1 => (RowsKind::Write, false),
        UpdateRowsV1 | UpdateRowsCompressedV1 => (RowsKind::Update, false),
        DeleteRowsV1 | DeleteRowsCompressedV1 => (RowsKind::Delete, false),
        WriteRowsV2 | WriteRowsCompressedV2 => (RowsKind::Write, true),
        UpdateRowsV2 | UpdateRowsCompressedV2 => (RowsKind::Update, true),
        DeleteRowsV2 | DeleteRowsCompressedV2 => (RowsKind::Delete, true),
        _ => return None,
    })
}

/// The uncompressed type of a compressed event; None for other events.
pub const fn unpacked_type(kind: EventType) -> Option<EventType> {
    Some(match kind {
        EventType::WriteRowsCompressedV1 => EventType::WriteRowsV1,
        EventType::UpdateRowsCompressedV1 => EventType::UpdateRowsV1,
        EventType::DeleteRowsCompressedV1 => EventType::DeleteRowsV1,
        EventType::WriteRowsCompressedV2 => EventType::WriteRowsV2,
        EventType::UpdateRowsCompressedV2 => EventType::UpdateRowsV2,
        EventType::DeleteRowsCompressedV2 => EventType::DeleteRowsV2,
        EventType::QueryCompressed => EventType::Query,
        _ => return None,
    })
}

impl<'a> RowsEvent<'a> {
    /// Reads a canonical, unpacked rows event.
    ///
    /// # Errors
    /// It ends early, is another event, or its images lack columns.
    pub fn parse(event: &'a [u8], format: &Format) -> Result<RowsEvent<'a>, RowsError> {
        let header = EventHeader::parse(event)?;
        let mut cursor = Cursor::new(event::body(event), "rows event");
        let known = layout(header.kind).filter(|_| unpacked_type(header.kind).is_none());
        let (kind, v2) = known.ok_or(cursor.invalid(u64::from(header.kind.code())))?;
        let table_id = match format.post_header_len(header.kind) {
            Some(6) => u64::from(cursor.u32()?),
            _ => cursor.u48()?,
        };
        let flags = cursor.u16()?;
        if v2 {
            skip_extra(&mut cursor)?;
        }
        let columns = cursor.packed()?;
        let columns = usize::try_from(columns).map_err(|_| cursor.invalid(columns))?;
        for _ in 0..bitmaps(kind) {
            all_present(cursor.take(columns.div_ceil(8))?, columns)?;
        }
        Ok(RowsEvent { kind, table_id, flags, columns, rows_at: event.len() - cursor.rest().len(), event })
    }

    /// Whether this is the last rows event of its statement: its table maps are used up.
    pub const fn ends_statement(&self) -> bool {
        self.flags & STATEMENT_END != 0
    }

    /// The places of the row images, in binlog order. Ends after the first error.
    ///
    /// # Errors
    /// The event has another number of columns than `columns`.
    pub fn images<'c>(&self, columns: &'c [Column]) -> Result<Images<'a, 'c>, RowsError> {
        if self.columns != columns.len() {
            return Err(RowsError::ColumnCount { event: self.columns, table: columns.len() });
        }
        Ok(Images { event: self.event, kind: self.kind, columns, at: self.rows_at })
    }
}

const fn bitmaps(kind: RowsKind) -> usize {
    match kind {
        RowsKind::Update => 2,
        RowsKind::Write | RowsKind::Delete => 1,
    }
}

fn skip_extra(cursor: &mut Cursor<'_>) -> Result<(), Malformed> {
    let len = cursor.u16()?;
    let extra = len.checked_sub(2).ok_or(cursor.invalid(u64::from(len)))?;
    cursor.take(usize::from(extra)).map(|_| ())
}

fn all_present(bitmap: &[u8], columns: usize) -> Result<(), RowsError> {
    let whole = bitmap[..columns / 8].iter().all(|&byte| byte == 0xff);
    let mask = (1u8 << (columns % 8)) - 1;
    let rest = bitmap.get(columns / 8).is_none_or(|&byte| byte & mask == mask);
    if whole && rest { Ok(()) } else { Err(RowsError::NotFull) }
}

/// Walks over the images of a rows event.
#[derive(Debug, Clone)]
pub struct Images<'a, 'c> {
    event: &'a [u8],
    kind: RowsKind,
    columns: &'c [Column],
    at: usize,
}

impl Images<'_, '_> {
    fn image(&mut self) -> Result<Range<usize>, Malformed> {
        let start = self.at;
        let len = image_len(self.columns, &self.event[start..])?;
        if len == 0 {
            return Err(Malformed::Short { what: "row image" });
        }
        self.at += len;
        Ok(start..self.at)
    }

    fn row(&mut self) -> Result<RowImages, Malformed> {
        Ok(match self.kind {
            RowsKind::Write => RowImages { before: None, after: Some(self.image()?) },
            RowsKind::Update => RowImages { before: Some(self.image()?), after: Some(self.image()?) },
            RowsKind::Delete => RowImages { before: Some(self.image()?), after: None },
        })
    }
}

impl Iterator for Images<'_, '_> {
    type Item = Result<RowImages, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.event.len() {
            return None;
        }
        let row = self.row();
        if row.is_err() {
            self.at = self.event.len();
        }
        Some(row)
    }
}

/// The event with its compressed rows unpacked; other events as they are.
///
/// # Errors
/// The compressed bytes are damaged, or declare more than a server can have written.
pub fn unpack<'a>(event: &'a [u8]) -> Result<Cow<'a, [u8]>, RowsError> {
    let header = EventHeader::parse(event)?;
    let (Some(plain), Some((kind, v2))) = (unpacked_type(header.kind), layout(header.kind)) else {
        return Ok(Cow::Borrowed(event));
    };
    let mut cursor = Cursor::new(event::body(event), "compressed rows event");
    cursor.take(8)?;
    if v2 {
        skip_extra(&mut cursor)?;
    }
    let columns = cursor.packed()?;
    let columns = usize::try_from(columns).map_err(|_| cursor.invalid(columns))?;
    for _ in 0..bitmaps(kind) {
        cursor.take(columns.div_ceil(8))?;
    }
    let kept = event.len() - cursor.rest().len();
    Ok(Cow::Owned(unpacked(event, plain, kept)?))
}

/// The event as `plain`, with everything from `kept` on unpacked.
///
/// The packed part is a byte (0x80, algorithm in bits 4 to 6: 0 is zlib, number of length bytes in
/// bits 0 to 2), the unpacked length big-endian, and the compressed bytes.
pub(super) fn unpacked(event: &[u8], plain: EventType, kept: usize) -> Result<Vec<u8>, RowsError> {
    let mut cursor = Cursor::new(event.get(kept..).unwrap_or_default(), "compressed content");
    let head = cursor.u8()?;
    let algorithm = head >> 4 & 7;
    if head & 0x80 == 0 || algorithm != 0 {
        return Err(RowsError::UnknownCompression(algorithm));
    }
    let declared = cursor.take(usize::from(head & 7))?;
    let declared = declared.iter().fold(0u64, |len, &byte| len << 8 | u64::from(byte));
    if declared > UNPACKED_BYTES_MAX {
        return Err(RowsError::Unpack { declared });
    }
    let mut out = event[..kept].to_vec();
    let packed = flate2::read::ZlibDecoder::new(cursor.rest());
    // One byte more than declared is read, so that too much is told from just enough.
    let read = packed.take(declared + 1).read_to_end(&mut out);
    if read.map_err(|_| RowsError::Unpack { declared })? as u64 != declared {
        return Err(RowsError::Unpack { declared });
    }
    debug_assert!(kept >= HEADER_BYTES);
    out[4] = plain.code();
    set_event_size(&mut out);
    Ok(out)
}

#[cfg(test)]
#[path = "rows_tests.rs"]
mod tests;

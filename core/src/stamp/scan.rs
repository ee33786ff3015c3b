//! The first step of stamping: from canonical events to the rows of a transaction, without versions.
//!
//! Every later stage works on what is found here; nobody walks the events again. Rows of the
//! server's and Weft's own tables are left out, but what the mark and the heartbeat say is kept.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::PlacedMark;
use super::own::{OwnTable, Said};
use crate::binlog::Malformed;
use crate::binlog::event::{EventHeader, EventType, HEADER_BYTES};
use crate::binlog::format::Format;
use crate::binlog::image::Values;
use crate::binlog::rows::{RowImages, RowsError, RowsEvent, RowsKind};
use crate::binlog::table_map::{TableMap, TableMapError};
use crate::binlog::value::Value;
use crate::catalog::{CatalogId, TableVersion};
use crate::instance::InstanceId;
use crate::key::{KeyHash, TableKeys};
use crate::mark::codec::MarkError;
use crate::mark::{Epoch, Eviction};
use crate::tables::TableName;
use crate::time::Micros;
use crate::transaction::{RowKind, RowStamp, Rows, Span, TableUse, UniqueStamp};
use crate::version::Version;

/// Why a transaction cannot be stamped. `UnknownTable`: describe the table and scan again; all
/// others stop the stream.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ScanError {
    #[error("the shape of {name} is not known yet")]
    UnknownTable {
        name: TableName,
        /// The event that is to be described: one of the transaction's, or of an eviction in a mark.
        table_map: Vec<u8>,
    },
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error(transparent)]
    TableMap(#[from] TableMapError),
    #[error(transparent)]
    Rows(#[from] RowsError),
    #[error("a row of weft.mark cannot be read: {0}")]
    Mark(#[from] MarkError),
    #[error("weft.{table} has another shape than this release gives it; run weft uninstall and start again")]
    OwnTable { table: &'static str },
    #[error("a rows event refers to table id {0}, which no table map before it names")]
    NoTableMap(u64),
    #[error("a transaction holds an event of type {0}, which is neither a table map nor rows")]
    Unexpected(u8),
    #[error("the events of an eviction do not delete the row that it names")]
    WrongEviction,
    #[error("a chunk of a transaction is too large: {0} bytes, or too many tables")]
    TooLarge(usize),
}

/// What is known of a table map.
#[derive(Debug, Clone)]
pub enum Resolved {
    /// The table's rows are wanted; its shape.
    Wanted(CatalogId, Arc<TableVersion>),
    /// The table's rows are left out.
    LeftOut,
    /// Ask the server first.
    Unknown,
}

/// Finds what is known of a table map.
pub type Resolve<'a> = dyn FnMut(&TableMap<'_>) -> Resolved + 'a;

/// Whose mark came by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passing {
    pub channel: String,
    /// Full name of the instance that the channel reads from.
    pub source: String,
    pub epoch: Epoch,
}

/// A transaction, or a chunk of a large one, before it is stamped.
#[derive(Debug, Clone, PartialEq)]
pub struct Scanned {
    /// Versions and bases are not set yet, but for the versions of rows that a mark carries; `part` is
    /// not set at all.
    pub rows: Rows,
    /// The events that the spans point into: those scanned, and behind them the events of evicted
    /// rows that the transaction itself has no event of.
    pub raw: Bytes,
    /// In order; a mark comes before the rows that it names.
    pub marks: Vec<PlacedMark>,
    /// Whose marks they are, those among them that are not filled in yet.
    pub passing: Vec<Passing>,
    /// The instance's own heartbeat, if it is in the transaction.
    pub heartbeat: Option<Micros>,
}

/// Scans the transactions of one instance. Keeps what it learnt of the tables.
#[derive(Debug)]
pub struct Scanner {
    instance: String,
    keys: HashMap<CatalogId, TableKeys>,
}

impl Scanner {
    /// `instance`: full name of the instance that is captured (`site.instance`), to know its
    /// heartbeats by.
    pub fn new(instance: &str) -> Scanner {
        Scanner { instance: instance.to_owned(), keys: HashMap::new() }
    }

    /// Scans a transaction, or a chunk of a large one in which `rows_before` rows came before it (the
    /// sum of `rows.rows.len()` of the chunks before). Every chunk brings the table maps that it
    /// needs. `events` are canonical table map and rows events, unpacked.
    ///
    /// # Errors
    /// See [`ScanError`]; the ledger is not involved yet, so a scan can be repeated.
    pub fn scan(
        &mut self,
        events: &Bytes,
        format: &Format,
        rows_before: u32,
        resolve: &mut Resolve<'_>,
    ) -> Result<Scanned, ScanError> {
        if u32::try_from(events.len()).is_err() {
            return Err(ScanError::TooLarge(events.len()));
        }
        let mut scan = Scan {
            instance: &self.instance,
            keys: &mut self.keys,
            format,
            resolve,
            maps: HashMap::new(),
            table_of: HashMap::new(),
            rows_before,
            rows: Rows::default(),
            marks: Vec::new(),
            passing: Vec::new(),
            heartbeat: None,
        };
        scan.events(events, 0)?;
        let raw = scan.append_evictions(events)?;
        let Scan { rows, marks, passing, heartbeat, .. } = scan;
        Ok(Scanned { rows, raw, marks, passing, heartbeat })
    }
}

/// What a table id stands for.
#[derive(Clone)]
enum Mapped {
    Table {
        index: u16,
        id: CatalogId,
        version: Arc<TableVersion>,
    },
    Own(Box<OwnTable>),
    /// Of the server, or of Weft but silent, or not wanted.
    PassedOver,
}

/// A rows event of a replicated table.
struct EventRows<'a> {
    version: &'a TableVersion,
    id: CatalogId,
    /// Index into `rows.tables`.
    table: u16,
    kind: RowsKind,
    event: &'a [u8],
    /// Where the event stands in the raw bytes.
    at: usize,
}

struct Scan<'a, 'r> {
    instance: &'a str,
    keys: &'a mut HashMap<CatalogId, TableKeys>,
    format: &'a Format,
    resolve: &'a mut Resolve<'r>,
    maps: HashMap<u64, Mapped>,
    /// Index into `rows.tables`.
    table_of: HashMap<CatalogId, u16>,
    rows_before: u32,
    rows: Rows,
    marks: Vec<PlacedMark>,
    passing: Vec<Passing>,
    heartbeat: Option<Micros>,
}

impl Scan<'_, '_> {
    /// Walks over events that will stand at `offset` of the raw bytes.
    fn events(&mut self, events: &[u8], offset: usize) -> Result<(), ScanError> {
        let mut at = 0;
        while at < events.len() {
            let header = EventHeader::parse(&events[at..])?;
            let len = header.event_size as usize;
            if len < HEADER_BYTES || len > events.len() - at {
                return Err(Malformed::Short { what: "event in a transaction" }.into());
            }
            let event = &events[at..at + len];
            match header.kind {
                EventType::TableMap => self.table_map(event, offset + at)?,
                _ => self.rows_event(event, offset + at, header.kind)?,
            }
            at += len;
        }
        Ok(())
    }

    fn table_map(&mut self, event: &[u8], at: usize) -> Result<(), ScanError> {
        let map = TableMap::parse(event, self.format)?;
        let name = map.name();
        let mapped = if let Some(own) = OwnTable::of(&map)? {
            Mapped::Own(Box::new(own))
        } else if name.is_internal() {
            Mapped::PassedOver
        } else {
            match (self.resolve)(&map) {
                Resolved::Wanted(id, version) if version.columns.len() == map.column_count() => {
                    let span = Span { at: at as u32, len: event.len() as u32 };
                    Mapped::Table { index: self.table(id, name, span)?, id, version }
                }
                Resolved::LeftOut => Mapped::PassedOver,
                Resolved::Wanted(..) | Resolved::Unknown => {
                    return Err(ScanError::UnknownTable { name, table_map: event.to_vec() });
                }
            }
        };
        self.maps.insert(map.table_id, mapped);
        Ok(())
    }

    fn table(&mut self, id: CatalogId, name: TableName, table_map: Span) -> Result<u16, ScanError> {
        if let Some(index) = self.table_of.get(&id) {
            return Ok(*index);
        }
        let index = self.rows.tables.len();
        let index = u16::try_from(index).map_err(|_| ScanError::TooLarge(index))?;
        self.rows.tables.push(TableUse { name, version: id, table_map });
        self.table_of.insert(id, index);
        Ok(index)
    }

    fn rows_event(&mut self, event: &[u8], at: usize, kind: EventType) -> Result<(), ScanError> {
        let is_rows = matches!(
            kind,
            EventType::WriteRowsV1
                | EventType::UpdateRowsV1
                | EventType::DeleteRowsV1
                | EventType::WriteRowsV2
                | EventType::UpdateRowsV2
                | EventType::DeleteRowsV2
        );
        if !is_rows {
            return Err(ScanError::Unexpected(kind.code()));
        }
        let rows = RowsEvent::parse(event, self.format)?;
        // A cheap copy: an Arc, or one of Weft's own few small tables.
        match self.maps.get(&rows.table_id).cloned() {
            Some(Mapped::Table { index, id, version }) => {
                let of = EventRows { version: &version, id, table: index, kind: rows.kind, event, at };
                for images in rows.images(&version.columns)? {
                    self.row(&of, &images?)?;
                }
            }
            Some(Mapped::Own(own)) => {
                for said in own.read(&rows, event, self.instance)? {
                    match said {
                        Said::Mark(passing, mark) => {
                            self.passing.push(passing);
                            let rows_before = self.rows.rows.len();
                            self.marks.extend(mark.map(|mark| PlacedMark { rows_before, mark }));
                        }
                        Said::Heartbeat(written) => self.heartbeat = self.heartbeat.max(Some(written)),
                        Said::Nothing => {}
                    }
                }
            }
            Some(Mapped::PassedOver) => {}
            // The server's dummy event at a statement's end names no table and has no rows.
            None if rows.rows_at == event.len() => {}
            None => return Err(ScanError::NoTableMap(rows.table_id)),
        }
        Ok(())
    }

    fn row(&mut self, of: &EventRows<'_>, images: &RowImages) -> Result<(), ScanError> {
        let keys = self.keys.entry(of.id).or_insert_with(|| TableKeys::new(of.version));
        let mut hashes = |image: &Option<Range<usize>>| {
            image.clone().map(|image| Hashes::of(keys, of.version, &of.event[image])).transpose()
        };
        let (before, after) = (hashes(&images.before)?, hashes(&images.after)?);
        let span = |image: &Option<Range<usize>>| {
            image.as_ref().map_or(Span::NONE, |image| Span {
                at: (of.at + image.start) as u32,
                len: image.len() as u32,
            })
        };
        let key_of = |hashes: &Option<Hashes>| hashes.as_ref().map(|hashes| hashes.primary);
        let (old, new) = (key_of(&before), key_of(&after));
        let index = self.rows.rows.len() as u32;
        self.rows.rows.push(RowStamp {
            row: self.rows_before.saturating_add(index).saturating_add(1),
            table: of.table,
            kind: match of.kind {
                RowsKind::Write => RowKind::Insert,
                RowsKind::Update => RowKind::Update,
                RowsKind::Delete => RowKind::Delete,
            },
            key: new.or(old).unwrap_or(KeyHash::NONE),
            old_key: old.filter(|old| new.is_some_and(|new| new != *old)),
            version: UNSTAMPED,
            base: None,
            old_base: None,
            before: span(&images.before),
            after: span(&images.after),
        });
        let values = |hashes: Option<Hashes>| hashes.map(|hashes| hashes.unique).unwrap_or_default();
        push_unique(&mut self.rows.unique, index, &values(before), &values(after));
        Ok(())
    }

    /// Rows that were evicted without having been there have no event in the transaction: the mark
    /// carries it, and it goes behind the others, so that the eviction reaches every site.
    fn append_evictions(&mut self, events: &Bytes) -> Result<Bytes, ScanError> {
        let marks = std::mem::take(&mut self.marks);
        let carried = carried_evictions(&marks);
        let mut raw: Option<BytesMut> = None;
        for eviction in carried {
            let raw = raw.get_or_insert_with(|| BytesMut::from(&events[..]));
            self.eviction(eviction, raw.len())?;
            raw.extend_from_slice(&eviction.events);
            if u32::try_from(raw.len()).is_err() {
                return Err(ScanError::TooLarge(raw.len()));
            }
        }
        self.marks = marks;
        Ok(raw.map_or_else(|| events.clone(), BytesMut::freeze))
    }

    fn eviction(&mut self, eviction: &Eviction, offset: usize) -> Result<(), ScanError> {
        let from = self.rows.rows.len();
        self.events(&eviction.events, offset)?;
        match &mut self.rows.rows[from..] {
            [row] if row.kind == RowKind::Delete && row.key == eviction.key => {
                row.kind = RowKind::Evict;
                row.version = eviction.version.evicted();
                Ok(())
            }
            _ => Err(ScanError::WrongEviction),
        }
    }
}

/// The evictions whose events the marks carry, in order. One that a later change in the same transaction
/// made void says nothing any more.
fn carried_evictions(marks: &[PlacedMark]) -> Vec<&Eviction> {
    let evictions = || marks.iter().flat_map(|placed| &placed.mark.evictions);
    let mut greatest: HashMap<KeyHash, Version> = evictions()
        .filter(|eviction| !eviction.events.is_empty())
        .map(|eviction| (eviction.key, eviction.version.evicted()))
        .collect();
    if greatest.is_empty() {
        return Vec::new();
    }
    let named = marks.iter().flat_map(|placed| &placed.mark.named);
    let named = named.flat_map(|named| named.keys.iter().map(|key| (*key, named.version)));
    for (key, version) in named.chain(evictions().map(|one| (one.key, one.version.evicted()))) {
        greatest.entry(key).and_modify(|known| *known = version.max(*known));
    }
    let valid = |eviction: &&Eviction| greatest.get(&eviction.key) == Some(&eviction.version.evicted());
    evictions().filter(|eviction| !eviction.events.is_empty()).filter(valid).collect()
}

/// Stands in a row stamp until it is stamped.
pub const UNSTAMPED: Version = Version::new(Micros::ZERO, InstanceId(0));

/// The key hashes of one row image.
struct Hashes {
    primary: KeyHash,
    unique: Vec<Option<KeyHash>>,
}

impl Hashes {
    fn of(keys: &mut TableKeys, version: &TableVersion, image: &[u8]) -> Result<Hashes, ScanError> {
        // Values behind the last key column are not decoded.
        let values: Vec<Value<'_>> = Values::new(&version.columns, image)
            .take(keys.columns_needed())
            .collect::<Result<_, Malformed>>()?;
        let unique = keys.unique(&version.columns, &values).collect();
        Ok(Hashes { primary: keys.primary(&version.columns, &values), unique })
    }
}

/// The values of unique keys before and after a change, as stamps.
pub(crate) fn push_unique(
    out: &mut Vec<UniqueStamp>,
    row: u32,
    before: &[Option<KeyHash>],
    after: &[Option<KeyHash>],
) {
    for key in 0..before.len().max(after.len()) {
        let old = before.get(key).copied().flatten();
        let new = after.get(key).copied().flatten();
        let changed = old != new;
        let given_up = old.filter(|_| changed).map(|hash| UniqueStamp { row, hash, after: false, changed });
        out.extend(given_up);
        out.extend(new.map(|hash| UniqueStamp { row, hash, after: true, changed }));
    }
}

#[cfg(test)]
#[path = "scan_tests.rs"]
mod tests;

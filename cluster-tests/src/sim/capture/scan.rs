//! What the scan of a binlog finds in a transaction, without versions yet.

use weft_core::instance::InstanceId;
use weft_core::key::KeyHash;
use weft_core::stamp::PlacedMark;
use weft_core::time::Micros;
use weft_core::transaction::{RowKind, RowStamp, Rows, Span, TableUse, UniqueStamp};
use weft_core::version::Version;

use crate::sim::database::Event;
use crate::sim::row::{self, IMAGE_BYTES, Row, TABLES, TableId};

/// What the scan of the binlog finds: rows without versions, their images, the marks.
pub(super) fn scan(events: &[Event], rows_before: u32) -> (Rows, Vec<u8>, Vec<PlacedMark>) {
    let mut scan = Scan { rows: Rows::default(), raw: Vec::new(), rows_before };
    for table in 0..TABLES {
        let version = weft_core::catalog::CatalogId(u32::from(table));
        scan.rows.tables.push(TableUse { name: row::name(table), version, table_map: Span::NONE });
    }
    let mut marks = Vec::new();
    for event in events {
        match event {
            Event::Mark { mark, .. } => {
                let rows_before = scan.rows.rows.len();
                marks.push(PlacedMark { rows_before, mark: mark.clone() });
            }
            Event::Row { table, before, after } => scan.row(*table, *before, *after, false),
            Event::Heartbeat(_) => {}
        }
    }
    let evictions = || marks.iter().flat_map(|placed| &placed.mark.evictions);
    for eviction in evictions() {
        let version = eviction.version.evicted();
        let stands = greatest_named(&marks, eviction.key) == Some(version);
        if stands && !eviction.events.is_empty() {
            let (table, row) = Row::read(&eviction.events);
            scan.row(table, Some(row), None, true);
            scan.rows.rows.last_mut().expect("just added").version = version;
        }
    }
    (scan.rows, scan.raw, marks)
}

/// The greatest version that the marks give the key.
fn greatest_named(marks: &[PlacedMark], key: KeyHash) -> Option<Version> {
    let named = marks.iter().flat_map(|placed| &placed.mark.named);
    let named = named.filter(|named| named.keys.contains(&key)).map(|named| named.version);
    let evictions = marks.iter().flat_map(|placed| &placed.mark.evictions);
    let evicted = evictions.filter(|one| one.key == key).map(|one| one.version.evicted());
    named.chain(evicted).max()
}

struct Scan {
    rows: Rows,
    raw: Vec<u8>,
    rows_before: u32,
}

impl Scan {
    fn span(&mut self, table: TableId, row: Option<Row>) -> Span {
        let Some(row) = row else { return Span::NONE };
        self.raw.extend(row.image(table));
        Span { at: (self.raw.len() - IMAGE_BYTES) as u32, len: IMAGE_BYTES as u32 }
    }

    fn row(&mut self, table: TableId, before: Option<Row>, after: Option<Row>, evict: bool) {
        let index = self.rows.rows.len() as u32;
        let id = after.or(before).map_or(0, |row| row.id);
        let kind = match (before, after) {
            (None, _) => RowKind::Insert,
            (Some(_), Some(_)) => RowKind::Update,
            (Some(_), None) if evict => RowKind::Evict,
            (Some(_), None) => RowKind::Delete,
        };
        let old = before.filter(|before| before.id != id);
        let (before_span, after_span) = (self.span(table, before), self.span(table, after));
        self.rows.rows.push(RowStamp {
            row: self.rows_before + index + 1,
            table,
            kind,
            key: row::key(table, id),
            old_key: old.map(|old| row::key(table, old.id)),
            version: Version::new(Micros::ZERO, InstanceId(0)),
            base: None,
            old_base: None,
            before: before_span,
            after: after_span,
        });
        if table == row::WITH_UNIQUE {
            self.unique(index, before, after);
        }
    }

    fn unique(&mut self, row: u32, before: Option<Row>, after: Option<Row>) {
        let hash = |row: Option<Row>| {
            let value = row.map(|row| row.unique).filter(|value| *value != 0)?;
            Some(row::unique_hash(row::WITH_UNIQUE, value))
        };
        let (old, new) = (hash(before), hash(after));
        let changed = old != new;
        let given_up = old.filter(|_| changed).map(|hash| UniqueStamp { row, hash, after: false, changed });
        self.rows.unique.extend(given_up);
        self.rows.unique.extend(new.map(|hash| UniqueStamp { row, hash, after: true, changed }));
    }
}

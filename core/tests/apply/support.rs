//! Builds deliveries with images of our own: the engines never look into an image.

use std::sync::Arc;

use bytes::Bytes;
use weft_core::catalog::{CatalogId, TableVersion, UniqueKey};
use weft_core::channel::delivery::{Delivery, Unit};
use weft_core::instance::InstanceId;
use weft_core::key::KeyHash;
use weft_core::scn::Scn;
use weft_core::tables::TableName;
use weft_core::time::Micros;
use weft_core::transaction::{
    Body, Ddl, DdlKind, Part, RowKind, RowStamp, Rows, Span, TableUse, Transaction, TransactionHeader,
    UniqueStamp,
};
use weft_core::version::Version;

pub const SOURCE: InstanceId = InstanceId(1);
pub const TARGET: InstanceId = InstanceId(2);

pub fn scn(n: u64) -> Scn {
    Scn::of_transaction(1, 1, n)
}

pub fn version(time: u64) -> Version {
    Version::new(Micros(time), SOURCE)
}

/// A row as the tests write it: two numbers and nothing else. 16 bytes in an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Row {
    pub id: u64,
    /// Value of the table's unique key, if the table has one; 0: NULL.
    pub unique: u64,
    pub value: u64,
}

impl Row {
    pub fn image(self) -> [u8; 24] {
        let mut bytes = [0; 24];
        bytes[..8].copy_from_slice(&self.id.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.unique.to_le_bytes());
        bytes[16..].copy_from_slice(&self.value.to_le_bytes());
        bytes
    }

    pub fn read(image: &[u8]) -> Row {
        let at = |i: usize| u64::from_le_bytes(image[i..i + 8].try_into().expect("24 bytes"));
        Row { id: at(0), unique: at(8), value: at(16) }
    }
}

pub fn key(id: u64) -> KeyHash {
    KeyHash((u128::from(id) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))
}

pub fn unique_key(value: u64) -> KeyHash {
    KeyHash((u128::from(value) + 1).wrapping_mul(0xc2b2_ae3d_27d4_eb4f_1656_67b1_9e37_79f9))
}

/// One change of a transaction under construction.
#[derive(Debug, Clone, Copy)]
pub struct Change {
    pub before: Option<Row>,
    pub after: Option<Row>,
    pub evict: bool,
    pub version: Version,
    pub base: Option<Version>,
    pub old_base: Option<Version>,
}

impl Change {
    pub fn of(before: Option<Row>, after: Option<Row>, version: Version, base: Option<Version>) -> Change {
        Change { before, after, evict: false, version, base, old_base: None }
    }
}

pub struct Builder {
    pub scn: Scn,
    pub time: Micros,
    pub part: Option<Part>,
    pub has_unique: bool,
    pub changes: Vec<Change>,
}

impl Builder {
    pub fn new(n: u64) -> Builder {
        Builder { scn: scn(n), time: Micros(n), part: None, has_unique: false, changes: Vec::new() }
    }

    pub fn change(mut self, change: Change) -> Builder {
        self.changes.push(change);
        self
    }

    pub fn insert(self, row: Row, time: u64) -> Builder {
        self.change(Change::of(None, Some(row), version(time), None))
    }

    pub fn build(self) -> Arc<Delivery> {
        let mut raw = Vec::new();
        let mut rows = Rows { part: self.part, ..Rows::default() };
        rows.tables.push(TableUse {
            name: TableName::new("shop", "t"),
            version: CatalogId(0),
            table_map: Span::NONE,
        });
        let first_row = self.scn.row;
        for (index, change) in self.changes.iter().enumerate() {
            let mut span = |row: Option<Row>| {
                row.map_or(Span::NONE, |row| {
                    raw.extend(row.image());
                    Span { at: raw.len() as u32 - 24, len: 24 }
                })
            };
            let (before, after) = (span(change.before), span(change.after));
            let (kind, of_key, old) = match (change.before, change.after) {
                (None, Some(after)) => (RowKind::Insert, after, None),
                (Some(before), Some(after)) => {
                    (RowKind::Update, after, (before.id != after.id).then_some(before))
                }
                (Some(before), None) if change.evict => (RowKind::Evict, before, None),
                (Some(before), None) => (RowKind::Delete, before, None),
                (None, None) => panic!("a change has a row"),
            };
            rows.rows.push(RowStamp {
                row: first_row + index as u32 + 1,
                table: 0,
                kind,
                key: key(of_key.id),
                old_key: old.map(|row| key(row.id)),
                version: change.version,
                base: change.base,
                old_base: change.old_base,
                before,
                after,
            });
            if self.has_unique {
                let value = |row: Option<Row>| row.map(|row| row.unique).filter(|&value| value != 0);
                let (old, new) = (value(change.before), value(change.after));
                let changed = old != new;
                let stamp =
                    |value, after| UniqueStamp { row: index as u32, hash: unique_key(value), after, changed };
                rows.unique.extend(old.filter(|_| changed).map(|value| stamp(value, false)));
                rows.unique.extend(new.map(|value| stamp(value, true)));
            }
        }
        self.delivery(Body::Rows(rows), raw)
    }

    pub fn statement(self, kind: DdlKind, table: &str) -> Arc<Delivery> {
        let ddl = Ddl {
            kind,
            schema: "shop".into(),
            statement: format!("TRUNCATE {table}"),
            tables: vec![TableName::new("shop", table)],
        };
        self.delivery(Body::Ddl(ddl), Vec::new())
    }

    pub fn heartbeat(self) -> Arc<Delivery> {
        let written = self.time;
        self.delivery(Body::Heartbeat { written }, Vec::new())
    }

    fn delivery(self, body: Body, raw: Vec<u8>) -> Arc<Delivery> {
        let unique_keys =
            if self.has_unique { vec![UniqueKey { name: "u".into(), columns: vec![1] }] } else { Vec::new() };
        let table = TableVersion {
            name: TableName::new("shop", "t"),
            columns: Vec::new(),
            primary_key: vec![0],
            unique_keys,
            exact: true,
        };
        let header = TransactionHeader {
            scn: self.scn,
            server_id: 1,
            gtid: None,
            commit_time: self.time,
            format: CatalogId(0),
            body,
        };
        Arc::new(Delivery {
            transaction: Transaction { header, raw: Bytes::from(raw) },
            tables: vec![Arc::new(table)],
            format: Arc::from(&[][..]),
            refused: None,
        })
    }
}

/// The whole delivery as one unit.
pub fn unit(delivery: &Arc<Delivery>, sequence: u64) -> Unit {
    let rows = delivery.transaction.rows().expect("rows").rows.len() as u32;
    Unit {
        delivery: delivery.clone(),
        rows: 0..rows,
        scn: delivery.transaction.header.scn.transaction(),
        sequence,
    }
}

//! Rows of the simulation, their images and their keys. The engines never look into an image.

use std::sync::Arc;

use weft_core::binlog::Malformed;
use weft_core::catalog::{CatalogEntry, CatalogId, CatalogItem, Column, TableVersion, UniqueKey};
use weft_core::key::KeyHash;
use weft_core::scn::Scn;
use weft_core::tables::TableName;

/// Index of a table: 0 has a primary key only, 1 has a secondary unique key too.
pub type TableId = u16;

/// Number of tables.
pub const TABLES: TableId = 2;

/// The table with the secondary unique key.
pub const WITH_UNIQUE: TableId = 1;

/// Bytes of an image: table, id, unique value (little-endian, two each), then the value (eight).
pub const IMAGE_BYTES: usize = 14;

/// A row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    pub id: u16,
    /// Value of the unique key; 0: NULL.
    pub unique: u16,
    /// Never the same twice in a run, so that a change is known again wherever it turns up.
    pub value: u64,
}

impl Row {
    pub fn image(self, table: TableId) -> [u8; IMAGE_BYTES] {
        let mut image = [0; IMAGE_BYTES];
        image[0..2].copy_from_slice(&table.to_le_bytes());
        image[2..4].copy_from_slice(&self.id.to_le_bytes());
        image[4..6].copy_from_slice(&self.unique.to_le_bytes());
        image[6..14].copy_from_slice(&self.value.to_le_bytes());
        image
    }

    /// The table and the row of an image.
    pub fn read(image: &[u8]) -> (TableId, Row) {
        let number = |at: usize| u16::from_le_bytes([image[at], image[at + 1]]);
        let value = image[6..14].iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte));
        (number(0), Row { id: number(2), unique: number(4), value })
    }
}

/// A place of a row: table and primary key.
pub type Place = (TableId, u16);

/// Spreads over the whole hash, and keeps the place in its low bits.
fn hash(packed: u64) -> KeyHash {
    let high = (packed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    KeyHash(u128::from(high) << 64 | u128::from(packed))
}

/// The key of a row.
pub fn key(table: TableId, id: u16) -> KeyHash {
    hash(u64::from(table) << 16 | u64::from(id))
}

/// The place that a key stands for.
pub fn place_of(key: KeyHash) -> Place {
    ((key.0 >> 16) as u16, key.0 as u16)
}

/// The hash of a unique value.
pub fn unique_hash(table: TableId, value: u16) -> KeyHash {
    hash(1 << 40 | u64::from(table) << 16 | u64::from(value))
}

/// Name of a table.
pub fn name(table: TableId) -> TableName {
    TableName::new("shop", if table == WITH_UNIQUE { "named" } else { "plain" })
}

/// The table with this name.
pub fn table_of(name: &TableName) -> TableId {
    if name.table == "named" { WITH_UNIQUE } else { 0 }
}

/// The catalog of every instance: its tables by their ids, then the format.
pub fn catalog() -> Vec<CatalogEntry> {
    let tables = (0..TABLES).map(|table| CatalogItem::Table(version(table)));
    let items = tables.chain([CatalogItem::Format(vec![0])]);
    items.zip(0..).map(|(what, id)| CatalogEntry { id: CatalogId(id), began: Scn::ZERO, what }).collect()
}

/// Id of the format in [`catalog`].
pub const FORMAT: CatalogId = CatalogId(TABLES as u32);

/// Images are read by [`Row::read`] and nobody else; the keys only have to name columns that are there.
fn column(name: &str) -> Column {
    let whole_number = 3;
    Column {
        name: name.to_owned(),
        type_code: whole_number,
        meta: 0,
        nullable: true,
        unsigned: false,
        collation: 0,
        column_type: None,
        default: None,
        generated: false,
        labels: Vec::new(),
    }
}

fn version(table: TableId) -> TableVersion {
    let unique = UniqueKey { name: "u".into(), columns: vec![1] };
    TableVersion {
        name: name(table),
        columns: ["id", "u"].map(column).into(),
        primary_key: vec![0],
        unique_keys: if table == WITH_UNIQUE { vec![unique] } else { Vec::new() },
        exact: true,
    }
}

/// The delete event of a row that is evicted without being there: its image says it all here.
///
/// # Errors
/// None: an image of ours is always whole.
pub fn delete_events(
    delivery: &weft_core::channel::delivery::Delivery,
    _table: u16,
    image: weft_core::transaction::Span,
) -> Result<Vec<u8>, Malformed> {
    Ok(delivery.transaction.bytes(image).to_vec())
}

/// All tables, shared.
pub fn versions() -> Vec<Arc<TableVersion>> {
    (0..TABLES).map(|table| Arc::new(version(table))).collect()
}

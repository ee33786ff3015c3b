//! Table map events: which table the rows events behind it are about, and its shape.
//!
//! Body: post-header of 8 bytes (table id 6, flags 2; 6 bytes with a table id of 4 in old formats),
//! then schema and table name (length byte, text, zero byte), the number of columns (packed), their
//! type bytes, the type metadata (packed length), a bitmap of nullable columns, and with
//! `binlog_row_metadata` the fields that [`metadata`](super::metadata) reads.
//!
//! Source: MariaDB Knowledge Base, "TABLE_MAP_EVENT"; MySQL source documentation,
//! `Table_map_event`.

use xxhash_rust::xxh3::xxh3_64;

use super::cursor::{Cursor, Malformed};
use super::event::{self, EventHeader, EventType};
use super::format::Format;
use super::metadata::{Metadata, Sign};
use crate::catalog::{Column, TableVersion, UniqueKey};
use crate::flavour::Flavour;
use crate::tables::TableName;

/// Most columns that a table of either server can have.
const COLUMNS_MAX: u64 = 4096;

/// Why a table map event was not understood. Stop.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableMapError {
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// Ask the server for the table's columns; if that was done, the table was altered since.
    #[error(
        "the binlog does not name the columns of {0}, and the table on the server has another shape now; set binlog_row_metadata = FULL"
    )]
    NoNames(TableName),
    #[error("column {column} of {table} has type {code}, which this release cannot read")]
    UnknownType { table: TableName, column: usize, code: u8 },
}

/// What the server says of a table, for what the binlog leaves out. The fields are those of
/// [`Column`] and [`TableVersion`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TableShape {
    pub columns: Vec<ColumnShape>,
    /// Indexes into `columns`, in key order.
    pub primary_key: Vec<u16>,
    pub unique_keys: Vec<UniqueKey>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ColumnShape {
    pub name: String,
    pub column_type: String,
    /// Collation id; 63 for binary strings, 0 if not a character column.
    pub collation: u16,
    pub nullable: bool,
    pub default: Option<String>,
    pub generated: bool,
}

/// A table map event, read as far as every event needs; the rest is read by
/// [`TableMap::to_table_version`] once for each shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableMap<'a> {
    pub table_id: u64,
    pub flags: u16,
    schema: &'a [u8],
    table: &'a [u8],
    types: &'a [u8],
    type_meta: &'a [u8],
    nullable: &'a [u8],
    optional: &'a [u8],
    /// Everything behind the post-header.
    shape: &'a [u8],
    flavour: Flavour,
}

impl<'a> TableMap<'a> {
    /// Reads a canonical table map event.
    ///
    /// # Errors
    /// It ends early or is another event.
    pub fn parse(event: &'a [u8], format: &Format) -> Result<TableMap<'a>, Malformed> {
        let short_id = format.post_header_len(EventType::TableMap) == Some(6);
        TableMap::parse_as(event, short_id, format.flavour)
    }

    /// Number of columns of a canonical table map event of any server since MySQL 5.1.
    ///
    /// # Errors
    /// It ends early or is another event.
    pub fn column_count_of(event: &[u8]) -> Result<usize, Malformed> {
        TableMap::parse_as(event, false, Flavour::MySql).map(|map| map.column_count())
    }

    fn parse_as(event: &'a [u8], short_id: bool, flavour: Flavour) -> Result<TableMap<'a>, Malformed> {
        let header = EventHeader::parse(event)?;
        let mut cursor = Cursor::new(event::body(event), "table map event");
        if header.kind != EventType::TableMap {
            return Err(cursor.invalid(u64::from(header.kind.code())));
        }
        let table_id = if short_id { u64::from(cursor.u32()?) } else { cursor.u48()? };
        let flags = cursor.u16()?;
        let shape = cursor.rest();
        let schema = name(&mut cursor)?;
        let table = name(&mut cursor)?;
        let columns = cursor.packed()?;
        if columns > COLUMNS_MAX {
            return Err(cursor.invalid(columns));
        }
        let types = cursor.take(columns as usize)?;
        let type_meta = cursor.packed_bytes()?;
        let nullable = cursor.take(types.len().div_ceil(8))?;
        let optional = cursor.rest();
        Ok(TableMap { table_id, flags, schema, table, types, type_meta, nullable, optional, shape, flavour })
    }

    pub fn name(&self) -> TableName {
        TableName::new(String::from_utf8_lossy(self.schema), String::from_utf8_lossy(self.table))
    }

    /// Number of columns.
    pub fn column_count(&self) -> usize {
        self.types.len()
    }

    /// A hash over everything that the event says of the table but its id: equal ones mean that the
    /// shape is known. Not stored anywhere.
    pub fn fingerprint(&self) -> u64 {
        xxh3_64(self.shape)
    }

    /// The table version that the event describes, `shape` filling in what it leaves out. A `shape`
    /// that does not agree with the event (number or names of columns) was read after a later
    /// ALTER and is passed over.
    ///
    /// # Errors
    /// The event is malformed, has a column of an unknown type, or has no names and there is no
    /// agreeing `shape`.
    pub fn to_table_version(&self, shape: Option<&TableShape>) -> Result<TableVersion, TableMapError> {
        let types = self.column_types()?;
        let metadata = Metadata::parse(self.optional, &types, self.flavour)?;
        let shape = shape.filter(|shape| agrees(shape, &metadata, types.len()));
        if metadata.names.is_empty() && shape.is_none() && !types.is_empty() {
            return Err(TableMapError::NoNames(self.name()));
        }
        let columns = types.iter().enumerate().map(|(index, &(type_code, meta))| {
            let facts = shape.map(|shape| &shape.columns[index]);
            let nullable = self.nullable[index / 8] & (1 << (index % 8)) != 0;
            column(index, type_code, meta, nullable, &metadata, facts)
        });
        let columns: Vec<Column> = columns.collect();
        let primary_key = match (&metadata.primary_key, shape) {
            (Some(key), _) => key.clone(),
            (None, Some(shape)) if metadata.names.is_empty() => shape.primary_key.clone(),
            (None, _) => Vec::new(),
        };
        if let Some(&beyond) = primary_key.iter().find(|&&column| usize::from(column) >= columns.len()) {
            return Err(Malformed::Invalid { what: "primary key column", found: u64::from(beyond) }.into());
        }
        Ok(TableVersion {
            name: self.name(),
            columns,
            primary_key,
            unique_keys: shape.map(|shape| shape.unique_keys.clone()).unwrap_or_default(),
            exact: !metadata.names.is_empty(),
        })
    }

    /// The columns as far as images of them can be measured: types and metadata only.
    pub(super) fn bare_columns(&self) -> Result<Vec<Column>, TableMapError> {
        let bare = |(index, &(type_code, meta)): (usize, &(u8, u16))| {
            column(index, type_code, meta, true, &Metadata::default(), None)
        };
        Ok(self.column_types()?.iter().enumerate().map(bare).collect())
    }

    /// Type byte and metadata of each column.
    fn column_types(&self) -> Result<Vec<(u8, u16)>, TableMapError> {
        let mut cursor = Cursor::new(self.type_meta, "column metadata");
        let mut columns = Vec::with_capacity(self.types.len());
        for (column, &code) in self.types.iter().enumerate() {
            let meta = match meta_bytes(code) {
                Some(0) => 0,
                Some(1) => u16::from(cursor.u8()?),
                Some(_) => cursor.u16()?,
                None => return Err(TableMapError::UnknownType { table: self.name(), column, code }),
            };
            columns.push((code, meta));
        }
        Ok(columns)
    }
}

/// A name behind its length byte, and the zero byte after it.
fn name<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], Malformed> {
    let len = cursor.u8()?;
    let name = cursor.take(usize::from(len))?;
    cursor.u8()?;
    Ok(name)
}

fn agrees(shape: &TableShape, metadata: &Metadata<'_>, columns: usize) -> bool {
    shape.columns.len() == columns
        && shape.unique_keys.iter().flat_map(|key| &key.columns).all(|&column| usize::from(column) < columns)
        && shape.primary_key.iter().all(|&column| usize::from(column) < columns)
        && (metadata.names.is_empty()
            || shape.columns.iter().zip(&metadata.names).all(|(a, b)| a.name.as_bytes() == *b))
}

fn column(
    index: usize,
    type_code: u8,
    meta: u16,
    nullable: bool,
    metadata: &Metadata<'_>,
    facts: Option<&ColumnShape>,
) -> Column {
    let told = facts.map(|facts| facts.column_type.as_str()).unwrap_or_default();
    let name = metadata.names.get(index).map(|name| String::from_utf8_lossy(name).into_owned());
    let unsigned = match metadata.signs.get(index) {
        // MariaDB calls a YEAR unsigned; to the information schema it has no sign.
        Some(Sign::Unsigned) => type_code != super::image::YEAR,
        Some(Sign::Signed | Sign::None) => false,
        None => told.to_ascii_lowercase().contains("unsigned"),
    };
    let collation = metadata.collations.as_ref().and_then(|collations| collations.get(index).copied());
    // The server's text is UTF-8; the event's labels are in the column's own character set.
    let labels = match labels_of(told) {
        labels if labels.is_empty() => metadata.labels(index),
        labels => labels,
    };
    Column {
        name: name.or_else(|| facts.map(|facts| facts.name.clone())).unwrap_or_default(),
        type_code,
        meta,
        nullable,
        unsigned,
        collation: collation.or(facts.map(|facts| facts.collation)).unwrap_or(0),
        column_type: facts.map(|facts| facts.column_type.clone()),
        default: facts.and_then(|facts| facts.default.clone()),
        generated: facts.is_some_and(|facts| facts.generated),
        labels,
    }
}

/// The labels in a `COLUMN_TYPE` like `enum('a','it''s')`; empty for other types.
fn labels_of(column_type: &str) -> Vec<String> {
    let lower = column_type.to_ascii_lowercase();
    if !lower.starts_with("enum(") && !lower.starts_with("set(") {
        return Vec::new();
    }
    let mut labels = Vec::new();
    let mut rest = column_type.chars().peekable();
    while rest.find(|&c| c == '\'').is_some() {
        let mut label = String::new();
        while let Some(c) = rest.next() {
            if c == '\'' && rest.next_if_eq(&'\'').is_none() {
                break;
            }
            label.push(c);
        }
        labels.push(label);
    }
    labels
}

/// How many bytes of metadata a type has in the event; None for unknown types.
const fn meta_bytes(code: u8) -> Option<usize> {
    use super::image::*;
    Some(match code {
        TINY | SHORT | LONG | LONGLONG | INT24 | TIMESTAMP | DATE | TIME | DATETIME | YEAR | NEWDATE
        | NULL => 0,
        FLOAT | DOUBLE | TIMESTAMP2 | DATETIME2 | TIME2 | BLOB_COMPRESSED | VECTOR | JSON => 1,
        TINY_BLOB | MEDIUM_BLOB | LONG_BLOB | BLOB | GEOMETRY => 1,
        VARCHAR | BIT | VARCHAR_COMPRESSED | NEWDECIMAL | ENUM | SET | VAR_STRING | STRING => 2,
        _ => return None,
    })
}

#[cfg(test)]
#[path = "table_map_tests.rs"]
pub(crate) mod tests;

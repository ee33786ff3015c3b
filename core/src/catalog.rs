//! The schema history: every version of every captured table, with the SCN where it began, and the
//! format description events that the raw rows were written under.
//!
//! A frame names table versions and formats by their ids in its instance's catalog; a reader that
//! does not know an id yet is sent the entry first.

use rkyv::{Archive, Deserialize, Serialize};

use crate::binlog::charset::BINARY;
use crate::scn::Scn;
use crate::tables::TableName;

/// Place of an entry in an instance's catalog, counted from 0, never used twice.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[rkyv(derive(Debug))]
pub struct CatalogId(pub u32);

/// One entry of the schema history. Persisted and sent as rkyv; `CATALOG_FORMAT` versions it.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
pub struct CatalogEntry {
    pub id: CatalogId,
    /// From this SCN on (inclusive), until a later entry for the same table or a later format.
    pub began: Scn,
    pub what: CatalogItem,
}

/// Version of the catalog's layout.
pub const CATALOG_FORMAT: u16 = 1;

#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
pub enum CatalogItem {
    Table(TableVersion),
    /// A format description event, header included, without checksum, in-use flag cleared.
    Format(Vec<u8>),
    /// A DDL statement seen in the binlog: recorded, not replicated.
    Ddl {
        schema: String,
        statement: String,
    },
    /// The server that the epoch of `began` is captured from; `log_base` is the name of its binlog
    /// files without the number.
    Server {
        server_id: u32,
        log_base: String,
    },
}

/// One version of one table.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
pub struct TableVersion {
    pub name: TableName,
    /// In the order of the row images.
    pub columns: Vec<Column>,
    /// Columns of the primary key, in key order; indexes into `columns`. Empty: none.
    pub primary_key: Vec<u16>,
    /// Secondary unique keys. Not in the binlog: read from the server when the version was first
    /// seen.
    pub unique_keys: Vec<UniqueKey>,
    /// Names, signs and charsets came with the stream (`binlog_row_metadata=FULL`).
    pub exact: bool,
}

#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
pub struct UniqueKey {
    pub name: String,
    /// Indexes into the table's columns, in key order.
    pub columns: Vec<u16>,
}

/// One column, as the table map event and the server describe it.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    /// The type byte of the table map event (`MYSQL_TYPE_*`).
    pub type_code: u8,
    /// The type's metadata of the table map event, little-endian as it stands there (0 where the
    /// type has none).
    pub meta: u16,
    pub nullable: bool,
    pub unsigned: bool,
    /// Collation id of a character column (`information_schema.collations.id`), 63 for binary; 0 if
    /// not a character column.
    pub collation: u16,
    /// `COLUMN_TYPE` of the information schema, for example `int(10) unsigned`. None if the server
    /// could not be asked while the version stood.
    pub column_type: Option<String>,
    /// `COLUMN_DEFAULT` as the information schema prints it; None where there is no default.
    pub default: Option<String>,
    /// Computed by the server: never written by SQL.
    pub generated: bool,
    /// Labels of ENUM and SET columns, in order; empty for other types.
    pub labels: Vec<String>,
}

impl Column {
    /// The collation that text in the column has; None for bytes and all that is no text. The binlog
    /// calls UUID, INET and GEOMETRY columns binary strings, the information schema does not.
    pub fn text_collation(&self) -> Option<u16> {
        (self.collation != 0 && self.collation != BINARY).then_some(self.collation)
    }
}

impl TableVersion {
    /// Whether the keys name columns that are there. What comes from another node may say anything.
    pub fn is_sound(&self) -> bool {
        let keyed = self.primary_key.iter().chain(self.unique_keys.iter().flat_map(|key| &key.columns));
        keyed.into_iter().all(|column| usize::from(*column) < self.columns.len())
    }

    /// Index of the column with this name.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    /// Whether raw row images of this version can be handed to a table shaped like `target`: the
    /// same columns in the same order, of types that the server prints alike.
    pub fn images_fit(&self, target: &TableVersion) -> bool {
        self.columns.len() == target.columns.len()
            && self.primary_key == target.primary_key
            && self.columns.iter().zip(&target.columns).all(|(a, b)| {
                a.name == b.name
                    && a.column_type.is_some()
                    && a.column_type == b.column_type
                    && a.text_collation() == b.text_collation()
                    && a.nullable == b.nullable
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binlog::testing::column;

    fn table(column_type: &str, collation: u16) -> TableVersion {
        let column = Column { column_type: Some(column_type.to_owned()), ..column("v", 254, 0, collation) };
        TableVersion {
            name: TableName::new("shop", "t"),
            columns: vec![column],
            primary_key: vec![0],
            unique_keys: vec![],
            exact: true,
        }
    }

    #[test]
    fn images_fit_where_the_types_are_alike_and_text_has_the_same_collation() {
        // The binlog says that a UUID is a binary string, the information schema that it is no string.
        assert!(table("uuid", BINARY).images_fit(&table("uuid", 0)));
        assert!(!table("uuid", BINARY).images_fit(&table("inet6", 0)));
        assert!(table("char(9)", 45).images_fit(&table("char(9)", 45)));
        assert!(!table("char(9)", 45).images_fit(&table("char(9)", 46)));
        assert!(!table("char(9)", 45).images_fit(&table("char(9)", BINARY)));
    }
}

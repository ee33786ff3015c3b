//! Key hashes. Encoding version 1.
//!
//! A hash is XXH3-128 (seed 0) over, in this order:
//!
//! | part | bytes |
//! |---|---|
//! | version | 1 |
//! | schema, table, key name | each: length `u32` little-endian, UTF-8 bytes; the key's name is `PRIMARY` or the unique key's |
//! | each value in key order | class byte, length `u32` little-endian, weight |
//!
//! | class | values | weight |
//! |---|---|---|
//! | 1 | integers, YEAR | `i128` little-endian: the value, whatever the width and sign of the type |
//! | 2 | DECIMAL | text without needless zeros |
//! | 3 | FLOAT, DOUBLE | bits of the value as a little-endian double; -0 is 0 |
//! | 4 | DATE, DATETIME | year (2), month, day, hour, minute, second, microseconds (4), little-endian |
//! | 5 | TIME | microseconds, `i64` little-endian |
//! | 6 | TIMESTAMP | microseconds since the Unix epoch, `u64` little-endian |
//! | 7 | BIT | bytes without leading zeros |
//! | 8 | ENUM, SET | number, `u64` little-endian |
//! | 9 | binary strings | the bytes; BINARY(n) without trailing zeros |
//! | 10 | character strings | weights of the collation; CHAR(n) without trailing spaces |
//! | 11 | character strings of a collation that is not supported | the bytes without trailing spaces |
//!
//! A change of anything here is a new version, and hashes of two versions never meet: marks, frames
//! and ledgers of one history are written under one.

use xxhash_rust::xxh3::xxh3_128;

use super::exact::unweighed;
use super::{KeyHash, collation, number};
use crate::binlog::value::Value;
use crate::catalog::{Column, TableVersion};
use crate::tables::TableName;

/// Version of the encoding that is hashed.
pub const KEY_ENCODING: u8 = 1;
/// Name of the primary key, as the server calls it.
pub const PRIMARY: &str = "PRIMARY";
/// Stands for a key whose one value all rows of a table have. No key has an empty name.
const ANY_ROW: &str = "";
/// Type code of CHAR and BINARY in table maps, `MYSQL_TYPE_STRING`.
const TYPE_STRING: u8 = 254;

/// Hashes the values of one key of one table.
#[derive(Debug, Clone)]
pub struct KeyHasher {
    bytes: Vec<u8>,
    /// Length of what all hashes of this key begin with.
    prefix: usize,
    has_null: bool,
}

impl KeyHasher {
    /// For the key called `key` ([`PRIMARY`] or the unique key's name) of `table`.
    pub fn new(table: &TableName, key: &str) -> KeyHasher {
        let mut bytes = vec![KEY_ENCODING];
        for name in [table.schema.as_str(), table.table.as_str(), key] {
            bytes.extend_from_slice(&(name.len() as u32).to_le_bytes());
            bytes.extend_from_slice(name.as_bytes());
        }
        let prefix = bytes.len();
        KeyHasher { bytes, prefix, has_null: false }
    }

    /// Adds the next value of the key.
    pub fn push(&mut self, column: &Column, value: &Value<'_>) {
        if matches!(value, Value::Null) {
            self.has_null = true;
            return;
        }
        let class_at = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 5]);
        let class = write_weight(&mut self.bytes, column, value);
        let len = (self.bytes.len() - class_at - 5) as u32;
        self.bytes[class_at] = class;
        self.bytes[class_at + 1..class_at + 5].copy_from_slice(&len.to_le_bytes());
    }

    /// The hash of the values pushed, after which the next key may be pushed. None if one of them
    /// was NULL: NULLs are never equal.
    pub fn finish(&mut self) -> Option<KeyHash> {
        let hash = (!self.has_null).then(|| KeyHash(xxh3_128(&self.bytes)));
        self.bytes.truncate(self.prefix);
        self.has_null = false;
        hash
    }
}

/// Writes the weight and says its class.
fn write_weight(out: &mut Vec<u8>, column: &Column, value: &Value<'_>) -> u8 {
    let mut integer = |value: i128| {
        out.extend_from_slice(&value.to_le_bytes());
        1
    };
    match *value {
        Value::Null => 0,
        Value::Int(value) => integer(i128::from(value)),
        Value::UInt(value) => integer(i128::from(value)),
        Value::Year(year) => integer(i128::from(year)),
        Value::Decimal { packed, precision, scale } => {
            if !number::write_decimal(out, packed, precision, scale) {
                out.extend_from_slice(packed);
            }
            2
        }
        Value::Float(value) => write_double(out, f64::from(value)),
        Value::Double(value) => write_double(out, value),
        Value::Date { year, month, day } => write_datetime(out, year, [month, day, 0, 0, 0], 0),
        Value::DateTime { year, month, day, hour, minute, second, micros, .. } => {
            write_datetime(out, year, [month, day, hour, minute, second], micros)
        }
        Value::Time { negative, hours, minutes, seconds, micros, .. } => {
            let whole = (i64::from(hours) * 60 + i64::from(minutes)) * 60 + i64::from(seconds);
            let total = whole * 1_000_000 + i64::from(micros);
            out.extend_from_slice(&(if negative { -total } else { total }).to_le_bytes());
            5
        }
        Value::Timestamp { seconds, micros, .. } => {
            out.extend_from_slice(&(u64::from(seconds) * 1_000_000 + u64::from(micros)).to_le_bytes());
            6
        }
        Value::Bit(bytes) => {
            out.extend(bytes.iter().skip_while(|byte| **byte == 0));
            7
        }
        Value::Enum(index) => write_labels(out, u64::from(index)),
        Value::Set(bits) => write_labels(out, bits),
        Value::Bytes(bytes) => write_string(out, column, bytes),
    }
}

fn write_double(out: &mut Vec<u8>, value: f64) -> u8 {
    // Adding zero turns -0 into 0 and changes no other value.
    out.extend_from_slice(&(value + 0.0).to_bits().to_le_bytes());
    3
}

fn write_datetime(out: &mut Vec<u8>, year: u16, fields: [u8; 5], micros: u32) -> u8 {
    out.extend_from_slice(&year.to_le_bytes());
    out.extend_from_slice(&fields);
    out.extend_from_slice(&micros.to_le_bytes());
    4
}

fn write_labels(out: &mut Vec<u8>, number: u64) -> u8 {
    out.extend_from_slice(&number.to_le_bytes());
    8
}

fn write_string(out: &mut Vec<u8>, column: &Column, bytes: &[u8]) -> u8 {
    let fixed = column.type_code == TYPE_STRING;
    if column.collation == collation::BINARY || column.collation == 0 {
        out.extend_from_slice(if fixed { trimmed(bytes, 0) } else { bytes });
        return 9;
    }
    // CHAR's trailing spaces are not part of the value, whatever its collation.
    let value = if fixed { trimmed(bytes, b' ') } else { bytes };
    if collation::weigh_into(out, column.collation, value) {
        return 10;
    }
    out.extend_from_slice(trimmed(bytes, b' '));
    11
}

fn trimmed(bytes: &[u8], pad: u8) -> &[u8] {
    &bytes[..bytes.iter().rposition(|byte| *byte != pad).map_or(0, |last| last + 1)]
}

/// All keys of one version of a table, ready to hash its rows.
#[derive(Debug, Clone)]
pub struct TableKeys {
    /// The primary key's columns and hasher; None: the table has none.
    primary: Option<(Vec<u16>, KeyHasher)>,
    unique: Vec<(Vec<u16>, KeyHasher)>,
    /// What every row of the table holds, where a key of it is not weighed exactly: rows with different
    /// hashes may be one row, so that all of them stay in order.
    table: Option<KeyHash>,
}

impl TableKeys {
    pub fn new(table: &TableVersion) -> TableKeys {
        let hasher = |columns: &[u16], name: &str| (columns.to_vec(), KeyHasher::new(&table.name, name));
        TableKeys {
            primary: (!table.primary_key.is_empty()).then(|| hasher(&table.primary_key, PRIMARY)),
            unique: table.unique_keys.iter().map(|key| hasher(&key.columns, &key.name)).collect(),
            table: unweighed(table).and_then(|_| KeyHasher::new(&table.name, ANY_ROW).finish()),
        }
    }

    /// How many columns, from the first, hold all keys: a row may be cut there.
    pub fn columns_needed(&self) -> usize {
        let keys = self.primary.iter().chain(&self.unique);
        keys.flat_map(|(columns, _)| columns).max().map_or(0, |last| usize::from(*last) + 1)
    }

    /// The row's key; [`KeyHash::NONE`] if the table has no primary key or the row lacks a column of
    /// it.
    pub fn primary(&mut self, columns: &[Column], row: &[Value<'_>]) -> KeyHash {
        self.primary.as_mut().and_then(|key| hash(key, columns, row)).unwrap_or(KeyHash::NONE)
    }

    /// The row's values of the secondary unique keys, in the order of the table version's
    /// `unique_keys`; None where a value is NULL. Where a key of the table is not weighed exactly, one
    /// more value follows, which all its rows have.
    pub fn unique(&mut self, columns: &[Column], row: &[Value<'_>]) -> impl Iterator<Item = Option<KeyHash>> {
        self.unique.iter_mut().map(move |key| hash(key, columns, row)).chain(self.table.map(Some))
    }
}

fn hash(key: &mut (Vec<u16>, KeyHasher), columns: &[Column], row: &[Value<'_>]) -> Option<KeyHash> {
    let (indexes, hasher) = key;
    for index in indexes.iter().map(|index| usize::from(*index)) {
        match (columns.get(index), row.get(index)) {
            (Some(column), Some(value)) => hasher.push(column, value),
            _ => hasher.has_null = true,
        }
    }
    hasher.finish()
}

#[cfg(test)]
#[path = "hasher_tests.rs"]
mod tests;

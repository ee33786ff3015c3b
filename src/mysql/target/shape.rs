//! The target's tables as they are now.
//!
//! A replay puts values into columns by their order and never asks for their names: on MariaDB
//! 10.11 it drops the values of a column that the target does not have, fills one that only the
//! target has with its default, and reinterprets text of another character set, all without an
//! error. So the shape is proved in each transaction before its first row: a read of no rows takes
//! the table's metadata lock, which holds until the end of the transaction, and the text of
//! `SHOW CREATE TABLE` is then compared with the one that the cached shape was read under.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row};
use weft_core::catalog::{Column, TableVersion, UniqueKey};
use weft_core::tables::TableName;
use xxhash_rust::xxh3::xxh3_64;

use super::errors::Failure;
use super::sql::KeyColumn;
use super::{TargetOptions, run_all};
use crate::mysql::dialect::Dialect;

/// A table at the target.
#[derive(Debug)]
pub(super) struct Shape {
    /// Type codes and metadata are not filled in: they are the binlog's.
    pub table: TableVersion,
    /// Collation names, parallel to the columns; None where the column has no characters.
    pub collations: Vec<Option<String>>,
    /// Of the text of `SHOW CREATE TABLE`.
    digest: u64,
}

impl Shape {
    /// The target's columns of these names, to find rows by.
    ///
    /// # Errors
    /// The name of the first column that is not there.
    pub(super) fn key_columns<'a>(
        &self,
        names: impl Iterator<Item = &'a str>,
    ) -> Result<Vec<KeyColumn>, String> {
        names
            .map(|name| {
                let at = self.table.column(name).ok_or_else(|| name.to_owned())?;
                let of_type = self.table.columns[at].column_type.clone();
                let date = of_type.filter(|name| name.starts_with("date"));
                Ok(KeyColumn { name: name.to_owned(), collation: self.collations[at].clone(), date })
            })
            .collect()
    }
}

/// Shapes by table. The digest makes a stale one harmless.
#[derive(Debug, Default)]
pub(super) struct Shapes {
    known: BTreeMap<TableName, Arc<Shape>>,
    /// Locked and compared in the transaction under way.
    proved: BTreeSet<TableName>,
}

impl Shapes {
    /// Forgets what the transaction proved: its metadata locks are gone, or (at a rollback to a
    /// savepoint) those that were taken since then.
    pub(super) fn transaction_ended(&mut self) {
        self.proved.clear();
    }

    /// The table's shape, which stays so until the end of the transaction.
    pub(super) async fn prove(
        &mut self,
        conn: &mut Conn,
        options: &TargetOptions,
        table: &TableName,
    ) -> Result<Arc<Shape>, Failure> {
        if let (Some(shape), true) = (self.known.get(table), self.proved.contains(table)) {
            return Ok(Arc::clone(shape));
        }
        let doing = format!("reading the shape of {table}");
        let failed = |error| options.failure(&error, &doing);
        let name = table.quoted();
        let answers =
            run_all(conn, &format!("SELECT 1 FROM {name} LIMIT 0 FOR UPDATE; SHOW CREATE TABLE {name}"))
                .await
                .map_err(failed)?;
        let text: String = answers
            .get(1)
            .and_then(|(_, rows)| rows.first())
            .and_then(|row| row.get_opt(1)?.ok())
            .unwrap_or_default();
        if !text.starts_with("CREATE TABLE") {
            return Err(Failure::does_not_fit(format!(
                "{}: {table} is not a base table there; create the table, it goes on by itself",
                options.place()
            )));
        }
        let digest = digest(&text);
        let shape = match self.known.get(table).filter(|shape| shape.digest == digest) {
            Some(shape) => Arc::clone(shape),
            None => Arc::new(read(conn, table, digest).await.map_err(failed)?),
        };
        self.known.insert(table.clone(), Arc::clone(&shape));
        self.proved.insert(table.clone());
        Ok(shape)
    }
}

/// Digest of a table's definition, without the counter that every insert moves.
fn digest(create: &str) -> u64 {
    const COUNTER: &str = " AUTO_INCREMENT=";
    // Column lines may say it in a comment: only the table's options, behind the last bracket, count.
    let options = create.rfind("\n)").unwrap_or(0);
    match create[options..].find(COUNTER) {
        Some(at) => {
            let (head, tail) = create.split_at(options + at);
            let rest = tail[COUNTER.len()..].trim_start_matches(|c: char| c.is_ascii_digit());
            xxh3_64(format!("{head}{rest}").as_bytes())
        }
        None => xxh3_64(create.as_bytes()),
    }
}

async fn read(conn: &mut Conn, table: &TableName, digest: u64) -> Result<Shape, mysql_async::Error> {
    let name = (&table.schema, &table.table);
    let words = Dialect::of(conn).columns();
    let query = format!(
        "SELECT c.COLUMN_NAME, c.COLUMN_TYPE, {}, {}, c.DATA_TYPE, c.IS_NULLABLE = 'YES', c.COLUMN_DEFAULT, {} \
         FROM information_schema.COLUMNS c {} \
         WHERE c.TABLE_SCHEMA = ? AND c.TABLE_NAME = ? ORDER BY c.ORDINAL_POSITION",
        words.collation_id, words.collation_name, words.generated, words.join
    );
    let rows: Vec<Row> = conn.exec(query, name).await?;
    let keys: Vec<(String, String)> = conn
        .exec(
            "SELECT INDEX_NAME, COLUMN_NAME FROM information_schema.STATISTICS \
             WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? AND NON_UNIQUE = 0 \
             ORDER BY CAST(INDEX_NAME AS BINARY), SEQ_IN_INDEX",
            name,
        )
        .await?;
    let (columns, collations): (Vec<Column>, Vec<Option<String>>) = rows.into_iter().map(column).unzip();
    let place =
        |name: &str| columns.iter().zip(0u16..).find(|(column, _)| column.name == name).map(|(_, at)| at);
    let mut unique: BTreeMap<String, Vec<u16>> = BTreeMap::new();
    for (key, column) in &keys {
        unique.entry(key.clone()).or_default().extend(place(column));
    }
    let primary_key = unique.remove("PRIMARY").unwrap_or_default();
    let unique_keys = unique.into_iter().map(|(name, columns)| UniqueKey { name, columns }).collect();
    let table = TableVersion { name: table.clone(), columns, primary_key, unique_keys, exact: true };
    Ok(Shape { table, collations, digest })
}

fn column(row: Row) -> (Column, Option<String>) {
    type Fields = (String, String, Option<u16>, Option<String>, String, bool, Option<String>, bool);
    let (name, column_type, id, collation, data_type, nullable, default, generated): Fields =
        mysql_async::from_row(row);
    let binary = matches!(
        data_type.as_str(),
        "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob"
    );
    let column = Column {
        name,
        type_code: 0,
        meta: 0,
        nullable,
        unsigned: column_type.contains("unsigned"),
        collation: id.unwrap_or(if binary { 63 } else { 0 }),
        column_type: Some(column_type),
        default,
        generated,
        labels: Vec::new(),
    };
    (column, collation)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counter_of_inserts_is_no_change_of_shape_but_everything_else_is() {
        let with = |counter: &str, column: &str| {
            digest(&format!(
                "CREATE TABLE `t` (\n  `{column}` int COMMENT ' AUTO_INCREMENT=7'\n) ENGINE=InnoDB{counter} DEFAULT CHARSET=latin1"
            ))
        };
        assert_eq!(with(" AUTO_INCREMENT=17", "a"), with(" AUTO_INCREMENT=4000", "a"));
        assert_eq!(with(" AUTO_INCREMENT=17", "a"), with("", "a"));
        assert_ne!(with("", "a"), with("", "b"));
    }
}

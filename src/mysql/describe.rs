//! What the server says of a table now: what the binlog does not carry.

use std::collections::BTreeMap;

use futures::FutureExt;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use weft_actors::ports::{ColumnFacts, SourceError, TableFacts};
use weft_core::catalog::UniqueKey;
use weft_core::tables::TableName;

use super::dialect::Dialect;
use super::lane::Lane;

/// Collation id of binary strings.
const BINARY: u16 = 63;

/// The collation's number is none for columns without characters.
fn columns_query(dialect: Dialect) -> String {
    let words = dialect.columns();
    format!(
        "SELECT c.COLUMN_NAME, c.COLUMN_TYPE, {}, c.DATA_TYPE, c.IS_NULLABLE = 'YES', c.COLUMN_DEFAULT, {} \
         FROM information_schema.COLUMNS c {} \
         WHERE c.TABLE_SCHEMA = ? AND c.TABLE_NAME = ? ORDER BY c.ORDINAL_POSITION",
        words.collation_id, words.generated, words.join
    )
}

/// The server does not say in which order keys were made; by name, the order is the same everywhere.
const KEYS: &str = "\
SELECT INDEX_NAME, COLUMN_NAME, SUB_PART IS NOT NULL \
FROM information_schema.STATISTICS \
WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? AND NON_UNIQUE = 0 \
ORDER BY CAST(INDEX_NAME AS BINARY), SEQ_IN_INDEX";

type ColumnRow = (String, String, Option<u16>, String, bool, Option<String>, bool);
/// Key, its column (None: an expression), and whether only a prefix of the column is in the key.
type KeyRow = (String, Option<String>, bool);

/// The table's columns and keys as they stand; None if there is no such table.
///
/// A key over a prefix or an expression is left out, with a warning in the log: the row images hold
/// the whole values and Weft cannot weigh what the server weighs.
pub(super) async fn describe(lane: &Lane, table: &TableName) -> Result<Option<TableFacts>, SourceError> {
    let settled = lane
        .run("describing a table", |conn| {
            read_settled(conn, table.schema.clone(), table.table.clone()).boxed()
        })
        .await?;
    let Some((columns, keys)) = settled else {
        return Err(SourceError::Unreachable(format!(
            "{table} at {} is altered faster than it can be described",
            lane.endpoint().address()
        )));
    };
    if columns.is_empty() {
        return Ok(None);
    }
    Ok(Some(facts(table, columns, keys)))
}

/// Columns and keys that belong together: a statement that alters the table between the two reads
/// shows in a second look at the columns. None: it is altered all the time.
async fn read_settled(
    conn: &mut Conn,
    schema: String,
    table: String,
) -> Result<Option<(Vec<ColumnRow>, Vec<KeyRow>)>, mysql_async::Error> {
    const LOOKS_MAX: usize = 5;
    let name = (schema, table);
    let query = columns_query(Dialect::of(conn));
    let mut columns: Vec<ColumnRow> = conn.exec(query.as_str(), &name).await?;
    for _ in 0..LOOKS_MAX {
        let keys: Vec<KeyRow> = conn.exec(KEYS, &name).await?;
        let again: Vec<ColumnRow> = conn.exec(query.as_str(), &name).await?;
        if again == columns {
            return Ok(Some((columns, keys)));
        }
        columns = again;
    }
    Ok(None)
}

fn facts(table: &TableName, columns: Vec<ColumnRow>, keys: Vec<KeyRow>) -> TableFacts {
    let place: BTreeMap<&str, u16> = columns.iter().zip(0..).map(|(row, at)| (row.0.as_str(), at)).collect();
    // None for a key that cannot be weighed.
    let mut found: BTreeMap<String, Option<Vec<u16>>> = BTreeMap::new();
    for (key, column, prefix) in keys {
        let at = column.as_deref().and_then(|column| place.get(column)).filter(|_| !prefix);
        let entry = found.entry(key).or_insert_with(|| Some(Vec::new()));
        match (entry.as_mut(), at) {
            (Some(places), Some(&at)) => places.push(at),
            _ => *entry = None,
        }
    }
    for key in found.iter().filter(|(_, places)| places.is_none()).map(|(key, _)| key) {
        tracing::warn!(%table, key, "unique key over a prefix or an expression: conflicts on it are not seen");
    }
    let primary_key = found.remove("PRIMARY").flatten().unwrap_or_default();
    let unique_keys =
        found.into_iter().filter_map(|(name, columns)| Some(UniqueKey { name, columns: columns? })).collect();
    TableFacts { columns: columns.into_iter().map(column_facts).collect(), primary_key, unique_keys }
}

fn column_facts(row: ColumnRow) -> ColumnFacts {
    let (name, column_type, collation, data_type, nullable, default, generated) = row;
    let collation = collation.unwrap_or_else(|| if is_binary_string(&data_type) { BINARY } else { 0 });
    ColumnFacts { name, column_type, collation, nullable, default, generated }
}

fn is_binary_string(data_type: &str) -> bool {
    matches!(data_type, "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob")
}

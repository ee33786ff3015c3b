//! Locks and reads rows by the key values of images.

use std::collections::BTreeMap;
use std::sync::Arc;

use weft_core::binlog::image::Values;
use weft_core::binlog::value::Value;
use weft_core::catalog::{Column, TableVersion};
use weft_core::key::exact::keys_meet;
use weft_core::sink::literal::write_literal;
use weft_core::sink::step::{Found, LockBy, LockRow};
use weft_core::tables::TableName;

use super::errors::Failure;
use super::session::TargetSession;
use super::sql::{self, KEYS_MAX, KeyColumn};
use super::{TargetOptions, exact, holder, json};

/// Requests that one statement can answer: the same table by the same columns.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Asked {
    table: TableName,
    columns: Vec<String>,
    /// A secondary key: the answer is the row that holds the value.
    by_unique: bool,
}

/// Key values as literals, and the numbers of the requests that ask for them. Sorted, so that
/// sessions that lock the same rows lock them in the same order.
type Keys = BTreeMap<Vec<String>, Vec<usize>>;

/// Locks the rows; the answer is parallel to them.
pub(super) async fn lock(session: &mut TargetSession, rows: &[LockRow]) -> Result<Vec<Found>, Failure> {
    let mut found = vec![Found::No; rows.len()];
    for (asked, keys) in group(&session.options, rows)? {
        let shape = session.shapes.prove(&mut session.conn, &session.options, &asked.table).await?;
        let key = key_columns(&session.options, &asked, &shape)?;
        if session.options.by_version && !asked.by_unique {
            let of_key = keys.values().flatten().map(|request| &rows[*request]);
            hashes_meet(&session.options, of_key, &shape)?;
        }
        for (literals, requests) in chunks(&keys) {
            if asked.by_unique {
                let first = &rows[requests[0][0]];
                for (number, holder) in holder::read(session, first, &shape, &key, &literals).await? {
                    requests[number].iter().for_each(|request| found[*request] = holder.clone());
                }
            } else {
                let statement = sql::lock(session.dialect, &asked.table, &key, &literals);
                for row in session.rows(&statement, &format!("locking rows of {}", asked.table)).await? {
                    let number = row_number(&row, requests.len());
                    requests[number].iter().for_each(|request| found[*request] = Found::Yes);
                }
            }
        }
    }
    Ok(found)
}

/// A row as it was read for the conflict log.
#[derive(Debug, Clone, Default)]
pub(super) struct RowRead {
    /// As a JSON object of texts; None: no row was there.
    pub json: Option<String>,
    /// As a JSON object of SQL literals, where the target decides conflicts by a rule.
    pub exact: Option<String>,
}

/// The rows as they are now; the answer is parallel to the requests.
pub(super) async fn read(session: &mut TargetSession, rows: &[LockRow]) -> Result<Vec<RowRead>, Failure> {
    let mut read = vec![RowRead::default(); rows.len()];
    for (asked, keys) in group(&session.options, rows)? {
        let shape = session.shapes.prove(&mut session.conn, &session.options, &asked.table).await?;
        let key = key_columns(&session.options, &asked, &shape)?;
        let mut what = format!("k.i,{}", json::expression(&shape));
        if session.options.decides {
            what = format!("{what},{}", exact::expression(&shape));
        }
        for (literals, requests) in chunks(&keys) {
            let statement = sql::select(session.dialect, &what, &asked.table, &key, &literals);
            for row in session.rows(&statement, &format!("reading rows of {}", asked.table)).await? {
                let number = row_number(&row, requests.len());
                let text = |at: usize| row.get_opt(at).and_then(Result::ok);
                let found = RowRead { json: text(1), exact: text(2) };
                requests[number].iter().for_each(|request| read[*request] = found.clone());
            }
        }
    }
    Ok(read)
}

/// Versions are looked up by key hash: a row that has another one here would be decided without them.
fn hashes_meet<'a>(
    options: &TargetOptions,
    rows: impl Iterator<Item = &'a LockRow>,
    shape: &super::shape::Shape,
) -> Result<(), Failure> {
    let mut looked_at: Option<&Arc<TableVersion>> = None;
    for row in rows {
        let table = &row.delivery.tables[usize::from(row.table)];
        if looked_at.is_some_and(|before| Arc::ptr_eq(before, table)) {
            continue;
        }
        looked_at = Some(table);
        keys_meet(table, &shape.table).map_err(|cause| {
            Failure::does_not_fit(format!(
                "{}: {} cannot be replicated two ways: {cause}; ALTER it to be alike at all sites, it goes on by itself",
                options.place(),
                table.name
            ))
        })?;
    }
    Ok(())
}

fn key_columns(
    options: &TargetOptions,
    asked: &Asked,
    shape: &super::shape::Shape,
) -> Result<Vec<KeyColumn>, Failure> {
    shape.key_columns(asked.columns.iter().map(String::as_str)).map_err(|column| {
        Failure::does_not_fit(format!(
            "{}: {} has no column {column} there, which is in a key at the source; add it there, it goes on by \
             itself",
            options.place(),
            asked.table
        ))
    })
}

/// Values of a unique key with a NULL in it are held by nobody and left out.
fn group(options: &TargetOptions, rows: &[LockRow]) -> Result<BTreeMap<Asked, Keys>, Failure> {
    let mut groups: BTreeMap<Asked, Keys> = BTreeMap::new();
    for (request, row) in rows.iter().enumerate() {
        let table = &row.delivery.tables[usize::from(row.table)];
        let (columns, by_unique) = match row.by {
            LockBy::PrimaryKey => (&table.primary_key, false),
            LockBy::UniqueKey(index) => (&table.unique_keys[usize::from(index)].columns, true),
        };
        let values = decode(options, table, row.delivery.transaction.bytes(row.image))?;
        if columns.iter().any(|at| values[usize::from(*at)] == Value::Null) {
            continue;
        }
        let of = |at: &u16| (&table.columns[usize::from(*at)], &values[usize::from(*at)]);
        let asked = Asked {
            table: table.name.clone(),
            columns: columns.iter().map(|at| of(at).0.name.clone()).collect(),
            by_unique,
        };
        let key =
            columns.iter().map(|at| literal(options, table, of(at).1, of(at).0)).collect::<Result<_, _>>()?;
        groups.entry(asked).or_default().entry(key).or_default().push(request);
    }
    Ok(groups)
}

/// The values of an image, one per column.
pub(super) fn decode<'a>(
    options: &TargetOptions,
    table: &'a TableVersion,
    image: &'a [u8],
) -> Result<Vec<Value<'a>>, Failure> {
    Values::new(&table.columns, image).collect::<Result<Vec<_>, _>>().map_err(|error| {
        Failure::does_not_fit(format!(
            "{}: a row of {} cannot be read: {error}; copy the table again",
            options.place(),
            table.name
        ))
    })
}

/// The value as SQL.
pub(super) fn literal(
    options: &TargetOptions,
    table: &TableVersion,
    value: &Value<'_>,
    column: &Column,
) -> Result<String, Failure> {
    let mut text = String::new();
    match write_literal(&mut text, value, column) {
        Ok(()) => Ok(text),
        Err(error) => Err(Failure::does_not_fit(format!(
            "{}: a row of {} cannot be written as SQL: {error}; give the table the same shape on both sides, so \
             that its rows are replayed",
            options.place(),
            table.name
        ))),
    }
}

/// Literals and requests, one statement's worth at a time.
fn chunks(keys: &Keys) -> impl Iterator<Item = (Vec<Vec<String>>, Vec<&Vec<usize>>)> {
    let mut rest = keys.iter().peekable();
    std::iter::from_fn(move || {
        rest.peek()?;
        Some(rest.by_ref().take(KEYS_MAX).map(|(key, requests)| (key.clone(), requests)).unzip())
    })
}

/// The number that a list's row got, which the statement selects first.
pub(super) fn row_number(row: &mysql_async::Row, count: usize) -> usize {
    row.get_opt(0)
        .and_then(Result::ok)
        .filter(|number| *number < count)
        .expect("the server answers with the numbers that it was given")
}

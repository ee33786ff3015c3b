//! Writes rows: by replay where the source's images fit the target's table, else by SQL, where
//! columns meet by name.

use std::sync::Arc;

use weft_core::binlog::value::Value;
use weft_core::catalog::{Column, TableVersion};
use weft_core::sink::step::{RowWrite, WriteOp};
use weft_core::tables::TableName;

use super::errors::Failure;
use super::session::TargetSession;
use super::shape::Shape;
use super::sql::{self, KEYS_MAX, KeyColumn};
use super::{TargetOptions, find, json, replay, run_all};

/// Bytes of one statement of the SQL path, about.
const STATEMENT_BYTES: usize = 1 << 20;

/// Rows that follow each other, of one version of one table, written in one way.
pub(super) struct Run<'a> {
    pub table: Arc<TableVersion>,
    pub rows: &'a [RowWrite],
}

/// Writes the rows in their order.
pub(super) async fn write(session: &mut TargetSession, rows: &[RowWrite]) -> Result<(), Failure> {
    // Runs for one replay: same format description event.
    let mut replayed: Vec<Run<'_>> = Vec::new();
    for rows in rows.chunk_by(same_run) {
        let table = Arc::clone(&rows[0].delivery.tables[usize::from(rows[0].table)]);
        let shape = session.shapes.prove(&mut session.conn, &session.options, &table.name).await?;
        let run = Run { table, rows };
        let by_image = !matches!(rows[0].op, WriteOp::DeleteHolder { .. });
        if by_image && session.replayer.takes(&rows[0].delivery.format) && run.table.images_fit(&shape.table)
        {
            if replayed.first().is_some_and(|first| first.rows[0].delivery.format != rows[0].delivery.format)
            {
                replay::replay(session, &std::mem::take(&mut replayed)).await?;
            }
            replayed.push(run);
        } else {
            replay::replay(session, &std::mem::take(&mut replayed)).await?;
            by_sql(session, &run, &shape).await?;
        }
    }
    replay::replay(session, &replayed).await
}

fn same_run(a: &RowWrite, b: &RowWrite) -> bool {
    let table = |row: &RowWrite| Arc::clone(&row.delivery.tables[usize::from(row.table)]);
    let (left, right) = (table(a), table(b));
    (Arc::ptr_eq(&left, &right) || left == right)
        && std::mem::discriminant(&a.op) == std::mem::discriminant(&b.op)
        && a.delivery.format == b.delivery.format
}

/// How the columns of a source table meet those of the target's.
struct Mapping {
    key: Vec<KeyColumn>,
    /// Place of each key column in the image.
    key_at: Vec<usize>,
    /// Names of the columns written, and their places in the image.
    columns: Vec<String>,
    columns_at: Vec<usize>,
    /// Columns that the target does not have.
    absent_at: Vec<usize>,
}

impl Mapping {
    fn new(options: &TargetOptions, source: &TableVersion, shape: &Shape) -> Result<Mapping, Failure> {
        let key_at: Vec<usize> = source.primary_key.iter().map(|at| usize::from(*at)).collect();
        let key_names = || key_at.iter().map(|at| source.columns[*at].name.as_str());
        let target_key =
            shape.table.primary_key.iter().map(|at| shape.table.columns[usize::from(*at)].name.as_str());
        if key_at.is_empty() || !key_names().eq(target_key) {
            let key: Vec<&str> = key_names().collect();
            return Err(Failure::does_not_fit(format!(
                "{}: the primary key of {} is another one there; alter it to ({}) as at the source, it goes on by \
                 itself",
                options.place(),
                source.name,
                key.join(", ")
            )));
        }
        masks_fit(options, &source.name, shape)?;
        let key = shape.key_columns(key_names()).expect("the target's key has these columns");
        let mut mapping = Mapping {
            key,
            key_at: key_at.clone(),
            columns: Vec::new(),
            columns_at: Vec::new(),
            absent_at: Vec::new(),
        };
        for (at, column) in source.columns.iter().enumerate() {
            match shape.table.column(&column.name) {
                Some(there) if shape.table.columns[there].generated => {}
                Some(_) => {
                    mapping.columns.push(column.name.clone());
                    mapping.columns_at.push(at);
                }
                // A generated value can be computed again.
                None if column.generated => {}
                None => mapping.absent_at.push(at),
            }
        }
        Ok(mapping)
    }

    fn literals(
        options: &TargetOptions,
        table: &TableVersion,
        places: &[usize],
        values: &[Value<'_>],
    ) -> Result<Vec<String>, Failure> {
        places.iter().map(|at| find::literal(options, table, &values[*at], &table.columns[*at])).collect()
    }

    /// A value for which the target has no column may stay away only if it says nothing: going on
    /// would hide a loss.
    fn nothing_is_lost(
        &self,
        options: &TargetOptions,
        table: &TableVersion,
        values: &[Value<'_>],
    ) -> Result<(), Failure> {
        for at in &self.absent_at {
            let column = &table.columns[*at];
            if says_something(&values[*at], column) {
                return Err(Failure::does_not_fit(format!(
                    "{}: {} has no column {} there, and a row has a value in it; ALTER TABLE {} ADD COLUMN {} {} \
                     there, it goes on by itself",
                    options.place(),
                    table.name,
                    column.name,
                    table.name.quoted(),
                    weft_core::tables::quote(&column.name),
                    column.column_type.as_deref().unwrap_or("…")
                )));
            }
        }
        Ok(())
    }
}

/// A server that is not strict would cut a masked value to what the column holds.
fn masks_fit(options: &TargetOptions, table: &TableName, shape: &Shape) -> Result<(), Failure> {
    let Some(transform) = options.transforms.into_target(table) else { return Ok(()) };
    for column in &shape.table.columns {
        let Some(mask) = transform.mask(&column.name) else { continue };
        mask.fits(column.column_type.as_deref().unwrap_or_default(), column.nullable).map_err(|cause| {
            Failure::does_not_fit(format!(
                "{}: column {} of {table} does not bear the mask that the channel puts on it: {cause}; alter it there, \
                 it goes on by itself",
                options.place(),
                column.name
            ))
        })?;
    }
    Ok(())
}

/// Whether the value is neither NULL nor the column's default.
fn says_something(value: &Value<'_>, column: &Column) -> bool {
    let Some(text) = json::text(value, column) else { return false };
    let Some(default) = &column.default else { return true };
    let plain = match default.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')) {
        Some(quoted) => quoted.replace("''", "'"),
        None => default.clone(),
    };
    text != plain
}

async fn by_sql(session: &mut TargetSession, run: &Run<'_>, shape: &Shape) -> Result<(), Failure> {
    let (options, table) = (Arc::clone(&session.options), &run.table);
    let mapping = Mapping::new(&options, table, shape)?;
    let mut statements: Vec<Vec<String>> = Vec::new();
    let bytes_max = STATEMENT_BYTES.min(session.packet_bytes / 2);
    let mut bytes = 0;
    for row in run.rows {
        let image = |span| find::decode(&options, table, row.delivery.transaction.bytes(span));
        let key = |values: &[Value<'_>]| Mapping::literals(&options, table, &mapping.key_at, values);
        let whole = |values: &[Value<'_>]| {
            mapping.nothing_is_lost(&options, table, values)?;
            Mapping::literals(&options, table, &mapping.columns_at, values)
        };
        let literals = match row.op {
            WriteOp::Insert { after } => whole(&image(after)?)?,
            WriteOp::Update { before, after } => {
                let (key, values) = (key(&image(before)?)?, whole(&image(after)?)?);
                vec![sql::update(&table.name, &mapping.key, &key, &mapping.columns, &values)]
            }
            WriteOp::Delete { before } => key(&image(before)?)?,
            WriteOp::DeleteHolder { image: span, unique } => {
                vec![delete_holder(&options, table, &mapping, unique, &image(span)?)?]
            }
        };
        // Brackets, commas and numbers too.
        let row_bytes = literals.iter().map(|literal| literal.len() + 1).sum::<usize>() + 16;
        if bytes + row_bytes > bytes_max || statements.len() >= KEYS_MAX {
            run_literals(session, run, &mapping, &std::mem::take(&mut statements)).await?;
            bytes = 0;
        }
        bytes += row_bytes;
        statements.push(literals);
    }
    run_literals(session, run, &mapping, &statements).await
}

fn delete_holder(
    options: &TargetOptions,
    table: &TableVersion,
    mapping: &Mapping,
    unique: u16,
    values: &[Value<'_>],
) -> Result<String, Failure> {
    let pairs = |places: &[usize]| -> Result<Vec<(String, String)>, Failure> {
        let names = places.iter().map(|at| table.columns[*at].name.clone());
        Ok(names.zip(Mapping::literals(options, table, places, values)?).collect())
    };
    let unique: Vec<usize> =
        table.unique_keys[usize::from(unique)].columns.iter().map(|at| usize::from(*at)).collect();
    Ok(sql::delete_holder(&table.name, &pairs(&unique)?, &pairs(&mapping.key_at)?))
}

/// Inserts and deletes are one statement for all rows; updates one for each, sent together.
async fn run_literals(
    session: &mut TargetSession,
    run: &Run<'_>,
    mapping: &Mapping,
    rows: &[Vec<String>],
) -> Result<(), Failure> {
    if rows.is_empty() {
        return Ok(());
    }
    let table = &run.table.name;
    let (text, each) = match run.rows[0].op {
        WriteOp::Insert { .. } => (sql::insert(table, &mapping.columns, rows), rows.len() as u64),
        WriteOp::Delete { .. } => {
            (sql::delete(session.dialect, table, &mapping.key, rows), rows.len() as u64)
        }
        WriteOp::Update { .. } | WriteOp::DeleteHolder { .. } => (rows.concat().join(";"), 1),
    };
    let doing = format!("writing {table}");
    session.fits_packet(&text, &doing)?;
    let answers =
        run_all(&mut session.conn, &text).await.map_err(|error| session.options.failure(&error, &doing))?;
    // An update counts the rows it found, changed or not.
    if answers.iter().any(|(found, _)| *found != each) {
        return Err(Failure::MissingRow);
    }
    Ok(())
}

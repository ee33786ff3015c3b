//! The transaction that holds the row of a case, writes the other row, and closes the conflicts.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::BoxFuture;
use mysql_async::prelude::Queryable;
use mysql_async::{Params, Row as SqlRow};
use weft_actors::ports::TargetError;
use weft_actors::referee::ports::{Held, OpenCase};
use weft_core::filter::referee::{Close, Entry, Row, Ruled, Ruling, Side, Why};
use weft_core::instance::InstanceId;
use weft_core::sink::step::{LogPosition, StopKind, Verdict};
use weft_core::time::Micros;
use weft_core::version::Version;

use super::{ENTRIES_MAX, Idle, Seat, keep, limited, position, unreadable};
use crate::mysql::dialect::Dialect;
use crate::mysql::target::errors::Failure;
use crate::mysql::target::exact::Literals;
use crate::mysql::target::shape::Shape;
use crate::mysql::target::sql::{self, KeyColumn};
use crate::mysql::target::{TargetOptions, recover};

/// Where the row of a case is in its table.
pub(super) struct Found {
    pub(super) shape: Arc<Shape>,
    pub(super) key: Vec<KeyColumn>,
    /// Literals of the key.
    pub(super) values: Vec<String>,
}

/// A transaction that holds the row of a case.
pub(super) struct HeldRow {
    pub(super) seat: Seat,
    pub(super) options: Arc<TargetOptions>,
    pub(super) idle: Idle,
    pub(super) case: OpenCase,
    /// None: the table is gone, or has another key.
    pub(super) found: Option<Found>,
    pub(super) row: Option<Row>,
    pub(super) position: LogPosition,
    /// The losing rows of the open entries.
    pub(super) losers: BTreeMap<u64, Option<String>>,
}

impl HeldRow {
    fn failed(&self, error: &mysql_async::Error) -> TargetError {
        self.options.failure(error, &format!("deciding conflicts of {}", self.case.table)).into()
    }

    async fn read_entries(&mut self) -> Result<Vec<Entry>, TargetError> {
        let rows: Vec<SqlRow> = self
            .seat
            .conn
            .exec(
                "SELECT id, scn, CAST(GREATEST(0, TIMESTAMPDIFF(MICROSECOND, at, NOW(6))) AS UNSIGNED) age, \
                 incoming_time, incoming_origin, incoming, local_time, local_origin, local, base_time, \
                 base_origin, verdict, ruling, stands_for_time, stands_for_origin, loser FROM weft.conflict WHERE \
                 key_hash = ? AND verdict IN (?, ?) AND local_time IS NOT NULL ORDER BY id DESC LIMIT ?",
                (
                    format!("{:?}", self.case.key),
                    Verdict::IncomingWon.as_str(),
                    Verdict::LocalWon.as_str(),
                    ENTRIES_MAX as u64,
                ),
            )
            .await
            .map_err(|error| self.failed(&error))?;
        let mut entries = Vec::with_capacity(rows.len());
        for row in rows.iter().rev() {
            let entry = entry(row).ok_or_else(|| unreadable(&self.options, "a record"))?;
            if entry.ruling == Ruling::Open {
                self.losers.insert(entry.id, text(row, "loser"));
            }
            entries.push(entry);
        }
        Ok(entries)
    }

    async fn carry_out(&mut self, ruled: &Ruled) -> Result<Result<(), Why>, TargetError> {
        if let Some(statement) = ruled.write.and_then(|entry| self.statement(entry)) {
            self.simple("SAVEPOINT weft").await?;
            match self.seat.conn.query_drop(statement).await {
                Ok(()) => {}
                Err(error) => {
                    let why = match self.options.failure(&error, "writing the row that a rule wants") {
                        Failure::DuplicateKey => Why::DuplicateKey,
                        Failure::Refused { kind: StopKind::DoesNotFit, .. } => Why::DoesNotFit,
                        other => return Err(other.into()),
                    };
                    self.simple("ROLLBACK TO SAVEPOINT weft").await?;
                    return Ok(Err(why));
                }
            }
        }
        for close in &ruled.closes {
            self.close(close).await?;
        }
        self.close_older(ruled).await?;
        Ok(Ok(()))
    }

    /// Writes the losing row of an entry; None: the table is as it should be.
    fn statement(&self, entry: u64) -> Option<String> {
        let found = self.found.as_ref()?;
        let table = &self.case.table;
        let rows = std::slice::from_ref(&found.values);
        let loser: Option<Literals> =
            self.losers.get(&entry)?.as_ref().and_then(|text| serde_json::from_str(text).ok());
        let Some(literals) = loser else {
            return self
                .row
                .is_some()
                .then(|| sql::delete(Dialect::of(&self.seat.conn), table, &found.key, rows));
        };
        // Columns that went meanwhile went with their values; those that came keep what they have.
        let stored = |name: &String| {
            found.shape.table.column(name).is_some_and(|at| !found.shape.table.columns[at].generated)
        };
        let (columns, values): (Vec<String>, Vec<String>) = literals
            .into_iter()
            .filter(|(name, _)| stored(name))
            .map(|(name, literal)| (name, literal.unwrap_or_else(|| "NULL".to_owned())))
            .unzip();
        Some(match self.row {
            Some(_) => sql::update(table, &found.key, &found.values, &columns, &values),
            None => sql::insert(table, &columns, std::slice::from_ref(&values)),
        })
    }

    /// # Errors
    /// Another node closed it, or the server is read-only by now, whatever the account may write there:
    /// then nothing of this transaction may stay.
    async fn close(&mut self, close: &Close) -> Result<(), TargetError> {
        let parameters = Params::Positional(vec![
            close.ruling.as_str().into(),
            close.why.as_str().into(),
            close.stands_for.map(|version| version.time.0).into(),
            close.stands_for.map(|version| version.origin.0).into(),
            close.entry.into(),
            Ruling::Open.as_str().into(),
        ]);
        self.seat.conn
            .exec_drop(
                "UPDATE weft.conflict SET ruling = ?, ruled_by = ?, ruled_at = NOW(6), stands_for_time = ?, \
                 stands_for_origin = ?, row_key = NULL, loser = NULL WHERE id = ? AND ruling = ? AND @@global.read_only = 0",
                parameters,
            )
            .await
            .map_err(|error| self.failed(&error))?;
        let found = self.seat.conn.affected_rows();
        if found == 1 {
            return Ok(());
        }
        recover::refuse_read_only(&mut self.seat.conn, &self.options).await?;
        Err(TargetError::Fenced(format!(
            "{}: another node decided a conflict meanwhile",
            self.options.place()
        )))
    }

    /// Open ones beyond what a hearing looks at: so many newer conflicts of one row made them void.
    async fn close_older(&mut self, ruled: &Ruled) -> Result<(), TargetError> {
        let Some(first) = ruled.closes.iter().map(|close| close.entry).min() else { return Ok(()) };
        let parameters = (
            Ruling::Superseded.as_str(),
            Why::NewerChange.as_str(),
            format!("{:?}", self.case.key),
            Ruling::Open.as_str(),
            first,
        );
        self.seat.conn
            .exec_drop(
                "UPDATE weft.conflict SET ruling = ?, ruled_by = ?, ruled_at = NOW(6), row_key = NULL, loser = NULL \
                 WHERE key_hash = ? AND ruling = ? AND id < ?",
                parameters,
            )
            .await
            .map_err(|error| self.failed(&error))
    }

    async fn simple(&mut self, sql: &str) -> Result<(), TargetError> {
        self.seat.conn.query_drop(sql).await.map_err(|error| self.failed(&error))
    }
}

impl Held for HeldRow {
    fn fits(&self) -> bool {
        self.found.is_some()
    }

    fn server_id(&self) -> u32 {
        self.seat.primary.server_id
    }

    fn position(&self) -> LogPosition {
        self.position
    }

    fn position_now(&mut self) -> BoxFuture<'_, Result<LogPosition, TargetError>> {
        Box::pin(limited(&self.options, position(&self.options, &mut self.seat.conn)))
    }

    fn entries(&mut self) -> BoxFuture<'_, Result<Vec<Entry>, TargetError>> {
        let options = self.options.clone();
        Box::pin(async move { limited(&options, self.read_entries()).await })
    }

    fn row(&self) -> Option<Row> {
        self.row.clone()
    }

    fn write<'a>(&'a mut self, ruled: &'a Ruled) -> BoxFuture<'a, Result<Result<(), Why>, TargetError>> {
        let options = self.options.clone();
        Box::pin(async move { limited(&options, self.carry_out(ruled)).await })
    }

    fn commit(mut self: Box<Self>) -> BoxFuture<'static, Result<(), TargetError>> {
        Box::pin(async move {
            let options = self.options.clone();
            limited(&options, self.simple("COMMIT")).await?;
            keep(&self.idle, self.seat);
            Ok(())
        })
    }

    fn release(mut self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            // A session that cannot roll back is dropped, which does it too.
            let options = self.options.clone();
            if limited(&options, self.simple("ROLLBACK")).await.is_ok() {
                keep(&self.idle, self.seat);
            }
        })
    }
}

/// A record as the referee wants it; None: it cannot be read.
fn entry(row: &SqlRow) -> Option<Entry> {
    let number = |name: &str| row.get_opt::<Option<u64>, _>(name)?.ok()?;
    let version = |time: &str, origin: &str| {
        let origin = u32::try_from(number(origin)?).ok()?;
        Some(Version::new(Micros(number(time)?), InstanceId(origin)))
    };
    let side = |name: &str, version| {
        let row = text(row, name).map(|text| serde_json::from_str::<Row>(&text)).transpose().ok()?;
        Some(Side { version, row })
    };
    let verdict = text(row, "verdict")?;
    Some(Entry {
        id: number("id")?,
        scn: text(row, "scn")?.parse().ok()?,
        age_us: number("age")?,
        incoming: side("incoming", version("incoming_time", "incoming_origin")?)?,
        base: version("base_time", "base_origin"),
        local: side("local", version("local_time", "local_origin")?)?,
        verdict: [Verdict::IncomingWon, Verdict::LocalWon]
            .into_iter()
            .find(|known| known.as_str() == verdict)?,
        ruling: Ruling::from_text(&text(row, "ruling").unwrap_or_default()),
        stands_for: version("stands_for_time", "stands_for_origin"),
    })
}

fn text(row: &SqlRow, name: &str) -> Option<String> {
    row.get_opt::<Option<String>, _>(name)?.ok()?
}

//! The docket of an instance that decides conflicts: the open ones in `weft.conflict`, the row that
//! they are about, and the transaction that writes the other row and closes them.
//!
//! That transaction bears no mark. What it writes is a local change of the instance, as if an
//! application had made it: the replicator stamps it above everything known of its key.

mod held;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use weft_actors::ports::TargetError;
use weft_actors::referee::ports::{Backlog, Docket, Held, OpenCase};
use weft_core::filter::referee::{Row, Ruling};
use weft_core::key::KeyHash;
use weft_core::sink::step::{LogPosition, StopKind};
use weft_core::tables::TableName;

use held::{Found, HeldRow};

use super::errors::Failure;
use super::shape::Shapes;
use super::sql;
use super::{TargetOptions, json, recover, run_all};
use crate::mysql::connect::{Endpoint, Role, connect};
use crate::mysql::dialect::Dialect;
use crate::mysql::identify::no_binlog;

/// Records of one key that a hearing looks at.
const ENTRIES_MAX: usize = 200;
/// Sessions kept for the next hearings.
const IDLE_MAX: usize = 4;

/// The docket of an instance.
pub struct ServerDocket {
    options: Arc<TargetOptions>,
    idle: Idle,
}

type Idle = Arc<Mutex<Vec<Conn>>>;

impl ServerDocket {
    /// Of the instance with this full name.
    pub fn new(endpoint: Endpoint, instance: &str) -> ServerDocket {
        let options = Arc::new(TargetOptions::new(endpoint, instance, "", ""));
        ServerDocket { options, idle: Idle::default() }
    }

    fn failed(&self, error: &mysql_async::Error) -> TargetError {
        self.options.failure(error, "reading the open conflicts").into()
    }

    async fn session(&self) -> Result<Conn, TargetError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(mut conn) = idle
            && conn.ping().await.is_ok()
        {
            return Ok(conn);
        }
        let mut conn = connect(&self.options.endpoint, Role::Apply).await?;
        let settings = "SET SESSION innodb_lock_wait_timeout = 5, lock_wait_timeout = 5; USE weft";
        conn.query_drop(settings).await.map_err(|error| self.failed(&error))?;
        Ok(conn)
    }

    async fn read_open(&self, cases_max: usize) -> Result<Vec<OpenCase>, TargetError> {
        let mut conn = self.session().await?;
        let rows: Vec<(String, String, String, String, Option<String>)> = conn
            .exec(
                "SELECT key_hash, channel, table_schema, table_name, row_key FROM (SELECT c.*, ROW_NUMBER() OVER \
                 (PARTITION BY c.channel ORDER BY c.id) place FROM weft.conflict c JOIN (SELECT MIN(id) id FROM \
                 weft.conflict WHERE ruling = ? GROUP BY key_hash) o ON o.id = c.id) d WHERE place <= ? ORDER BY id",
                (Ruling::Open.as_str(), cases_max as u64),
            )
            .await
            .map_err(|error| self.failed(&error))?;
        keep(&self.idle, conn);
        rows.into_iter()
            .map(|(key, channel, schema, table, row_key)| {
                let key = u128::from_str_radix(&key, 16).ok().map(KeyHash);
                let row_key = row_key.and_then(|text| serde_json::from_str(&text).ok());
                let (Some(key), Some(row_key)) = (key, row_key) else {
                    return Err(unreadable(&self.options, &format!("the key of a row of {schema}.{table}")));
                };
                Ok(OpenCase { key, channel, table: TableName::new(schema, table), row_key })
            })
            .collect()
    }

    async fn read_backlog(&self) -> Result<Backlog, TargetError> {
        let mut conn = self.session().await?;
        let open = Ruling::Open.as_str();
        // Both from the index on the ruling, however many are open.
        let found: Option<(u64, Option<i64>)> = conn
            .exec_first(
                "SELECT (SELECT COUNT(*) FROM weft.conflict WHERE ruling = ?), (SELECT TIMESTAMPDIFF(SECOND, at, \
                 NOW(6)) FROM weft.conflict WHERE ruling = ? ORDER BY id LIMIT 1)",
                (open, open),
            )
            .await
            .map_err(|error| self.failed(&error))?;
        keep(&self.idle, conn);
        let (open, age_s) = found.unwrap_or_default();
        // A clock that was set back makes it negative.
        let oldest_age = Duration::from_secs(age_s.and_then(|age| age.try_into().ok()).unwrap_or(0));
        Ok(Backlog { open, oldest_age })
    }

    /// REPEATABLE READ: its gap lock holds the place of a row that is not there.
    async fn begin(&self, case: &OpenCase) -> Result<HeldRow, TargetError> {
        let mut conn = self.session().await?;
        let begin =
            "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; START TRANSACTION; SELECT @@global.read_only";
        let answers = run_all(&mut conn, begin).await.map_err(|error| self.failed(&error))?;
        let read_only: Option<u8> =
            answers.last().and_then(|(_, rows)| rows.first()).and_then(|row| row.get_opt(0)?.ok());
        if read_only != Some(0) {
            return Err(TargetError::Refused(recover::read_only(&self.options)));
        }
        let (found, row) = match self.find(&mut conn, case).await {
            Ok((found, row)) => (Some(found), row),
            Err(Failure::Refused { kind: StopKind::DoesNotFit, .. }) => (None, None),
            Err(other) => return Err(other.into()),
        };
        let position = position(&self.options, &mut conn).await?;
        Ok(HeldRow {
            conn,
            options: self.options.clone(),
            idle: self.idle.clone(),
            case: case.clone(),
            found,
            row,
            position,
            losers: BTreeMap::new(),
        })
    }

    /// Locks the row and reads it.
    async fn find(&self, conn: &mut Conn, case: &OpenCase) -> Result<(Found, Option<Row>), Failure> {
        let shape = Shapes::default().prove(conn, &self.options, &case.table).await?;
        let names = case.row_key.iter().map(|(name, _)| name.as_str());
        let key = shape.key_columns(names).map_err(Failure::does_not_fit)?;
        let values: Vec<String> = case.row_key.iter().map(|(_, literal)| literal.clone()).collect();
        let statement = sql::select(
            Dialect::of(conn),
            &json::expression(&shape),
            &case.table,
            &key,
            std::slice::from_ref(&values),
        );
        let text: Option<String> = conn
            .query_first(statement)
            .await
            .map_err(|error| self.options.failure(&error, &format!("holding a row of {}", case.table)))?;
        let row = match text {
            Some(text) => Some(serde_json::from_str(&text).map_err(|_| {
                Failure::refused(format!("{}: a row of {} is no JSON", self.options.place(), case.table))
            })?),
            None => None,
        };
        Ok((Found { shape, key, values }, row))
    }
}

impl Docket for ServerDocket {
    fn open(&self, cases_max: usize) -> BoxFuture<'_, Result<Vec<OpenCase>, TargetError>> {
        Box::pin(limited(&self.options, self.read_open(cases_max)))
    }

    fn backlog(&self) -> BoxFuture<'_, Result<Backlog, TargetError>> {
        Box::pin(limited(&self.options, self.read_backlog()))
    }

    fn hold<'a>(&'a self, case: &'a OpenCase) -> BoxFuture<'a, Result<Box<dyn Held>, TargetError>> {
        Box::pin(async move {
            let held = limited(&self.options, self.begin(case)).await?;
            Ok(Box::new(held) as Box<dyn Held>)
        })
    }
}

/// Without an answer in time the session is dropped, and with it the transaction.
async fn limited<T>(
    options: &TargetOptions,
    work: impl Future<Output = Result<T, TargetError>>,
) -> Result<T, TargetError> {
    let limit = options.statement_timeout;
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
        let reason = format!("{}: no answer within {} s", options.place(), limit.as_secs());
        Err(TargetError::Unreachable(reason))
    })
}

fn keep(idle: &Idle, conn: Conn) {
    let mut idle = idle.lock().unwrap_or_else(PoisonError::into_inner);
    if idle.len() < IDLE_MAX {
        idle.push(conn);
    }
}

async fn position(options: &TargetOptions, conn: &mut Conn) -> Result<LogPosition, TargetError> {
    let position = recover::position(conn)
        .await
        .map_err(|error| TargetError::from(options.failure(&error, "reading the binlog's position")))?;
    position.ok_or_else(|| TargetError::Refused(no_binlog(&options.place())))
}

fn unreadable(options: &TargetOptions, what: &str) -> TargetError {
    TargetError::Refused(format!(
        "{}: {what} in weft.conflict cannot be read; UPDATE its ruling to 'abandoned' there",
        options.place()
    ))
}

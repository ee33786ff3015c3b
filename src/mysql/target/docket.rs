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
use super::{TargetOptions, json, known, recover, run_all};
use crate::mysql::connect::{Role, connect};
use crate::mysql::dialect::Dialect;
use crate::mysql::identify::no_binlog;
use crate::mysql::servers::{Primary, Servers};

/// Records of one key that a hearing looks at.
const ENTRIES_MAX: usize = 200;
/// Sessions kept for the next hearings.
const IDLE_MAX: usize = 4;

/// The docket of an instance.
pub struct ServerDocket {
    /// Full name.
    instance: String,
    /// Shared with the capture, which finds the primary among them.
    servers: Arc<Servers>,
    idle: Idle,
}

/// A session, and the server that it is at.
struct Seat {
    primary: Primary,
    conn: Conn,
}

type Idle = Arc<Mutex<Vec<Seat>>>;

impl ServerDocket {
    /// Of the instance with this full name.
    pub fn new(servers: Arc<Servers>, instance: &str) -> ServerDocket {
        ServerDocket { instance: instance.to_owned(), servers, idle: Idle::default() }
    }

    /// The primary as it was found last.
    fn options(&self) -> Result<Arc<TargetOptions>, TargetError> {
        let endpoint = known(&self.servers, &self.instance)?.endpoint;
        Ok(Arc::new(TargetOptions::new(endpoint, &self.instance, "", "")))
    }

    /// A session there. Those at another server than the primary are let go.
    async fn session(&self, options: &TargetOptions) -> Result<Seat, TargetError> {
        let primary = known(&self.servers, &self.instance)?;
        if primary.endpoint != options.endpoint {
            return Err(moved(options));
        }
        while let Some(mut seat) = self.take_idle() {
            if seat.primary == primary && seat.conn.ping().await.is_ok() {
                return Ok(seat);
            }
        }
        let failed = |error| failed(options, &error);
        let mut conn = connect(&primary.endpoint, Role::Apply).await?;
        let settings = "SET SESSION innodb_lock_wait_timeout = 5, lock_wait_timeout = 5; USE weft";
        conn.query_drop(settings).await.map_err(failed)?;
        let server_id: u32 =
            conn.query_first("SELECT @@global.server_id").await.map_err(failed)?.unwrap_or_default();
        // The address may lead elsewhere since it was asked. An only server may not have been asked yet.
        if ![0, server_id].contains(&primary.server_id) {
            return Err(moved(options));
        }
        Ok(Seat { primary: Primary { server_id, ..primary }, conn })
    }

    fn take_idle(&self) -> Option<Seat> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    async fn read_open(
        &self,
        options: &TargetOptions,
        cases_max: usize,
    ) -> Result<Vec<OpenCase>, TargetError> {
        let mut seat = self.session(options).await?;
        let rows: Vec<(String, String, String, String, Option<String>)> = seat
            .conn
            .exec(
                "SELECT key_hash, channel, table_schema, table_name, row_key FROM (SELECT c.*, ROW_NUMBER() OVER \
                 (PARTITION BY c.channel ORDER BY c.id) place FROM weft.conflict c JOIN (SELECT MIN(id) id FROM \
                 weft.conflict WHERE ruling = ? GROUP BY key_hash) o ON o.id = c.id) d WHERE place <= ? ORDER BY id",
                (Ruling::Open.as_str(), cases_max as u64),
            )
            .await
            .map_err(|error| failed(options, &error))?;
        keep(&self.idle, seat);
        rows.into_iter()
            .map(|(key, channel, schema, table, row_key)| {
                let key = u128::from_str_radix(&key, 16).ok().map(KeyHash);
                let row_key = row_key.and_then(|text| serde_json::from_str(&text).ok());
                let (Some(key), Some(row_key)) = (key, row_key) else {
                    return Err(unreadable(options, &format!("the key of a row of {schema}.{table}")));
                };
                Ok(OpenCase { key, channel, table: TableName::new(schema, table), row_key })
            })
            .collect()
    }

    async fn read_backlog(&self, options: &TargetOptions) -> Result<Backlog, TargetError> {
        let mut seat = self.session(options).await?;
        let open = Ruling::Open.as_str();
        // Both from the index on the ruling, however many are open.
        let found: Option<(u64, Option<i64>)> = seat
            .conn
            .exec_first(
                "SELECT (SELECT COUNT(*) FROM weft.conflict WHERE ruling = ?), (SELECT TIMESTAMPDIFF(SECOND, at, \
                 NOW(6)) FROM weft.conflict WHERE ruling = ? ORDER BY id LIMIT 1)",
                (open, open),
            )
            .await
            .map_err(|error| failed(options, &error))?;
        keep(&self.idle, seat);
        let (open, age_s) = found.unwrap_or_default();
        // A clock that was set back makes it negative.
        let oldest_age = Duration::from_secs(age_s.and_then(|age| age.try_into().ok()).unwrap_or(0));
        Ok(Backlog { open, oldest_age })
    }

    /// REPEATABLE READ: its gap lock holds the place of a row that is not there.
    async fn begin(&self, options: &Arc<TargetOptions>, case: &OpenCase) -> Result<HeldRow, TargetError> {
        let mut seat = self.session(options).await?;
        let begin =
            "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; START TRANSACTION; SELECT @@global.read_only";
        let answers = run_all(&mut seat.conn, begin).await.map_err(|error| failed(options, &error))?;
        let read_only: Option<u8> =
            answers.last().and_then(|(_, rows)| rows.first()).and_then(|row| row.get_opt(0)?.ok());
        if read_only != Some(0) {
            return Err(TargetError::Refused(recover::read_only(options)));
        }
        let (found, row) = match find(options, &mut seat.conn, case).await {
            Ok((found, row)) => (Some(found), row),
            Err(Failure::Refused { kind: StopKind::DoesNotFit, .. }) => (None, None),
            Err(other) => return Err(other.into()),
        };
        let position = position(options, &mut seat.conn).await?;
        Ok(HeldRow {
            seat,
            options: options.clone(),
            idle: self.idle.clone(),
            case: case.clone(),
            found,
            row,
            position,
            losers: BTreeMap::new(),
        })
    }
}

/// Locks the row and reads it.
async fn find(
    options: &TargetOptions,
    conn: &mut Conn,
    case: &OpenCase,
) -> Result<(Found, Option<Row>), Failure> {
    let shape = Shapes::default().prove(conn, options, &case.table).await?;
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
        .map_err(|error| options.failure(&error, &format!("holding a row of {}", case.table)))?;
    let row = match text {
        Some(text) => Some(serde_json::from_str(&text).map_err(|_| {
            Failure::refused(format!("{}: a row of {} is no JSON", options.place(), case.table))
        })?),
        None => None,
    };
    Ok((Found { shape, key, values }, row))
}

impl Docket for ServerDocket {
    fn open(&self, cases_max: usize) -> BoxFuture<'_, Result<Vec<OpenCase>, TargetError>> {
        Box::pin(async move {
            let options = self.options()?;
            limited(&options, self.read_open(&options, cases_max)).await
        })
    }

    fn backlog(&self) -> BoxFuture<'_, Result<Backlog, TargetError>> {
        Box::pin(async move {
            let options = self.options()?;
            limited(&options, self.read_backlog(&options)).await
        })
    }

    fn hold<'a>(&'a self, case: &'a OpenCase) -> BoxFuture<'a, Result<Box<dyn Held>, TargetError>> {
        Box::pin(async move {
            let options = self.options()?;
            let held = limited(&options, self.begin(&options, case)).await?;
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

fn failed(options: &TargetOptions, error: &mysql_async::Error) -> TargetError {
    options.failure(error, "reading the open conflicts").into()
}

/// The primary is another server than when the work began.
fn moved(options: &TargetOptions) -> TargetError {
    TargetError::Unreachable(format!("{}: another server is the primary now", options.place()))
}

fn keep(idle: &Idle, seat: Seat) {
    let mut idle = idle.lock().unwrap_or_else(PoisonError::into_inner);
    if idle.len() < IDLE_MAX {
        idle.push(seat);
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

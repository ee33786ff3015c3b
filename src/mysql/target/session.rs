//! A shard's session at the target: one step, one answer.

use std::sync::Arc;

use futures::future::BoxFuture;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row};
use weft_actors::ports::{Session, TargetError};
use weft_core::mark::{Epoch, Mark};
use weft_core::sink::step::{Isolation, Outcome, Step};

use super::errors::Failure;
use super::replay::Replayer;
use super::shape::Shapes;
use super::{OurConnections, TargetOptions, conflicts, find, lock, recover, run_all, write};
use crate::mysql::connect::{Role, connect};
use crate::mysql::dialect::Dialect;
use crate::mysql::identify::no_binlog;

/// A shard's connection, with what it knows.
pub(super) struct TargetSession {
    pub(super) conn: Conn,
    pub(super) dialect: Dialect,
    pub(super) options: Arc<TargetOptions>,
    ours: OurConnections,
    shard: u16,
    epoch: Epoch,
    pub(super) shapes: Shapes,
    pub(super) replayer: Replayer,
    /// The answer to the transaction's last `ReadRows`, which its conflict records point into.
    pub(super) rows_read: Vec<find::RowRead>,
    /// Conflicts were written since the log was trimmed last.
    pub(super) conflicts_written: u64,
    /// The connection is in an unknown state: it is not used again.
    lost: bool,
    /// The server's `max_allowed_packet`: no statement may be longer.
    pub(super) packet_bytes: usize,
}

/// Who a session writes for, and where.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owner {
    pub(super) shard: u16,
    /// What the recovery raised the marks to.
    pub(super) epoch: Epoch,
    /// The server that it did that at.
    pub(super) server_id: u32,
}

/// Opens the session and takes the shard's lock.
pub(super) async fn open(
    options: Arc<TargetOptions>,
    ours: OurConnections,
    owner: Owner,
) -> Result<TargetSession, TargetError> {
    let Owner { shard, epoch, .. } = owner;
    let mut conn = connect(&options.endpoint, Role::Apply).await?;
    let id = u64::from(conn.id());
    // Ours before it holds the lock, so that we never take it for another owner's.
    lock::lock_ids(&ours).insert(id);
    let ready = prepare(&mut conn, &options, owner).await;
    let (packet_bytes, replayer) = match ready {
        Ok(ready) => ready,
        Err(error) => {
            lock::lock_ids(&ours).remove(&id);
            return Err(error);
        }
    };
    Ok(TargetSession {
        dialect: Dialect::of(&conn),
        conn,
        replayer,
        packet_bytes,
        options,
        ours,
        shard,
        epoch,
        shapes: Shapes::default(),
        rows_read: Vec::new(),
        conflicts_written: 0,
        lost: false,
    })
}

/// Settings, lock and epoch; answers with the bytes of a statement, and what may be replayed.
async fn prepare(
    conn: &mut Conn,
    options: &TargetOptions,
    Owner { shard, epoch, server_id }: Owner,
) -> Result<(usize, Replayer), TargetError> {
    let failed = |error| TargetError::from(options.failure(&error, "opening a session"));
    // The address may lead elsewhere since: nothing that the recovery found is true there.
    let answers: Option<u32> = conn.query_first("SELECT @@global.server_id").await.map_err(failed)?;
    if answers != Some(server_id) {
        return Err(TargetError::Unreachable(format!(
            "{}: another server answers there now than when the channel was recovered",
            options.place()
        )));
    }
    conn.query_drop("SET SESSION innodb_lock_wait_timeout = 5, lock_wait_timeout = 5; USE weft")
        .await
        .map_err(failed)?;
    lock::take(conn, options, shard).await?;
    let stored: Option<u64> = conn
        .exec_first(
            "SELECT epoch FROM weft.mark WHERE channel = ? AND source = ? AND shard = ?",
            (&options.channel, &options.source, shard),
        )
        .await
        .map_err(failed)?;
    if stored != Some(epoch.0) {
        return Err(TargetError::Fenced(format!(
            "{}: channel {} was taken over by another owner (epoch {}, ours is {})",
            options.place(),
            options.channel,
            stored.unwrap_or(0),
            epoch.0
        )));
    }
    let settings: Option<(String, usize, u8, String, String)> =
        conn.query_first(Dialect::of(conn).write_settings()).await.map_err(failed)?;
    let (format, packet_bytes, sql_log_bin, exec_mode, triggers) =
        settings.expect("a SELECT of variables answers one row");
    if format != "ROW" || sql_log_bin != 1 {
        return Err(TargetError::Refused(format!(
            "{}: sessions there do not log rows (binlog_format = {format}, sql_log_bin = {sql_log_bin}); SET \
             GLOBAL binlog_format = ROW",
            options.place()
        )));
    }
    // An idempotent server overwrites silently what a replay should stumble over; a replay that
    // fires triggers does their work twice.
    if options.sql_only || exec_mode != "STRICT" || triggers == "YES" || triggers == "ENFORCE" {
        return Ok((packet_bytes, Replayer::none()));
    }
    let replayer = Replayer::open(conn, packet_bytes).await.map_err(failed)?;
    Ok((packet_bytes, replayer))
}

impl Session for TargetSession {
    fn run(&mut self, step: Step) -> BoxFuture<'_, Outcome> {
        Box::pin(async move { self.in_time(async |this| this.carry_out(step).await).await })
    }

    fn look(&mut self) -> BoxFuture<'_, Outcome> {
        Box::pin(
            async move { self.in_time(async |this| this.writable("SELECT @@global.read_only").await).await },
        )
    }
}

impl TargetSession {
    /// Does it, unless the session is lost; and what its failure means.
    async fn in_time(&mut self, act: impl AsyncFnOnce(&mut Self) -> Result<Outcome, Failure>) -> Outcome {
        if self.lost {
            return Outcome::ConnectionLost;
        }
        let limit = self.options.statement_timeout;
        let result = match tokio::time::timeout(limit, act(self)).await {
            Ok(result) => result,
            Err(_) => Err(Failure::Lost(format!("no answer within {} s", limit.as_secs()))),
        };
        match result {
            Ok(outcome) => outcome,
            Err(failure) => self.failed(failure).await,
        }
    }

    async fn carry_out(&mut self, step: Step) -> Result<Outcome, Failure> {
        match step {
            Step::Begin(isolation) => self.begin(isolation).await,
            Step::Lock(rows) => Ok(Outcome::Locked(find::lock(self, &rows).await?)),
            Step::ReadPosition => self.position().await,
            Step::ReadRows(rows) => {
                self.rows_read = find::read(self, &rows).await?;
                Ok(Outcome::RowsRead(self.rows_read.iter().map(|row| row.json.clone()).collect()))
            }
            Step::WriteMark(mark) => self.write_mark(&mark).await,
            Step::Savepoint => self.simple("SAVEPOINT weft", "setting a savepoint").await,
            Step::RollBackToSavepoint => {
                self.shapes.transaction_ended();
                self.simple("ROLLBACK TO SAVEPOINT weft", "rolling back to the savepoint").await
            }
            Step::Write(rows) => {
                write::write(self, &rows).await?;
                Ok(Outcome::Ok)
            }
            Step::RecordConflicts(records) => {
                conflicts::record(self, &records).await?;
                Ok(Outcome::Ok)
            }
            Step::Commit => {
                self.simple("COMMIT", "committing").await?;
                self.transaction_ended();
                conflicts::trim(self).await;
                Ok(Outcome::Ok)
            }
            Step::RollBack => {
                self.transaction_ended();
                self.simple("ROLLBACK", "rolling back").await
            }
            Step::AwaitLedger(_) | Step::NeedPart | Step::Done(_) | Step::Retry(_) | Step::Stop(_) => {
                unreachable!("the caller carries these out itself")
            }
        }
    }

    async fn begin(&mut self, isolation: Isolation) -> Result<Outcome, Failure> {
        self.transaction_ended();
        let level = match isolation {
            Isolation::ReadCommitted => "READ COMMITTED",
            Isolation::RepeatableRead => "REPEATABLE READ",
        };
        // The server may have become a replica since the session began; the privilege to write there all
        // the same is no leave to do so.
        let sql =
            format!("SET TRANSACTION ISOLATION LEVEL {level}; START TRANSACTION; SELECT @@global.read_only");
        self.writable(&sql).await
    }

    /// Runs the statements, of which the last asks whether the server is read-only.
    async fn writable(&mut self, sql: &str) -> Result<Outcome, Failure> {
        let answers =
            run_all(&mut self.conn, sql).await.map_err(|error| self.options.failure(&error, "beginning"))?;
        let read_only: Option<u8> =
            answers.last().and_then(|(_, rows)| rows.first()).and_then(|row| row.get_opt(0)?.ok());
        if read_only == Some(0) {
            Ok(Outcome::Ok)
        } else {
            Err(Failure::refused(recover::read_only(&self.options)))
        }
    }

    async fn position(&mut self) -> Result<Outcome, Failure> {
        let position = recover::position(&mut self.conn)
            .await
            .map_err(|error| self.options.failure(&error, "reading the binlog's position"))?;
        position.map(Outcome::Position).ok_or_else(|| Failure::refused(no_binlog(&self.options.place())))
    }

    /// The update finds its row only while nobody has raised the epoch, and while the server is not
    /// read-only: it was demoted then, and the account may be one that could write all the same.
    async fn write_mark(&mut self, mark: &Mark) -> Result<Outcome, Failure> {
        let result = self
            .conn
            .exec_iter(
                "UPDATE weft.mark SET epoch = ?, body = ? WHERE channel = ? AND source = ? AND shard = ? AND epoch \
                 <= ? AND @@global.read_only = 0",
                (
                    self.epoch.0,
                    mark.encode(),
                    &self.options.channel,
                    &self.options.source,
                    self.shard,
                    self.epoch.0,
                ),
            )
            .await
            .map_err(|error| self.options.failure(&error, "writing the mark"))?;
        let found = result.affected_rows();
        result.drop_result().await.map_err(|error| self.options.failure(&error, "writing the mark"))?;
        if found > 0 {
            return Ok(Outcome::Ok);
        }
        let setting: Option<u8> = self
            .conn
            .query_first("SELECT @@global.read_only")
            .await
            .map_err(|error| self.options.failure(&error, "writing the mark"))?;
        match setting {
            Some(0) => Ok(Outcome::Fenced),
            _ => Err(Failure::refused(recover::read_only(&self.options))),
        }
    }

    /// The rows of one statement.
    pub(super) async fn rows(&mut self, sql: &str, doing: &str) -> Result<Vec<Row>, Failure> {
        self.conn.query(sql).await.map_err(|error| self.options.failure(&error, doing))
    }

    /// # Errors
    /// The server would answer a longer statement by closing the connection, each time again.
    pub(super) fn fits_packet(&self, sql: &str, doing: &str) -> Result<(), Failure> {
        // One byte for the command, some for the server's own bounds.
        const SLACK_BYTES: usize = 64;
        if sql.len() + SLACK_BYTES <= self.packet_bytes {
            return Ok(());
        }
        Err(Failure::refused(format!(
            "{}: {doing}: a row takes a statement of {} bytes; SET GLOBAL max_allowed_packet to more there (it is {})",
            self.options.place(),
            sql.len(),
            self.packet_bytes
        )))
    }

    async fn simple(&mut self, sql: &str, doing: &str) -> Result<Outcome, Failure> {
        self.conn.query_drop(sql).await.map_err(|error| self.options.failure(&error, doing))?;
        Ok(Outcome::Ok)
    }

    fn transaction_ended(&mut self) {
        self.shapes.transaction_ended();
        self.rows_read.clear();
    }

    /// Turns a failure into the outcome, and keeps the promises that come with it.
    async fn failed(&mut self, failure: Failure) -> Outcome {
        match &failure {
            Failure::Lost(why) => {
                self.lost = true;
                tracing::warn!(
                    channel = self.options.channel,
                    target = self.options.target,
                    shard = self.shard,
                    why,
                    "the session is lost"
                );
            }
            // The server may have undone no more than the statement.
            Failure::Deadlock => {
                self.transaction_ended();
                if self.conn.query_drop("ROLLBACK").await.is_err() {
                    self.lost = true;
                    return Outcome::ConnectionLost;
                }
            }
            Failure::DuplicateKey | Failure::MissingRow | Failure::Refused { .. } => {}
        }
        failure.into_outcome()
    }
}

impl Drop for TargetSession {
    fn drop(&mut self) {
        lock::lock_ids(&self.ours).remove(&u64::from(self.conn.id()));
    }
}

//! `weft uninstall`: says where native replication can go on from, then removes Weft's schema.
//!
//! The schema is dropped without a trace in the binlog. A logged DROP would be carried out by every
//! native replica that starts from the position just printed, and by other sites' servers, whose own
//! schema `weft` may still be in use. The price: the instance's own native replicas keep a schema
//! that nobody writes to; the report names the statement for them.

mod report;

use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error};
use weft_core::mark::Mark;
use weft_core::mark::runs::AppliedSet;
use weft_core::tables::WEFT_SCHEMA;

use crate::mysql::connect::{ConnectError, Endpoint, Role, cause, connect};
use crate::mysql::dialect::Dialect;
use crate::mysql::identify::consistent_position;
use crate::mysql::schema::{account, owner_lock, source_grants};
pub use report::{Inbound, Report};

/// A living node's heartbeat moves within this time; the default period is 1 s.
const HEARTBEAT_WATCH: Duration = Duration::from_millis(2500);
/// For each statement; a dropped table may wait for transactions that read it.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(30);

/// Why the schema is still there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UninstallError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(
        "Weft is still at work at {address}: {what}; take the instance out of the configuration or stop its \
         nodes first"
    )]
    Alive { address: String, what: String },
    #[error(
        "mark of channel {channel} from {source_instance}, shard {shard}, at {address}: {cause}; use the weft \
         that wrote it, or drop the schema weft by hand"
    )]
    Mark { address: String, channel: String, source_instance: String, shard: u16, cause: String },
    #[error("{what} at {address}: {cause}{fix}")]
    Statement { address: String, what: &'static str, cause: String, fix: String },
    #[error("{what} at {address}: no answer within {} s; try again", STATEMENT_TIMEOUT.as_secs())]
    Silent { address: String, what: &'static str },
}

/// A row of `weft.mark`.
struct MarkRow {
    channel: String,
    source: String,
    shard: u16,
    body: Vec<u8>,
}

/// Checks that no node of Weft works on the instance, gives the report to `say`, and drops the
/// schema. `say` has been called whenever the schema is gone. An instance without the schema is
/// reported as such and left alone.
pub async fn run(endpoint: &Endpoint, say: impl FnOnce(&Report)) -> Result<(), UninstallError> {
    let mut session = Session {
        conn: connect(endpoint, Role::Control).await?,
        address: endpoint.address(),
        user: endpoint.user.clone(),
    };
    let there = "SELECT 1 FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = ?";
    let installed: Option<u8> = session
        .run("looking for the schema weft", async |conn| conn.exec_first(there, (WEFT_SCHEMA,)).await)
        .await?;
    if installed.is_none() {
        say(&session.report(false, Vec::new()).await?);
        return Ok(());
    }
    // First, so that a missing right is known before anything is said or done.
    session
        .run("switching the binlog off for this session", async |conn| {
            conn.query_drop("SET SESSION sql_log_bin = 0, lock_wait_timeout = 20").await
        })
        .await?;
    let marks = session.marks().await?;
    session.take_locks(&marks).await?;
    session.refuse_moving_heartbeat().await?;
    let inbound = session.inbound(marks)?;
    say(&session.report(true, inbound).await?);
    session.run("dropping the schema weft", async |conn| conn.query_drop("DROP DATABASE `weft`").await).await
}

struct Session {
    conn: Conn,
    address: String,
    user: String,
}

impl Session {
    async fn run<T>(
        &mut self,
        what: &'static str,
        statement: impl AsyncFnOnce(&mut Conn) -> Result<T, Error>,
    ) -> Result<T, UninstallError> {
        match tokio::time::timeout(STATEMENT_TIMEOUT, statement(&mut self.conn)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                let fix = fix(Dialect::of(&self.conn), &self.user, &error);
                let (address, cause) = (self.address.clone(), cause(&error));
                Err(UninstallError::Statement { address, what, cause, fix })
            }
            Err(_) => Err(UninstallError::Silent { address: self.address.clone(), what }),
        }
    }

    async fn marks(&mut self) -> Result<Vec<MarkRow>, UninstallError> {
        let select = "SELECT `channel`, `source`, `shard`, `body` FROM `weft`.`mark` ORDER BY `channel`, `source`, `shard`";
        self.run("reading the marks", async |conn| {
            let rows = conn
                .query_map(select, |(channel, source, shard, body)| MarkRow { channel, source, shard, body })
                .await;
            if_there(rows)
        })
        .await
    }

    /// Takes the locks of all shards, so that none has an owner and none can get one.
    async fn take_locks(&mut self, marks: &[MarkRow]) -> Result<(), UninstallError> {
        for mark in marks {
            let name = owner_lock(&mark.channel, &mark.source, mark.shard);
            let taken: Option<Option<u8>> = self
                .run("taking the shards' locks", async |conn| {
                    conn.exec_first("SELECT GET_LOCK(?, 0)", (&name,)).await
                })
                .await?;
            if taken.flatten() != Some(1) {
                let what = format!(
                    "channel {} from {} applies there (shard {})",
                    mark.channel, mark.source, mark.shard
                );
                return Err(UninstallError::Alive { address: self.address.clone(), what });
            }
        }
        Ok(())
    }

    /// Looks twice: a node's clock may be far from the server's, so that one look says nothing.
    async fn refuse_moving_heartbeat(&mut self) -> Result<(), UninstallError> {
        let before = self.heartbeats().await?;
        tokio::time::sleep(HEARTBEAT_WATCH).await;
        let after = self.heartbeats().await?;
        match after.iter().find(|beat| !before.contains(beat)) {
            None => Ok(()),
            Some((instance, _, node)) => {
                let what = format!("node {node} writes the heartbeat of {instance}");
                Err(UninstallError::Alive { address: self.address.clone(), what })
            }
        }
    }

    async fn heartbeats(&mut self) -> Result<Vec<(String, u64, String)>, UninstallError> {
        let select = "SELECT `instance`, `written`, `node` FROM `weft`.`heartbeat`";
        self.run("reading the heartbeat", async |conn| if_there(conn.query(select).await)).await
    }

    /// What each channel has applied, over all its shards.
    fn inbound(&self, marks: Vec<MarkRow>) -> Result<Vec<Inbound>, UninstallError> {
        let mut inbound: Vec<Inbound> = Vec::new();
        for row in marks {
            let mark = Mark::decode(&row.body).map_err(|error| UninstallError::Mark {
                address: self.address.clone(),
                channel: row.channel.clone(),
                source_instance: row.source.clone(),
                shard: row.shard,
                cause: error.to_string(),
            })?;
            match inbound.last_mut() {
                Some(last) if last.channel == row.channel && last.source == row.source => last.add(mark),
                _ => {
                    let applied = AppliedSet::new(mark.watermark, mark.runs.iter().copied());
                    inbound.push(Inbound {
                        channel: row.channel,
                        source: row.source,
                        applied,
                        runs: mark.runs,
                    });
                }
            }
        }
        Ok(inbound)
    }

    async fn report(&mut self, installed: bool, inbound: Vec<Inbound>) -> Result<Report, UninstallError> {
        let position =
            self.run("reading the binlog position", async |conn| consistent_position(conn).await).await?;
        let dialect = Dialect::of(&self.conn);
        Ok(Report { address: self.address.clone(), dialect, installed, position, inbound })
    }
}

/// No rows where the table is missing: an installation that was cut short can be removed too.
fn if_there<T>(rows: Result<Vec<T>, Error>) -> Result<Vec<T>, Error> {
    const ER_NO_SUCH_TABLE: u16 = 1146;
    match rows {
        Err(Error::Server(error)) if error.code == ER_NO_SUCH_TABLE => Ok(Vec::new()),
        rows => rows,
    }
}

fn fix(dialect: Dialect, user: &str, error: &Error) -> String {
    match error {
        Error::Server(server) if matches!(server.code, 1044 | 1142 | 1227) => format!(
            "; as an administrator run: {}; GRANT {} ON *.* TO {}",
            source_grants(dialect, user),
            dialect.unlogged_privilege(),
            account(user)
        ),
        _ => String::from("; try again"),
    }
}

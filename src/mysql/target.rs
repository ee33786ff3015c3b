//! An instance as the target of one direction of one channel.
//!
//! | file | what |
//! |---|---|
//! | `recover` | takes the channel over: shuts the old owner out, raises the epoch, reads the marks |
//! | `lock` | the locks by which an owner's sessions are known at the server |
//! | `session` | a shard's session: one step, one answer |
//! | `shape` | the tables as they are there now, checked in every transaction |
//! | `find` | locks and reads rows by the keys of images |
//! | `holder` | the row that holds a unique key, as the event that deletes it |
//! | `replay` | writes rows by `BINLOG` |
//! | `write` | writes rows by SQL, where replay cannot |
//! | `conflicts` | the conflict log |
//! | `docket` | the open conflicts in it, and writing the row that a rule wants |
//! | `exact` | rows as SQL literals, to be written again later |
//! | `sql` | the text of statements by key |
//! | `errors` | what the server's errors mean |

mod conflicts;
pub mod docket;
mod errors;
mod exact;
mod find;
mod holder;
mod json;
mod lock;
mod recover;
mod replay;
mod session;
mod shape;
mod sql;
mod write;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row};
use weft_actors::ports::{Recovered, Session, SourceError, Target, TargetError};
use weft_core::filter::transform::Transforms;
use weft_core::instance::InstanceId;
use weft_core::mark::Epoch;
use weft_core::scn::Scn;
pub use weft_core::sink::apply::delete_events;

use super::connect::{ConnectError, Endpoint};
use super::servers::{Primary, Servers};
use errors::{Failure, classify};

/// What a target must know of its channel.
#[derive(Debug, Clone)]
pub struct TargetOptions {
    pub endpoint: Endpoint,
    /// Full name of the target instance, for messages.
    pub target: String,
    pub channel: String,
    /// Full name of the instance that the channel reads from.
    pub source: String,
    /// Rows of `weft.conflict` kept, about.
    pub conflicts_max: u64,
    /// A statement without an answer for so long is taken for a lost connection.
    pub statement_timeout: Duration,
    /// Write by SQL even where rows could be replayed (the account has no right to `BINLOG`, or the
    /// server's settings make a replay unsafe).
    pub sql_only: bool,
    /// The target decides the channel's conflicts by a rule: they are recorded as open, with what is
    /// needed to write either row.
    pub decides: bool,
    /// Rows are decided by version, so that a row must have the same key hash here as at the source.
    pub by_version: bool,
    /// What was done to the rows before they came here: masked columns must bear what they get.
    pub transforms: Transforms,
}

impl TargetOptions {
    /// With the defaults: 100,000 conflicts, 60 s, replay where it is possible.
    pub fn new(endpoint: Endpoint, target: &str, channel: &str, source: &str) -> TargetOptions {
        TargetOptions {
            endpoint,
            target: target.to_owned(),
            channel: channel.to_owned(),
            source: source.to_owned(),
            conflicts_max: 100_000,
            statement_timeout: Duration::from_secs(60),
            sql_only: false,
            decides: false,
            by_version: false,
            transforms: Transforms::default(),
        }
    }

    fn source_id(&self) -> InstanceId {
        InstanceId::of(&self.source)
    }

    /// The target and its address, as messages begin.
    fn place(&self) -> String {
        format!("{} ({})", self.target, self.endpoint.address())
    }

    fn failure(&self, error: &mysql_async::Error, doing: &str) -> Failure {
        classify(error, &self.place(), doing)
    }
}

/// An instance as a target.
pub struct ServerTarget {
    /// With the server of the last recovery.
    options: Mutex<Arc<TargetOptions>>,
    servers: Arc<Servers>,
    /// Nobody captures the instance, so each recovery looks for its primary.
    finds_primary: bool,
    ours: OurConnections,
    /// The epoch that our last recovery raised the marks to; 0 before the first.
    raised: AtomicU64,
    /// The server where that was.
    server_id: AtomicU32,
}

/// Connection ids of the sessions that this target opened and that still live.
type OurConnections = Arc<Mutex<BTreeSet<u64>>>;

impl ServerTarget {
    /// An instance with one server.
    pub fn new(options: TargetOptions) -> ServerTarget {
        let servers = Servers::new(&options.target, vec![options.endpoint.clone()]);
        ServerTarget::among(options, Arc::new(servers), false)
    }

    /// `servers` are those of the instance, shared with its capture where there is one: that finds the
    /// primary, as only it knows what was captured. The first recovery takes the place of the server in
    /// `options`.
    pub fn among(options: TargetOptions, servers: Arc<Servers>, captured: bool) -> ServerTarget {
        ServerTarget {
            options: Mutex::new(Arc::new(options)),
            servers,
            finds_primary: !captured,
            ours: OurConnections::default(),
            raised: AtomicU64::new(0),
            server_id: AtomicU32::new(0),
        }
    }
}

impl ServerTarget {
    fn options(&self) -> Arc<TargetOptions> {
        self.options.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The options with the primary as it is now.
    async fn at_primary(&self) -> Result<Arc<TargetOptions>, TargetError> {
        let before = self.options();
        if self.finds_primary && !self.servers.is_one() {
            self.servers.find(None).await.map_err(no_primary)?;
        }
        let endpoint = known(&self.servers, &before.target)?.endpoint;
        let now = Arc::new(TargetOptions { endpoint, ..(*before).clone() });
        *self.options.lock().unwrap_or_else(PoisonError::into_inner) = now.clone();
        Ok(now)
    }
}

impl Target for ServerTarget {
    fn recover(&self, shards: u16, start: Option<Scn>) -> BoxFuture<'_, Result<Recovered, TargetError>> {
        Box::pin(async move {
            let options = self.at_primary().await?;
            let recovered = recover::recover(&options, shards, start).await?;
            self.raised.store(recovered.epoch.0, Ordering::Relaxed);
            self.server_id.store(recovered.server_id, Ordering::Relaxed);
            Ok(recovered)
        })
    }

    fn session(&self, shard: u16, epoch: Epoch) -> BoxFuture<'_, Result<Box<dyn Session>, TargetError>> {
        Box::pin(async move {
            let server_id = self.server_id.load(Ordering::Relaxed);
            let owner = session::Owner { shard, epoch, server_id };
            let session = session::open(self.options(), Arc::clone(&self.ours), owner).await?;
            Ok(Box::new(session) as Box<dyn Session>)
        })
    }

    fn owned_by_other(&self) -> BoxFuture<'_, Result<bool, TargetError>> {
        let raised = Epoch(self.raised.load(Ordering::Relaxed));
        Box::pin(async move { lock::owned_by_other(&self.options(), &self.ours, raised).await })
    }

    fn record_skip<'a>(&'a self, scn: Scn, what: &'a str) -> BoxFuture<'a, Result<(), TargetError>> {
        Box::pin(async move { conflicts::record_skip(&self.options(), scn, what).await })
    }
}

/// The primary of the instance as it was found last.
fn known(servers: &Servers, instance: &str) -> Result<Primary, TargetError> {
    if servers.is_known() {
        return Ok(servers.primary());
    }
    Err(TargetError::Unreachable(format!("{instance}: none of its servers is known to be the primary yet")))
}

/// The instance has no primary to write to.
fn no_primary(error: SourceError) -> TargetError {
    match error {
        SourceError::Unreachable(reason) => TargetError::Unreachable(reason),
        SourceError::Refused(reason) | SourceError::Purged(reason) => TargetError::Refused(reason),
    }
}

impl From<ConnectError> for TargetError {
    fn from(error: ConnectError) -> TargetError {
        match error {
            ConnectError::Unreachable { .. } => TargetError::Unreachable(error.to_string()),
            ConnectError::AccessDenied { .. } | ConnectError::Refused { .. } => {
                TargetError::Refused(error.to_string())
            }
        }
    }
}

impl From<Failure> for TargetError {
    fn from(failure: Failure) -> TargetError {
        match failure {
            Failure::Refused { reason, .. } => TargetError::Refused(reason),
            Failure::Lost(reason) => TargetError::Unreachable(reason),
            // Outside of a batch these pass by themselves.
            other @ (Failure::DuplicateKey | Failure::MissingRow | Failure::Deadlock) => {
                TargetError::Unreachable(other.to_string())
            }
        }
    }
}

/// Runs statements separated by semicolons in one round trip, and gives for each the number of rows
/// it found or changed, and the rows it answered.
async fn run_all(conn: &mut Conn, sql: &str) -> Result<Vec<(u64, Vec<Row>)>, mysql_async::Error> {
    let mut result = conn.query_iter(sql).await?;
    let mut answers = Vec::new();
    // The columns are there, be there none of them, as long as a result is not consumed.
    while result.columns().is_some() {
        let found = result.affected_rows();
        answers.push((found, result.collect::<Row>().await?));
    }
    // An error of a later statement ends the loop too; left there, it would be the next command's.
    result.drop_result().await?;
    Ok(answers)
}

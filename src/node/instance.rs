//! The replicator of an instance of this site: its ports and what it shares.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use ractor::{Actor, ActorCell};
use tokio::sync::watch;
use weft_actors::binlog::actor::Replicator;
use weft_actors::binlog::args::{Outgoing, ReplicatorArgs};
use weft_actors::binlog::ledger::SharedLedger;
use weft_actors::binlog::refill::FromSource;
use weft_actors::channel::status::{Board, DirectionStatus};
use weft_actors::link::{SourceHandle, Sources, StartPositions};
use weft_actors::node::supervisor::Child;
use weft_actors::ports::{Clock, EventBuffer, Source, SourceError};
use weft_core::binlog::resume::CapturedServer;
use weft_core::ledger::Ledger;
use weft_core::scn::Scn;
use weft_core::time::Micros;

use super::NodeError;
use super::store::InstanceStore;
use crate::buffer::{BufferOptions, MmapBuffer};
use crate::config::{Deployment, Instance, Node, Server};
use crate::data::DataDir;
use crate::mysql::servers::Servers;
use crate::mysql::source::ServerSource;

/// An open transaction larger than this goes to disk while it is read, and through every later stage in
/// parts of this size. One part costs its frame and the plan of its rows many times over, and is planned
/// in one go: with narrow rows, 2 MiB are 80,000 of them.
const SPILL_BYTES: usize = 2 << 20;
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(30);

/// An instance whose binlog this node captures.
pub struct Captured {
    /// Full name.
    pub name: String,
    pub args: Arc<ReplicatorArgs>,
    /// Shared with the directions into the instance: they write where it is captured.
    pub servers: Arc<Servers>,
    /// The statuses of the directions into this instance, for the ledger's expiry.
    pub inbound: Arc<Mutex<Vec<Board<DirectionStatus>>>>,
    running: Arc<Mutex<Option<ActorCell>>>,
}

/// Opens what the node keeps of every instance of its site that some channel reads from.
///
/// # Errors
/// The data directory or a password cannot be read.
pub fn open_all(
    deployment: &Deployment,
    node: &Node,
    data: &Arc<DataDir>,
    clock: &Arc<dyn Clock>,
) -> Result<Vec<Captured>, NodeError> {
    let here = deployment.instances.values().filter(|instance| instance.site == node.site);
    here.filter(|instance| deployment.is_source(&instance.name))
        .map(|instance| Captured::open(deployment, node, instance, data, clock))
        .collect()
}

/// The instance's servers, with their passwords resolved.
///
/// # Errors
/// A password is named by a file or variable that is not there.
pub fn servers(instance: &Instance) -> Result<Arc<Servers>, NodeError> {
    let endpoints = instance.servers()?.iter().map(Server::endpoint).collect();
    Ok(Arc::new(Servers::new(&instance.name, endpoints)))
}

impl Captured {
    fn open(
        deployment: &Deployment,
        node: &Node,
        instance: &Instance,
        data: &Arc<DataDir>,
        clock: &Arc<dyn Clock>,
    ) -> Result<Captured, NodeError> {
        let servers = servers(instance)?;
        let source: Arc<dyn Source> =
            Arc::new(ServerSource::among(servers.clone(), &instance.name, &node.id));
        let options = BufferOptions {
            instance: instance.name.clone(),
            budget_bytes: instance.buffer.0,
            segment_bytes: instance.segment.0,
        };
        let (buffer, report) = MmapBuffer::open(&data.buffer(&instance.name), options)?;
        tracing::info!(instance = instance.name, ?report, "the event buffer is open");
        let (newest, _) = watch::channel(buffer.newest().unwrap_or(Scn::ZERO));
        let touching =
            deployment.directions().filter(|(_, d)| d.from == instance.name || d.to == instance.name);
        let outgoing = deployment
            .directions()
            .filter(|(_, direction)| direction.from == instance.name)
            .map(|(channel, direction)| Outgoing {
                channel: channel.name.clone(),
                start: channel.start_at(&direction.from).cloned(),
            })
            .collect();
        let inbound: Arc<Mutex<Vec<Board<DirectionStatus>>>> = Arc::default();
        let args = ReplicatorArgs {
            instance: instance.name.clone(),
            id: instance.id,
            source,
            buffer: Arc::new(buffer),
            store: Arc::new(InstanceStore::open(data.clone(), &instance.name)?),
            ledger: Arc::new(SharedLedger::new(Ledger::default())),
            clock: clock.clone(),
            wanted: touching.map(|(channel, _)| channel.tables_at(&instance.name)).collect(),
            outgoing,
            heartbeat: instance.heartbeat,
            conflict_window: instance.conflict_window,
            inbound_time: inbound_time(inbound.clone()),
            checkpoint_interval: CHECKPOINT_INTERVAL,
            spill_bytes: SPILL_BYTES,
            newest,
            reached: Board::default(),
            starts: Board::default(),
            board: Board::default(),
        };
        Ok(Captured {
            name: instance.name.clone(),
            args: Arc::new(args),
            servers,
            inbound,
            running: Arc::default(),
        })
    }

    /// The replicator as the supervisor starts it.
    pub fn child(&self) -> Child {
        let (args, running) = (self.args.clone(), self.running.clone());
        Child {
            name: format!("replicator {}", self.name),
            start: Arc::new(move |supervisor| {
                let (args, running) = (args.clone(), running.clone());
                async move {
                    let (actor, _) = Actor::spawn_linked(None, Replicator, args, supervisor).await?;
                    let cell = actor.get_cell();
                    *running.lock().unwrap_or_else(PoisonError::into_inner) = Some(cell.clone());
                    Ok(cell)
                }
                .boxed()
            }),
        }
    }

    /// Stops the replicator and waits until it has written its checkpoint, at most `timeout`.
    pub async fn stop(&self, timeout: Duration) {
        let cell = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(cell) = cell else { return };
        if cell.stop_and_wait(None, Some(timeout)).await.is_err() {
            tracing::warn!(instance = self.name, "the replicator did not stop in time");
        }
    }

    fn handle(&self) -> SourceHandle {
        SourceHandle {
            buffer: self.args.buffer.clone(),
            newest: self.args.newest.subscribe(),
            starts: Arc::new(Starts(self.args.clone())),
            refill: Arc::new(FromSource::new(self.args.clone())),
        }
    }
}

/// Source time up to which every direction into the instance has applied.
fn inbound_time(inbound: Arc<Mutex<Vec<Board<DirectionStatus>>>>) -> Arc<dyn Fn() -> Micros + Send + Sync> {
    Arc::new(move || {
        let boards = inbound.lock().unwrap_or_else(PoisonError::into_inner);
        boards.iter().map(|board| board.get().watermark_time).min().unwrap_or(Micros(u64::MAX))
    })
}

/// The sources that the peer link serves.
pub struct Served(HashMap<String, Arc<SourceHandle>>);

impl Served {
    pub fn of(captured: &[Captured]) -> Served {
        Served(captured.iter().map(|one| (one.name.clone(), Arc::new(one.handle()))).collect())
    }
}

impl Sources for Served {
    fn source(&self, full_name: &str) -> Option<Arc<SourceHandle>> {
        self.0.get(full_name).cloned()
    }
}

/// Where channels begin, once the replicator has stored it.
struct Starts(Arc<ReplicatorArgs>);

impl StartPositions for Starts {
    fn channel_start<'a>(&'a self, channel: &'a str) -> BoxFuture<'a, Result<Scn, SourceError>> {
        let start = match self.0.starts.get().remove(channel) {
            Some(Ok(start)) => Ok(start),
            Some(Err(why)) => Err(SourceError::Refused(why)),
            None => match self.standstill() {
                Some(why) => Err(SourceError::Refused(why)),
                None => Err(SourceError::Unreachable(format!(
                    "{} has not stored yet where channel {channel} begins: its node is still connecting to it",
                    self.0.instance
                ))),
            },
        };
        std::future::ready(start).boxed()
    }

    /// Until the server has answered it is taken for the one captured last.
    fn server_id(&self) -> u32 {
        match self.0.board.get().server_id {
            0 => CapturedServer::newest_of(&self.0.buffer.catalog()).map_or(0, |server| server.server_id),
            server_id => server_id,
        }
    }

    fn standstill(&self) -> Option<String> {
        self.0.board.get().standstill.map(|reason| format!("{} is not captured: {reason}", self.0.instance))
    }
}

//! `weft node`: one node of a deployment, from its configuration to its drain.
//!
//! | file | what |
//! |---|---|
//! | `instance` | the replicator of an instance of this site: its ports and what it shares |
//! | `direction` | a direction into this site: its ports and its actor |
//! | `referee` | decides conflicts by rules: its ports and its actor |
//! | `webhook` | asks a user's program who wins a conflict |
//! | `store` | what is kept in the data directory, as the ports want it |
//! | `status` | what the node says of itself and of the deployment |
//! | `neighbours` | asks the other nodes what they say |

mod direction;
mod instance;
mod neighbours;
mod referee;
mod status;
mod store;
mod webhook;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ractor::{Actor, ActorProcessingErr};
use tokio::signal::unix::{SignalKind, signal};
use weft_actors::link::server::LinkServer;
use weft_actors::node::supervisor::Supervisor;
use weft_actors::ports::{BufferError, Clock};
use weft_core::link::handshake::Own;
use weft_core::time::Micros;

use crate::admin::{self, AdminError};
use crate::check;
use crate::config::{ConfigError, Deployment, Node};
use crate::data::{DataDir, DataError};
use crate::peer::connect::TcpPeers;
use crate::peer::listener::{ListenError, PeerListener};
use direction::RunningDirection;
use instance::Captured;
use status::NodeState;

/// How long a drain may take before what is left is cut off.
const DRAIN_MAX: Duration = Duration::from_secs(7);

/// Why a node did not start, or did not stop cleanly.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Data(#[from] DataError),
    #[error(transparent)]
    Buffer(#[from] BufferError),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Admin(#[from] AdminError),
    #[error("{0}")]
    NotReady(String),
    #[error("the node's actors did not start: {0}")]
    Actors(String),
    #[error("signals cannot be heard: {0}")]
    Signals(#[from] std::io::Error),
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct WallClock;

impl Clock for WallClock {
    fn now(&self) -> Micros {
        // Before 1970 there is nothing to replicate.
        Micros(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64))
    }
}

/// Runs the node until SIGTERM or SIGINT, then drains it.
///
/// # Errors
/// One line: what keeps the node from starting, where, and what to do.
pub async fn run(deployment: Deployment, node_id: &str) -> Result<(), NodeError> {
    let node = deployment.node(node_id)?.clone();
    let deployment = Arc::new(deployment);
    let prometheus = admin::metrics::install()?;
    let data = Arc::new(DataDir::open(&node.data()?, &node.id, &deployment.cluster)?);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    refuse_what_cannot_work(&deployment, &node).await?;

    let clock: Arc<dyn Clock> = Arc::new(WallClock);
    let watermarks = store::Watermarks::open(&data)?;
    let captured = instance::open_all(&deployment, &node, &data, &clock)?;
    let directions = Arc::new(direction::plan_all(&deployment, &node, &captured, &watermarks, &clock)?);
    let referees = referee::plan_all(&deployment, &captured)?;
    let state = Arc::new(NodeState::new(deployment.clone(), node.clone(), &captured, &directions));

    let own = Own::new(&deployment.cluster, &node.id);
    let status = state.clone();
    let server = LinkServer {
        own,
        sources: Arc::new(instance::Served::of(&captured)),
        clock: clock.clone(),
        status: Arc::new(move || status.own_json()),
    };
    let listener = PeerListener::bind(&node.peer.to_string(), &node.peer_key(), server).await?;
    let admin = admin::serve(&node.admin_key(), &node.admin()?, state.clone(), prometheus)?;
    let neighbours = neighbours::start(state.clone(), Arc::new(TcpPeers));

    let children = captured.iter().map(Captured::child).chain(directions.iter().map(RunningDirection::child));
    let (supervisor, supervising) = Actor::spawn(None, Supervisor, children.chain(referees).collect())
        .await
        .map_err(|error| NodeError::Actors(error.to_string()))?;
    tracing::info!(node = node.id, site = node.site, "running");

    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!(node = node.id, "draining");
    let drains = directions.iter().map(RunningDirection::drain);
    if tokio::time::timeout(DRAIN_MAX, futures::future::join_all(drains)).await.is_err() {
        tracing::warn!("what was in flight did not finish in time; it is applied after the next start");
    }
    neighbours.abort();
    listener.stop().await;
    stop_actors(&captured, supervisor.get_cell(), supervising)
        .await
        .map_err(|error| NodeError::Actors(error.to_string()))?;
    watermarks.flush();
    admin.stop().await;
    Ok(())
}

/// Stops replicators first, so that they write their last checkpoints, then everything else.
async fn stop_actors(
    captured: &[Captured],
    supervisor: ractor::ActorCell,
    supervising: tokio::task::JoinHandle<()>,
) -> Result<(), ActorProcessingErr> {
    const STOP_MAX: Duration = Duration::from_secs(2);
    for one in captured {
        one.stop(STOP_MAX).await;
    }
    supervisor.stop(None);
    if tokio::time::timeout(STOP_MAX, supervising).await.is_err() {
        tracing::warn!("the actors did not stop in time");
    }
    Ok(())
}

/// Settings with which replication would be wrong are told before anything starts. An instance that
/// cannot be reached is no such thing: the node waits for it.
async fn refuse_what_cannot_work(deployment: &Deployment, node: &Node) -> Result<(), NodeError> {
    for instance in deployment.instances.values().filter(|instance| instance.site == node.site) {
        let findings = check::fatal(deployment, &instance.name).await?;
        if !findings.is_empty() {
            let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
            return Err(NodeError::NotReady(lines.join("; ")));
        }
    }
    Ok(())
}

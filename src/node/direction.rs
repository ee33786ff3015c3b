//! A direction into this site: its ports and its actor.

use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;
use ractor::{Actor, ActorRef};
use weft_actors::channel::message::{ChannelMessage, Command};
use weft_actors::channel::metrics::DirectionMetrics;
use weft_actors::channel::status::{Board, DirectionStatus};
use weft_actors::channel::{actor::Channel, args::ChannelArgs};
use weft_actors::link::puller::{self, PullerConfig};
use weft_actors::node::supervisor::Child;
use weft_actors::ports::Clock;
use weft_core::channel::schedule::ScheduleConfig;
use weft_core::filter::decide::ConflictRule;
use weft_core::sink::apply::ApplyConfig;

use super::NodeError;
use super::instance::{Captured, servers};
use super::store::Watermarks;
use crate::config::{Channel as ChannelOptions, Deployment, Direction, Node};
use crate::mysql::target::{ServerTarget, TargetOptions};
use crate::peer::connect::TcpPeers;

/// Bounds of a window of units that are joined at a time. More would only wait longer for the
/// slowest of them.
const WINDOW_UNITS_MAX: usize = 2_000;
const WINDOW_ROWS_MAX: usize = 20_000;
const WINDOW_BYTES_MAX: usize = 16 << 20;
/// Units above the watermark: bounds what marks carry and what a recovery reads.
const ABOVE_WATERMARK_MAX: u64 = 4_000;

/// A direction that this node applies.
pub struct RunningDirection {
    pub channel: String,
    /// Full names of the instances.
    pub from: String,
    pub to: String,
    pub board: Board<DirectionStatus>,
    args: Arc<ChannelArgs>,
    running: Arc<Mutex<Option<ActorRef<ChannelMessage>>>>,
}

/// Everything that runs into the node's site.
///
/// # Errors
/// A password cannot be read.
pub fn plan_all(
    deployment: &Deployment,
    node: &Node,
    captured: &[Captured],
    watermarks: &Arc<Watermarks>,
    clock: &Arc<dyn Clock>,
) -> Result<Vec<RunningDirection>, NodeError> {
    deployment
        .directions_into(&node.site)
        .map(|(channel, direction)| {
            let target = captured.iter().find(|one| one.name == direction.to);
            let planned = plan(deployment, node, channel, direction, target, watermarks, clock)?;
            if let Some(target) = target {
                let mut inbound = target.inbound.lock().unwrap_or_else(PoisonError::into_inner);
                inbound.push(planned.board.clone());
            }
            Ok(planned)
        })
        .collect()
}

fn plan(
    deployment: &Deployment,
    node: &Node,
    channel: &ChannelOptions,
    direction: &Direction,
    target: Option<&Captured>,
    watermarks: &Arc<Watermarks>,
    clock: &Arc<dyn Clock>,
) -> Result<RunningDirection, NodeError> {
    let (source, instance) = (&deployment.instances[&direction.from], &deployment.instances[&direction.to]);
    let servers = match target {
        Some(captured) => captured.servers.clone(),
        None => servers(instance)?,
    };
    let mut options =
        TargetOptions::new(servers.primary().endpoint, &direction.to, &channel.name, &direction.from);
    options.decides = channel.decider.as_deref() == Some(direction.to.as_str());
    options.by_version = channel.rule == ConflictRule::LastWriteWins;
    options.transforms = channel.transforms(direction);
    let puller = PullerConfig {
        addresses: deployment.node_of_site(&source.site).iter().map(|node| node.peer.to_string()).collect(),
        cluster: deployment.cluster.clone(),
        node: node.id.clone(),
        source: direction.from.clone(),
        channel: channel.name.clone(),
        filter: deployment.row_filter(channel, direction),
        after: None,
        window_bytes: channel.in_flight.0,
    };
    let board: Board<DirectionStatus> = Board::default();
    let args = ChannelArgs {
        channel: channel.name.clone(),
        source: direction.from.clone(),
        target_name: direction.to.clone(),
        schedule: ScheduleConfig {
            consistency: channel.consistency,
            shards: channel.shards,
            window_units_max: WINDOW_UNITS_MAX,
            window_rows_max: WINDOW_ROWS_MAX,
            window_bytes_max: WINDOW_BYTES_MAX,
            above_watermark_max: ABOVE_WATERMARK_MAX,
            tables: channel.tables_at(&direction.from),
        },
        transforms: channel.transforms(direction),
        apply: ApplyConfig {
            rule: channel.rule,
            names_versions: deployment.is_source(&direction.to),
            source: source.id,
            delete_events: weft_core::sink::apply::delete_events,
        },
        batch_rows_max: channel.batch_rows_max as usize,
        fence_timeout: channel.fence_timeout,
        target: Arc::new(ServerTarget::among(options, servers, target.is_some())),
        ledger: target.map(|target| target.args.ledger.clone()),
        pulls: Arc::new(move |after| {
            puller::spawn(Arc::new(TcpPeers), PullerConfig { after, ..puller.clone() })
        }),
        watermarks: watermarks.clone(),
        clock: clock.clone(),
        board: board.clone(),
        metrics: DirectionMetrics::new(&channel.name, &direction.from, &direction.to),
    };
    Ok(RunningDirection {
        channel: channel.name.clone(),
        from: direction.from.clone(),
        to: direction.to.clone(),
        board,
        args: Arc::new(args),
        running: Arc::default(),
    })
}

impl RunningDirection {
    /// The channel's actor as the supervisor starts it.
    pub fn child(&self) -> Child {
        let (args, running) = (self.args.clone(), self.running.clone());
        Child {
            name: format!("channel {}", self.args.direction()),
            start: Arc::new(move |supervisor| {
                let (args, running) = (args.clone(), running.clone());
                async move {
                    let (actor, _) = Actor::spawn_linked(None, Channel, args, supervisor).await?;
                    let cell = actor.get_cell();
                    *running.lock().unwrap_or_else(PoisonError::into_inner) = Some(actor);
                    Ok(cell)
                }
                .boxed()
            }),
        }
    }

    /// Carries out an operator's command.
    ///
    /// # Errors
    /// Why it is refused.
    pub async fn command(&self, command: Command) -> Result<(), String> {
        let restarting = || "the direction is being started; try again in a second".to_owned();
        let actor = self.actor().ok_or_else(restarting)?;
        let answer = actor.call(|reply| ChannelMessage::Command(command, reply), None).await;
        match answer {
            Ok(ractor::rpc::CallResult::Success(result)) => result,
            _ => Err(restarting()),
        }
    }

    /// Has what is in flight finished and committed.
    pub async fn drain(&self) {
        if let Some(actor) = self.actor() {
            // An actor that is gone has nothing in flight.
            let _ = actor.call(ChannelMessage::Drain, None).await;
        }
    }

    fn actor(&self) -> Option<ActorRef<ChannelMessage>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

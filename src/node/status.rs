//! What the node says of itself and of the deployment.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;
use weft_actors::binlog::args::ReplicatorArgs;
use weft_actors::channel::message::Command;
use weft_actors::channel::status::{DirectionStatus, Phase};
use weft_actors::ports::Clock;
use weft_actors::status::{ChannelState, ChannelStatus, NodeStatus, SourceRole, SourceStatus, StatusReport};

use super::WallClock;
use super::direction::RunningDirection;
use super::instance::Captured;
use crate::admin::{AdminState, ChannelCommand, ChannelVerb, CommandError};
use crate::config::{Deployment, Node};

/// A node that was not heard of for so long is shown as not alive.
const ALIVE_MAX: Duration = Duration::from_secs(4);

/// What the admin API and the other nodes are answered from.
pub struct NodeState {
    deployment: Arc<Deployment>,
    node: Node,
    sources: Vec<Arc<ReplicatorArgs>>,
    directions: Arc<Vec<RunningDirection>>,
    /// The last report of every other node, and when it came.
    heard: Mutex<HashMap<String, (StatusReport, Instant)>>,
}

impl NodeState {
    pub fn new(
        deployment: Arc<Deployment>,
        node: Node,
        captured: &[Captured],
        directions: &Arc<Vec<RunningDirection>>,
    ) -> NodeState {
        let sources = captured.iter().map(|one| one.args.clone()).collect();
        NodeState { deployment, node, sources, directions: directions.clone(), heard: Mutex::default() }
    }

    pub fn cluster(&self) -> &str {
        &self.deployment.cluster
    }

    pub fn node_id(&self) -> &str {
        &self.node.id
    }

    /// Ids and peer addresses of the other nodes.
    pub fn others(&self) -> Vec<(String, String)> {
        let others = self.deployment.nodes.values().filter(|node| node.id != self.node.id);
        others.map(|node| (node.id.clone(), node.peer.to_string())).collect()
    }

    /// Another node answered.
    pub fn heard(&self, id: &str, report: StatusReport) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.insert(id.to_owned(), (report, Instant::now()));
    }

    /// The node's own part, as the other nodes are told.
    pub fn own_json(&self) -> String {
        serde_json::to_string(&self.own()).expect("plain data is always JSON")
    }

    fn own(&self) -> StatusReport {
        let now = WallClock.now();
        let source = |args: &Arc<ReplicatorArgs>| {
            let status = args.board.get();
            let (buffer_bytes, buffer_transactions) = args.buffer.size();
            SourceStatus {
                instance: args.instance.clone(),
                role: SourceRole::Master,
                node: self.node.id.clone(),
                scn: args.buffer.newest().map(|scn| scn.to_string()),
                oldest_scn: args.buffer.oldest().map(|scn| scn.to_string()),
                gtid: status.gtid.clone(),
                file: Some(status.file.clone()).filter(|file| !file.is_empty()),
                buffer_bytes,
                buffer_transactions,
                lag_ms: status.heartbeat.map(|_| status.lag_us(now) / 1_000),
            }
        };
        StatusReport {
            cluster: self.deployment.cluster.clone(),
            site: self.node.site.clone(),
            node: self.node.id.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            leader: Some(self.node.id.clone()),
            nodes: vec![node_status(&self.node, true)],
            sources: self.sources.iter().map(source).collect(),
            channels: self.directions.iter().map(|direction| self.channel(direction)).collect(),
        }
    }

    fn channel(&self, direction: &RunningDirection) -> ChannelStatus {
        let status = direction.board.get();
        ChannelStatus {
            name: direction.channel.clone(),
            from: direction.from.clone(),
            to: direction.to.clone(),
            node: self.node.id.clone(),
            state: state_of(&status),
            reason: status.reason.clone(),
            watermark: status.watermark.map(|scn| scn.to_string()),
            lag_ms: Some(status.lag_us / 1_000),
            lag_bytes: status.lag_bytes,
            transactions_applied: status.transactions_applied,
            rows_applied: status.rows_applied,
            rows_skipped: status.rows_skipped,
            conflicts: status.conflicts,
        }
    }
}

fn node_status(node: &Node, alive: bool) -> NodeStatus {
    NodeStatus { id: node.id.clone(), site: node.site.clone(), alive, leader: true }
}

fn state_of(status: &DirectionStatus) -> ChannelState {
    match status.phase {
        Phase::Starting => ChannelState::Starting,
        Phase::Running => ChannelState::Running,
        Phase::Paused => ChannelState::Paused,
        Phase::Stopped => ChannelState::Stopped,
    }
}

impl AdminState for NodeState {
    fn status(&self) -> StatusReport {
        let mut report = self.own();
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let others: BTreeMap<_, _> =
            self.deployment.nodes.iter().filter(|(id, _)| **id != self.node.id).collect();
        for (id, node) in others {
            let last = heard.get(id);
            let alive = last.is_some_and(|(_, at)| at.elapsed() < ALIVE_MAX);
            report.nodes.push(node_status(node, alive));
            if let Some((theirs, _)) = last {
                report.sources.extend(theirs.sources.iter().cloned());
                report.channels.extend(theirs.channels.iter().cloned());
            }
        }
        report
    }

    fn ready(&self) -> Result<(), Vec<String>> {
        let mut reasons = Vec::new();
        for args in &self.sources {
            let status = args.board.get();
            if !status.running {
                let why = status.reason.unwrap_or_else(|| "still connecting".to_owned());
                reasons.push(format!("the replicator of {} does not run: {why}", args.instance));
            }
        }
        for direction in self.directions.iter() {
            let status = direction.board.get();
            if matches!(status.phase, Phase::Starting | Phase::Stopped) {
                let name = format!("{} from {} to {}", direction.channel, direction.from, direction.to);
                let why = status.reason.unwrap_or_else(|| "still starting".to_owned());
                reasons.push(format!("channel {name} does not run: {why}"));
            }
        }
        if reasons.is_empty() { Ok(()) } else { Err(reasons) }
    }

    fn channel_command(&self, command: ChannelCommand) -> BoxFuture<'_, Result<(), CommandError>> {
        async move {
            let scn =
                match &command.scn {
                    None => None,
                    Some(text) => Some(text.parse().map_err(|error: weft_core::scn::NotAnScn| {
                        CommandError::Conflict(error.to_string())
                    })?),
                };
            let verb = match command.verb {
                ChannelVerb::Pause => Command::Pause,
                ChannelVerb::Resume => Command::Resume,
                ChannelVerb::Skip => Command::Skip(scn),
            };
            self.find(&command)?.command(verb).await.map_err(CommandError::Conflict)
        }
        .boxed()
    }
}

impl NodeState {
    /// The one direction that a command means.
    fn find(&self, command: &ChannelCommand) -> Result<&RunningDirection, CommandError> {
        let of_channel = |direction: &&RunningDirection| direction.channel == command.channel;
        let meant: Vec<&RunningDirection> = self
            .directions
            .iter()
            .filter(of_channel)
            .filter(|direction| command.to.as_ref().is_none_or(|to| *to == direction.to))
            .collect();
        match meant.as_slice() {
            [one] => Ok(one),
            [] => Err(CommandError::NotFound(self.where_it_runs(command))),
            several => {
                let targets: Vec<&str> = several.iter().map(|direction| direction.to.as_str()).collect();
                Err(CommandError::Conflict(format!(
                    "channel {} has several directions here; name one with --to: {}",
                    command.channel,
                    targets.join(", ")
                )))
            }
        }
    }

    fn where_it_runs(&self, command: &ChannelCommand) -> String {
        let elsewhere: Vec<String> = self
            .deployment
            .directions()
            .filter(|(channel, _)| channel.name == command.channel)
            .filter(|(_, direction)| command.to.as_ref().is_none_or(|to| *to == direction.to))
            .filter_map(|(_, direction)| {
                let site = &self.deployment.instances[&direction.to].site;
                let node = self.deployment.node_of_site(site)?;
                Some(format!("to {} on node {}", direction.to, node.id))
            })
            .collect();
        if elsewhere.is_empty() {
            return format!("there is no channel {} with such a direction", command.channel);
        }
        format!(
            "node {} does not apply that direction of channel {}; it runs {}: ask that node's admin address",
            self.node.id,
            command.channel,
            elsewhere.join(", ")
        )
    }
}

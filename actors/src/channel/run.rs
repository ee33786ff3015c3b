//! One life of a direction, from a finished recovery to its end: scheduler, pull and shards.

use std::collections::BTreeMap;
use std::sync::Arc;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use weft_core::channel::recovery::StoredWatermark;
use weft_core::channel::runs::ShardRuns;
use weft_core::channel::schedule::{Pushed, Scheduler, ShardId};
use weft_core::filter::transform::Transformer;
use weft_core::instance::tell_apart;
use weft_core::mark::{Epoch, Run as AppliedRun};
use weft_core::scn::Scn;
use weft_core::sink::step::{Stop, StopKind};
use weft_core::time::Micros;
use weft_core::transaction::Body;

use super::args::ChannelArgs;
use super::lag::Lag;
use super::message::{ChannelMessage, Incarnation};
use super::metrics::DirectionMetrics;
use super::recovery::Ready;
use crate::link::puller::{PullControl, PullHandle, Pulled};
use crate::sink::batch::BatchContext;
use crate::sink::message::ShardMessage;
use crate::sink::shard::{FromShard, Shard, ShardArgs};

/// A running direction.
pub struct Run {
    transformer: Transformer,
    scheduler: Scheduler,
    shards: Vec<ActorRef<ShardMessage>>,
    pull: JoinHandle<()>,
    control: PullControl,
    /// Why the source's node does not serve, while it does not.
    trouble: Option<Trouble>,
    watermark: watch::Sender<(Scn, Micros)>,
    lag: Lag,
    /// Bytes pulled and not applied.
    held_bytes: u64,
    behind_bytes: u64,
    epoch: Epoch,
    /// Full names of source and target, and the server id of the target's server.
    between: (String, String, u32),
    /// The source's server was seen to be another one than the target's.
    told_apart: bool,
    /// What each shard committed last in this life.
    committed: BTreeMap<u16, Scn>,
    /// Hand out nothing more: pausing or draining.
    holding: bool,
    metrics: DirectionMetrics,
}

/// Why nothing comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    pub reason: String,
    /// The node answers and refuses: a person must see to it.
    pub refused: bool,
}

/// What a shard's report adds to the counts.
#[derive(Debug, Default, Clone, Copy)]
pub struct Applied {
    pub transactions: u64,
    pub rows: u64,
    pub skipped: u64,
    pub conflicts: u64,
}

impl Run {
    /// Starts the shards and the pull.
    ///
    /// # Errors
    /// When an actor cannot be spawned, which is a broken runtime.
    pub async fn start(
        myself: &ActorRef<ChannelMessage>,
        args: &ChannelArgs,
        incarnation: Incarnation,
        ready: Ready,
    ) -> Result<Run, ActorProcessingErr> {
        let (watermark, epoch, target_server_id) = (ready.start.watermark, ready.epoch, ready.server_id);
        let (watermark_tx, watermark_rx) = watch::channel((watermark.scn, watermark.time));
        let mut shards = Vec::new();
        for shard in 0..args.schedule.shards {
            let runs = ready
                .runs
                .iter()
                .find(|(of, _)| *of == shard)
                .map_or_else(Vec::new, |(_, runs)| runs.clone());
            let shard_args = shard_args(myself, args, incarnation, &ready, shard, runs, watermark_rx.clone());
            let (actor, _) = Actor::spawn_linked(None, Shard, shard_args, myself.get_cell()).await?;
            shards.push(actor);
        }
        let pull = (args.pulls)(Some(watermark.scn));
        let control = pull.control.clone();
        let pull = tokio::spawn(forward(pull, myself.clone(), incarnation));
        Ok(Run {
            transformer: Transformer::new(args.transforms.clone()),
            scheduler: Scheduler::new(args.schedule.clone(), ready.start),
            shards,
            pull,
            control,
            trouble: None,
            watermark: watermark_tx,
            lag: Lag::new(args.clock.now(), watermark.time),
            held_bytes: 0,
            behind_bytes: 0,
            epoch,
            between: (args.source.clone(), args.target_name.clone(), target_server_id),
            told_apart: false,
            committed: BTreeMap::new(),
            holding: false,
            metrics: args.metrics.clone(),
        })
    }

    /// Takes what the pull brought. Some reason: the life must end.
    pub fn pulled(&mut self, pulled: Vec<Pulled>) -> Option<Stop> {
        let again = |reason| Some(Stop { scn: None, reason, kind: StopKind::ConnectionLost });
        for one in pulled {
            match one {
                Pulled::Begins { server_id, .. } => {
                    let (from, to, own) = &self.between;
                    if let Err(same) = tell_apart((from, server_id), (to, *own)) {
                        return Some(Stop {
                            scn: None,
                            reason: same.to_string(),
                            kind: StopKind::SameServer,
                        });
                    }
                    self.told_apart = true;
                }
                Pulled::Delivery(delivery, bytes) => {
                    self.trouble = None;
                    if let Body::Heartbeat { written } = delivery.transaction.header.body {
                        self.lag.heartbeat(delivery.transaction.header.scn, written);
                    }
                    self.held_bytes += bytes;
                    let scn = delivery.transaction.header.scn;
                    let delivery = self.transformer.transform(delivery);
                    if self.scheduler.push(delivery, bytes) == Pushed::Broken {
                        return again(format!("{scn} came while a large transaction was not complete"));
                    }
                }
                Pulled::Progress { scn, source_time, behind_bytes, .. } => {
                    self.trouble = None;
                    self.behind_bytes = behind_bytes;
                    self.scheduler.progress(scn, source_time);
                }
                Pulled::Disconnected { reason } => self.trouble = Some(Trouble { reason, refused: false }),
                Pulled::Refused { reason, .. } => self.trouble = Some(Trouble { reason, refused: true }),
                Pulled::Restarted { after } => {
                    return again(format!(
                        "a large transaction was cut off by the link and is pulled again from {after}"
                    ));
                }
            }
        }
        None
    }

    /// Hands out what may be applied now, and gives credit back.
    pub fn drive(&mut self, now: Micros) {
        if !self.holding {
            for assignment in self.scheduler.poll() {
                let shard = &self.shards[usize::from(assignment.shard.0)];
                // A shard that is gone is seen by supervision, which ends this life.
                let _ = shard.cast(ShardMessage::Work(assignment.units));
            }
        }
        let freed = self.scheduler.take_freed_bytes();
        if freed > 0 {
            self.held_bytes = self.held_bytes.saturating_sub(freed);
            self.control.credit(freed);
        }
        let watermark = self.scheduler.watermark();
        self.lag.passed(watermark.scn, now);
        self.watermark.send_if_modified(|current| {
            let moved = current.0 != watermark.scn;
            *current = (watermark.scn, watermark.time);
            moved
        });
    }

    /// Takes a shard's report.
    ///
    /// # Errors
    /// The stop that the shard reported.
    pub fn shard(&mut self, report: FromShard) -> Result<Applied, Stop> {
        match report {
            FromShard::Stopped { stop, .. } => Err(stop),
            FromShard::Written { shard, units } => {
                self.scheduler.acked(ShardId(shard), &units);
                Ok(Applied::default())
            }
            FromShard::Applied { shard, units, report, took } => {
                let transactions = units.iter().filter(|unit| unit.scn.row <= 1).count() as u64;
                self.metrics.applied(&report, transactions, took);
                if let Some(last) = units.last().filter(|_| report.committed) {
                    self.committed.insert(shard, last.scn);
                }
                self.scheduler.acked(ShardId(shard), &units);
                Ok(Applied {
                    transactions,
                    rows: report.rows_applied,
                    skipped: report.rows_skipped,
                    conflicts: report.conflicts.iter().map(|(_, count)| count).sum(),
                })
            }
        }
    }

    /// Microseconds that the direction is behind.
    pub fn lag_us(&self, now: Micros) -> u64 {
        self.lag.now(now)
    }

    pub fn trouble(&self) -> Option<&Trouble> {
        self.trouble.as_ref()
    }

    /// Why the scheduler goes no further, once everything before is applied.
    pub fn stopped(&self) -> Option<Stop> {
        self.scheduler.stopped().cloned()
    }

    pub fn hold(&mut self) {
        self.holding = true;
    }

    /// Nothing is with the shards.
    pub fn is_drained(&self) -> bool {
        self.scheduler.nothing_in_flight()
    }

    /// Whether the source's server was seen to be another one than the target's.
    pub fn told_apart(&self) -> bool {
        self.told_apart
    }

    pub fn watermark(&self) -> Scn {
        self.scheduler.watermark().scn
    }

    /// Bytes pulled and not applied, and those that the source has beyond.
    pub fn lag_bytes(&self) -> u64 {
        self.behind_bytes + self.held_bytes
    }

    /// Of these, what is only at the source.
    pub fn behind_bytes(&self) -> u64 {
        self.behind_bytes
    }

    pub fn stored_watermark(&self) -> StoredWatermark {
        let watermark = self.scheduler.watermark();
        StoredWatermark {
            watermark: watermark.scn,
            time: watermark.time,
            epoch: self.epoch,
            committed: self.committed.values().copied().collect(),
        }
    }

    /// Ends the shards and the pull. A batch under way may still commit: the next recovery shuts its
    /// session out before it reads the marks.
    pub fn end(self) {
        self.pull.abort();
        for shard in self.shards {
            shard.stop(None);
        }
    }
}

/// Passes on what is pulled, in batches; ends with the channel.
async fn forward(mut pull: PullHandle, to: ActorRef<ChannelMessage>, incarnation: Incarnation) {
    loop {
        let mut pulled = Vec::new();
        if pull.pulled.recv_many(&mut pulled, 256).await == 0
            || to.cast(ChannelMessage::Pulled(incarnation, pulled)).is_err()
        {
            return;
        }
    }
}

fn shard_args(
    myself: &ActorRef<ChannelMessage>,
    args: &ChannelArgs,
    incarnation: Incarnation,
    ready: &Ready,
    shard: u16,
    runs: Vec<AppliedRun>,
    watermark: watch::Receiver<(Scn, Micros)>,
) -> ShardArgs {
    let to_channel = myself.clone();
    ShardArgs {
        shard,
        epoch: ready.epoch,
        target: args.target.clone(),
        context: Arc::new(BatchContext {
            ledger: args.ledger_or_empty(),
            server_id: ready.server_id,
            fence_timeout: args.fence_timeout,
            metrics: args.metrics.clone(),
        }),
        apply: args.apply.clone(),
        batch_rows_max: args.batch_rows_max,
        watermark,
        runs: ShardRuns::recovered(runs),
        report: Arc::new(move |report| {
            // The channel outlives its shards, but for the end of the node.
            let _ = to_channel.cast(ChannelMessage::Shard(incarnation, report));
        }),
    }
}

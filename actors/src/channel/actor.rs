//! The channel actor: the life and the state of one direction.

use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, SupervisionEvent};
use weft_core::channel::delivery::Consistency;
use weft_core::channel::schedule::ScheduleConfig;
use weft_core::ledger::Ledger;
use weft_core::scn::Scn;
use weft_core::sink::apply::ApplyConfig;
use weft_core::sink::step::{Stop, StopKind};

use super::message::{ChannelMessage, Command, Incarnation};
use super::metrics::DirectionMetrics;
use super::recovery::{self, Ready, RecoveryContext, RecoveryError};
use super::run::{Applied, Run};
use super::status::{Board, DirectionStatus, Phase};
use crate::binlog::ledger::SharedLedger;
use crate::link::puller::{PullHandle, Pulled};
use crate::ports::{Clock, Target, TargetError, WatermarkStore};

/// How often the cause of a stop is tried again.
const RETRY: Duration = Duration::from_secs(3);
/// The first try after a lost connection: most are back at once.
const RETRY_SOON: Duration = Duration::from_millis(300);
const TICK: Duration = Duration::from_millis(500);

/// Starts a pull after an SCN; None: from where the source's node says that the channel begins.
pub type StartPull = Arc<dyn Fn(Option<Scn>) -> PullHandle + Send + Sync>;

/// What a direction is made with.
pub struct ChannelArgs {
    pub channel: String,
    /// Full names of the instances.
    pub source: String,
    pub target_name: String,
    pub schedule: ScheduleConfig,
    pub apply: ApplyConfig,
    pub batch_rows_max: usize,
    pub fence_timeout: Duration,
    pub target: Arc<dyn Target>,
    /// The target's ledger, where the target is captured too.
    pub ledger: Option<Arc<SharedLedger>>,
    pub pulls: StartPull,
    pub watermarks: Arc<dyn WatermarkStore>,
    pub clock: Arc<dyn Clock>,
    pub board: Board<DirectionStatus>,
    pub metrics: DirectionMetrics,
}

impl ChannelArgs {
    /// `channel:source>target`: the direction's name in logs, metrics and files.
    pub fn direction(&self) -> String {
        format!("{}:{}>{}", self.channel, self.source, self.target_name)
    }

    /// One-way channels ask no ledger, but the engine wants one to ask.
    pub fn ledger_or_empty(&self) -> Arc<SharedLedger> {
        self.ledger.clone().unwrap_or_else(|| Arc::new(SharedLedger::new(Ledger::default())))
    }
}

pub struct Channel;

pub struct ChannelState {
    args: Arc<ChannelArgs>,
    incarnation: Incarnation,
    life: Life,
    /// The change that the direction last stopped at, until the watermark has passed it.
    stopped_at: Option<Stop>,
    /// This actor took the direction over once: from then on it takes it from nobody who lives.
    owned_once: bool,
    paused: bool,
    draining: Option<RpcReplyPort<()>>,
}

enum Life {
    /// Nothing runs: paused, stopped, or not begun.
    Resting,
    Recovering,
    Running(Box<Run>),
}

impl Actor for Channel {
    type Msg = ChannelMessage;
    type State = ChannelState;
    type Arguments = Arc<ChannelArgs>;

    async fn pre_start(
        &self,
        myself: ActorRef<ChannelMessage>,
        args: Arc<ChannelArgs>,
    ) -> Result<ChannelState, ActorProcessingErr> {
        myself.cast(ChannelMessage::Begin)?;
        myself.send_interval(TICK, || ChannelMessage::Tick);
        let now = args.clock.now();
        args.board.update(|status| status.watermark_moved = now);
        Ok(ChannelState {
            args,
            incarnation: Incarnation(0),
            life: Life::Resting,
            stopped_at: None,
            owned_once: false,
            paused: false,
            draining: None,
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<ChannelMessage>,
        message: ChannelMessage,
        state: &mut ChannelState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ChannelMessage::Begin => state.begin(&myself),
            ChannelMessage::Again(of) if of == state.incarnation => state.begin(&myself),
            ChannelMessage::Recovered(of, result) if of == state.incarnation => {
                state.recovered(&myself, result).await?;
            }
            ChannelMessage::Pulled(of, pulled) if of == state.incarnation => state.pulled(&myself, pulled),
            ChannelMessage::Shard(of, report) if of == state.incarnation => state.shard(&myself, report),
            ChannelMessage::Again(..)
            | ChannelMessage::Recovered(..)
            | ChannelMessage::Pulled(..)
            | ChannelMessage::Shard(..) => {}
            ChannelMessage::Tick => state.tick(),
            ChannelMessage::Command(command, reply) => state.command(&myself, command, reply),
            ChannelMessage::Drain(reply) => state.drain(reply),
        }
        state.rest_if_drained();
        Ok(())
    }

    /// A shard that died without a word broke an invariant: end this life and recover.
    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<ChannelMessage>,
        event: SupervisionEvent,
        state: &mut ChannelState,
    ) -> Result<(), ActorProcessingErr> {
        if let SupervisionEvent::ActorFailed(_, error) = event {
            tracing::error!(direction = state.args.direction(), %error, "a shard failed");
            let reason = format!("a shard failed: {error}; the direction recovers from its marks");
            state.stop(&myself, Stop { scn: None, reason, kind: StopKind::Refused });
        }
        Ok(())
    }
}

impl ChannelState {
    fn begin(&mut self, myself: &ActorRef<ChannelMessage>) {
        if self.paused || !matches!(self.life, Life::Resting) {
            return;
        }
        self.incarnation.0 += 1;
        self.life = Life::Recovering;
        let direction = self.args.direction();
        let context = RecoveryContext {
            target: self.args.target.clone(),
            target_name: self.args.target_name.clone(),
            channel: self.args.channel.clone(),
            source_name: self.args.source.clone(),
            shards: self.args.schedule.shards,
            ledger: self.args.ledger.clone(),
            stored: self.args.watermarks.load(&direction),
        };
        let owned_once = self.owned_once;
        let (pulls, incarnation, myself) = (self.args.pulls.clone(), self.incarnation, myself.clone());
        tokio::spawn(async move {
            let result = recover(&context, owned_once, pulls).await;
            let _ = myself.cast(ChannelMessage::Recovered(incarnation, result));
        });
    }

    async fn recovered(
        &mut self,
        myself: &ActorRef<ChannelMessage>,
        result: Result<Ready, RecoveryError>,
    ) -> Result<(), ActorProcessingErr> {
        let direction = self.args.direction();
        self.owned_once |= matches!(result, Ok(_) | Err(RecoveryError::ProbeLost { .. }));
        match result {
            Ok(ready) => {
                let watermark = ready.start.watermark.scn;
                tracing::info!(direction, epoch = ready.epoch.0, %watermark, "recovered; pulling");
                self.args.metrics.recovered();
                let run = Run::start(myself, &self.args, self.incarnation, ready).await?;
                self.life = Life::Running(Box::new(run));
                if self.stopped_at.as_ref().is_some_and(|stop| stop.scn.is_none()) {
                    self.stopped_at = None;
                }
                self.show();
            }
            Err(error) => {
                let kind = match error {
                    RecoveryError::Target(TargetError::Fenced(_)) => StopKind::Fenced,
                    // At a start the source's node may be some milliseconds behind this one.
                    RecoveryError::Target(TargetError::Unreachable(_)) | RecoveryError::NoStart(_) => {
                        StopKind::ConnectionLost
                    }
                    _ => StopKind::Refused,
                };
                let scn = self.stopped_at.as_ref().and_then(|stop| stop.scn);
                self.stop(myself, Stop { scn, reason: error.to_string(), kind });
            }
        }
        Ok(())
    }

    fn pulled(&mut self, myself: &ActorRef<ChannelMessage>, pulled: Vec<Pulled>) {
        let Life::Running(run) = &mut self.life else { return };
        if let Some(reason) = run.pulled(pulled) {
            return self.stop(myself, Stop { scn: None, reason, kind: StopKind::ConnectionLost });
        }
        self.drive(myself);
    }

    fn shard(&mut self, myself: &ActorRef<ChannelMessage>, report: crate::sink::shard::FromShard) {
        let Life::Running(run) = &mut self.life else { return };
        match run.shard(report) {
            Ok(applied) => {
                self.count(applied);
                self.drive(myself);
            }
            Err(stop) => self.stop(myself, stop),
        }
    }

    fn drive(&mut self, myself: &ActorRef<ChannelMessage>) {
        let Life::Running(run) = &mut self.life else { return };
        run.drive(self.args.clock.now());
        let passed = self.stopped_at.as_ref().and_then(|stop| stop.scn);
        if passed.is_some_and(|scn| run.watermark() >= scn.transaction()) {
            self.stopped_at = None;
            self.show();
        }
        let Life::Running(run) = &mut self.life else { return };
        if let Some(stop) = run.stopped().filter(|_| run.is_drained()) {
            self.stop(myself, stop);
        }
    }

    /// Ends this life, says why, and tries again later.
    fn stop(&mut self, myself: &ActorRef<ChannelMessage>, stop: Stop) {
        let direction = self.args.direction();
        let soon = stop.kind == StopKind::ConnectionLost && self.stopped_at.is_none();
        tracing::warn!(
            direction,
            scn = stop.scn.map(tracing::field::display),
            reason = stop.reason,
            "stopped"
        );
        self.args.metrics.stopped(stop.kind);
        self.rest();
        self.stopped_at = Some(stop);
        self.show();
        let incarnation = self.incarnation;
        myself.send_after(if soon { RETRY_SOON } else { RETRY }, move || ChannelMessage::Again(incarnation));
    }

    /// Ends what runs, and makes everything that it still says stale.
    fn rest(&mut self) {
        self.incarnation.0 += 1;
        if let Life::Running(run) = std::mem::replace(&mut self.life, Life::Resting) {
            self.args.watermarks.save(&self.args.direction(), run.stored_watermark());
            run.end();
        }
    }

    fn rest_if_drained(&mut self) {
        let holding = self.paused || self.draining.is_some();
        let drained = match &self.life {
            Life::Resting => true,
            Life::Recovering => true,
            Life::Running(run) => run.is_drained(),
        };
        if !holding || !drained {
            return;
        }
        if !matches!(self.life, Life::Resting) {
            self.rest();
        }
        self.show();
        if let Some(reply) = self.draining.take() {
            let _ = reply.send(());
        }
    }

    fn command(
        &mut self,
        myself: &ActorRef<ChannelMessage>,
        command: Command,
        reply: RpcReplyPort<Result<(), String>>,
    ) {
        match command {
            Command::Pause => {
                self.paused = true;
                if let Life::Running(run) = &mut self.life {
                    run.hold();
                }
                let _ = reply.send(Ok(()));
            }
            // At a statement that stops the direction, to resume says: it was dealt with at the target.
            Command::Resume if self.stopped_at.as_ref().is_some_and(|stop| stop.kind == StopKind::Ddl) => {
                self.paused = false;
                self.skip(myself, None, "resumed after", reply);
            }
            Command::Resume => {
                self.paused = false;
                let _ = myself.cast(ChannelMessage::Begin);
                let _ = reply.send(Ok(()));
            }
            Command::Skip(scn) => self.skip(myself, scn, "skipped", reply),
        }
    }

    /// Puts on record that the change is passed over, then recovers past it.
    fn skip(
        &mut self,
        myself: &ActorRef<ChannelMessage>,
        wanted: Option<Scn>,
        verb: &str,
        reply: RpcReplyPort<Result<(), String>>,
    ) {
        let stopped_at = self.stopped_at.as_ref().and_then(|stop| stop.scn.map(|scn| (scn, &stop.reason)));
        let (scn, what) = match (stopped_at, wanted) {
            (None, _) => {
                let _ = reply
                    .send(Err("the direction is not stopped at a change: there is nothing to skip".into()));
                return;
            }
            (Some((scn, _)), Some(wanted)) if wanted.transaction() != scn.transaction() => {
                let _ = reply.send(Err(format!("the direction is stopped at {scn}, not at {wanted}")));
                return;
            }
            // Only where transactions are cut into rows can a single row be passed over.
            (Some((scn, reason)), _) if self.args.schedule.consistency == Consistency::Row => {
                (scn, format!("{verb}: {reason}"))
            }
            (Some((scn, reason)), _) => (scn.transaction(), format!("{verb}: {reason}")),
        };
        self.rest();
        let (target, myself) = (self.args.target.clone(), myself.clone());
        tokio::spawn(async move {
            let recorded = target.record_skip(scn, &what).await.map_err(|error| error.to_string());
            let _ = reply.send(recorded);
            let _ = myself.cast(ChannelMessage::Begin);
        });
    }

    fn drain(&mut self, reply: RpcReplyPort<()>) {
        if let Life::Running(run) = &mut self.life {
            run.hold();
        }
        self.paused = true;
        self.draining = Some(reply);
    }

    fn tick(&mut self) {
        let now = self.args.clock.now();
        if let Life::Running(run) = &mut self.life {
            let (lag_us, lag_bytes) = (run.lag_us(now), run.lag_bytes());
            let behind_bytes = run.behind_bytes();
            let (watermark, stored) = (run.watermark(), run.stored_watermark());
            self.args.board.update(|status| {
                (status.lag_us, status.lag_bytes) = (lag_us, lag_bytes);
                status.behind_bytes = behind_bytes;
                if status.watermark != Some(watermark) {
                    status.watermark_moved = now;
                }
                status.watermark = Some(watermark);
                status.watermark_time = stored.time;
            });
            self.args.watermarks.save(&self.args.direction(), stored);
        } else {
            let ticked_us = TICK.as_micros() as u64;
            self.args.board.update(|status| status.lag_us += ticked_us);
        }
        self.show();
        self.args.metrics.show(&self.args.board.get(), now);
    }

    fn count(&self, applied: Applied) {
        self.args.board.update(|status| {
            status.transactions_applied += applied.transactions;
            status.rows_applied += applied.rows;
            status.rows_skipped += applied.skipped;
            status.conflicts += applied.conflicts;
        });
    }

    /// Brings phase and reason up to date.
    fn show(&self) {
        let (phase, reason) = match (&self.life, &self.stopped_at) {
            (Life::Resting, _) if self.paused => (Phase::Paused, None),
            (_, Some(stop)) => (Phase::Stopped, Some(stop.reason.clone())),
            (Life::Running(run), None) => match run.trouble() {
                Some(trouble) if trouble.refused => (Phase::Stopped, Some(trouble.reason.clone())),
                Some(trouble) => (Phase::Running, Some(trouble.reason.clone())),
                None => (Phase::Running, None),
            },
            (_, None) => (Phase::Starting, None),
        };
        self.args.board.update(|status| (status.phase, status.reason) = (phase, reason));
    }
}

/// Recovers, asking the source where to begin if the channel never ran. Who owned the direction once
/// leaves a living owner alone: the new one killed the old one's sessions, which looks like a lost
/// connection, and two owners would take the direction from each other for ever.
async fn recover(
    context: &RecoveryContext,
    owned_once: bool,
    pulls: StartPull,
) -> Result<Ready, RecoveryError> {
    if owned_once && context.target.owned_by_other().await? {
        let reason =
            format!("another node runs this direction to {} now; stop one of the two", context.target_name);
        return Err(RecoveryError::Target(crate::ports::TargetError::Fenced(reason)));
    }
    match recovery::recover(context, None).await {
        Err(RecoveryError::NoMarks) => {
            let start = ask_start(&pulls).await.map_err(RecoveryError::NoStart)?;
            recovery::recover(context, Some(start)).await
        }
        other => other,
    }
}

/// Asks the source's node where the channel begins.
async fn ask_start(pulls: &StartPull) -> Result<Scn, String> {
    const PATIENCE: Duration = Duration::from_secs(10);
    let mut pull = pulls(None);
    let answer = tokio::time::timeout(PATIENCE, async {
        let mut trouble = "the source's node did not say where the channel begins".to_owned();
        while let Some(pulled) = pull.pulled.recv().await {
            match pulled {
                Pulled::Begins(start) => return Ok(start),
                Pulled::Refused { reason } => return Err(reason),
                Pulled::Disconnected { reason } => trouble = reason,
                Pulled::Delivery(..) | Pulled::Progress { .. } | Pulled::Restarted { .. } => {}
            }
        }
        Err(trouble)
    });
    answer.await.unwrap_or_else(|_| Err("the source's node cannot be reached".into()))
}

//! The channel actor: the life and the state of one direction.

use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, SupervisionEvent};
use weft_core::sink::step::{Stop, StopKind};

use super::args::ChannelArgs;
use super::message::{ChannelMessage, Incarnation};
use super::recovery::{self, Ready, RecoveryContext, RecoveryError};
use super::run::{Applied, Run};
use super::status::Phase;
use crate::link::puller::Pulled;
use crate::ports::TargetError;

/// How often the cause of a stop is tried again.
const RETRY: Duration = Duration::from_secs(3);
/// The first try after a lost connection: most are back at once.
const RETRY_SOON: Duration = Duration::from_millis(300);
const TICK: Duration = Duration::from_millis(500);

pub struct Channel;

pub struct ChannelState {
    pub(super) args: Arc<ChannelArgs>,
    incarnation: Incarnation,
    pub(super) life: Life,
    /// The change that the direction last stopped at, until the watermark has passed it.
    pub(super) stopped_at: Option<Stop>,
    /// What a direction that never ran waits for.
    waiting: Option<String>,
    /// This actor took the direction over once: from then on it takes it from nobody who lives.
    owned_once: bool,
    pub(super) paused: bool,
    pub(super) draining: Option<RpcReplyPort<()>>,
}

pub(super) enum Life {
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
            waiting: None,
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
            watermarks: self.args.watermarks.clone(),
            direction,
        };
        let owned_once = self.owned_once;
        let (pulls, incarnation, myself) = (self.args.pulls.clone(), self.incarnation, myself.clone());
        tokio::spawn(async move {
            let result = recovery::take_over(&context, owned_once, pulls).await;
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
                self.waiting = None;
                let watermark = ready.start.watermark.scn;
                match self.stopped_at.as_ref().filter(|stop| shows_later(stop)) {
                    // Tried again every few seconds: whether it goes on is told when it does.
                    Some(_) => tracing::debug!(direction, %watermark, "recovered; trying the change again"),
                    None => {
                        tracing::info!(direction, epoch = ready.epoch.0, %watermark, "recovered; pulling")
                    }
                }
                self.args.metrics.recovered();
                let run = Run::start(myself, &self.args, self.incarnation, ready).await?;
                self.life = Life::Running(Box::new(run));
                if self.stopped_at.as_ref().is_some_and(|stop| !shows_later(stop)) {
                    self.stopped_at = None;
                }
                self.show();
            }
            Err(error) => {
                let kind = match error {
                    RecoveryError::NoStart(reason) => {
                        self.wait_for_start(myself, reason);
                        return Ok(());
                    }
                    RecoveryError::Target(TargetError::Fenced(_)) => StopKind::Fenced,
                    RecoveryError::Target(TargetError::Unreachable(_)) => StopKind::ConnectionLost,
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
        if let Some(stop) = run.pulled(pulled) {
            return self.stop(myself, stop);
        }
        if run.told_apart() && self.stopped_at.as_ref().is_some_and(|stop| stop.kind == StopKind::SameServer)
        {
            tracing::info!(direction = self.args.direction(), "the servers have two ids now; going on");
            self.stopped_at = None;
            self.show();
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
        if let Some(scn) = passed.filter(|scn| run.watermark() >= scn.transaction()) {
            tracing::info!(direction = self.args.direction(), %scn, "past the change that it stopped at");
            self.stopped_at = None;
            self.show();
        }
        let Life::Running(run) = &mut self.life else { return };
        if let Some(stop) = run.stopped().filter(|_| run.is_drained()) {
            self.stop(myself, stop);
        }
    }

    /// The source's node is not there yet, or has not reached its instance: no trouble, but a start.
    fn wait_for_start(&mut self, myself: &ActorRef<ChannelMessage>, reason: String) {
        tracing::info!(direction = self.args.direction(), reason, "waiting for the channel's start");
        self.rest();
        self.waiting = Some(reason);
        self.show();
        let incarnation = self.incarnation;
        myself.send_after(RETRY_SOON, move || ChannelMessage::Again(incarnation));
    }

    /// Ends this life, says why, and tries again later.
    fn stop(&mut self, myself: &ActorRef<ChannelMessage>, stop: Stop) {
        let direction = self.args.direction();
        let soon = stop.kind == StopKind::ConnectionLost && self.stopped_at.is_none();
        let told = self.stopped_at.as_ref().is_some_and(|before| *before == stop);
        let scn = stop.scn.map(tracing::field::display);
        // A cause that stays is met again every few seconds, and was told.
        if told {
            tracing::debug!(direction, scn, reason = stop.reason, "still stopped");
        } else {
            tracing::warn!(direction, scn, reason = stop.reason, "stopped");
        }
        self.args.metrics.stopped(stop.kind);
        self.rest();
        self.stopped_at = Some(stop);
        self.show();
        let incarnation = self.incarnation;
        myself.send_after(if soon { RETRY_SOON } else { RETRY }, move || ChannelMessage::Again(incarnation));
    }

    /// Ends what runs, and makes everything that it still says stale.
    pub(super) fn rest(&mut self) {
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
            (_, None) => (Phase::Starting, self.waiting.clone()),
        };
        self.args.board.update(|status| (status.phase, status.reason) = (phase, reason));
    }
}

/// Whether a recovery alone does not show that the cause is gone: that shows at the change itself, or
/// when the source's node has said which server answers there.
fn shows_later(stop: &Stop) -> bool {
    stop.scn.is_some() || stop.kind == StopKind::SameServer
}

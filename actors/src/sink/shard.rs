//! The shard actor: owns one session at the target and applies batch after batch.
//!
//! A batch runs in a task of its own, so that the shard always hears its channel. Whatever goes
//! wrong beyond a retry ends the shard's work: it reports why, and the channel recovers from the
//! marks. A shard that reported is never used again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::watch;
use weft_core::channel::delivery::Unit;
use weft_core::channel::runs::ShardRuns;
use weft_core::mark::Epoch;
use weft_core::scn::Scn;
use weft_core::sink::apply::{Apply, ApplyConfig, MarkBase};
use weft_core::sink::step::{Outcome, Report, RetryCause, Step, Stop, StopKind};
use weft_core::time::Micros;

use super::batch::{self, BatchContext, BatchEnd};
use super::message::ShardMessage;
use super::queue::Queue;
use crate::channel::metrics::cause_label;
use crate::ports::{Session, Target, TargetError};

/// Longest wait between two tries of a batch.
const BACKOFF_MAX: Duration = Duration::from_secs(1);
const BACKOFF_FIRST: Duration = Duration::from_millis(5);
/// How often a session that does nothing is looked after. A target that was replaced or lost its last
/// commits is to be mended though the source writes nothing.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What a shard tells its channel.
#[derive(Debug)]
pub enum FromShard {
    /// These units are committed, or passed over.
    Applied { shard: u16, units: Vec<Unit>, report: Report, took: Duration },
    /// These parts of a large transaction are written, but not committed: their bytes may be let
    /// go. The last part is reported as applied.
    Written { shard: u16, units: Vec<Unit> },
    /// The shard cannot go on.
    Stopped { shard: u16, stop: Stop },
}

/// What a shard is made with.
pub struct ShardArgs {
    pub shard: u16,
    pub epoch: Epoch,
    pub target: Arc<dyn Target>,
    pub context: Arc<BatchContext>,
    pub apply: ApplyConfig,
    pub batch_rows_max: usize,
    /// The channel's watermark and its source time, as they move.
    pub watermark: watch::Receiver<(Scn, Micros)>,
    /// What this shard's mark said at recovery.
    pub runs: ShardRuns,
    /// Carries what the shard says to its channel.
    pub report: Arc<dyn Fn(FromShard) + Send + Sync>,
}

pub struct Shard;

pub struct ShardState {
    args: ShardArgs,
    queue: Queue,
    runs: ShardRuns,
    work: Work,
    tries: u32,
    /// Retries in a row because a row was taken or went meanwhile.
    races: u32,
    /// So many units are applied one at a time, to find the one that does not fit.
    one_by_one: usize,
    /// Parts of the open transaction were written and let go.
    in_parts: bool,
    began: Instant,
}

/// What the shard is doing.
enum Work {
    /// The session is being opened.
    Opening,
    Idle(Box<dyn Session>),
    /// The idle session is looked after.
    Looking,
    /// A batch runs in its own task.
    Running {
        units: Vec<Unit>,
    },
    /// A large transaction is open at the target and waits for its next part.
    BetweenParts {
        session: Box<dyn Session>,
        apply: Box<Apply>,
    },
    /// Waiting to try the batch again.
    BackingOff {
        session: Box<dyn Session>,
        units: Vec<Unit>,
    },
    /// Reported why; nothing more is done.
    Stopped,
}

impl Actor for Shard {
    type Msg = ShardMessage;
    type State = ShardState;
    type Arguments = ShardArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<ShardMessage>,
        args: ShardArgs,
    ) -> Result<ShardState, ActorProcessingErr> {
        let (target, shard, epoch) = (args.target.clone(), args.shard, args.epoch);
        // Ends with the actor.
        drop(myself.send_interval(LOOK_EVERY, || ShardMessage::Look));
        tokio::spawn(async move {
            let opened = target.session(shard, epoch).await;
            // A shard that is gone needs no session: dropping it closes the connection.
            let _ = myself.cast(ShardMessage::Session(opened));
        });
        let runs = args.runs.clone();
        Ok(ShardState {
            args,
            queue: Queue::default(),
            runs,
            work: Work::Opening,
            tries: 0,
            races: 0,
            one_by_one: 0,
            in_parts: false,
            began: Instant::now(),
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<ShardMessage>,
        message: ShardMessage,
        state: &mut ShardState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ShardMessage::Work(units) => state.queue.push(units),
            ShardMessage::Session(opened) => state.opened(opened),
            ShardMessage::Ended { session, apply, end } => state.ended(&myself, session, apply, end),
            ShardMessage::Again => state.again(&myself),
            ShardMessage::Look => state.look(&myself),
            ShardMessage::Looked(session, outcome) => state.looked(session, outcome),
        }
        state.go_on(&myself);
        Ok(())
    }
}

impl ShardState {
    fn opened(&mut self, opened: Result<Box<dyn Session>, TargetError>) {
        match opened {
            Ok(session) => self.work = Work::Idle(session),
            Err(error) => self.stop(stop_of(error)),
        }
    }

    /// Starts the next batch, or feeds the next part, if there is one and the shard is free.
    fn go_on(&mut self, myself: &ActorRef<ShardMessage>) {
        if self.queue.is_empty() {
            return;
        }
        match std::mem::replace(&mut self.work, Work::Stopped) {
            Work::Idle(session) => {
                // One row at most is one unit: whatever does not fit is then known by its SCN.
                let rows_max = if self.one_by_one > 0 { 1 } else { self.args.batch_rows_max };
                let units = self.queue.take(rows_max);
                (self.tries, self.races) = (0, 0);
                self.began = Instant::now();
                self.start(myself, session, units);
            }
            Work::BetweenParts { session, mut apply } => {
                let part = self.queue.take(1);
                let next = part.first().cloned().expect("the queue is not empty");
                let step = apply.part(next);
                self.run(myself, session, apply, step, part);
            }
            other => self.work = other,
        }
    }

    fn mark_base(&self) -> MarkBase {
        let (watermark, watermark_time) = *self.args.watermark.borrow();
        let eviction_floor = self.args.context.ledger.read().eviction_floor();
        MarkBase { watermark, watermark_time, runs: self.runs.clone(), eviction_floor }
    }

    fn start(&mut self, myself: &ActorRef<ShardMessage>, session: Box<dyn Session>, units: Vec<Unit>) {
        let apply = Apply::new(self.args.apply.clone(), units.clone(), self.mark_base());
        let mut apply = Box::new(apply.after_races(self.races));
        let step = apply.start();
        self.run(myself, session, apply, step, units);
    }

    fn run(
        &mut self,
        myself: &ActorRef<ShardMessage>,
        mut session: Box<dyn Session>,
        mut apply: Box<Apply>,
        step: Step,
        units: Vec<Unit>,
    ) {
        self.work = Work::Running { units };
        let (context, myself) = (self.args.context.clone(), myself.clone());
        tokio::spawn(async move {
            let end = batch::run(&context, &mut *session, &mut apply, step).await;
            let _ = myself.cast(ShardMessage::Ended { session, apply, end });
        });
    }

    fn ended(
        &mut self,
        myself: &ActorRef<ShardMessage>,
        session: Box<dyn Session>,
        apply: Box<Apply>,
        end: BatchEnd,
    ) {
        let Work::Running { units } = std::mem::replace(&mut self.work, Work::Stopped) else { return };
        match end {
            BatchEnd::Done(report) => {
                self.runs = apply.runs().clone();
                self.work = Work::Idle(session);
                self.in_parts = false;
                self.one_by_one = self.one_by_one.saturating_sub(units.len());
                let took = self.began.elapsed();
                (self.args.report)(FromShard::Applied { shard: self.args.shard, units, report, took });
            }
            BatchEnd::NeedPart => {
                self.in_parts = true;
                self.work = Work::BetweenParts { session, apply };
                (self.args.report)(FromShard::Written { shard: self.args.shard, units });
            }
            // The parts before are not kept: a large transaction is pulled again from its start.
            BatchEnd::Retry(cause) if self.in_parts => self.stop(large_again(&units, cause)),
            BatchEnd::Retry(cause) => {
                self.args.context.metrics.retried(cause);
                self.races = if cause == RetryCause::Raced { self.races + 1 } else { 0 };
                self.back_off(myself);
                self.work = Work::BackingOff { session, units };
            }
            BatchEnd::Stop(stop)
                if stop.kind == StopKind::DoesNotFit && stop.scn.is_none() && units.len() > 1 =>
            {
                self.one_by_one = units.len();
                self.queue.put_back(units);
                self.work = Work::Idle(session);
            }
            BatchEnd::Stop(stop) => self.stop(stop),
        }
    }

    fn back_off(&mut self, myself: &ActorRef<ShardMessage>) {
        let wait = BACKOFF_FIRST.saturating_mul(1 << self.tries.min(8)).min(BACKOFF_MAX);
        self.tries += 1;
        let myself = myself.clone();
        tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            let _ = myself.cast(ShardMessage::Again);
        });
    }

    fn again(&mut self, myself: &ActorRef<ShardMessage>) {
        match std::mem::replace(&mut self.work, Work::Stopped) {
            Work::BackingOff { session, units } => self.start(myself, session, units),
            other => self.work = other,
        }
    }

    fn look(&mut self, myself: &ActorRef<ShardMessage>) {
        match std::mem::replace(&mut self.work, Work::Looking) {
            Work::Idle(mut session) => {
                let myself = myself.clone();
                tokio::spawn(async move {
                    let outcome = session.look().await;
                    let _ = myself.cast(ShardMessage::Looked(session, outcome));
                });
            }
            busy => self.work = busy,
        }
    }

    fn looked(&mut self, session: Box<dyn Session>, outcome: Outcome) {
        match outcome {
            Outcome::Ok => self.work = Work::Idle(session),
            Outcome::Refused(stop) => self.stop(stop),
            _ => self.stop(Stop::connection_lost()),
        }
    }

    /// Drops the session, and with it the target transaction, and says why.
    fn stop(&mut self, stop: Stop) {
        self.work = Work::Stopped;
        (self.args.report)(FromShard::Stopped { shard: self.args.shard, stop });
    }
}

fn stop_of(error: TargetError) -> Stop {
    let (kind, reason) = match error {
        TargetError::Unreachable(reason) => (StopKind::ConnectionLost, reason),
        TargetError::Refused(reason) => (StopKind::Refused, reason),
        TargetError::Fenced(reason) => (StopKind::Fenced, reason),
    };
    Stop { scn: None, reason, kind }
}

fn large_again(units: &[Unit], cause: RetryCause) -> Stop {
    Stop {
        scn: units.first().map(|unit| unit.scn),
        reason: format!("a large transaction met {} and is pulled again from its start", cause_label(cause)),
        kind: StopKind::ConnectionLost,
    }
}

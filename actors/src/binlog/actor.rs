//! The replicator actor: the life and the state of one instance's capture.

use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::task::JoinHandle;

use super::args::ReplicatorArgs;
use super::capture;
use super::checkpoint::Checkpoints;
use super::error::CaptureError;
use super::metrics::SourceGauges;
use super::{heartbeat, restore};
use crate::metrics;

/// How long to wait before capture is tried again, at first and at most.
const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(3);

/// Messages to a replicator.
pub enum ReplicatorMessage {
    /// From the replicator's own timer: find where to go on, and capture.
    Begin,
    /// From the replicator's own timer, every second: bring the gauges up to date.
    Tick,
    /// From the capture task of this incarnation: it ended, always for a reason. The flag says
    /// whether it had captured anything.
    Ended { incarnation: u64, error: CaptureError, got_on: bool },
}

pub struct Replicator;

pub struct ReplicatorState {
    args: Arc<ReplicatorArgs>,
    incarnation: u64,
    capture: Option<JoinHandle<()>>,
    helpers: Vec<JoinHandle<()>>,
    gauges: SourceGauges,
    retry: Duration,
}

impl Actor for Replicator {
    type Msg = ReplicatorMessage;
    type State = ReplicatorState;
    type Arguments = Arc<ReplicatorArgs>;

    async fn pre_start(
        &self,
        myself: ActorRef<ReplicatorMessage>,
        args: Arc<ReplicatorArgs>,
    ) -> Result<ReplicatorState, ActorProcessingErr> {
        myself.cast(ReplicatorMessage::Begin)?;
        myself.send_interval(Duration::from_secs(1), || ReplicatorMessage::Tick);
        let gauges = SourceGauges::new(&args.instance);
        Ok(ReplicatorState {
            args,
            incarnation: 0,
            capture: None,
            helpers: Vec::new(),
            gauges,
            retry: RETRY_FIRST,
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<ReplicatorMessage>,
        message: ReplicatorMessage,
        state: &mut ReplicatorState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ReplicatorMessage::Begin => state.begin(&myself),
            ReplicatorMessage::Tick => state.gauges.show(&state.args),
            ReplicatorMessage::Ended { incarnation, error, got_on } if incarnation == state.incarnation => {
                state.ended(&myself, &error, got_on);
            }
            ReplicatorMessage::Ended { .. } => {}
        }
        Ok(())
    }

    async fn post_stop(
        &self,
        _myself: ActorRef<ReplicatorMessage>,
        state: &mut ReplicatorState,
    ) -> Result<(), ActorProcessingErr> {
        state.capture.iter().chain(&state.helpers).for_each(|task| task.abort());
        let checkpoints = state.checkpoints();
        if let Err(error) = tokio::task::spawn_blocking(move || checkpoints.write()).await? {
            tracing::warn!(%error, "the last ledger checkpoint was not written");
        }
        Ok(())
    }
}

impl ReplicatorState {
    fn begin(&mut self, myself: &ActorRef<ReplicatorMessage>) {
        self.incarnation += 1;
        let (args, myself, incarnation) = (self.args.clone(), myself.clone(), self.incarnation);
        let newest_before = args.buffer.newest();
        self.capture = Some(tokio::spawn(async move {
            let error = life(&args).await;
            let got_on = args.buffer.newest() != newest_before;
            let _ = myself.cast(ReplicatorMessage::Ended { incarnation, error, got_on });
        }));
        if self.helpers.is_empty() {
            self.helpers.push(self.checkpoints().start(self.args.checkpoint_interval));
            if let Some(interval) = self.args.heartbeat {
                let (source, clock) = (self.args.source.clone(), self.args.clock.clone());
                self.helpers.push(heartbeat::start(source, clock, interval, self.args.board.clone()));
            }
        }
    }

    fn ended(&mut self, myself: &ActorRef<ReplicatorMessage>, error: &CaptureError, got_on: bool) {
        self.retry = if got_on { RETRY_FIRST } else { (self.retry * 2).min(RETRY_MAX) };
        tracing::warn!(instance = self.args.instance, %error, "capture ended; it is tried again");
        metrics::BINLOG_RECONNECTS.counter(&[("database", &self.args.instance)]).increment(1);
        self.args.board.update(|status| {
            status.running = false;
            status.reason = Some(error.to_string());
            status.standstill = error.needs_a_person().then(|| error.to_string());
        });
        myself.send_after(self.retry, || ReplicatorMessage::Begin);
    }

    fn checkpoints(&self) -> Checkpoints {
        Checkpoints {
            ledger: self.args.ledger.clone(),
            buffer: self.args.buffer.clone(),
            store: self.args.store.clone(),
            reached: self.args.reached.clone(),
        }
    }
}

/// One life of the capture: from finding its place to the error that ends it.
async fn life(args: &Arc<ReplicatorArgs>) -> CaptureError {
    let place = match restore::find_place(args).await {
        Ok(place) => place,
        Err(error) => return error,
    };
    match capture::run(args, place).await {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

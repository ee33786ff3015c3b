//! The referee actor: which keys are in hand.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::Semaphore;
use weft_core::filter::referee::Rule;
use weft_core::instance::InstanceId;
use weft_core::key::KeyHash;

use super::hearing::{self, Heard};
use super::message::RefereeMessage;
pub use super::metrics::RefereeMetrics;
use crate::binlog::ledger::SharedLedger;
use crate::ports::TargetError;
use crate::referee::ports::{Arbiter, Backlog, Docket, OpenCase};

/// How often the docket is looked at.
const TICK: Duration = Duration::from_millis(250);
/// Cases of one channel that are taken in hand at a time.
const CASES_MAX: usize = 64;

/// Rows that a referee holds at a time, each in a session of its own.
pub const SESSIONS_MAX: usize = 4;

/// What a referee is made with.
pub struct RefereeArgs {
    /// Full name of the instance that decides.
    pub instance: String,
    pub id: InstanceId,
    pub docket: Arc<dyn Docket>,
    /// Of the same instance.
    pub ledger: Arc<SharedLedger>,
    /// By channel.
    pub rules: BTreeMap<String, ChannelRule>,
    pub metrics: RefereeMetrics,
    /// As many rows are held at a time.
    pub sessions: Semaphore,
}

/// The rule of one channel.
#[derive(Clone)]
pub struct ChannelRule {
    pub rule: Rule,
    /// Some: the rule asks a user's program.
    pub asking: Option<Asking>,
}

/// How a user's program is asked.
#[derive(Clone)]
pub struct Asking {
    pub arbiter: Arc<dyn Arbiter>,
    /// Tries after the first.
    pub retries: u32,
    /// As many questions at a time.
    pub permits: Arc<Semaphore>,
}

pub struct Referee;

pub struct RefereeState {
    args: Arc<RefereeArgs>,
    listing: bool,
    in_hand: HashSet<KeyHash>,
    /// The last trouble with the instance, told once.
    trouble: Option<TargetError>,
}

impl Actor for Referee {
    type Msg = RefereeMessage;
    type State = RefereeState;
    type Arguments = Arc<RefereeArgs>;

    async fn pre_start(
        &self,
        myself: ActorRef<RefereeMessage>,
        args: Arc<RefereeArgs>,
    ) -> Result<RefereeState, ActorProcessingErr> {
        myself.send_interval(TICK, || RefereeMessage::Tick);
        Ok(RefereeState { args, listing: false, in_hand: HashSet::new(), trouble: None })
    }

    async fn handle(
        &self,
        myself: ActorRef<RefereeMessage>,
        message: RefereeMessage,
        state: &mut RefereeState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            RefereeMessage::Tick => state.list(&myself),
            RefereeMessage::Listed(listed) => state.listed(&myself, listed),
            RefereeMessage::Heard(key, result) => state.heard(key, result),
        }
        Ok(())
    }
}

impl RefereeState {
    fn list(&mut self, myself: &ActorRef<RefereeMessage>) {
        if std::mem::replace(&mut self.listing, true) {
            return;
        }
        let (args, myself) = (self.args.clone(), myself.clone());
        tokio::spawn(async move {
            let look = async { Ok((args.docket.open(CASES_MAX).await?, args.docket.backlog().await?)) };
            let listed = look.await;
            let _ = myself.cast(RefereeMessage::Listed(listed));
        });
    }

    fn listed(
        &mut self,
        myself: &ActorRef<RefereeMessage>,
        listed: Result<(Vec<OpenCase>, Backlog), TargetError>,
    ) {
        self.listing = false;
        match listed {
            Ok((cases, backlog)) => {
                self.trouble = None;
                self.args.metrics.backlog(backlog);
                let new = cases.into_iter().filter(|case| self.in_hand.insert(case.key));
                for case in new.collect::<Vec<_>>() {
                    hold_hearing(&self.args, myself, case);
                }
            }
            Err(error) => self.tell(error),
        }
    }

    fn heard(&mut self, key: KeyHash, result: Result<Heard, TargetError>) {
        self.in_hand.remove(&key);
        match result {
            Ok(Heard::Closed(closes)) => self.args.metrics.closed(&closes),
            Ok(Heard::Later) => {}
            Err(error) => self.tell(error),
        }
    }

    /// What stays wrong is met again at every tick, and told once.
    fn tell(&mut self, error: TargetError) {
        if self.trouble.as_ref() != Some(&error) {
            tracing::warn!(instance = self.args.instance, %error, "conflicts are not decided; tried again");
        }
        self.trouble = Some(error);
    }
}

fn hold_hearing(args: &Arc<RefereeArgs>, myself: &ActorRef<RefereeMessage>, case: OpenCase) {
    let (args, myself) = (args.clone(), myself.clone());
    tokio::spawn(async move {
        let result = hearing::hear_case(&args, &case).await;
        let _ = myself.cast(RefereeMessage::Heard(case.key, result));
    });
}

//! The recovery of a direction: shut the old owner out, read the marks, and see the probe come back.

use std::sync::Arc;
use std::time::Duration;

use weft_core::channel::recovery::{StoredWatermark, start_after};
use weft_core::channel::schedule::ScheduleStart;
use weft_core::channel::track::Watermark;
use weft_core::mark::{Epoch, Run};
use weft_core::scn::Scn;

use super::args::StartPull;
use crate::binlog::ledger::SharedLedger;
use crate::link::puller::Pulled;
use crate::ports::{Target, TargetError, WatermarkStore};

/// How long the probe mark may take to come back in the target's own stream.
const PROBE_TIMEOUT: Duration = Duration::from_secs(30);

/// What a recovery gives the channel to run with.
#[derive(Debug)]
pub struct Ready {
    pub epoch: Epoch,
    /// Of the target's server.
    pub server_id: u32,
    pub start: ScheduleStart,
    /// Each shard's own runs.
    pub runs: Vec<(u16, Vec<Run>)>,
}

/// Why a recovery failed. All are tried again.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RecoveryError {
    #[error(transparent)]
    Target(#[from] TargetError),
    /// Never started: the source has to say where the channel begins.
    #[error("the channel has no mark at its target yet")]
    NoMarks,
    /// The source's node does not say yet where the channel begins.
    #[error("{0}")]
    NoStart(String),
    /// It will not, until a person sees to it.
    #[error("{0}")]
    StartRefused(String),
    #[error(
        "the mark written at {target} did not come back in its binlog within {seconds} s: the replicator of \
         {target} must run there, no binlog filter may hide the schema weft, and Weft's account must not log off"
    )]
    ProbeLost { target: String, seconds: u64 },
}

/// What a recovery needs.
pub struct RecoveryContext {
    pub target: Arc<dyn Target>,
    pub target_name: String,
    pub channel: String,
    pub source_name: String,
    pub shards: u16,
    /// The target's ledger, where the target is captured too: the probe comes back there.
    pub ledger: Option<Arc<SharedLedger>>,
    /// Where this is stored by the direction's name.
    pub watermarks: Arc<dyn WatermarkStore>,
    pub direction: String,
}

/// Recovers. `start` is where a channel begins that has no mark yet.
///
/// # Errors
/// As the variants of [`RecoveryError`] say.
pub async fn recover(context: &RecoveryContext, start: Option<Scn>) -> Result<Ready, RecoveryError> {
    if let Some(ledger) = &context.ledger {
        ledger.forget_marks(&context.channel, &context.source_name);
    }
    let recovered = context.target.recover(context.shards, start).await?;
    let Some(marks) = &recovered.marks else { return Err(RecoveryError::NoMarks) };
    let start = start_after(
        recovered.before,
        marks,
        &recovered.skipped,
        context.watermarks.load(&context.direction).as_ref(),
    );
    // What was stored under the epoch before would be void after the next recovery.
    let Watermark { scn: watermark, time } = start.watermark;
    let stored = StoredWatermark { watermark, time, epoch: recovered.epoch, committed: Vec::new() };
    context.watermarks.save(&context.direction, stored);
    let ready = Ready {
        epoch: recovered.epoch,
        server_id: recovered.server_id,
        start,
        runs: marks.iter().map(|(shard, mark)| (*shard, mark.runs.clone())).collect(),
    };
    if let Some(ledger) = &context.ledger {
        let came_back = ledger
            .probe_returned(
                recovered.server_id,
                (&context.channel, &context.source_name),
                recovered.epoch,
                PROBE_TIMEOUT,
            )
            .await;
        if !came_back {
            let (target, seconds) = (context.target_name.clone(), PROBE_TIMEOUT.as_secs());
            return Err(RecoveryError::ProbeLost { target, seconds });
        }
    }
    Ok(ready)
}

/// Recovers, asking the source where to begin if the channel never ran. Who owned the direction once
/// leaves a living owner alone: the new one killed the old one's sessions, which looks like a lost
/// connection, and two owners would take the direction from each other for ever.
pub async fn take_over(
    context: &RecoveryContext,
    owned_once: bool,
    pulls: StartPull,
) -> Result<Ready, RecoveryError> {
    if owned_once && context.target.owned_by_other().await? {
        let reason =
            format!("another node runs this direction to {} now; stop one of the two", context.target_name);
        return Err(RecoveryError::Target(TargetError::Fenced(reason)));
    }
    match recover(context, None).await {
        Err(RecoveryError::NoMarks) => {
            let start = ask_start(&pulls).await?;
            recover(context, Some(start)).await
        }
        other => other,
    }
}

/// Asks the source's node where the channel begins.
async fn ask_start(pulls: &StartPull) -> Result<Scn, RecoveryError> {
    const PATIENCE: Duration = Duration::from_secs(10);
    let mut pull = pulls(None);
    let answer = tokio::time::timeout(PATIENCE, async {
        let mut trouble = "the source's node did not say where the channel begins".to_owned();
        while let Some(pulled) = pull.pulled.recv().await {
            match pulled {
                Pulled::Begins { after, .. } => return Ok(after),
                Pulled::Refused { reason, retry: true } => return Err(RecoveryError::NoStart(reason)),
                Pulled::Refused { reason, retry: false } => return Err(RecoveryError::StartRefused(reason)),
                Pulled::Disconnected { reason } => trouble = reason,
                Pulled::Delivery(..) | Pulled::Progress { .. } | Pulled::Restarted { .. } => {}
            }
        }
        Err(RecoveryError::NoStart(trouble))
    });
    let silent = |_| Err(RecoveryError::NoStart("the source's node cannot be reached".into()));
    answer.await.unwrap_or_else(silent)
}

//! The recovery of a direction: shut the old owner out, read the marks, and see the probe come back.

use std::sync::Arc;
use std::time::Duration;

use weft_core::channel::schedule::ScheduleStart;
use weft_core::channel::track::Watermark;
use weft_core::mark::runs::AppliedSet;
use weft_core::mark::{Epoch, Mark, Run};
use weft_core::scn::Scn;
use weft_core::time::Micros;

use super::args::StartPull;
use crate::binlog::ledger::SharedLedger;
use crate::link::puller::Pulled;
use crate::ports::{Recovered, StoredWatermark, Target, TargetError};

/// How long the probe mark may take to come back in the target's own stream.
const PROBE_TIMEOUT: Duration = Duration::from_secs(30);

/// What a recovery gives the channel to run with.
#[derive(Debug)]
pub struct Ready {
    pub epoch: Epoch,
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
    #[error("{0}")]
    NoStart(String),
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
    pub stored: Option<StoredWatermark>,
}

/// Recovers. `start` is where a channel begins that has no mark yet.
///
/// # Errors
/// As the variants of [`RecoveryError`] say.
pub async fn recover(context: &RecoveryContext, start: Option<Scn>) -> Result<Ready, RecoveryError> {
    let recovered = context.target.recover(context.shards, start).await?;
    let Some(marks) = &recovered.marks else { return Err(RecoveryError::NoMarks) };
    let ready = ready(marks, &recovered, context.stored.as_ref());
    if let Some(ledger) = &context.ledger {
        let came_back = ledger
            .probe_returned(&context.channel, &context.source_name, recovered.epoch, PROBE_TIMEOUT)
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
            let start = ask_start(&pulls).await.map_err(RecoveryError::NoStart)?;
            recover(context, Some(start)).await
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

fn ready(marks: &[(u16, Mark)], recovered: &Recovered, stored: Option<&StoredWatermark>) -> Ready {
    let highest = marks.iter().map(|(_, mark)| (mark.watermark, mark.watermark_time)).max();
    let (in_marks, mut time) = highest.unwrap_or((Scn::ZERO, Micros::ZERO));
    let mut watermark = in_marks;
    let runs = marks.iter().flat_map(|(_, mark)| mark.runs.iter().copied());
    let in_marks = AppliedSet::new(in_marks, runs);
    // What the node remembers counts only while the target still has all that it had then. The epoch
    // was raised by one since.
    let still_true = |stored: &&StoredWatermark| {
        recovered.epoch.0 > stored.epoch.0 && stored.committed.iter().all(|scn| in_marks.contains(*scn))
    };
    if let Some(stored) = stored.filter(still_true).filter(|stored| stored.watermark > watermark) {
        (watermark, time) = (stored.watermark, stored.time);
    }
    let skipped = recovered.skipped.iter().map(|scn| Run { first: *scn, last: *scn });
    let applied = marks.iter().flat_map(|(_, mark)| mark.runs.iter().copied()).chain(skipped);
    Ready {
        epoch: recovered.epoch,
        start: ScheduleStart {
            watermark: Watermark { scn: watermark, time },
            applied: AppliedSet::new(watermark, applied),
        },
        runs: marks.iter().map(|(shard, mark)| (*shard, mark.runs.clone())).collect(),
    }
}

#[cfg(test)]
mod tests {
    use weft_core::instance::InstanceId;
    use weft_core::sink::step::LogPosition;

    use super::*;

    fn scn(n: u64) -> Scn {
        Scn::of_transaction(1, 1, n)
    }

    fn mark(watermark: u64, runs: &[u64]) -> Mark {
        Mark {
            source: InstanceId(1),
            watermark: scn(watermark),
            watermark_time: Micros(watermark),
            runs: runs.iter().map(|n| Run::of(scn(*n))).collect(),
            named: Vec::new(),
            evictions: Vec::new(),
        }
    }

    /// The watermark that a recovery of epoch 8 begins with.
    fn watermark(marks: [Mark; 2], stored: &StoredWatermark) -> Scn {
        let marks: Vec<(u16, Mark)> = (0..).zip(marks).collect();
        let position = LogPosition { log_index: 1, log_pos: 4 };
        let recovered =
            Recovered { epoch: Epoch(8), marks: Some(marks.clone()), skipped: Vec::new(), position };
        ready(&marks, &recovered, Some(stored)).start.watermark.scn
    }

    fn stored(watermark: u64, epoch: u64, committed: &[u64]) -> StoredWatermark {
        let committed = committed.iter().map(|n| scn(*n)).collect();
        StoredWatermark { watermark: scn(watermark), time: Micros(watermark), epoch: Epoch(epoch), committed }
    }

    #[test]
    fn what_was_passed_over_without_a_mark_is_not_read_again() {
        let marks = [mark(100, &[105]), mark(90, &[])];
        assert_eq!(watermark(marks, &stored(900, 7, &[105])), scn(900));
    }

    /// The target crashed with relaxed durability: shard 1 applied 107 and the node stored a
    /// watermark above it; then the last commits were gone. The marks' watermark alone does not show
    /// it, as both commits had the same one.
    #[test]
    fn a_watermark_above_commits_that_the_target_lost_is_void() {
        let marks = || [mark(100, &[105]), mark(90, &[])];
        assert_eq!(watermark(marks(), &stored(110, 7, &[105, 107])), scn(100));
        let before_recovery = stored(110, 8, &[]);
        assert_eq!(watermark(marks(), &before_recovery), scn(100), "it lost the last recovery too");
    }

    #[test]
    fn a_commit_below_a_later_mark_is_there() {
        let marks = [mark(100, &[]), mark(120, &[130])];
        assert_eq!(watermark(marks, &stored(140, 7, &[99, 130])), scn(140));
    }
}

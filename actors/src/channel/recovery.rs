//! The recovery of a direction: shut the old owner out, read the marks, and see the probe come back.

use std::sync::Arc;
use std::time::Duration;

use weft_core::channel::schedule::ScheduleStart;
use weft_core::channel::track::Watermark;
use weft_core::mark::runs::AppliedSet;
use weft_core::mark::{Epoch, Mark, Run};
use weft_core::scn::Scn;
use weft_core::time::Micros;

use crate::binlog::ledger::SharedLedger;
use crate::ports::{Recovered, StoredWatermark, Target, TargetError};

/// How long the probe mark may take to come back in the target's own stream.
const PROBE_TIMEOUT: Duration = Duration::from_secs(30);

/// What a recovery gives the channel to run with.
#[derive(Debug)]
pub struct Ready {
    pub epoch: Epoch,
    pub start: ScheduleStart,
    /// The highest watermark that the marks hold.
    pub in_marks: Scn,
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
    let ready = ready(marks, &recovered, context.stored);
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

fn ready(marks: &[(u16, Mark)], recovered: &Recovered, stored: Option<StoredWatermark>) -> Ready {
    let highest = marks.iter().map(|(_, mark)| (mark.watermark, mark.watermark_time)).max();
    let (in_marks, mut time) = highest.unwrap_or((Scn::ZERO, Micros::ZERO));
    let mut watermark = in_marks;
    // What the node remembers counts only while the marks are no older than it remembers them.
    if let Some(stored) = stored.filter(|stored| in_marks >= stored.in_marks && stored.watermark > in_marks) {
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
        in_marks,
        runs: marks.iter().map(|(shard, mark)| (*shard, mark.runs.clone())).collect(),
    }
}

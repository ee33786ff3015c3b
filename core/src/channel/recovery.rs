//! Where a direction goes on after a recovery: a pure decision over what its marks at the target say
//! and what its node remembers.

use crate::channel::schedule::ScheduleStart;
use crate::channel::track::Watermark;
use crate::mark::runs::AppliedSet;
use crate::mark::{Epoch, Mark, Run};
use crate::scn::Scn;
use crate::time::Micros;

/// What a node keeps on disk for a direction, beside the marks: skipped and foreign transactions move
/// the watermark too, but only here.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredWatermark {
    pub watermark: Scn,
    pub time: Micros,
    /// The epoch under which this was stored, and what each shard committed last under it. Marks of
    /// another epoch, or that do not hold one of these, show a target that lost commits, or another one, or
    /// another owner since: then this is void.
    pub epoch: Epoch,
    pub committed: Vec<Scn>,
}

/// Decides where the direction goes on. `before` is the epoch that this recovery found in the marks, `marks`
/// are those of all shards as they were then, `skipped` the changes that an operator passed over.
pub fn start_after(
    before: Epoch,
    marks: &[(u16, Mark)],
    skipped: &[Scn],
    stored: Option<&StoredWatermark>,
) -> ScheduleStart {
    let highest = marks.iter().map(|(_, mark)| (mark.watermark, mark.watermark_time)).max();
    let (scn, time) = highest.unwrap_or((Scn::ZERO, Micros::ZERO));
    let mut watermark = Watermark { scn, time };
    let runs = || marks.iter().flat_map(|(_, mark)| mark.runs.iter().copied());
    let in_marks = AppliedSet::new(scn, runs());
    // What the node remembers counts only while the target still has all that it had then: the recovery
    // that raised this epoch, and so everything before it, and the commits after it.
    let still_true = |stored: &&StoredWatermark| {
        before == stored.epoch && stored.committed.iter().all(|scn| in_marks.contains(*scn))
    };
    if let Some(stored) = stored.filter(still_true).filter(|stored| stored.watermark > scn) {
        watermark = Watermark { scn: stored.watermark, time: stored.time };
    }
    let skipped = skipped.iter().map(|scn| Run { first: *scn, last: *scn });
    ScheduleStart { watermark, applied: AppliedSet::new(watermark.scn, runs().chain(skipped)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instance::InstanceId;

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

    /// The watermark that a recovery begins with that finds epoch 7.
    fn watermark(marks: [Mark; 2], stored: &StoredWatermark) -> Scn {
        let marks: Vec<(u16, Mark)> = (0..).zip(marks).collect();
        start_after(Epoch(7), &marks, &[], Some(stored)).watermark.scn
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

    /// What was stored at a target that then lost the recovery of epoch 6, and was recovered again.
    #[test]
    fn a_watermark_of_another_epoch_is_void_though_the_marks_went_past_that() {
        let marks = [mark(100, &[]), mark(90, &[])];
        assert_eq!(watermark(marks, &stored(110, 6, &[])), scn(100));
    }

    #[test]
    fn no_two_recoveries_raise_the_same_epoch_and_each_raises_it() {
        let found = Epoch(3);
        assert_ne!(found.raised(Micros(1_000)), found.raised(Micros(1_001)), "at two servers");
        assert_eq!(Epoch(5_000).raised(Micros(1_000)), Epoch(5_001), "a clock that was set back");
    }

    #[test]
    fn a_commit_below_a_later_mark_is_there() {
        let marks = [mark(100, &[]), mark(120, &[130])];
        assert_eq!(watermark(marks, &stored(140, 7, &[99, 130])), scn(140));
    }
}

//! Sets of applied changes above the watermark, kept as runs of SCNs.
//!
//! A run says that everything *that the channel pulls* between its bounds is applied, so runs only
//! grow over gaps that the caller knows to be empty: SCNs alone do not tell what lies between two.

use super::Run;
use crate::scn::Scn;

impl Run {
    /// A run of one unit: a whole transaction (`row` 0) or a single row.
    pub const fn of(scn: Scn) -> Run {
        Run { first: scn, last: scn }
    }

    /// The last SCN that the run covers: a bound that is a whole transaction covers all its rows.
    fn end(&self) -> Scn {
        if self.last.row == 0 { self.last.with_row(u32::MAX) } else { self.last }
    }

    /// Whether the run covers the change.
    pub fn covers(&self, scn: Scn) -> bool {
        self.first <= scn && scn <= self.end()
    }
}

/// What is already applied: everything up to the watermark, and the union of all shards' runs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AppliedSet {
    watermark: Scn,
    /// Rising and not overlapping.
    runs: Vec<Run>,
}

impl AppliedSet {
    /// The set of a recovery: the highest stored watermark and the runs of all shards, in any order
    /// and overlapping as they may.
    pub fn new(watermark: Scn, runs: impl IntoIterator<Item = Run>) -> AppliedSet {
        let mut all: Vec<Run> = runs.into_iter().filter(|run| run.last.transaction() > watermark).collect();
        all.sort_by_key(|run| (run.first, run.last));
        let mut merged: Vec<Run> = Vec::with_capacity(all.len());
        for run in all {
            match merged.last_mut() {
                Some(before) if run.first <= before.end() => {
                    if run.end() > before.end() {
                        before.last = run.last;
                    }
                }
                _ => merged.push(run),
            }
        }
        AppliedSet { watermark, runs: merged }
    }

    /// Whether the change, or the whole transaction (`row` 0), is applied.
    pub fn contains(&self, scn: Scn) -> bool {
        if scn.transaction() <= self.watermark {
            return true;
        }
        let after = self.runs.partition_point(|run| run.first <= scn);
        after > 0 && self.runs[after - 1].covers(scn)
    }

    /// Everything up to here (inclusive) is applied.
    pub fn watermark(&self) -> Scn {
        self.watermark
    }

    /// The greatest SCN in the set: where a recovery is past all that was applied.
    pub fn newest(&self) -> Scn {
        self.runs.last().map_or(self.watermark, |run| run.last)
    }

    /// Whether nothing above the watermark is applied.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn txn(log_pos: u64) -> Scn {
        Scn::of_transaction(1, 1, log_pos)
    }

    proptest! {
        /// The channel pulls the even positions only; shards apply them in any order.
        #[test]
        fn runs_hold_exactly_what_was_applied(order in vec(0..40_u64, 0..60), watermark in 0..40_u64) {
            let applied: BTreeSet<Scn> = order.iter().map(|position| txn(position * 2)).collect();
            let set = AppliedSet::new(txn(watermark), order.iter().map(|position| Run::of(txn(position * 2))));
            for position in 0..40 {
                let scn = txn(position * 2);
                prop_assert_eq!(set.contains(scn), scn <= txn(watermark) || applied.contains(&scn));
            }
        }
    }

    #[test]
    fn a_whole_transaction_covers_its_rows_but_rows_do_not_cover_the_transaction() {
        let whole = AppliedSet::new(txn(5), [Run::of(txn(10))]);
        assert!(whole.contains(txn(10).with_row(7)));
        assert!(!whole.contains(txn(11)));
        let rows = AppliedSet::new(txn(5), [Run { first: txn(10).with_row(1), last: txn(10).with_row(3) }]);
        assert!(rows.contains(txn(10).with_row(3)));
        assert!(!rows.contains(txn(10).with_row(4)));
        assert!(!rows.contains(txn(10)));
    }

    #[test]
    fn rows_of_the_watermark_transaction_are_applied() {
        let set = AppliedSet::new(txn(10), [Run::of(txn(10).with_row(4))]);
        assert!(set.is_empty());
        assert!(set.contains(txn(10).with_row(9)));
        assert_eq!(set.newest(), txn(10));
    }

    #[test]
    fn runs_of_several_shards_are_joined_where_they_overlap() {
        let run = |a, b| Run { first: txn(a), last: txn(b) };
        let set = AppliedSet::new(txn(0), [run(30, 40), run(10, 20), run(15, 32), run(50, 50)]);
        assert!(set.contains(txn(25)) && set.contains(txn(40)) && !set.contains(txn(45)));
        assert_eq!(set.newest(), txn(50));
    }
}

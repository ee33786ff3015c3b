//! Is a pulled change already applied?
//!
//! A commit may have been acknowledged to nobody, so a channel pulls from the watermark again after
//! every recovery and passes over what the marks say is applied, and what an operator passed over.

use crate::mark::runs::AppliedSet;
use crate::scn::Scn;

/// Whether the whole transaction (`row` 0) or the row is applied.
///
/// Where a channel changed from `row` to another consistency between two lives, a transaction of which
/// only some rows are applied is new: with versions, its applied rows are repeats that change nothing.
pub fn is_applied(applied: &AppliedSet, scn: Scn) -> bool {
    applied.contains(scn)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mark::Run;

    const BEFORE: Scn = Scn::of_transaction(1, 1, 50);
    const SCN: Scn = Scn::of_transaction(1, 1, 100);

    fn set(runs: impl IntoIterator<Item = (Scn, Scn)>) -> AppliedSet {
        AppliedSet::new(BEFORE, runs.into_iter().map(|(first, last)| Run { first, last }))
    }

    #[test]
    fn what_is_at_or_below_the_watermark_or_in_a_run_is_applied() {
        assert!(is_applied(&set([]), BEFORE) && is_applied(&set([]), BEFORE.with_row(9)));
        assert!(!is_applied(&set([]), SCN));
        assert!(is_applied(&set([(SCN, SCN)]), SCN.with_row(2)), "a whole transaction covers its rows");
    }

    #[test]
    fn rows_that_are_applied_do_not_make_their_transaction_applied() {
        let second = set([(SCN.with_row(2), SCN.with_row(2))]);
        assert!(is_applied(&second, SCN.with_row(2)));
        assert!(!is_applied(&second, SCN.with_row(3)) && !is_applied(&second, SCN));
    }
}

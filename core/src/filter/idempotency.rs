//! Is a pulled unit already applied?
//!
//! A commit may have been acknowledged to nobody, so a channel pulls from the watermark again after
//! every recovery and passes over what the marks say is applied.

use crate::channel::delivery::Unit;
use crate::mark::runs::AppliedSet;

/// What idempotency says to a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Not applied yet.
    New,
    /// All of it is applied: count it and move on.
    Applied,
    /// Of the unit's rows, those the set holds are applied (row consistency was in force when they
    /// were); the others are new. Ask [`row_is_applied`] for each.
    PartlyApplied,
}

/// Where the unit stands.
pub fn standing(applied: &AppliedSet, unit: &Unit) -> Standing {
    if applied.contains(unit.scn) {
        return Standing::Applied;
    }
    if applied.is_empty() {
        return Standing::New;
    }
    let mut rows = unit.stamps().map(|(_, row)| applied.contains(row.scn(unit.scn)));
    let Some(first) = rows.next() else { return Standing::New };
    match (first, rows.all(|row| row == first)) {
        (true, true) => Standing::Applied,
        (false, true) => Standing::New,
        (_, false) => Standing::PartlyApplied,
    }
}

/// Whether one row of a unit is applied; `row` as in [`crate::transaction::RowStamp::row`].
pub fn row_is_applied(applied: &AppliedSet, unit: &Unit, row: u32) -> bool {
    applied.contains(unit.scn.with_row(row))
}

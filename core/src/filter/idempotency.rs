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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::*;
    use crate::catalog::CatalogId;
    use crate::channel::delivery::Delivery;
    use crate::instance::InstanceId;
    use crate::key::KeyHash;
    use crate::mark::Run;
    use crate::scn::Scn;
    use crate::time::Micros;
    use crate::transaction::{Body, RowKind, RowStamp, Rows, Span, Transaction, TransactionHeader};
    use crate::version::Version;

    const SCN: Scn = Scn::of_transaction(1, 1, 100);

    /// A whole transaction of three rows.
    fn unit() -> Unit {
        let row = |row| RowStamp {
            row,
            table: 0,
            kind: RowKind::Insert,
            key: KeyHash(1),
            old_key: None,
            version: Version::new(Micros(1), InstanceId(1)),
            base: None,
            old_base: None,
            before: Span::NONE,
            after: Span::NONE,
        };
        let header = TransactionHeader {
            scn: SCN,
            server_id: 1,
            gtid: None,
            commit_time: Micros(1),
            format: CatalogId(0),
            body: Body::Rows(Rows { rows: (1..=3).map(row).collect(), ..Rows::default() }),
        };
        let transaction = Transaction { header, raw: Bytes::new() };
        let delivery = Delivery { transaction, tables: vec![], format: Arc::from([]) };
        Unit { delivery: Arc::new(delivery), rows: 0..3, scn: SCN, sequence: 0 }
    }

    fn applied(first: Scn, last: Scn) -> AppliedSet {
        AppliedSet::new(Scn::of_transaction(1, 1, 50), [Run { first, last }])
    }

    #[test]
    fn a_unit_at_or_below_the_watermark_or_in_a_run_is_applied() {
        assert_eq!(standing(&AppliedSet::new(SCN, []), &unit()), Standing::Applied);
        assert_eq!(standing(&applied(SCN, SCN), &unit()), Standing::Applied);
        assert_eq!(standing(&AppliedSet::default(), &unit()), Standing::New);
        let other = Scn::of_transaction(1, 1, 90);
        assert_eq!(standing(&applied(other, other), &unit()), Standing::New);
    }

    #[test]
    fn rows_that_were_applied_one_by_one_are_told_apart() {
        let some = applied(SCN.with_row(1), SCN.with_row(2));
        assert_eq!(standing(&some, &unit()), Standing::PartlyApplied);
        assert!(row_is_applied(&some, &unit(), 2) && !row_is_applied(&some, &unit(), 3));
        assert_eq!(standing(&applied(SCN.with_row(1), SCN.with_row(3)), &unit()), Standing::Applied);
    }
}

//! The one time of a transaction's local rows.

use std::collections::HashSet;

use super::{Naming, PlacedMark, UNSTAMPED, real_keys};
use crate::ledger::{Ledger, LedgerView};
use crate::time::Micros;
use crate::transaction::Rows;

/// How far a commit time may lie from the last heartbeat of the same binlog before it is taken for
/// wrong (a user's `SET timestamp`, a clock that was set, a statement that ran for hours before its
/// commit): ten minutes either way, in microseconds.
pub const JUMP_MAX_US: u64 = 600_000_000;

/// The time of a transaction's local rows, and how it came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StampTime {
    pub time: Micros,
    /// It is not the commit time: whoever reads this transaction from the binlog again without the
    /// ledger of that place must be given it.
    pub bumped: bool,
    /// By how many microseconds the commit time was ahead of what is allowed; 0: it was not.
    pub jump_us: u64,
}

/// The greatest time of the versions that the ledger knows of the local rows' keys. For a large
/// transaction: ask for each chunk, before any of them is stamped, and take the greatest.
///
/// A local row of a transaction that was applied in parts may be of a key that a part before it brought,
/// which the ledger does not show yet: everything those parts named counts as well.
pub fn max_known(
    rows: &Rows,
    marks: &[PlacedMark],
    naming: &mut Naming,
    ledger: &impl LedgerView,
) -> Option<Micros> {
    let none = HashSet::new();
    let mut greatest = None;
    let mut ahead = marks.iter().peekable();
    let take = |naming: &mut Naming, placed: &PlacedMark| drop(naming.mark(&placed.mark, &none));
    for (index, row) in rows.rows.iter().enumerate() {
        while let Some(placed) = ahead.next_if(|placed| placed.rows_before <= index) {
            take(naming, placed);
        }
        let is_local = row.version == UNSTAMPED && row.keys().all(|key| !naming.names(key));
        if is_local {
            let known = real_keys(row).filter_map(|key| ledger.newest(&key)).map(|version| version.time);
            greatest = greatest.max(known.max()).max(naming.closed());
        }
        naming.row(row.key);
    }
    ahead.for_each(|placed| take(naming, placed));
    greatest
}

/// The time for the local rows of a transaction: its commit time, but
/// - at most [`JUMP_MAX_US`] after the last heartbeat, so that one wrong clock does not carry the
///   versions of a site away;
/// - at most as long before it: the commit came after that heartbeat, and a version from long ago
///   would be refused by a site that has let entries as old as that go;
/// - not below the horizon, as an entry that was let go there may have been as new as that;
/// - above `max_known`, always, so that the versions of a key only rise.
pub fn stamp_time(commit_time: Micros, max_known: Option<Micros>, ledger: &Ledger) -> StampTime {
    let (earliest, latest) = ledger.heartbeat().map_or((commit_time, commit_time), |heartbeat| {
        (heartbeat.minus(JUMP_MAX_US), heartbeat.plus(JUMP_MAX_US))
    });
    let above = max_known.map_or(Micros::ZERO, |known| known.plus(1));
    let time = commit_time.min(latest).max(earliest).max(ledger.horizon()).max(above);
    StampTime { time, bumped: time != commit_time, jump_us: commit_time.since(latest) }
}

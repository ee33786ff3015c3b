//! Stamps: the versions and bases that the replicator gives to the rows of each transaction, once.
//!
//! A transaction is first scanned (tables, keys, images, marks: no versions yet), then
//! stamped against the ledger, which takes the new versions in. Everything follows from the binlog
//! before it and nothing else, so every reader of the same binlog gives the same stamps.
//!
//! - A row whose key the mark at the head of the transaction names is foreign and keeps the version
//!   named there.
//! - All other rows are local changes: one version for all of them, whose time is the commit time,
//!   raised above every version that the ledger knows of any of their keys.
//!
//! Whoever stamps also tells the ledger of heartbeats that come by, and that it has reached the
//! transaction's SCN, also where the transaction holds no rows: [`Ledger::note_heartbeat`],
//! [`Ledger::advance`].

mod naming;
mod own;
pub mod scan;
mod time;

#[cfg(test)]
mod tests;

pub use naming::Naming;
pub use scan::{Passing, Resolved, ScanError, Scanned, Scanner};
pub use time::{JUMP_MAX_US, StampTime, max_known, stamp_time};

use crate::instance::InstanceId;
use crate::key::KeyHash;
use crate::ledger::{Ledger, LedgerView};
use crate::mark::Mark;
use crate::time::Micros;
use crate::transaction::{Body, RowKind, Rows, Transaction};
use crate::version::Version;

/// Stamps a whole transaction at once and records its versions in the ledger; says what time its
/// local rows got. `marks` are those found in it; evicted rows that the transaction itself holds no
/// event of are appended by the scan, as rows.
pub fn stamp(
    rows: &mut Rows,
    marks: &[Mark],
    ledger: &mut Ledger,
    origin: InstanceId,
    commit_time: Micros,
) -> StampTime {
    let naming = Naming::of(marks);
    let time = stamp_time(commit_time, max_known(rows, &naming, ledger), ledger);
    stamp_rows(rows, &naming, ledger, Version::new(time.time, origin));
    record_named(&naming, ledger);
    time
}

/// The second pass over one chunk of a large transaction: gives its rows their versions and bases,
/// foreign ones as named, local ones `local`, and records them. The first pass asks [`max_known`] of
/// every chunk with the naming of all marks so far and takes the greatest for [`stamp_time`]; after
/// the last chunk comes [`record_named`].
pub fn stamp_rows(rows: &mut Rows, naming: &Naming, ledger: &mut Ledger, local: Version) {
    for row in &mut rows.rows {
        let named = naming.version_of(row.key);
        let named_old = row.old_key.and_then(|old_key| naming.version_of(old_key));
        row.version = named.or(named_old).unwrap_or(local);
        if row.kind == RowKind::Delete && naming.evicts(row.key) {
            row.kind = RowKind::Evict;
        }
        row.base = ledger.newest(&row.key);
        row.old_base = row.old_key.and_then(|old_key| ledger.newest(&old_key));
        ledger.record(row.key, row.version);
        if let Some(old_key) = row.old_key {
            ledger.record(old_key, named_old.unwrap_or(row.version));
        }
    }
}

/// Records every key that the marks name, also those that left no row event, and the evictions.
pub fn record_named(naming: &Naming, ledger: &mut Ledger) {
    for (key, version) in naming.all() {
        ledger.record(key, version);
    }
}

/// The keys of a row, without the stand-in of rows that have none.
fn real_keys(row: &crate::transaction::RowStamp) -> impl Iterator<Item = KeyHash> {
    row.keys().filter(|key| *key != KeyHash::NONE)
}

/// Records rows that were stamped before: what a start reads back from the event buffer. Gives the
/// ledger the same entries that stamping gave it.
pub fn record_stamped(rows: &Rows, ledger: &mut Ledger) {
    for silent in &rows.silent {
        ledger.record(silent.key, silent.version);
    }
    for row in &rows.rows {
        ledger.record(row.key, row.version);
        let named_apart = |old_key| rows.silent.iter().any(|silent| silent.key == old_key);
        if let Some(old_key) = row.old_key.filter(|old_key| !named_apart(*old_key)) {
            ledger.record(old_key, row.version);
        }
    }
}

/// Takes a captured transaction, or a part of one, into a ledger that is behind it, as its capture did.
pub fn record_captured(transaction: &Transaction, ledger: &mut Ledger) {
    match &transaction.header.body {
        Body::Rows(rows) => record_stamped(rows, ledger),
        Body::Heartbeat { written } => ledger.note_heartbeat(*written),
        Body::Ddl(_) => {}
    }
    if let Some(scn) = transaction.completes() {
        ledger.advance(scn);
    }
}

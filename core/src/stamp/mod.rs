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

use std::collections::HashSet;

pub use naming::{Naming, PlacedMark};
pub use scan::{Passing, Resolved, ScanError, Scanned, Scanner, UNSTAMPED};
pub use time::{JUMP_MAX_US, StampTime, max_known, stamp_time};

use crate::instance::InstanceId;
use crate::key::KeyHash;
use crate::ledger::{Ledger, LedgerView};
use crate::time::Micros;
use crate::transaction::{Body, RowKind, RowStamp, Rows, SilentKey, Transaction};
use crate::version::Version;

/// Stamps a whole transaction at once and records its versions in the ledger; says what time its
/// local rows got. `marks` are those found in it; evicted rows that the transaction itself holds no
/// event of are appended by the scan, as rows.
pub fn stamp(
    rows: &mut Rows,
    marks: &[PlacedMark],
    ledger: &mut Ledger,
    origin: InstanceId,
    commit_time: Micros,
) -> StampTime {
    let known = max_known(rows, marks, &mut Naming::default(), ledger);
    let time = stamp_time(commit_time, known, ledger);
    let mut naming = Naming::default();
    stamp_rows(rows, marks, &mut naming, ledger, Version::new(time.time, origin));
    finish(rows, &mut naming, ledger);
    time
}

/// The second pass over one chunk of a large transaction: gives its rows their versions and bases,
/// foreign ones as named, local ones `local`, and records them. The first pass asks [`max_known`] of
/// every chunk and takes the greatest for [`stamp_time`]. Each pass brings a naming of its own, which
/// goes along from chunk to chunk; after the last chunk comes [`finish`].
pub fn stamp_rows(
    rows: &mut Rows,
    marks: &[PlacedMark],
    naming: &mut Naming,
    ledger: &mut Ledger,
    local: Version,
) {
    let carried = carried_keys(rows);
    let Rows { rows, silent, .. } = rows;
    let mut ahead = marks.iter().peekable();
    for (index, row) in rows.iter_mut().enumerate() {
        while let Some(placed) = ahead.next_if(|placed| placed.rows_before <= index) {
            note_silent(naming.mark(&placed.mark, &carried), silent, ledger);
        }
        stamp_row(row, silent, naming, ledger, local);
    }
    for placed in ahead {
        note_silent(naming.mark(&placed.mark, &carried), silent, ledger);
    }
}

/// Ends a transaction behind its last rows: records the keys that its last marks name and that left no
/// row event.
pub fn finish(rows: &mut Rows, naming: &mut Naming, ledger: &mut Ledger) {
    note_silent(naming.close(), &mut rows.silent, ledger);
}

/// Keys whose rows came with the marks and not as events of their own: the scan has set their versions.
fn carried_keys(rows: &Rows) -> HashSet<KeyHash> {
    rows.rows.iter().filter(|row| row.version != UNSTAMPED).map(|row| row.key).collect()
}

fn note_silent(keys: Vec<SilentKey>, silent: &mut Vec<SilentKey>, ledger: &mut Ledger) {
    keys.iter().for_each(|key| ledger.record(key.key, key.version));
    silent.extend(keys);
}

fn stamp_row(
    row: &mut RowStamp,
    silent: &mut Vec<SilentKey>,
    naming: &mut Naming,
    ledger: &mut Ledger,
    local: Version,
) {
    row.base = ledger.newest(&row.key);
    row.old_base = row.old_key.and_then(|old_key| ledger.newest(&old_key));
    let mut named_old = None;
    if row.version == UNSTAMPED {
        let named = naming.row(row.key);
        named_old = row.old_key.and_then(|old_key| naming.row(old_key));
        row.version = named.or(named_old).unwrap_or(local);
        if row.kind == RowKind::Delete && row.version.removed {
            row.kind = RowKind::Evict;
        }
    }
    ledger.record(row.key, row.version);
    if let Some(old_key) = row.old_key {
        match named_old {
            // Its own version: whoever reads the stamps back must find it.
            Some(version) => note_silent(vec![SilentKey { key: old_key, version }], silent, ledger),
            None => ledger.record(old_key, row.version),
        }
    }
}

/// The keys of a row, without the stand-in of rows that have none.
fn real_keys(row: &RowStamp) -> impl Iterator<Item = KeyHash> {
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

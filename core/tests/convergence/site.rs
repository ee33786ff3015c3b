//! One site of the model: a table, its binlog and the ledger read from it.

use std::collections::BTreeMap;

use weft_core::filter::decide::{Action, ConflictRule, decide};
use weft_core::filter::unique::{Contest, contest};
use weft_core::instance::InstanceId;
use weft_core::key::KeyHash;
use weft_core::ledger::{Ledger, LedgerView};
use weft_core::mark::{Eviction, Mark, Named};
use weft_core::scn::Scn;
use weft_core::stamp::{self, PlacedMark};
use weft_core::time::Micros;
use weft_core::transaction::{RowKind, RowStamp, Rows, Span};
use weft_core::version::Version;

use crate::model::Faults;

/// A primary key.
pub type Pk = u8;

/// A row: two unique columns, which may be NULL, and one that is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    pub unique: [Option<u8>; 2],
    pub value: u32,
}

/// A row event: from what to what. An update that moves the row has two keys.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Change {
    pub before: Option<(Pk, Row)>,
    pub after: Option<(Pk, Row)>,
}

/// A transaction of the binlog, stamped.
#[derive(Debug, Clone)]
pub struct Logged {
    pub stamps: Vec<RowStamp>,
    /// Parallel to the stamps.
    pub changes: Vec<Change>,
}

pub struct Site {
    pub id: InstanceId,
    pub rows: BTreeMap<Pk, Row>,
    pub ledger: Ledger,
    pub log: Vec<Logged>,
    faults: Faults,
    /// No site's horizon is above it.
    pub floor: Micros,
}

/// What one transaction of the target writes.
#[derive(Default)]
struct Writes {
    native: Vec<Change>,
    named: Vec<Named>,
    evictions: Vec<(Pk, Version)>,
}

pub fn hash(pk: Pk) -> KeyHash {
    KeyHash(u128::from(pk) + 1)
}

impl Site {
    pub fn new(id: u32, faults: Faults) -> Site {
        let (id, ledger) = (InstanceId(id), Ledger::default());
        Site { id, rows: BTreeMap::new(), ledger, log: Vec::new(), faults, floor: Micros::ZERO }
    }

    /// Another row that holds one of the row's unique values.
    pub fn holder(&self, pk: Pk, row: &Row) -> Option<Pk> {
        let meets = |other: &Row| (0..2).any(|i| row.unique[i].is_some() && row.unique[i] == other.unique[i]);
        self.rows.iter().find(|(key, other)| **key != pk && meets(other)).map(|(key, _)| *key)
    }

    /// A statement of an application; None if the table refuses it. An update of a row to what it is
    /// already leaves no event.
    pub fn write(&mut self, pk: Pk, to: Option<(Pk, Row)>) -> Option<Change> {
        let before = self.rows.get(&pk).map(|row| (pk, *row));
        if before == to || (before.is_none() && to.is_none()) {
            return None;
        }
        if let Some((to_pk, row)) = to {
            if to_pk != pk && (before.is_none() || self.rows.contains_key(&to_pk)) {
                return None;
            }
            let old = self.rows.remove(&pk);
            let taken = self.holder(to_pk, &row).is_some();
            if let Some(old) = old {
                self.rows.insert(pk, old);
            }
            if taken {
                return None;
            }
        }
        Some(self.put(before, to))
    }

    fn put(&mut self, before: Option<(Pk, Row)>, after: Option<(Pk, Row)>) -> Change {
        if let Some((pk, _)) = before {
            self.rows.remove(&pk);
        }
        if let Some((pk, row)) = after {
            self.rows.insert(pk, row);
        }
        Change { before, after }
    }

    /// Commits row events: what a reader of the binlog makes of them. Evicted rows that left no
    /// event are appended, as the scan does from the events in the mark.
    pub fn commit(&mut self, mut changes: Vec<Change>, mark: Option<Mark>, absent: &[(Pk, Row)], time: u64) {
        let mut stamps: Vec<RowStamp> = changes.iter().map(unstamped).collect();
        for (pk, row) in absent {
            let change = Change { before: Some((*pk, *row)), after: None };
            stamps.push(RowStamp { kind: RowKind::Evict, ..unstamped(&change) });
            changes.push(change);
        }
        stamps.iter_mut().enumerate().for_each(|(i, stamp)| stamp.row = i as u32 + 1);
        let mut rows = Rows { rows: stamps, ..Rows::default() };
        let marks = Vec::from_iter(mark.map(|mark| PlacedMark { rows_before: 0, mark }));
        let before: Vec<_> = rows.rows.iter().map(|row| self.ledger.newest(&row.key)).collect();
        stamp::stamp(&mut rows, &marks, &mut self.ledger, self.id, Micros(time));
        for (row, before) in rows.rows.iter().zip(before) {
            assert!(before.is_none_or(|before| before <= row.version), "versions of a key fell: {row:?}");
        }
        self.log.push(Logged { stamps: rows.rows, changes });
    }

    /// Applies the rows `which` of a source's transaction, as a shard does, in one transaction.
    pub fn apply(&mut self, logged: &Logged, which: std::ops::Range<usize>, time: u64) {
        let mut writes = Writes::default();
        let mut absent = Vec::new();
        for i in which {
            self.apply_row(&logged.stamps[i], &logged.changes[i], &mut writes, &mut absent);
        }
        if writes.named.is_empty() && writes.evictions.is_empty() {
            return;
        }
        let mark = Mark {
            source: logged.stamps[0].version.origin,
            watermark: Scn::ZERO,
            watermark_time: Micros::ZERO,
            runs: vec![],
            named: writes.named,
            evictions: writes
                .evictions
                .iter()
                .map(|(pk, version)| Eviction { key: hash(*pk), version: *version, events: vec![] })
                .collect(),
        };
        let mark = Mark::decode(&mark.encode()).expect("what was encoded is read");
        self.commit(writes.native, Some(mark), &absent, time);
    }

    /// The newest version of a key: of the ledger, or named before in the same transaction.
    fn newest(&self, pk: Pk, writes: &Writes) -> Option<Version> {
        let named =
            writes.named.iter().filter(|named| named.keys.contains(&hash(pk))).map(|named| named.version);
        let evicted = writes.evictions.iter().filter(|(key, _)| *key == pk).map(|(_, version)| *version);
        named.chain(evicted).chain(self.ledger.newest(&hash(pk))).max()
    }

    fn wins(&self, pk: Pk, stamp: &RowStamp, base: Option<Version>, writes: &Writes) -> bool {
        let local = self.newest(pk, writes);
        let horizon = self.ledger.horizon();
        let decision = decide(ConflictRule::LastWriteWins, stamp.version, base, local, horizon);
        assert_ne!(decision.action, Action::RefuseTooOld, "{stamp:?} against {local:?}, horizon {horizon:?}");
        decision.action == Action::Apply
    }

    fn apply_row(
        &mut self,
        stamp: &RowStamp,
        change: &Change,
        writes: &mut Writes,
        absent: &mut Vec<(Pk, Row)>,
    ) {
        let name = |writes: &mut Writes, pk| {
            writes.named.push(Named { version: stamp.version, keys: vec![hash(pk)] });
        };
        if let (Some((old_pk, _)), Some(_)) = (change.before, stamp.old_key)
            && self.wins(old_pk, stamp, stamp.old_base, writes)
        {
            self.delete(old_pk, writes);
            if !self.faults.no_tombstones {
                name(writes, old_pk);
            }
        }
        let Some((pk, row)) = change.after else {
            let (pk, _) = change.before.expect("a change has a row before or after");
            if self.wins(pk, stamp, stamp.base, writes) {
                self.delete(pk, writes);
                if !self.faults.no_tombstones {
                    name(writes, pk);
                }
            }
            return;
        };
        if !self.wins(pk, stamp, stamp.base, writes) {
            return;
        }
        name(writes, pk);
        if let Some(version) = self.evict_holders(pk, &row, stamp.version, writes) {
            if !self.delete(pk, writes) && !self.faults.no_evictions {
                absent.push((pk, row));
            }
            self.evict(pk, version, writes);
            return;
        }
        let before = self.rows.get(&pk).map(|row| (pk, *row));
        if before != Some((pk, row)) {
            let native = self.put(before, Some((pk, row)));
            writes.native.push(native);
        }
    }

    /// Makes room for the row; or says with which version the row itself is evicted.
    fn evict_holders(&mut self, pk: Pk, row: &Row, version: Version, writes: &mut Writes) -> Option<Version> {
        let mut losers = Vec::new();
        let meets = |other: &Row| (0..2).any(|i| row.unique[i].is_some() && row.unique[i] == other.unique[i]);
        for holder in self.rows.iter().filter(|(key, other)| **key != pk && meets(other)).map(|(key, _)| *key)
        {
            match contest((hash(pk), version), (hash(holder), self.newest(holder, writes)), self.floor) {
                Contest::EvictIncoming(version) => return Some(version),
                Contest::EvictHolder(version) => losers.push((holder, version)),
            }
        }
        for (loser, version) in losers {
            self.delete(loser, writes);
            self.evict(loser, version, writes);
        }
        None
    }

    fn evict(&mut self, pk: Pk, version: Version, writes: &mut Writes) {
        if !self.faults.no_evictions {
            writes.evictions.push((pk, version));
        }
    }

    /// Whether there was a row.
    fn delete(&mut self, pk: Pk, writes: &mut Writes) -> bool {
        let Some(row) = self.rows.get(&pk).copied() else { return false };
        let native = self.put(Some((pk, row)), None);
        writes.native.push(native);
        true
    }
}

fn unstamped(change: &Change) -> RowStamp {
    let key = change.after.or(change.before).expect("a change has a row before or after").0;
    let old_key = change.before.map(|(pk, _)| pk).filter(|old| *old != key);
    let kind = match (change.before, change.after) {
        (None, _) => RowKind::Insert,
        (Some(_), Some(_)) => RowKind::Update,
        (Some(_), None) => RowKind::Delete,
    };
    RowStamp {
        row: 0,
        table: 0,
        kind,
        key: hash(key),
        old_key: old_key.map(hash),
        version: Version::new(Micros::ZERO, InstanceId(0)),
        base: None,
        old_base: None,
        before: Span::NONE,
        after: Span::NONE,
    }
}

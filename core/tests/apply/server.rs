//! A model of a target server: one table, row locks, gap locks, a unique key, undo, a binlog; and of
//! the replicator that reads the binlog into a ledger.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use weft_core::key::KeyHash;
use weft_core::ledger::LedgerView;
use weft_core::mark::Mark;
use weft_core::sink::step::{Found, Isolation, LockBy, LockRow, LogPosition, Outcome, RowWrite, WriteOp};
use weft_core::time::Micros;
use weft_core::version::Version;

use super::support::{Row, TARGET, key};

/// Number of a session; local writers are 0.
pub type SessionId = usize;

/// What a row change left behind: the key, and the row if there is one now.
pub type Event = (u64, Option<Row>);

#[derive(Debug, Default)]
pub struct Server {
    pub rows: BTreeMap<u64, Row>,
    /// By id; the row may be there or not.
    locks: HashMap<u64, SessionId>,
    gaps: BTreeSet<(u64, SessionId)>,
    unique_locks: HashMap<u64, SessionId>,
    unique_gaps: BTreeSet<(u64, SessionId)>,
    open: HashMap<SessionId, Open>,
    pub binlog: Vec<Committed>,
    /// The channel's mark rows by shard.
    pub marks: BTreeMap<usize, Mark>,
    pub replicator: Replicator,
    pub unique: bool,
}

#[derive(Debug, Default)]
struct Open {
    gap_locks: bool,
    undo: Vec<Event>,
    events: Vec<Event>,
    marks: Vec<Mark>,
    savepoint: usize,
}

#[derive(Debug)]
pub struct Committed {
    pub events: Vec<Event>,
    pub marks: Vec<Mark>,
    /// Clock of the server when it was committed.
    pub time: Micros,
}

/// What the replicator knows after reading `read` transactions.
#[derive(Debug, Default)]
pub struct Replicator {
    pub read: usize,
    pub ledger: HashMap<KeyHash, Version>,
    /// Nobody decides by version here, so versions need not rise.
    pub one_way: bool,
    /// Every version that it saw, with what it left at the key.
    pub seen: Vec<(u64, Version, Option<Row>)>,
}

impl LedgerView for Replicator {
    fn newest(&self, key: &KeyHash) -> Option<Version> {
        self.ledger.get(key).copied()
    }

    fn horizon(&self) -> Micros {
        Micros::ZERO
    }
}

impl Replicator {
    fn record(&mut self, key: KeyHash, version: Version) {
        let newest = self.ledger.entry(key).or_insert(version);
        *newest = (*newest).max(version);
    }

    fn read_one(&mut self, committed: &Committed) {
        let mut foreign = HashMap::new();
        for mark in &committed.marks {
            for named in &mark.named {
                foreign.extend(named.keys.iter().map(|&key| (key, named.version)));
            }
            for eviction in &mark.evictions {
                foreign.entry(eviction.key).or_insert(eviction.version);
            }
        }
        if committed.marks.is_empty() {
            let known = committed.events.iter().filter_map(|(id, _)| self.ledger.get(&key(*id)));
            let newest = known.map(|version| version.time.plus(1)).max().unwrap_or_default();
            let version = Version::new(newest.max(committed.time), TARGET);
            for (id, row) in &committed.events {
                self.record(key(*id), version);
                self.seen.push((*id, version, *row));
            }
        }
        for (id, _) in &committed.events {
            assert!(
                committed.marks.is_empty() || foreign.contains_key(&key(*id)),
                "row {id} is not named: it would be taken for a local change"
            );
        }
        for mark in &committed.marks {
            for named in &mark.named {
                for &key in &named.keys {
                    let known = self.ledger.get(&key);
                    assert!(
                        self.one_way || known.is_none_or(|known| *known <= named.version),
                        "versions rise along the binlog: {key:?} {known:?} {committed:?}"
                    );
                    self.record(key, named.version);
                }
            }
            mark.evictions.iter().for_each(|eviction| self.record(eviction.key, eviction.version));
        }
    }
}

impl Server {
    pub fn new(unique: bool) -> Server {
        Server { unique, ..Server::default() }
    }

    pub fn position(&self) -> LogPosition {
        LogPosition { log_index: 1, log_pos: self.binlog.len() as u64 }
    }

    /// Lets the replicator read up to the position, exclusive of what follows.
    pub fn replicate(&mut self, up_to: u64) {
        while (self.replicator.read as u64) < up_to {
            self.replicator.read_one(&self.binlog[self.replicator.read]);
            self.replicator.read += 1;
        }
    }

    /// A local transaction of one row; false if a lock or a key is in its way.
    pub fn local_write(&mut self, id: u64, row: Option<Row>, time: Micros) -> bool {
        if self.blocked(0, id, row) || (row.is_none() && !self.rows.contains_key(&id)) {
            return false;
        }
        if row.is_some_and(|row| self.holder(row).is_some()) {
            return false;
        }
        self.put(id, row);
        self.binlog.push(Committed { events: vec![(id, row)], marks: Vec::new(), time });
        true
    }

    fn put(&mut self, id: u64, row: Option<Row>) -> Option<Row> {
        match row {
            Some(row) => self.rows.insert(id, row),
            None => self.rows.remove(&id),
        }
    }

    /// Another row with the same unique value.
    fn holder(&self, row: Row) -> Option<Row> {
        let same =
            |other: &&Row| self.unique && row.unique != 0 && other.unique == row.unique && other.id != row.id;
        self.rows.values().find(same).copied()
    }

    /// Whether another session's locks keep this one from putting `row` at `id`.
    fn blocked(&self, session: SessionId, id: u64, row: Option<Row>) -> bool {
        let other = |owner: &SessionId| *owner != session;
        let values = [self.rows.get(&id).map(|row| row.unique), row.map(|row| row.unique)];
        self.locks.get(&id).is_some_and(other)
            || (!self.rows.contains_key(&id)
                && self.gaps.iter().any(|(gap, owner)| *gap == id && other(owner)))
            || values.into_iter().flatten().filter(|&value| self.unique && value != 0).any(|value| {
                self.unique_locks.get(&value).is_some_and(other)
                    || self.unique_gaps.iter().any(|(gap, owner)| *gap == value && other(owner))
            })
            || row
                .and_then(|row| self.holder(row))
                .is_some_and(|held| self.locks.get(&held.id).is_some_and(other))
    }

    pub fn begin(&mut self, session: SessionId, isolation: Isolation) {
        self.roll_back(session);
        let gap_locks = isolation == Isolation::RepeatableRead;
        self.open.insert(session, Open { gap_locks, ..Open::default() });
    }

    /// Locks as much as it can; None while another session is in the way.
    pub fn lock(&mut self, session: SessionId, wanted: &[LockRow]) -> Option<Vec<Found>> {
        let mut found = Vec::new();
        for want in wanted {
            let row = Row::read(want.delivery.transaction.bytes(want.image));
            found.push(match want.by {
                LockBy::PrimaryKey => self.lock_id(session, row.id)?,
                LockBy::UniqueKey(_) => self.lock_unique(session, row.unique)?,
            });
        }
        Some(found)
    }

    fn lock_id(&mut self, session: SessionId, id: u64) -> Option<Found> {
        if self.locks.get(&id).is_some_and(|owner| *owner != session) {
            return None;
        }
        if self.rows.contains_key(&id) {
            self.locks.insert(id, session);
            return Some(Found::Yes);
        }
        if self.open[&session].gap_locks {
            self.gaps.insert((id, session));
        }
        Some(Found::No)
    }

    fn lock_unique(&mut self, session: SessionId, value: u64) -> Option<Found> {
        if value == 0 {
            return Some(Found::No);
        }
        if self.unique_locks.get(&value).is_some_and(|owner| *owner != session) {
            return None;
        }
        match self.rows.values().find(|row| row.unique == value).copied() {
            Some(row) => {
                self.lock_id(session, row.id)?;
                Some(Found::Holder { key: key(row.id), delete_events: Vec::new() })
            }
            None => {
                if self.open[&session].gap_locks {
                    self.unique_gaps.insert((value, session));
                }
                Some(Found::No)
            }
        }
    }

    /// Writes the rows from `done` on; None while another session is in the way.
    pub fn write(&mut self, session: SessionId, writes: &[RowWrite], done: &mut usize) -> Option<Outcome> {
        while let Some(write) = writes.get(*done) {
            let read = |span| Row::read(write.delivery.transaction.bytes(span));
            let (id, row) = match write.op {
                WriteOp::Insert { after } => (read(after).id, Some(read(after))),
                WriteOp::Update { before, after } => {
                    assert_eq!(read(before).id, read(after).id, "moves are a delete and an insert");
                    (read(after).id, Some(read(after)))
                }
                WriteOp::Delete { before } => (read(before).id, None),
                WriteOp::DeleteHolder { image, .. } => match self.holder(read(image)) {
                    Some(holder) => (holder.id, None),
                    None => return Some(Outcome::MissingRow),
                },
            };
            if self.blocked(session, id, row) {
                return None;
            }
            let there = self.rows.contains_key(&id);
            let inserts = matches!(write.op, WriteOp::Insert { .. });
            if there == inserts {
                return Some(if inserts { Outcome::DuplicateKey } else { Outcome::MissingRow });
            }
            if row.is_some_and(|row| self.holder(row).is_some()) {
                return Some(Outcome::DuplicateKey);
            }
            let old = self.put(id, row);
            self.locks.insert(id, session);
            for value in [old, row].into_iter().flatten().map(|row| row.unique).filter(|&value| value != 0) {
                self.unique_locks.insert(value, session);
            }
            let open = self.open.get_mut(&session).expect("begun");
            open.undo.push((id, old));
            if old != row {
                open.events.push((id, row));
            }
            *done += 1;
        }
        Some(Outcome::Ok)
    }

    pub fn write_mark(&mut self, session: SessionId, mark: Mark) {
        let open = self.open.get_mut(&session).expect("begun");
        assert!(!open.marks.is_empty() || open.events.is_empty(), "the mark comes first");
        open.marks.push(mark);
    }

    pub fn savepoint(&mut self, session: SessionId) {
        let open = self.open.get_mut(&session).expect("begun");
        open.savepoint = open.undo.len();
    }

    pub fn roll_back_to_savepoint(&mut self, session: SessionId) {
        let open = self.open.get_mut(&session).expect("begun");
        let undone = open.undo.split_off(open.savepoint);
        // Events and undo are parallel but for writes that changed nothing.
        let ids: Vec<Event> = undone.clone();
        for (id, old) in ids.into_iter().rev() {
            let now = self.rows.get(&id).copied();
            if now != old {
                self.open.get_mut(&session).expect("begun").events.pop();
            }
            self.put(id, old);
        }
    }

    pub fn commit(&mut self, session: SessionId, shard: usize, time: Micros) {
        let open = self.open.remove(&session).expect("begun");
        if let Some(mark) = open.marks.last() {
            self.marks.insert(shard, mark.clone());
        }
        self.binlog.push(Committed { events: open.events, marks: open.marks, time });
        self.unlock(session);
    }

    pub fn roll_back(&mut self, session: SessionId) {
        if let Some(open) = self.open.remove(&session) {
            for (id, old) in open.undo.into_iter().rev() {
                self.put(id, old);
            }
        }
        self.unlock(session);
    }

    fn unlock(&mut self, session: SessionId) {
        self.locks.retain(|_, owner| *owner != session);
        self.gaps.retain(|(_, owner)| *owner != session);
        self.unique_locks.retain(|_, owner| *owner != session);
        self.unique_gaps.retain(|(_, owner)| *owner != session);
    }
}

//! Locks of index records and of the gaps between them.
//!
//! A gap is an interval of values, whose ends were entries of the index when it was locked; InnoDB
//! ties gap locks to records and hands them on when entries come, which is the same. Gap locks stop
//! nobody but who inserts.

use std::ops::Bound;

use super::{Database, Denied, SessionId};
use crate::sim::row::TableId;

/// Key of an index entry: `(id, 0)` in a primary index, `(value, id)` in a secondary one.
pub type Entry = (u16, u16);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum IndexId {
    Primary(TableId),
    Unique(TableId),
    Marks,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Shared,
    Exclusive,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    Record(Entry, Mode),
    /// Between two entries; None: to the end of the index.
    Gap(Option<Entry>, Option<Entry>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lock {
    session: SessionId,
    index: IndexId,
    what: What,
}

impl Database {
    /// Locks a record, whether there is one or not.
    ///
    /// # Errors
    /// Another session holds it.
    pub(super) fn lock_record(
        &mut self,
        session: SessionId,
        index: IndexId,
        entry: Entry,
        mode: Mode,
    ) -> Result<(), Denied> {
        self.may_lock(session, index, entry, mode)?;
        self.add_lock(session, index, What::Record(entry, mode));
        Ok(())
    }

    /// Whether the record could be locked now.
    pub(super) fn may_lock(
        &self,
        session: SessionId,
        index: IndexId,
        entry: Entry,
        mode: Mode,
    ) -> Result<(), Denied> {
        let in_the_way = |lock: &&Lock| {
            let What::Record(held, held_mode) = lock.what else { return false };
            let conflicts = mode == Mode::Exclusive || held_mode == Mode::Exclusive;
            lock.session != session && lock.index == index && held == entry && conflicts
        };
        match self.locks.iter().find(in_the_way) {
            Some(lock) => Err(Denied::Waits(lock.session)),
            None => Ok(()),
        }
    }

    /// Locks the gap in which the entry lies or would lie: from the entry before it to the one at or
    /// behind it.
    pub(super) fn lock_gap_before(&mut self, session: SessionId, index: IndexId, entry: Entry) {
        let (before, after) = (self.entry_before(index, entry), self.entry_from(index, entry));
        self.add_lock(session, index, What::Gap(before, after));
    }

    /// Whether the entry may be put into its gap.
    ///
    /// # Errors
    /// Another session has locked the gap.
    pub(super) fn may_insert(&self, session: SessionId, index: IndexId, entry: Entry) -> Result<(), Denied> {
        let in_the_way = |lock: &&Lock| match lock.what {
            What::Gap(low, high) => {
                lock.session != session
                    && lock.index == index
                    && low.is_none_or(|low| low < entry)
                    && high.is_none_or(|high| entry < high)
            }
            What::Record(..) => false,
        };
        match self.locks.iter().find(in_the_way) {
            Some(lock) => Err(Denied::Waits(lock.session)),
            None => Ok(()),
        }
    }

    pub(super) fn add_lock(&mut self, session: SessionId, index: IndexId, what: What) {
        let lock = Lock { session, index, what };
        if !self.locks.contains(&lock) {
            self.locks.push(lock);
        }
    }

    pub(super) fn unlock(&mut self, session: SessionId) {
        self.locks.retain(|lock| lock.session != session);
    }

    /// Whether the session has locked the record.
    pub(super) fn holds(&self, session: SessionId, index: IndexId, entry: Entry) -> bool {
        let ours = |lock: &Lock| {
            lock.session == session
                && lock.index == index
                && matches!(lock.what, What::Record(held, _) if held == entry)
        };
        self.locks.iter().any(ours)
    }

    /// Lets a record's lock go before the transaction ends.
    pub(super) fn let_go(&mut self, session: SessionId, index: IndexId, entry: Entry) {
        self.locks.retain(|lock| {
            let record = matches!(lock.what, What::Record(held, _) if held == entry);
            lock.session != session || lock.index != index || !record
        });
    }

    /// Whether anyone has locked the record.
    pub(super) fn is_locked(&self, index: IndexId, entry: Entry) -> bool {
        let here =
            |lock: &Lock| lock.index == index && matches!(lock.what, What::Record(held, _) if held == entry);
        self.locks.iter().any(here)
    }

    /// The nearest entry below this one.
    pub(super) fn entry_before(&self, index: IndexId, entry: Entry) -> Option<Entry> {
        match index {
            IndexId::Primary(table) => {
                let live = self.tables[usize::from(table)].range(..entry.0).next_back().map(|(id, _)| *id);
                let marked = self.marked.range((table, 0)..(table, entry.0)).next_back().map(|place| place.1);
                live.max(marked).map(|id| (id, 0))
            }
            IndexId::Unique(table) => {
                self.secondary[usize::from(table)].range(..entry).next_back().map(|(entry, _)| *entry)
            }
            IndexId::Marks => None,
        }
    }

    /// The nearest entry at or above this one.
    pub(super) fn entry_from(&self, index: IndexId, entry: Entry) -> Option<Entry> {
        match index {
            IndexId::Primary(table) => {
                let live = self.tables[usize::from(table)].range(entry.0..).next().map(|(id, _)| *id);
                let marked =
                    self.marked.range((table, entry.0)..=(table, u16::MAX)).next().map(|place| place.1);
                [live, marked].into_iter().flatten().min().map(|id| (id, 0))
            }
            IndexId::Unique(table) => {
                self.secondary[usize::from(table)].range(entry..).next().map(|(entry, _)| *entry)
            }
            IndexId::Marks => None,
        }
    }

    /// The nearest entry above this one.
    pub(super) fn entry_after(&self, index: IndexId, entry: Entry) -> Option<Entry> {
        match index {
            IndexId::Unique(table) => {
                let above = (Bound::Excluded(entry), Bound::Unbounded);
                self.secondary[usize::from(table)].range(above).next().map(|(entry, _)| *entry)
            }
            IndexId::Primary(_) | IndexId::Marks => self.entry_from(index, (entry.0.saturating_add(1), 0)),
        }
    }
}

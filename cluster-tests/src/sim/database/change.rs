//! Statements: what they look up, what they lock, what they change. A statement that has to wait is
//! run again from its beginning: up to there it has only taken locks.

use weft_core::sink::step::Isolation;

use super::{Database, Denied, Event, IndexId, Mode, SessionId, Undo};
use crate::sim::row::{Row, TableId, WITH_UNIQUE};

impl Database {
    /// Looks a row up by primary key and locks it, and its gap if it is not there (REPEATABLE READ).
    ///
    /// # Errors
    /// Waits, or gone.
    pub fn lock_by_id(&mut self, session: SessionId, table: TableId, id: u16) -> Result<Option<Row>, Denied> {
        let repeatable = self.session(session)?.isolation == Isolation::RepeatableRead;
        let (index, entry) = (IndexId::Primary(table), (id, 0));
        let row = self.tables[usize::from(table)].get(&id).copied();
        if row.is_some() || (repeatable && self.marked.contains(&(table, id))) {
            self.lock_record(session, index, entry, Mode::Exclusive)?;
        } else {
            // Whoever inserts it now, or has deleted it and not committed, has locked it.
            self.may_lock(session, index, entry, Mode::Exclusive)?;
        }
        if row.is_none() && repeatable {
            self.lock_gap_before(session, index, entry);
            if self.marked.contains(&(table, id)) {
                self.lock_gap_before(session, index, (id.saturating_add(1), 0));
            }
        }
        Ok(row)
    }

    /// Looks up the row that holds a unique value and locks it, or the value's gap.
    ///
    /// # Errors
    /// Waits, or gone.
    pub fn lock_by_unique(
        &mut self,
        session: SessionId,
        table: TableId,
        value: u16,
    ) -> Result<Option<Row>, Denied> {
        let repeatable = self.session(session)?.isolation == Isolation::RepeatableRead;
        if value == 0 || table != WITH_UNIQUE {
            return Ok(None);
        }
        let index = IndexId::Unique(table);
        let entries: Vec<_> = self.secondary[usize::from(table)]
            .range((value, 0)..=(value, u16::MAX))
            .map(|(entry, live)| (*entry, *live))
            .collect();
        for (entry, live) in entries {
            if live {
                self.lock_record(session, index, entry, Mode::Exclusive)?;
                return self.lock_by_id(session, table, entry.1);
            }
            if repeatable {
                self.lock_record(session, index, entry, Mode::Exclusive)?;
                self.lock_gap_before(session, index, entry);
            } else {
                self.may_lock(session, index, entry, Mode::Exclusive)?;
            }
        }
        if repeatable {
            self.lock_gap_before(session, index, (value, u16::MAX));
        }
        Ok(None)
    }

    /// Inserts a row.
    ///
    /// # Errors
    /// Waits, duplicate, or gone.
    pub fn insert(&mut self, session: SessionId, table: TableId, row: Row) -> Result<(), Denied> {
        self.session(session)?;
        let held = self.holds(session, IndexId::Primary(table), (row.id, 0));
        self.may_be_placed(session, table, row)?;
        if let Err(denied) = self.take_unique(session, table, row) {
            // The entry that was there for a moment is gone, and its lock with it.
            if denied == Denied::Duplicate && !held && !self.marked.contains(&(table, row.id)) {
                self.let_go(session, IndexId::Primary(table), (row.id, 0));
            }
            return Err(denied);
        }
        self.change(session, table, None, Some(row));
        Ok(())
    }

    /// Updates the row with this id to `to`, whose id may be another.
    ///
    /// # Errors
    /// Waits, duplicate, missing, or gone.
    pub fn update(&mut self, session: SessionId, table: TableId, id: u16, to: Row) -> Result<(), Denied> {
        let Some(before) = self.lock_by_id(session, table, id)? else { return Err(Denied::Missing) };
        if to.id != id {
            self.may_be_placed(session, table, to)?;
        }
        if (to.unique, to.id) != (before.unique, before.id) {
            self.give_up_unique(session, table, before)?;
            self.take_unique(session, table, to)?;
        }
        self.change(session, table, Some(before), Some(to));
        Ok(())
    }

    /// Deletes the row with this id.
    ///
    /// # Errors
    /// Waits, missing, or gone.
    pub fn delete(&mut self, session: SessionId, table: TableId, id: u16) -> Result<(), Denied> {
        let Some(before) = self.lock_by_id(session, table, id)? else { return Err(Denied::Missing) };
        self.give_up_unique(session, table, before)?;
        self.change(session, table, Some(before), None);
        Ok(())
    }

    /// A place in the primary index for a new row.
    fn may_be_placed(&mut self, session: SessionId, table: TableId, row: Row) -> Result<(), Denied> {
        let (index, entry) = (IndexId::Primary(table), (row.id, 0));
        if self.tables[usize::from(table)].contains_key(&row.id) {
            self.lock_record(session, index, entry, Mode::Shared)?;
            return Err(Denied::Duplicate);
        }
        if self.marked.contains(&(table, row.id)) {
            // The marked entry is used again: no gap is filled.
            self.lock_record(session, index, entry, Mode::Shared)?;
            return self.lock_record(session, index, entry, Mode::Exclusive);
        }
        self.may_lock(session, index, entry, Mode::Exclusive)?;
        self.may_insert(session, index, entry)?;
        self.lock_record(session, index, entry, Mode::Exclusive)
    }

    fn give_up_unique(&mut self, session: SessionId, table: TableId, row: Row) -> Result<(), Denied> {
        if table != WITH_UNIQUE {
            return Ok(());
        }
        self.lock_record(session, IndexId::Unique(table), (row.unique, row.id), Mode::Exclusive)
    }

    /// A place in the secondary index. The look for duplicates locks the equal entries and what is
    /// before and behind them, under READ COMMITTED too.
    fn take_unique(&mut self, session: SessionId, table: TableId, row: Row) -> Result<(), Denied> {
        if table != WITH_UNIQUE {
            return Ok(());
        }
        let (index, entry) = (IndexId::Unique(table), (row.unique, row.id));
        if row.unique != 0 {
            let equal: Vec<_> = self.secondary[usize::from(table)]
                .range((row.unique, 0)..=(row.unique, u16::MAX))
                .map(|(entry, live)| (*entry, *live))
                .collect();
            for (other, live) in &equal {
                self.lock_record(session, index, *other, Mode::Shared)?;
                self.lock_gap_before(session, index, *other);
                if *live && other.1 != row.id {
                    return Err(Denied::Duplicate);
                }
            }
            if let Some((last, _)) = equal.last() {
                let behind = self.entry_after(index, *last);
                if let Some(behind) = behind {
                    self.lock_record(session, index, behind, Mode::Shared)?;
                    self.lock_gap_before(session, index, behind);
                } else {
                    self.lock_gap_before(session, index, (u16::MAX, u16::MAX));
                }
            }
        }
        if !self.secondary[usize::from(table)].contains_key(&entry) {
            self.may_insert(session, index, entry)?;
        }
        self.lock_record(session, index, entry, Mode::Exclusive)
    }

    fn change(&mut self, session: SessionId, table: TableId, before: Option<Row>, after: Option<Row>) {
        let moved = before.filter(|before| after.is_some_and(|after| after.id != before.id));
        let id = after.or(before).map_or(0, |row| row.id);
        let mut undo: Vec<Undo> = moved.iter().map(|row| Undo::Row(table, row.id, Some(*row))).collect();
        undo.push(Undo::Row(table, id, before.filter(|_| moved.is_none())));
        if let Some(moved) = moved {
            self.put(table, moved.id, None);
        }
        self.put(table, id, after);
        let open = self.session(session).expect("the statement began with a look at the session");
        open.undo.extend(undo);
        // An update of a row to what it is already leaves no event.
        if before != after {
            open.events.push(Event::Row { table, before, after });
        }
    }

    /// Sets a place, and keeps the indexes.
    pub(super) fn put(&mut self, table: TableId, id: u16, row: Option<Row>) {
        let at = usize::from(table);
        let old = match row {
            Some(row) => {
                self.marked.remove(&(table, id));
                self.tables[at].insert(id, row)
            }
            None => {
                let old = self.tables[at].remove(&id);
                if old.is_some() {
                    self.marked.insert((table, id));
                }
                old
            }
        };
        if table == WITH_UNIQUE {
            if let Some(old) = old {
                self.secondary[at].insert((old.unique, id), false);
            }
            if let Some(row) = row {
                self.secondary[at].insert((row.unique, id), true);
            }
        }
    }

    /// Takes the marked entries out that nobody has locked.
    pub fn purge(&mut self) {
        let primary: Vec<_> = self.marked.iter().copied().collect();
        for (table, id) in primary {
            if !self.is_locked(IndexId::Primary(table), (id, 0)) {
                self.marked.remove(&(table, id));
            }
        }
        let table = WITH_UNIQUE;
        let marked: Vec<_> = self.secondary[usize::from(table)]
            .iter()
            .filter(|(_, live)| !**live)
            .map(|(entry, _)| *entry)
            .collect();
        for entry in marked {
            if !self.is_locked(IndexId::Unique(table), entry) {
                self.secondary[usize::from(table)].remove(&entry);
            }
        }
    }
}

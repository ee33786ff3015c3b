//! `weft.mark`: rows with an epoch fence, and the named locks of their owners.

use weft_core::mark::{Epoch, Mark};

use super::{Database, Denied, Event, IndexId, Mode, SessionId, Undo};

/// A mark row: the site that the channel reads from, and the shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct MarkId {
    pub source: u16,
    pub shard: u16,
}

/// A mark row as it is stored, and as open transactions have changed it.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredMark {
    pub epoch: Epoch,
    pub body: Vec<u8>,
    /// What an open transaction found, oldest first.
    pub(super) before: Vec<(Epoch, Vec<u8>)>,
}

impl StoredMark {
    /// The body, read.
    pub fn mark(&self) -> Mark {
        Mark::decode(&self.body).expect("what was encoded is read")
    }
}

impl Database {
    /// Updates a mark row if no newer epoch stands there. False: one does.
    ///
    /// # Errors
    /// Waits, or gone.
    pub fn write_mark(
        &mut self,
        session: SessionId,
        of: MarkId,
        epoch: Epoch,
        mark: &Mark,
        fenced: bool,
    ) -> Result<bool, Denied> {
        self.session(session)?;
        self.lock_record(session, IndexId::Marks, (of.source, of.shard), Mode::Exclusive)?;
        let body = mark.encode();
        let stored = self.marks.entry(of).or_insert(StoredMark {
            epoch: Epoch(0),
            body: body.clone(),
            before: vec![],
        });
        if fenced && stored.epoch > epoch {
            return Ok(false);
        }
        stored.before.push((stored.epoch, stored.body.clone()));
        (stored.epoch, stored.body) = (epoch, body);
        let mark = stored.mark();
        let open = self.session(session)?;
        open.undo.push(Undo::Mark(of));
        open.events.push(Event::Mark { of, epoch, mark });
        open.foreign = true;
        Ok(true)
    }

    /// Locks and reads a mark row; None: there is none.
    ///
    /// # Errors
    /// Waits, or gone.
    pub fn lock_mark(&mut self, session: SessionId, of: MarkId) -> Result<Option<StoredMark>, Denied> {
        self.session(session)?;
        self.lock_record(session, IndexId::Marks, (of.source, of.shard), Mode::Exclusive)?;
        Ok(self.marks.get(&of).cloned())
    }

    /// What a transaction wrote to marks stands now.
    pub(super) fn settle_marks(&mut self, undo: &[Undo]) {
        for undo in undo {
            if let Undo::Mark(of) = undo {
                self.marks.get_mut(of).expect("what was written is there").before.clear();
            }
        }
    }

    pub(super) fn restore_mark(&mut self, of: MarkId) {
        let stored = self.marks.get_mut(&of).expect("what was written is there");
        (stored.epoch, stored.body) = stored.before.pop().expect("kept when it was written");
        if stored.epoch == Epoch(0) {
            self.marks.remove(&of);
        }
    }

    /// Kills whoever holds the named lock of a shard.
    pub fn kill_owner(&mut self, of: MarkId) {
        if let Some(owner) = self.owner_locks.get(&of).copied() {
            self.disconnect(owner);
        }
    }

    /// Takes the named lock of a shard; false: another session has it.
    pub fn take_owner_lock(&mut self, session: SessionId, of: MarkId) -> bool {
        *self.owner_locks.entry(of).or_insert(session) == session
    }

    /// Whether some session holds the named lock.
    pub fn is_owned(&self, of: MarkId) -> bool {
        self.owner_locks.contains_key(&of)
    }
}

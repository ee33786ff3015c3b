//! A model of a database server: rows in a primary and a secondary unique index, record and gap
//! locks, undo and savepoints, marks with their epochs, owner locks, and a binlog in commit order.
//!
//! Its locks and its binlog were compared with a real server's by random scripts (`tests/model.rs`).
//! Rows that are deleted stay in the indexes as marked entries until they are purged, as InnoDB's do;
//! gaps lie between the entries.

mod binlog;
mod change;
mod locks;
mod marks;
mod server;

use std::collections::{BTreeMap, BTreeSet};

use super::row::{Row, TABLES, TableId};

pub use binlog::{Event, Logged};
pub use locks::{Entry, IndexId, Mode, What};
pub use marks::{MarkId, StoredMark};
pub use server::LOG_BASE;

use locks::Lock;
use weft_core::sink::step::{Isolation, LogPosition};
use weft_core::time::Micros;

/// A connection, numbered for ever.
pub type SessionId = u32;

/// Why a statement did not do what it was to do. Nothing of it is left but locks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// Another session holds a lock that is in the way.
    Waits(SessionId),
    /// 1062.
    Duplicate,
    /// 1032, or a statement that matched no row.
    Missing,
    /// The connection is gone.
    Gone,
}

/// A server.
#[derive(Debug)]
pub struct Database {
    pub server_id: u32,
    /// Raised by every crash.
    pub life: u64,
    /// By table: the rows as the open transactions have them.
    pub tables: Vec<BTreeMap<u16, Row>>,
    /// Deleted rows whose entries are not purged, by table and id.
    marked: BTreeSet<(TableId, u16)>,
    /// By table: entries of the secondary index, `(value, id)`; false: marked as deleted.
    secondary: Vec<BTreeMap<Entry, bool>>,
    locks: Vec<Lock>,
    sessions: BTreeMap<SessionId, Session>,
    next_session: SessionId,
    owner_locks: BTreeMap<MarkId, SessionId>,
    pub marks: BTreeMap<MarkId, StoredMark>,
    pub binlog: Vec<Logged>,
    position: LogPosition,
    /// Of the last transaction's GTID.
    sequence: u64,
    /// Bytes of binlog that a transaction takes.
    transaction_bytes: u64,
}

#[derive(Debug)]
struct Session {
    isolation: Isolation,
    /// Clock when the transaction's first statement began; None: no transaction.
    began: Option<Micros>,
    /// What each place held before, in order.
    undo: Vec<Undo>,
    events: Vec<Event>,
    savepoint: (usize, usize),
    foreign: bool,
}

#[derive(Debug, Clone, Copy)]
enum Undo {
    Row(TableId, u16, Option<Row>),
    Mark(MarkId),
}

impl Default for Database {
    fn default() -> Database {
        Database {
            server_id: 1,
            life: 0,
            tables: vec![BTreeMap::new(); usize::from(TABLES)],
            marked: BTreeSet::new(),
            secondary: vec![BTreeMap::new(); usize::from(TABLES)],
            locks: Vec::new(),
            sessions: BTreeMap::new(),
            next_session: 1,
            owner_locks: BTreeMap::new(),
            marks: BTreeMap::new(),
            binlog: Vec::new(),
            position: LogPosition { log_index: 1, log_pos: 4 },
            sequence: 0,
            transaction_bytes: 100,
        }
    }
}

impl Database {
    /// Opens a connection.
    pub fn connect(&mut self) -> SessionId {
        let id = self.next_session;
        self.next_session += 1;
        let session = Session {
            isolation: Isolation::RepeatableRead,
            began: None,
            undo: Vec::new(),
            events: Vec::new(),
            savepoint: (0, 0),
            foreign: false,
        };
        self.sessions.insert(id, session);
        id
    }

    /// Ends a connection, from either side: its transaction is rolled back.
    pub fn disconnect(&mut self, session: SessionId) {
        self.roll_back(session);
        self.sessions.remove(&session);
        self.owner_locks.retain(|_, owner| *owner != session);
    }

    pub fn is_connected(&self, session: SessionId) -> bool {
        self.sessions.contains_key(&session)
    }

    /// The server dies and comes back with all that was committed.
    pub fn crash(&mut self) {
        let sessions: Vec<SessionId> = self.sessions.keys().copied().collect();
        sessions.into_iter().for_each(|session| self.disconnect(session));
        self.life += 1;
        self.rotate();
    }

    /// Begins a transaction at this time of the server's clock.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn begin(&mut self, session: SessionId, isolation: Isolation, now: Micros) -> Result<(), Denied> {
        self.roll_back(session);
        let open = self.session(session)?;
        (open.isolation, open.began) = (isolation, Some(now));
        Ok(())
    }

    /// Commits. A transaction without events leaves nothing in the binlog.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn commit(&mut self, session: SessionId, time: Micros) -> Result<(), Denied> {
        let open = self.session(session)?;
        let events = std::mem::take(&mut open.events);
        let foreign = std::mem::take(&mut open.foreign);
        let undo = std::mem::take(&mut open.undo);
        open.began = None;
        open.savepoint = (0, 0);
        self.settle_marks(&undo);
        self.unlock(session);
        if !events.is_empty() {
            self.log(time, events, foreign);
        }
        Ok(())
    }

    /// When the session's transaction began.
    pub fn began(&self, session: SessionId) -> Option<Micros> {
        self.sessions.get(&session).and_then(|session| session.began)
    }

    pub fn savepoint(&mut self, session: SessionId) -> Result<(), Denied> {
        let open = self.session(session)?;
        open.savepoint = (open.undo.len(), open.events.len());
        Ok(())
    }

    pub fn roll_back_to_savepoint(&mut self, session: SessionId) -> Result<(), Denied> {
        let (undo, events) = self.session(session)?.savepoint;
        self.undo_to(session, undo, events);
        Ok(())
    }

    /// Rolls back and lets all locks go; harmless where there is nothing to roll back.
    pub fn roll_back(&mut self, session: SessionId) {
        self.undo_to(session, 0, 0);
        if let Some(open) = self.sessions.get_mut(&session) {
            open.began = None;
            open.savepoint = (0, 0);
            open.foreign = false;
        }
        self.unlock(session);
    }

    fn undo_to(&mut self, session: SessionId, undo: usize, events: usize) {
        let Some(open) = self.sessions.get_mut(&session) else { return };
        open.events.truncate(events);
        let undone = open.undo.split_off(undo.min(open.undo.len()));
        for undo in undone.into_iter().rev() {
            match undo {
                Undo::Row(table, id, row) => self.put(table, id, row),
                Undo::Mark(mark) => self.restore_mark(mark),
            }
        }
    }

    fn session(&mut self, session: SessionId) -> Result<&mut Session, Denied> {
        self.sessions.get_mut(&session).ok_or(Denied::Gone)
    }

    /// All rows, for comparing servers.
    pub fn rows(&self) -> Vec<(TableId, Row)> {
        let rows = self.tables.iter().zip(0..);
        rows.flat_map(|(rows, table)| rows.values().map(move |row| (table, *row))).collect()
    }

    /// Whether no transaction is open.
    pub fn is_quiet(&self) -> bool {
        self.sessions.values().all(|session| session.undo.is_empty())
    }
}

//! The transaction that is being read: its rows so far, in bounded memory.

use bytes::Bytes;

use super::assembled::TxChunk;
use super::event::EventHeader;
use crate::gtid::Gtid;
use crate::time::Micros;
use crate::transaction::Ddl;

/// Most savepoints that are remembered; older ones cannot be rolled back to.
const SAVEPOINTS_MAX: usize = 4096;
/// Most tables that one statement can lock.
const TABLE_MAPS_MAX: usize = 4096;

/// The transaction cannot be held: see the errors of the assembler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OpenError {
    TooManyTables,
    /// The savepoint is unknown, or rows behind it were already handed out.
    NoSavepoint,
}

/// A transaction whose end has not come yet.
#[derive(Debug, Default)]
pub(super) struct Open {
    pub(super) gtid: Option<Gtid>,
    pub(super) server_id: u32,
    pub(super) time: Micros,
    /// A BEGIN was seen or is implied; otherwise the next statement stands alone.
    pub(super) begun: bool,
    /// A phase of an ALTER that changes nothing yet or any more.
    pub(super) idle_alter: bool,
    /// DDL inside of the transaction (CREATE TABLE … SELECT).
    pub(super) statements: Vec<Ddl>,
    pub(super) chunks: u32,
    pub(super) events: Vec<u8>,
    pub(super) has_rows: bool,
    /// Table maps of the statement that is being read: its rows in the next chunk need them again.
    pub(super) maps: Vec<Vec<u8>>,
    pub(super) savepoints: Vec<Savepoint>,
}

#[derive(Debug)]
pub(super) struct Savepoint {
    name: String,
    chunks: u32,
    len: usize,
}

impl Open {
    /// As the event that begins the transaction says.
    pub(super) fn at(header: EventHeader) -> Open {
        let time = Micros::from_secs(u64::from(header.timestamp));
        Open { server_id: header.server_id, time, ..Open::default() }
    }

    /// Bytes of events held.
    pub(super) fn held_bytes(&self) -> usize {
        self.events.len()
    }

    pub(super) fn table_map(
        &mut self,
        event: &[u8],
        spill_bytes: usize,
    ) -> Result<Option<TxChunk>, OpenError> {
        if self.maps.len() >= TABLE_MAPS_MAX {
            return Err(OpenError::TooManyTables);
        }
        let chunk = self.make_room(event.len(), spill_bytes);
        self.events.extend_from_slice(event);
        self.maps.push(event.to_vec());
        Ok(chunk)
    }

    pub(super) fn rows(&mut self, event: &[u8], ends_statement: bool, spill_bytes: usize) -> Option<TxChunk> {
        let chunk = self.make_room(event.len(), spill_bytes);
        self.events.extend_from_slice(event);
        self.has_rows = true;
        if ends_statement {
            self.maps.clear();
        }
        chunk
    }

    /// Hands out what is held if the next event would not fit.
    fn make_room(&mut self, event_bytes: usize, spill_bytes: usize) -> Option<TxChunk> {
        if !self.has_rows || self.events.len() + event_bytes <= spill_bytes {
            return None;
        }
        let events = Bytes::from(std::mem::take(&mut self.events));
        let index = self.chunks;
        self.chunks += 1;
        self.has_rows = false;
        self.events = self.maps.concat();
        Some(TxChunk { index, gtid: self.gtid.clone(), events })
    }

    pub(super) fn savepoint(&mut self, name: String) {
        self.savepoints.retain(|savepoint| !savepoint.name.eq_ignore_ascii_case(&name));
        if self.savepoints.len() >= SAVEPOINTS_MAX {
            self.savepoints.remove(0);
        }
        self.savepoints.push(Savepoint { name, chunks: self.chunks, len: self.events.len() });
    }

    /// Drops the rows behind the savepoint: the server logs them, and the way back, when the
    /// transaction also did what cannot be rolled back.
    pub(super) fn roll_back_to(&mut self, name: &str) -> Result<(), OpenError> {
        let found = self.savepoints.iter().position(|savepoint| savepoint.name.eq_ignore_ascii_case(name));
        let index = found.ok_or(OpenError::NoSavepoint)?;
        let savepoint = &self.savepoints[index];
        if savepoint.chunks != self.chunks {
            return Err(OpenError::NoSavepoint);
        }
        self.events.truncate(savepoint.len);
        self.has_rows = !self.events.is_empty();
        self.maps.clear();
        self.savepoints.truncate(index + 1);
        Ok(())
    }

    pub(super) fn into_events(self) -> Bytes {
        Bytes::from(self.events)
    }
}

//! The pulling side, as a pure engine: puts frames and catalog entries together, and knows after
//! which transaction to go on when the connection was lost.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::buffer::frame::{self, FrameError};
use crate::catalog::{CatalogEntry, CatalogId, CatalogItem, TableVersion};
use crate::channel::delivery::Delivery;
use crate::scn::Scn;
use crate::transaction::Transaction;

/// Most catalog entries that one connection may name.
pub const CATALOG_ENTRIES_MAX: usize = 1 << 18;

/// The server sent what it must not; connect again.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum IncomingError {
    #[error("a damaged frame arrived: {0}")]
    Frame(#[from] FrameError),
    #[error("frames arrived before the pull's beginning was named")]
    NotBegun,
    #[error("the pull was to go on after {wanted} and begins after {offered}")]
    WrongBeginning { wanted: Scn, offered: Scn },
    #[error("SCN {scn} arrived after {last}")]
    NotRising { scn: Scn, last: Scn },
    #[error("the frame at {scn} names catalog entry {id}, which is not there or of another kind")]
    UnknownEntry { scn: Scn, id: u32 },
    #[error("more than {CATALOG_ENTRIES_MAX} catalog entries arrived")]
    TooManyEntries,
    #[error("catalog entry {id} gives a table keys over columns that it does not have")]
    UnsoundEntry { id: u32 },
    #[error("the frame at {scn} ends a large transaction differently than it began")]
    TornTransaction { scn: Scn },
}

/// What the pull has received, across connections.
#[derive(Debug, Default)]
pub struct Incoming {
    /// Everything up to here was received, in whole transactions. None: not begun.
    position: Option<Scn>,
    /// The frame received last, parts included.
    last: Option<Scn>,
    begun: bool,
    /// Parts received of the large transaction under way.
    parts: u32,
    tables: HashMap<CatalogId, Arc<TableVersion>>,
    formats: HashMap<CatalogId, Arc<[u8]>>,
}

impl Incoming {
    /// A pull that goes on after `after` (exclusive); None: where the source's node says.
    pub fn new(after: Option<Scn>) -> Incoming {
        Incoming { position: after, ..Incoming::default() }
    }

    /// Everything up to here (inclusive) was received, in whole transactions.
    pub fn position(&self) -> Option<Scn> {
        self.position
    }

    /// The connection is gone: catalog entries are sent again on the next. Returns the position if a
    /// large transaction was under way, which will come again from its beginning.
    pub fn disconnected(&mut self) -> Option<Scn> {
        self.tables.clear();
        self.formats.clear();
        self.begun = false;
        let midway = std::mem::take(&mut self.parts) > 0;
        self.position.filter(|_| midway)
    }

    /// The server says where it begins.
    ///
    /// # Errors
    /// Not where the pull was to go on.
    pub fn begins(&mut self, after: Scn) -> Result<(), IncomingError> {
        if let Some(wanted) = self.position
            && wanted != after
        {
            return Err(IncomingError::WrongBeginning { wanted, offered: after });
        }
        self.position = Some(after);
        self.last = Some(after);
        self.begun = true;
        Ok(())
    }

    /// Catalog entries came.
    ///
    /// # Errors
    /// More than [`CATALOG_ENTRIES_MAX`] on one connection, or a table that contradicts itself: who
    /// finds rows by its key takes the columns for granted.
    pub fn catalog(&mut self, entries: Vec<CatalogEntry>) -> Result<(), IncomingError> {
        for entry in entries {
            match entry.what {
                CatalogItem::Table(version) if !version.is_sound() => {
                    return Err(IncomingError::UnsoundEntry { id: entry.id.0 });
                }
                CatalogItem::Table(version) => {
                    self.tables.insert(entry.id, Arc::new(version));
                }
                CatalogItem::Format(event) => {
                    self.formats.insert(entry.id, event.into());
                }
                CatalogItem::Ddl { .. } | CatalogItem::Server { .. } => {}
            }
            if self.tables.len() + self.formats.len() > CATALOG_ENTRIES_MAX {
                return Err(IncomingError::TooManyEntries);
            }
        }
        Ok(())
    }

    /// A frame came.
    ///
    /// # Errors
    /// Damaged, out of order, or naming what was not sent.
    pub fn frame(&mut self, bytes: Bytes) -> Result<Delivery, IncomingError> {
        let last = self.last.filter(|_| self.begun).ok_or(IncomingError::NotBegun)?;
        let mut transaction = frame::decode(&bytes)?;
        // A slice would keep the whole frame while the delivery waits: the archive, read already, is most
        // of it, and what waits would take twice the bytes that its credit says.
        transaction.raw = Bytes::copy_from_slice(&transaction.raw);
        let scn = transaction.header.scn;
        if scn <= last {
            return Err(IncomingError::NotRising { scn, last });
        }
        self.check_part(&transaction, last)?;
        let delivery = self.resolve(transaction)?;
        self.last = Some(scn);
        match delivery.transaction.completes() {
            Some(completed) => {
                // Rows are numbered within their transaction, so the parts' SCNs lie above it: the
                // next transaction rises above both.
                self.position = Some(completed);
                self.parts = 0;
            }
            None => self.parts += 1,
        }
        Ok(delivery)
    }

    /// The server has read up to here.
    ///
    /// # Errors
    /// Before what was received.
    pub fn progress(&mut self, scn: Scn) -> Result<(), IncomingError> {
        let position = self.position.filter(|_| self.begun).ok_or(IncomingError::NotBegun)?;
        // While a large transaction is under way, only what lies before it can have been passed.
        let bound = self.last.filter(|_| self.parts > 0).map(Scn::transaction);
        if scn < position || bound.is_some_and(|bound| scn >= bound) {
            return Err(IncomingError::NotRising { scn, last: bound.unwrap_or(position) });
        }
        if scn > position {
            self.position = Some(scn);
            self.last = self.last.max(self.position);
        }
        Ok(())
    }

    fn check_part(&self, transaction: &Transaction, last: Scn) -> Result<(), IncomingError> {
        let scn = transaction.header.scn;
        let index = transaction.rows().and_then(|rows| rows.part).map_or(0, |part| part.index);
        let goes_on = self.parts > 0;
        if index != self.parts || (goes_on && scn.transaction() != last.transaction()) {
            return Err(IncomingError::TornTransaction { scn });
        }
        Ok(())
    }

    fn resolve(&self, transaction: Transaction) -> Result<Delivery, IncomingError> {
        let unknown = |id: CatalogId| IncomingError::UnknownEntry { scn: transaction.header.scn, id: id.0 };
        let format_id = transaction.header.format;
        let format = self.formats.get(&format_id).cloned().ok_or_else(|| unknown(format_id))?;
        let uses = transaction.rows().map_or(&[][..], |rows| &rows.tables[..]);
        let tables = uses
            .iter()
            .map(|table| self.tables.get(&table.version).cloned().ok_or_else(|| unknown(table.version)))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Delivery { transaction, tables, format, refused: None })
    }
}

//! The serving side of a pull, as a pure engine: what of each frame goes out, and what must go first.

use std::collections::HashSet;

use bytes::Bytes;

use super::message::RowFilter;
use crate::buffer::frame::{self, FrameError};
use crate::buffer::select::{Selection, select};
use crate::catalog::CatalogId;
use crate::scn::Scn;
use crate::time::Micros;
use crate::transaction::{Body, Part, Rows, Transaction};

/// What to do with one frame of the buffer.
#[derive(Debug, Clone, PartialEq)]
pub struct Passed {
    /// To be sent; None: nothing of it is wanted.
    pub frame: Option<Bytes>,
    /// Catalog entries to send before the frame: it names them and this connection has not had them.
    pub catalog: Vec<CatalogId>,
    /// It was the instance's heartbeat.
    pub heartbeat: bool,
    /// Rows that the filter held back.
    pub rows_filtered: u64,
}

/// The state of one connection.
#[derive(Debug)]
pub struct Outgoing {
    filter: RowFilter,
    known: HashSet<CatalogId>,
    completed: Scn,
    source_time: Micros,
    /// Parts sent of the large transaction under way.
    parts_sent: u32,
}

impl Outgoing {
    /// A connection that begins after `after` (exclusive).
    pub fn new(filter: RowFilter, after: Scn) -> Outgoing {
        Outgoing { filter, known: HashSet::new(), completed: after, source_time: Micros::ZERO, parts_sent: 0 }
    }

    /// Everything up to here (inclusive) was passed.
    pub fn completed(&self) -> Scn {
        self.completed
    }

    /// The source's time at [`Outgoing::completed`]: of its heartbeat's writer or of the commit.
    /// [`Micros::ZERO`] until a frame was passed.
    pub fn source_time(&self) -> Micros {
        self.source_time
    }

    /// A large transaction was begun and its last part has not been sent: it cannot be read again on
    /// this connection.
    pub fn is_midway(&self) -> bool {
        self.parts_sent > 0
    }

    /// Everything up to `scn` (inclusive) is known to have been passed.
    pub fn passed_up_to(&mut self, scn: Scn) {
        self.completed = self.completed.max(scn);
    }

    /// Passes one frame. Frames come in SCN order; of what was passed before, nothing goes out again
    /// (a reader that begins after a large transaction still sees its later parts, whose SCNs are
    /// greater than the transaction's own).
    ///
    /// The parts of a large transaction that go out are numbered anew without gaps, and its last part
    /// goes out, empty if need be, exactly when any part did: the other side can rely on both.
    ///
    /// # Errors
    /// The frame is damaged.
    pub fn pass(&mut self, frame: &Bytes) -> Result<Passed, FrameError> {
        let transaction = frame::decode(frame)?;
        if transaction.header.scn.transaction() <= self.completed {
            return Ok(Passed { frame: None, catalog: Vec::new(), heartbeat: false, rows_filtered: 0 });
        }
        let completes = transaction.completes();
        let source_time = match transaction.header.body {
            Body::Heartbeat { written } => written,
            Body::Rows(_) | Body::Ddl(_) => transaction.header.commit_time,
        };
        let mut passed = Passed {
            frame: None,
            catalog: Vec::new(),
            heartbeat: matches!(transaction.header.body, Body::Heartbeat { .. }),
            rows_filtered: row_count(&transaction),
        };
        let (wanted, cut) = match select(&transaction, &self.filter) {
            Selection::All => (Some(transaction), false),
            Selection::Some(cut) if self.ends_nothing(&cut) => (None, true),
            Selection::Some(cut) => (Some(cut), true),
            Selection::None => (None, true),
        };
        if let Some(mut out) = wanted {
            let renumbered = self.number_part(&mut out);
            passed.catalog = self.unknown_ids(&out);
            passed.rows_filtered = passed.rows_filtered.saturating_sub(row_count(&out));
            passed.frame = Some(if cut || renumbered { frame::encode(&out)?.into() } else { frame.clone() });
        }
        if let Some(scn) = completes {
            self.completed = scn;
            self.parts_sent = 0;
            self.source_time = source_time;
        }
        Ok(passed)
    }

    /// It is the last part of a large transaction, without rows, and no part before it was wanted.
    fn ends_nothing(&self, cut: &Transaction) -> bool {
        self.parts_sent == 0
            && cut.rows().is_some_and(|rows| rows.rows.is_empty() && rows.part.is_some_and(|part| part.last))
    }

    /// Gives the part its number among those sent; true if it had another.
    fn number_part(&mut self, transaction: &mut Transaction) -> bool {
        let Body::Rows(Rows { part: Some(part), .. }) = &mut transaction.header.body else {
            return false;
        };
        let number = Part { index: self.parts_sent, last: part.last };
        self.parts_sent += 1;
        std::mem::replace(part, number) != number
    }

    fn unknown_ids(&mut self, transaction: &Transaction) -> Vec<CatalogId> {
        let versions =
            transaction.rows().into_iter().flat_map(|rows| &rows.tables).map(|table| table.version);
        let mut ids = Vec::new();
        for id in std::iter::once(transaction.header.format).chain(versions) {
            if self.known.insert(id) {
                ids.push(id);
            }
        }
        ids
    }
}

/// Bytes of binlog between two SCNs of a source, as far as they tell: exact within one file; across
/// files the newest file's bytes, and as many again for each file between, at most `held` (what the
/// event buffer holds).
pub fn bytes_behind(at: Scn, newest: Scn, held: u64) -> u64 {
    if newest <= at {
        0
    } else if (newest.epoch, newest.log_index) == (at.epoch, at.log_index) {
        newest.log_pos - at.log_pos
    } else {
        let files = u64::from(newest.log_index.saturating_sub(at.log_index).max(1));
        newest.log_pos.saturating_mul(files).min(held.max(newest.log_pos))
    }
}

fn row_count(transaction: &Transaction) -> u64 {
    transaction.rows().map_or(0, |rows| rows.rows.len() as u64)
}

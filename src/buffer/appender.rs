//! The one writer of a buffer: puts frames behind each other and publishes whole transactions.

use std::io;
use std::sync::Arc;

use weft_actors::ports::BufferError;
use weft_core::buffer::frame::{self, FramePrefix};
use weft_core::scn::Scn;
use weft_core::transaction::Transaction;

use super::chain::{Chain, Completed, Follows, Place};
use super::layout::{DATA_AT, SegmentHead};
use super::ring::Ring;
use super::segment::Segment;

/// Memory that is kept from one frame to the next, in bytes.
const SCRATCH_BYTES_KEPT: usize = 8 << 20;
/// Files are a multiple of this long.
const PAGE_BYTES: u64 = 4096;

/// The writing end of a buffer; one a buffer, behind its lock.
#[derive(Default)]
pub struct Appender {
    pub chain: Chain,
    /// The newest segment; None before the first frame.
    pub active: Option<Arc<Segment>>,
    /// Where its next frame goes.
    pub at: u64,
    /// Segments that filled up while a large transaction is open, oldest first, with the ends of
    /// their frames: published with its last part.
    filled: Vec<(Arc<Segment>, u64)>,
    scratch: Vec<u8>,
}

impl Appender {
    /// Goes on where a recovery ended.
    pub fn resume(chain: Chain, active: Option<Arc<Segment>>) -> Appender {
        let at = active.as_ref().map_or(DATA_AT, |segment| segment.end().offset);
        Appender { chain, active, at, ..Appender::default() }
    }

    /// States where the history begins, while nothing was ever appended.
    pub fn begin(&mut self, ring: &Ring, at: Scn) {
        if self.active.is_none() && ring.newest().is_none() {
            self.chain.whole = Some(at.transaction());
        }
    }

    /// Appends a frame and publishes it if it makes its transaction whole.
    ///
    /// The first frame of a transaction while parts of another are waiting takes those back. A
    /// part can be appended again after an error.
    ///
    /// # Errors
    /// `NotRising`, `Write`; `Damaged` for a transaction that cannot become a frame.
    pub fn append(&mut self, ring: &Ring, transaction: &Transaction) -> Result<(), BufferError> {
        let mut scratch = std::mem::take(&mut self.scratch);
        let appended = match frame::encode_into(transaction, &mut scratch) {
            Ok(()) => self.append_frame(ring, &scratch),
            Err(error) => Err(ring.damaged(format!("{} cannot be stored: {error}", transaction.header.scn))),
        };
        scratch.shrink_to(SCRATCH_BYTES_KEPT);
        self.scratch = scratch;
        appended
    }

    fn append_frame(&mut self, ring: &Ring, bytes: &[u8]) -> Result<(), BufferError> {
        let prefix = frame::peek(bytes).expect("it was encoded just now");
        match self.chain.follows(&prefix) {
            Follows::Not => {
                let newest = self.chain.last_frame.max(self.chain.whole).unwrap_or(Scn::ZERO);
                return Err(BufferError::NotRising { new: prefix.scn, newest });
            }
            Follows::Begins => self.take_back(ring),
            Follows::Continues => {}
        }
        let length = bytes.len() as u64;
        let active = match &self.active {
            Some(active) if self.at + length <= active.head.file_bytes => Arc::clone(active),
            _ => self.roll(ring, &prefix)?,
        };
        // SAFETY: `&mut self` is the buffer's one appender.
        unsafe { active.write_unpublished(self.at, bytes) };
        let place = Place { segment: active.head.number, offset: self.at };
        self.at += length;
        if let Some(done) = self.chain.take(&prefix, place) {
            self.publish(ring, &active, &done);
        }
        Ok(())
    }

    /// The next segment, with room for the frame; the one before is full.
    fn roll(&mut self, ring: &Ring, prefix: &FramePrefix) -> Result<Arc<Segment>, BufferError> {
        let needed = (DATA_AT + prefix.frame_bytes as u64).next_multiple_of(PAGE_BYTES);
        let head = SegmentHead {
            instance: ring.options.instance.clone(),
            number: self.active.as_ref().map_or(0, |active| active.head.number + 1),
            file_bytes: ring.options.segment_bytes.max(needed),
            last_frame: self.chain.last_frame,
            whole: self.chain.whole,
        };
        let segment = Arc::new(self.create(ring, head).map_err(|error| ring.write_error(&error))?);
        if prefix.begins() {
            segment.notes_mut().summary.floor = self.chain.whole;
        }
        // In the list before the one before it is sealed: a reader at its end looks here next.
        ring.push(Arc::clone(&segment));
        if let Some(full) = self.active.replace(Arc::clone(&segment)) {
            full.notes_mut().chain_at_end = self.chain;
            match self.chain.open {
                Some(_) => self.filled.push((full, self.at)),
                None => full.publish(self.at, true),
            }
        }
        self.at = DATA_AT;
        Ok(segment)
    }

    /// Creates a segment within the budget, letting the oldest go; so too where the disk is full.
    /// Segments of the open transaction stay: without its head it could not be published, so
    /// for a transaction larger than the budget the budget is overdrawn.
    fn create(&self, ring: &Ring, head: SegmentHead) -> io::Result<Segment> {
        let active = self.active.as_ref().map_or(0, |active| active.head.number);
        let open = self.chain.open.and_then(|open| open.first).map(|first| first.segment);
        let limit = open.unwrap_or(active).min(active);
        while ring.file_bytes() + head.file_bytes > ring.options.budget_bytes && ring.reclaim_oldest(limit) {}
        loop {
            match Segment::create(&ring.directory, head.clone()) {
                Err(error) if is_disk_full(&error) && ring.reclaim_oldest(limit) => {}
                made => return made,
            }
        }
    }

    fn publish(&mut self, ring: &Ring, active: &Arc<Segment>, done: &Completed) {
        let began_in = match done.first {
            Some(first) if first.segment != active.head.number => {
                self.filled.iter().map(|(segment, _)| segment).find(|s| s.head.number == first.segment)
            }
            _ => Some(active),
        };
        began_in.into_iter().for_each(|segment| segment.note_begun(done));
        active.note_completed(done);
        // Newest first: a reader that gets to a part finds the ones after it.
        active.publish(self.at, false);
        for (segment, end) in self.filled.drain(..).rev() {
            segment.publish(end, true);
        }
        ring.set_newest(done.scn);
    }

    /// Takes the parts of an open transaction back: the capture reads it again from its start.
    fn take_back(&mut self, ring: &Ring) {
        let Some(first) = self.chain.take_back().and_then(|open| open.first) else { return };
        ring.drop_after(first.segment);
        let began_in = self.filled.drain(..).find(|(segment, _)| segment.head.number == first.segment);
        let written = match began_in {
            Some((segment, end)) => {
                self.active = Some(segment);
                end
            }
            None => self.at,
        };
        if let Some(active) = &self.active {
            // SAFETY: `&mut self` is the buffer's one appender.
            unsafe { active.zero_unpublished(first.offset, written) };
        }
        self.at = first.offset;
    }
}

fn is_disk_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

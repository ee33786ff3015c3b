//! Reads published frames in order, beside the appender.

use std::sync::Arc;

use weft_actors::ports::{BufferError, FrameReader, FrameRef};
use weft_core::buffer::frame::{self, FrameError, FramePrefix};
use weft_core::scn::Scn;

use super::ring::Ring;
use super::segment::Segment;

/// A reader with a position of its own.
pub struct MmapReader {
    ring: Arc<Ring>,
    /// What the reader has: everything up to here.
    after: Scn,
    /// Where it looks next; None until something is published.
    at: Option<(Arc<Segment>, u64)>,
    /// The first frame after its start is not found yet.
    seeking: bool,
}

impl MmapReader {
    /// A reader of the frames after `after`. An SCN inside of a transaction asks for that
    /// transaction again, whole.
    ///
    /// # Errors
    /// `TooOld`.
    pub fn new(ring: Arc<Ring>, after: Scn) -> Result<MmapReader, BufferError> {
        let at = ring.start(after)?;
        Ok(MmapReader { ring, after, at, seeking: true })
    }

    /// Whether the reader has this frame already.
    fn has(&self, frame: &FramePrefix) -> bool {
        let scn = frame.scn.transaction();
        scn < self.after.transaction() || (scn == self.after.transaction() && self.after.row == 0)
    }

    /// The frame here. Frames that nobody in this process has seen yet are checked whole.
    fn check(&self, segment: &Segment, at: u64, end: u64) -> Result<FramePrefix, FrameError> {
        let bytes = segment.published(at, end);
        let prefix = frame::peek(bytes)?;
        if prefix.frame_bytes > bytes.len() {
            return Err(FrameError::Short { need: prefix.frame_bytes, have: bytes.len() });
        }
        if at >= segment.verified() {
            frame::verify(bytes)?;
            segment.extend_verified(at, at + prefix.frame_bytes as u64);
        }
        Ok(prefix)
    }

    /// A damaged frame makes a hole. What is before it can lead no reader further, so it goes, and
    /// readers there are served from the source instead.
    fn report_damage(&self, segment: &Segment, at: u64, error: &FrameError) -> BufferError {
        let path = segment.path.display();
        tracing::error!(%path, at, %error, "damaged frame: the buffer lets go of it and everything older");
        if self.ring.drop_through(segment.head.number, u64::MAX) {
            return self.ring.too_old(self.after);
        }
        self.ring.damaged(format!("{path} at byte {at}: {error}"))
    }
}

impl FrameReader for MmapReader {
    fn next(&mut self) -> Result<Option<FrameRef>, BufferError> {
        loop {
            let Some((segment, at)) = &self.at else {
                self.at = self.ring.start(self.after)?;
                if self.at.is_none() {
                    return Ok(None);
                }
                continue;
            };
            let (segment, at) = (Arc::clone(segment), *at);
            let end = segment.end();
            if at < end.offset {
                let checked = self.check(&segment, at, end.offset);
                let prefix = checked.map_err(|error| self.report_damage(&segment, at, &error))?;
                let behind = at + prefix.frame_bytes as u64;
                self.at = Some((Arc::clone(&segment), behind));
                if self.seeking && self.has(&prefix) {
                    continue;
                }
                self.seeking = false;
                if let Some(scn) = prefix.completes() {
                    self.after = scn;
                }
                return Ok(Some(segment.share(at, behind)));
            }
            if !end.sealed {
                return Ok(None);
            }
            match self.ring.segment(segment.head.number + 1) {
                Some(next) => self.at = Some((next, super::layout::DATA_AT)),
                None => return Err(self.ring.too_old(self.after)),
            }
        }
    }
}

//! Which frame may follow which: the one rule for appending and for reading a segment back.

use rkyv::{Archive, Deserialize, Serialize};
use weft_core::buffer::frame::FramePrefix;
use weft_core::scn::Scn;

/// Where a frame lies.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Number of the segment.
    pub segment: u64,
    /// Bytes from the start of its file.
    pub offset: u64,
}

/// A large transaction whose last part has not come.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenTransaction {
    pub scn: Scn,
    /// Index of the part that must come next; None where any may, as the parts before are gone.
    pub next_part: Option<u32>,
    /// Where its first part lies; None if that is gone.
    pub first: Option<Place>,
    /// The last frame before it.
    pub frame_before: Option<Scn>,
}

/// The end of a history.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Chain {
    /// The newest whole transaction, or where the history was said to begin.
    pub whole: Option<Scn>,
    /// The last frame, part or whole.
    pub last_frame: Option<Scn>,
    pub open: Option<OpenTransaction>,
}

/// How a frame would follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follows {
    /// It begins a transaction.
    Begins,
    /// It is the next part of the open one.
    Continues,
    /// It does neither, or its SCN does not rise.
    Not,
}

/// A transaction that became whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Completed {
    pub scn: Scn,
    /// Where its first frame lies; None if that is gone.
    pub first: Option<Place>,
}

impl Chain {
    /// How the frame would follow. A frame that begins a transaction while another is open follows
    /// too: a capture that lost its connection reads the large transaction again from its start.
    pub fn follows(&self, frame: &FramePrefix) -> Follows {
        let scn = frame.scn.transaction();
        if frame.begins() {
            let rises = self.whole.is_none_or(|whole| scn > whole);
            return if rises { Follows::Begins } else { Follows::Not };
        }
        let rises = self.last_frame.is_none_or(|last| frame.scn > last);
        match (&self.open, frame.part) {
            (Some(open), Some(part))
                if rises && open.scn == scn && open.next_part.is_none_or(|next| part.index == next) =>
            {
                Follows::Continues
            }
            _ => Follows::Not,
        }
    }

    /// Lets the frame follow. The caller has asked [`Chain::follows`], and has taken an open
    /// transaction back before it begins another.
    pub fn take(&mut self, frame: &FramePrefix, at: Place) -> Option<Completed> {
        let scn = frame.scn.transaction();
        if frame.begins() {
            debug_assert!(self.open.is_none(), "a transaction begins while another is open");
            let open =
                OpenTransaction { scn, next_part: Some(0), first: Some(at), frame_before: self.last_frame };
            self.open = Some(open);
        }
        self.last_frame = Some(frame.scn);
        if frame.completes().is_some() {
            self.whole = Some(scn);
            return self.open.take().map(|open| Completed { scn, first: open.first });
        }
        if let (Some(open), Some(part)) = (&mut self.open, frame.part) {
            open.next_part = Some(part.index.saturating_add(1));
        }
        None
    }

    /// Forgets the open transaction; what it was.
    pub fn take_back(&mut self) -> Option<OpenTransaction> {
        let open = self.open.take()?;
        self.last_frame = open.frame_before;
        Some(open)
    }
}

#[cfg(test)]
mod tests {
    use weft_core::transaction::Part;

    use super::*;

    fn frame(pos: u64, row: u32, part: Option<(u32, bool)>) -> FramePrefix {
        FramePrefix {
            scn: Scn::of_transaction(0, 1, pos).with_row(row),
            frame_bytes: 64,
            header_bytes: 0,
            raw_bytes: 0,
            part: part.map(|(index, last)| Part { index, last }),
        }
    }

    const HERE: Place = Place { segment: 0, offset: 512 };

    #[test]
    fn parts_follow_in_their_order_and_a_new_start_follows_too() {
        let mut chain = Chain::default();
        assert_eq!(chain.take(&frame(10, 0, None), HERE).map(|done| done.scn.log_pos), Some(10));
        assert_eq!(chain.follows(&frame(10, 0, None)), Follows::Not);
        assert_eq!(chain.follows(&frame(20, 5, Some((1, false)))), Follows::Not);
        assert_eq!(chain.take(&frame(20, 0, Some((0, false))), HERE), None);
        assert_eq!(chain.follows(&frame(20, 9, Some((2, true)))), Follows::Not);
        assert_eq!(chain.follows(&frame(20, 5, Some((1, true)))), Follows::Continues);
        assert_eq!(chain.follows(&frame(20, 0, Some((0, false)))), Follows::Begins);
        let open = chain.take_back().expect("open");
        assert_eq!((open.first, chain.last_frame.map(|scn| scn.log_pos)), (Some(HERE), Some(10)));
        assert_eq!(chain.take(&frame(20, 0, Some((0, false))), HERE), None);
        let done = chain.take(&frame(20, 5, Some((1, true))), HERE).expect("its last part");
        assert_eq!((done.first, chain.whole), (Some(HERE), Some(done.scn)));
    }
}

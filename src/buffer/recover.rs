//! Finds the longest sound history among the segments that a crash left.
//!
//! A segment with an index file was put on disk whole and is believed (each of its frames is still
//! checked when it is first read). The ones behind are read frame by frame. Damage costs the
//! shorter side: among the segments on disk everything up to the damage goes, since a reader before
//! it could not pass; behind them everything from the damage on goes, and the source is read again
//! from there.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use weft_core::buffer::frame::{self, FramePrefix, PREFIX_BYTES};
use weft_core::transaction::Transaction;

use super::chain::{Chain, Follows, OpenTransaction, Place};
use super::layout::{DATA_AT, INDEX_KIND, SegmentIndex, read_archive};
use super::segment::{Notes, Segment};
use crate::data::records::RecordReader;

/// What was found.
pub struct Recovered {
    pub chain: Chain,
    /// Oldest first, published.
    pub segments: Vec<Arc<Segment>>,
    /// So many of them, from the oldest on, are on disk with their index files.
    pub on_disk: u64,
    pub cut_bytes: u64,
    pub dropped_segments: u64,
}

/// Reads the segments of `directory` back and deletes what does not belong to the history kept.
///
/// # Errors
/// Those of the file system.
pub fn recover(directory: &Path, instance: &str, catalog_entries: u32) -> io::Result<Recovered> {
    let mut recovery = Recovery {
        directory,
        instance,
        catalog_entries,
        chain: Chain::default(),
        kept: Vec::new(),
        dropped_segments: 0,
    };
    recovery.load()?;
    let mut cut_bytes = recovery.cut()?;
    while recovery.read_newest_after_all()? {
        cut_bytes += recovery.cut()?;
    }
    let Recovery { chain, kept, dropped_segments, .. } = recovery;
    let on_disk = kept.iter().take_while(|kept| kept.indexed).count() as u64;
    let count = kept.len();
    let publish = |(at, kept): (usize, Kept)| {
        kept.segment.publish(kept.end, at + 1 < count);
        Arc::new(kept.segment)
    };
    let segments = kept.into_iter().enumerate().map(publish).collect();
    Ok(Recovered { chain, segments, on_disk, cut_bytes, dropped_segments })
}

/// A segment of the history kept.
struct Kept {
    segment: Segment,
    /// Where its frames end.
    end: u64,
    /// It was believed for its index file.
    indexed: bool,
}

/// What a segment is worth behind the ones kept so far.
enum Admitted {
    Sound(Kept),
    /// Sound up to its `end`.
    Torn(Kept),
    /// Not a segment of this buffer, or it does not go on where the others end.
    Refused,
}

struct Recovery<'a> {
    directory: &'a Path,
    instance: &'a str,
    catalog_entries: u32,
    /// The end of the history kept so far.
    chain: Chain,
    kept: Vec<Kept>,
    dropped_segments: u64,
}

impl Recovery<'_> {
    fn load(&mut self) -> io::Result<()> {
        let mut found = list(self.directory)?;
        // The newest is read whatever its index file says: it will be appended to.
        if let Some(mut newest) = found.last_entry() {
            newest.insert(None);
        }
        let on_disk =
            found.iter().filter(|(_, index)| index.is_some()).map(|(number, _)| *number).next_back();
        let mut found = found.into_iter();
        for (number, index) in found.by_ref() {
            let may_go = on_disk.is_some_and(|last| number <= last);
            let mut admitted = self.admit(number, index.as_ref())?;
            if may_go && matches!(admitted, Admitted::Refused) && !self.kept.is_empty() {
                self.drop_kept()?;
                admitted = self.admit(number, index.as_ref())?;
            }
            match admitted {
                Admitted::Sound(kept) => self.kept.push(kept),
                Admitted::Torn(_) | Admitted::Refused if may_go => {
                    self.drop(number)?;
                    self.drop_kept()?;
                }
                Admitted::Torn(kept) => {
                    self.kept.push(kept);
                    break;
                }
                Admitted::Refused => {
                    self.drop(number)?;
                    break;
                }
            }
        }
        // Newest first, so that a crash in between leaves no gap in the numbers.
        for (number, _) in found.rev() {
            self.drop(number)?;
        }
        Ok(())
    }

    fn admit(&mut self, number: u64, index: Option<&SegmentIndex>) -> io::Result<Admitted> {
        let path = self.directory.join(Segment::file_name(number));
        let Some(segment) = Segment::open(&path, number)? else { return Ok(Admitted::Refused) };
        let head = &segment.head;
        if head.instance != self.instance {
            return Ok(Admitted::Refused);
        }
        if let Some(last) = self.kept.last() {
            let follows = last.segment.head.number + 1 == number && self.chain.last_frame == head.last_frame;
            if !follows {
                return Ok(Admitted::Refused);
            }
            last.segment.notes_mut().chain_at_end = self.chain;
        } else {
            self.chain = Chain { whole: head.whole, last_frame: head.last_frame, open: None };
        }
        Ok(match index {
            Some(index) => self.believe(segment, index),
            None => self.read(segment),
        })
    }

    fn believe(&mut self, segment: Segment, index: &SegmentIndex) -> Admitted {
        let sane = index.number == segment.head.number
            && (DATA_AT..=segment.head.file_bytes).contains(&index.end)
            && index.catalog_entries <= self.catalog_entries;
        if !sane {
            return Admitted::Refused;
        }
        segment.set_verified(DATA_AT);
        *segment.notes_mut() = Notes { summary: index.summary.clone(), chain_at_end: index.chain };
        self.chain = index.chain;
        Admitted::Sound(Kept { segment, end: index.end, indexed: true })
    }

    /// Reads a segment frame by frame, up to where none follows.
    fn read(&mut self, mut segment: Segment) -> Admitted {
        let number = segment.head.number;
        let mut offset = DATA_AT;
        let mut torn = false;
        while let Some(checked) = frame_at(segment.exclusive(), offset) {
            let Some(prefix) = checked.filter(|(_, transaction)| self.knows(transaction)).map(|(p, _)| p)
            else {
                torn = true;
                break;
            };
            if offset == DATA_AT {
                self.meet_first(&segment, &prefix);
            }
            let cuts_in = prefix.begins() && self.chain.open.is_some();
            if cuts_in || self.chain.follows(&prefix) == Follows::Not {
                torn = true;
                break;
            }
            if let Some(done) = self.chain.take(&prefix, Place { segment: number, offset }) {
                match done.first {
                    Some(first) if first.segment != number => {
                        let began_in =
                            self.kept.iter().find(|kept| kept.segment.head.number == first.segment);
                        began_in.into_iter().for_each(|kept| kept.segment.note_begun(&done));
                    }
                    _ => segment.note_begun(&done),
                }
                segment.note_completed(&done);
            }
            offset += prefix.frame_bytes as u64;
        }
        if offset == DATA_AT {
            // Left empty by a frame that was taken back or did not fit: the next one begins anew.
            segment.notes_mut().summary.floor = segment.head.whole;
        }
        let kept = Kept { segment, end: offset, indexed: false };
        if torn { Admitted::Torn(kept) } else { Admitted::Sound(kept) }
    }

    /// Sets what follows from a segment's first frame alone.
    fn meet_first(&mut self, segment: &Segment, prefix: &FramePrefix) {
        if prefix.begins() {
            segment.notes_mut().summary.floor = segment.head.whole;
        } else if self.kept.is_empty() {
            // The parts before it were reclaimed; the rest must still be passed over.
            self.chain.open = Some(OpenTransaction {
                scn: prefix.scn.transaction(),
                next_part: None,
                first: None,
                frame_before: segment.head.last_frame,
            });
        }
    }

    /// The catalog has every entry that the frame names. A crash of the machine can keep frames and
    /// lose entries.
    fn knows(&self, transaction: &Transaction) -> bool {
        let known = |id: weft_core::catalog::CatalogId| id.0 < self.catalog_entries;
        transaction.rows().is_none_or(|rows| {
            known(transaction.header.format) && rows.tables.iter().all(|t| known(t.version))
        })
    }

    /// Cuts off what is not a whole transaction at the end; how many bytes.
    fn cut(&mut self) -> io::Result<u64> {
        let mut cut_bytes = 0;
        if let Some(open) = self.chain.take_back() {
            // If its first part is gone, all that is left is within the open transaction.
            let oldest = self.kept.first().map_or(0, |kept| kept.segment.head.number);
            let gone = Place { segment: oldest, offset: DATA_AT };
            let first = open.first.filter(|first| oldest <= first.segment).unwrap_or(gone);
            while let Some(kept) = self.kept.pop_if(|kept| kept.segment.head.number > first.segment) {
                cut_bytes += kept.end - DATA_AT;
                self.drop(kept.segment.head.number)?;
            }
            if let Some(kept) = self.kept.last_mut() {
                kept.end = first.offset;
            }
        }
        if let Some(kept) = self.kept.last_mut() {
            // It is written on, and what the file says would be too little then.
            remove_if_there(&kept.segment.index_path())?;
            cut_bytes += wipe(&mut kept.segment.exclusive()[kept.end as usize..]);
            let mut notes = kept.segment.notes_mut();
            notes.summary.index.retain(|entry| entry.offset < kept.end);
            if kept.end == DATA_AT {
                // The next frame begins a transaction, whatever stood here before.
                notes.summary.floor = self.chain.whole;
                self.chain.last_frame = kept.segment.head.last_frame;
            }
        }
        if self.chain.last_frame.is_none() {
            // Nothing was ever whole: the history may still be given another beginning.
            self.drop_kept()?;
        }
        Ok(cut_bytes)
    }

    /// Reads the newest segment frame by frame if it was only believed so far: there is no letting
    /// go of damage in a segment that is written on. Whether it had to.
    fn read_newest_after_all(&mut self) -> io::Result<bool> {
        let Some(newest) = self.kept.pop_if(|kept| kept.indexed) else { return Ok(false) };
        let number = newest.segment.head.number;
        let before = self.kept.last().map(|kept| kept.segment.notes().chain_at_end);
        self.chain = before.unwrap_or_default();
        match self.admit(number, None)? {
            Admitted::Sound(kept) | Admitted::Torn(kept) => self.kept.push(kept),
            Admitted::Refused => self.drop(number)?,
        }
        Ok(true)
    }

    /// Deletes a segment. One that stayed could be taken for part of the history later on.
    fn drop(&mut self, number: u64) -> io::Result<()> {
        let path = self.directory.join(Segment::file_name(number));
        tracing::warn!(path = %path.display(), "segment does not belong to the history kept: deleted");
        self.dropped_segments += 1;
        remove_if_there(&path.with_extension("index"))?;
        remove_if_there(&path)
    }

    fn drop_kept(&mut self) -> io::Result<()> {
        while let Some(kept) = self.kept.pop() {
            self.drop(kept.segment.head.number)?;
        }
        self.chain = Chain::default();
        Ok(())
    }
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The frame at `offset`: None where none follows (zeros, or too little room for one), `Some(None)`
/// where there is something else than a sound frame.
fn frame_at(file: &[u8], offset: u64) -> Option<Option<(FramePrefix, Transaction)>> {
    let rest = file.get(offset as usize..)?;
    let prefix = rest.get(..PREFIX_BYTES)?;
    if prefix.iter().all(|byte| *byte == 0) {
        return None;
    }
    let sound = || {
        let prefix = frame::verify(rest).ok()?;
        let transaction = frame::decode(&Bytes::copy_from_slice(&rest[..prefix.frame_bytes])).ok()?;
        Some((prefix, transaction))
    };
    Some(sound())
}

/// Zeros what is not zero, so that old frames cannot come back behind new ones; how many bytes that
/// were. Pages that are zero are not written: most of a segment has never been.
fn wipe(tail: &mut [u8]) -> u64 {
    let used = tail.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    tail[..used].fill(0);
    used as u64
}

/// The segments' numbers with their index files, where those are sound. Index files without a
/// segment are deleted.
fn list(directory: &Path) -> io::Result<BTreeMap<u64, Option<SegmentIndex>>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        if let Some(number) = name.to_str().and_then(Segment::number_of) {
            found.insert(number, None);
        }
    }
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_none_or(|ending| ending != "index") {
            continue;
        }
        let segment = path.with_extension("weft");
        let number = segment.file_name().and_then(|name| name.to_str()).and_then(Segment::number_of);
        match number.and_then(|number| found.get_mut(&number)) {
            Some(index) => *index = read_index(&fs::read(&path)?),
            None => fs::remove_file(&path)?,
        }
    }
    Ok(found)
}

fn read_index(file: &[u8]) -> Option<SegmentIndex> {
    read_archive(&RecordReader::new(file, INDEX_KIND).ok()?.next()?.ok()?)
}

//! The list of segments, oldest first, and the buffer as the actors see it.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, RwLock, RwLockReadGuard};

use weft_actors::ports::{BufferError, EventBuffer, FrameReader};
use weft_core::catalog::{CatalogEntry, CatalogId, TableVersion};
use weft_core::scn::Scn;
use weft_core::tables::TableName;
use weft_core::transaction::Transaction;

use super::appender::Appender;
use super::catalog::Catalog;
use super::layout::{DATA_AT, INDEX_KIND, SegmentIndex};
use super::open::BufferOptions;
use super::reader::MmapReader;
use super::segment::Segment;
use crate::data::files::{sync_directory_of, write_atomically};
use crate::data::records;

/// The segments that readers find, and what was published last.
pub struct Ring {
    pub directory: PathBuf,
    pub options: BufferOptions,
    /// Oldest first, numbers without gaps. The last one is the appender's and is never taken out
    /// by others. Held for moments only, never over a disk operation.
    pub segments: RwLock<VecDeque<Arc<Segment>>>,
    pub newest: RwLock<Option<Scn>>,
}

/// Whether a reader that has everything up to `after` finds the rest where readers may start at
/// `floor`. An SCN inside of a transaction asks for that transaction again.
fn serves(floor: Scn, after: Scn) -> bool {
    if after.row == 0 { floor <= after } else { floor < after.transaction() }
}

impl Ring {
    pub fn segments(&self) -> RwLockReadGuard<'_, VecDeque<Arc<Segment>>> {
        self.segments.read().expect("nothing panics while it holds the list")
    }

    pub fn newest(&self) -> Option<Scn> {
        *self.newest.read().expect("nothing panics while it holds the SCN")
    }

    pub fn set_newest(&self, scn: Scn) {
        *self.newest.write().expect("nothing panics while it holds the SCN") = Some(scn);
    }

    pub fn oldest(&self) -> Option<Scn> {
        self.newest()?;
        self.segments().iter().find_map(|segment| segment.floor())
    }

    pub fn too_old(&self, after: Scn) -> BufferError {
        BufferError::TooOld { after, oldest: self.oldest().or(self.newest()).unwrap_or(after) }
    }

    pub fn write_error(&self, error: &io::Error) -> BufferError {
        BufferError::Write { path: self.directory.display().to_string(), cause: error.to_string() }
    }

    pub fn damaged(&self, cause: impl Into<String>) -> BufferError {
        BufferError::Damaged { path: self.directory.display().to_string(), cause: cause.into() }
    }

    /// The segment with this number, if it is still there.
    pub fn segment(&self, number: u64) -> Option<Arc<Segment>> {
        let segments = self.segments();
        let first = segments.front()?.head.number;
        segments.get(usize::try_from(number.checked_sub(first)?).ok()?).cloned()
    }

    /// Where a reader starts that has everything up to `after`; None while nothing is published.
    ///
    /// # Errors
    /// `TooOld`.
    pub fn start(&self, after: Scn) -> Result<Option<(Arc<Segment>, u64)>, BufferError> {
        let found = {
            let segments = self.segments();
            segments
                .iter()
                .rev()
                .find(|segment| segment.floor().is_some_and(|floor| serves(floor, after)))
                .cloned()
        };
        match found {
            Some(segment) => {
                let offset = segment.look_from(after);
                Ok(Some((segment, offset)))
            }
            None if self.newest().is_none() => Ok(None),
            None => Err(self.too_old(after)),
        }
    }

    /// Bytes that the segments' files take.
    pub fn file_bytes(&self) -> u64 {
        self.segments().iter().map(|segment| segment.head.file_bytes).sum()
    }

    pub fn push(&self, segment: Arc<Segment>) {
        self.segments.write().expect("nothing panics while it holds the list").push_back(segment);
    }

    /// Lets the oldest segment go, and those behind it that are of no use without it, if its number
    /// is below `limit`; whether one went.
    pub fn reclaim_oldest(&self, limit: u64) -> bool {
        let oldest = self.segments().front().map(|segment| segment.head.number);
        oldest.is_some_and(|number| number < limit && self.drop_through(number, limit))
    }

    /// Lets all segments up to `number` go, and those behind them in which no reader can start, but
    /// none from `limit` on; whether any went.
    pub fn drop_through(&self, number: u64, limit: u64) -> bool {
        let mut dropped = Vec::new();
        {
            let mut segments = self.segments.write().expect("nothing panics while it holds the list");
            while let Some(front) = segments.front() {
                let useless = front.head.number <= number || front.floor().is_none();
                if front.head.number >= limit || !useless || segments.len() == 1 {
                    break;
                }
                dropped.extend(segments.pop_front());
            }
        }
        dropped.iter().for_each(|segment| delete(segment));
        !dropped.is_empty()
    }

    /// Lets all segments behind `number` go: the unpublished ones of a transaction taken back.
    pub fn drop_after(&self, number: u64) {
        let mut dropped = Vec::new();
        {
            let mut segments = self.segments.write().expect("nothing panics while it holds the list");
            while segments.back().is_some_and(|back| back.head.number > number) {
                dropped.extend(segments.pop_back());
            }
        }
        // Newest first, so that a crash in between leaves no gap in the numbers.
        dropped.iter().for_each(|segment| delete(segment));
    }
}

/// Deletes a segment's files. Failing costs space only, and the next start deletes what is left
/// before the first gap.
pub fn delete(segment: &Segment) {
    for path in [segment.path.clone(), segment.index_path()] {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(path = %path.display(), %error, "cannot delete a reclaimed segment");
            }
            _ => {}
        }
    }
}

/// How far the disk has everything.
#[derive(Debug, Clone, Copy, Default)]
pub struct Synced {
    /// Every segment before this one is on disk, index file included.
    pub segment: u64,
    /// This segment is on disk up to here.
    pub offset: u64,
}

/// The event buffer of one instance, in mapped files. See the [module](super) for the layout.
pub struct MmapBuffer {
    pub(super) ring: Arc<Ring>,
    pub(super) appender: Mutex<Appender>,
    pub(super) catalog: Catalog,
    pub(super) synced: Mutex<Synced>,
}

impl MmapBuffer {
    fn sync_segments(&self, synced: &mut Synced) -> io::Result<()> {
        let entries = self.catalog.sync()?;
        let segments: Vec<Arc<Segment>> = {
            let all = self.ring.segments();
            all.iter().filter(|segment| segment.head.number >= synced.segment).cloned().collect()
        };
        // Transactions are published whole, so once all of this is down, every index file written
        // below speaks of transactions that are whole on disk.
        let mut reached = Vec::with_capacity(segments.len());
        for segment in &segments {
            let end = segment.end();
            let from = if segment.head.number == synced.segment { synced.offset } else { 0 };
            if end.offset > from {
                segment.flush(from, end.offset)?;
            }
            reached.push(end);
        }
        if synced.offset == 0 || segments.len() > 1 {
            sync_directory_of(&self.ring.directory.join("any"))?;
        }
        for (segment, end) in segments.iter().zip(&reached) {
            if end.sealed {
                write_index(segment, end.offset, entries)?;
            }
            *synced = match end.sealed {
                true => Synced { segment: segment.head.number + 1, offset: 0 },
                false => Synced { segment: segment.head.number, offset: end.offset },
            };
            if !end.sealed {
                break;
            }
        }
        Ok(())
    }
}

/// Writes the index file of a full segment whose frames are on disk.
fn write_index(segment: &Segment, end: u64, catalog_entries: u32) -> io::Result<()> {
    let notes = segment.notes().clone();
    let index = SegmentIndex {
        number: segment.head.number,
        end,
        catalog_entries,
        chain: notes.chain_at_end,
        summary: notes.summary,
    };
    let archive = rkyv::to_bytes::<rkyv::rancor::Error>(&index).map_err(io::Error::other)?;
    let mut file = INDEX_KIND.head().to_vec();
    records::put(&mut file, &archive)?;
    write_atomically(&segment.index_path(), &file)
}

impl EventBuffer for MmapBuffer {
    fn append(&self, transaction: &Transaction) -> Result<(), BufferError> {
        let mut appender = self.appender.lock().expect("a panic while appending stops the replicator");
        appender.append(&self.ring, transaction)
    }

    fn begin(&self, at: Scn) -> Result<(), BufferError> {
        let mut appender = self.appender.lock().expect("a panic while appending stops the replicator");
        appender.begin(&self.ring, at);
        Ok(())
    }

    fn add_catalog(&self, entry: CatalogEntry) -> Result<(), BufferError> {
        self.catalog.add(entry)
    }

    fn catalog(&self) -> Vec<Arc<CatalogEntry>> {
        self.catalog.all()
    }

    fn catalog_entry(&self, id: CatalogId) -> Option<Arc<CatalogEntry>> {
        self.catalog.entry(id)
    }

    fn newest_table(&self, name: &TableName) -> Option<(CatalogId, Arc<TableVersion>)> {
        self.catalog.newest_table(name)
    }

    fn newest(&self) -> Option<Scn> {
        self.ring.newest()
    }

    fn oldest(&self) -> Option<Scn> {
        self.ring.oldest()
    }

    fn size(&self) -> (u64, u64) {
        let segments = self.ring.segments();
        segments.iter().fold((0, 0), |(bytes, transactions), segment| {
            let held = segment.end().offset - DATA_AT;
            (bytes + held, transactions + segment.notes().summary.transactions)
        })
    }

    fn limit_bytes(&self) -> u64 {
        self.ring.options.budget_bytes
    }

    fn reader(&self, after: Scn) -> Result<Box<dyn FrameReader>, BufferError> {
        Ok(Box::new(MmapReader::new(Arc::clone(&self.ring), after)?))
    }

    fn sync(&self) -> Result<(), BufferError> {
        let mut synced = self.synced.lock().expect("nothing panics while it syncs");
        self.sync_segments(&mut synced).map_err(|error| self.ring.write_error(&error))
    }
}

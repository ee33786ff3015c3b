//! One mapped file of frames.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;
use memmap2::{MmapOptions, MmapRaw};
use weft_core::scn::Scn;

use super::chain::{Chain, Completed};
use super::layout::{DATA_AT, IndexEntry, SegmentHead, Summary};
use crate::data::files::unfinished_name;

/// One index entry for every so many bytes of frames.
const INDEX_EVERY_BYTES: u64 = 64 << 10;
/// Set in [`Segment::end`] once no frame will be added.
const SEALED: u64 = 1 << 63;

/// A mapped file of frames. The appender writes behind the published end, readers read before it;
/// the published end only grows, and bytes before it never change.
pub struct Segment {
    pub head: SegmentHead,
    pub path: PathBuf,
    map: MmapRaw,
    /// Where published frames end; [`SEALED`] on top.
    end: AtomicU64,
    /// Frames before this offset are known to be sound.
    verified: AtomicU64,
    notes: RwLock<Notes>,
}

/// What is known of the frames.
#[derive(Debug, Clone, Default)]
pub struct Notes {
    pub summary: Summary,
    /// The history's end where the segment is full; means nothing before.
    pub chain_at_end: Chain,
}

/// The published end of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    pub offset: u64,
    /// No frame will be added.
    pub sealed: bool,
}

impl Segment {
    /// Name of the segment's file.
    pub fn file_name(number: u64) -> String {
        format!("segment-{number}.weft")
    }

    /// The number in a segment's file name.
    pub fn number_of(file_name: &str) -> Option<u64> {
        file_name.strip_prefix("segment-")?.strip_suffix(".weft")?.parse().ok()
    }

    /// Path of the index file beside a segment.
    pub fn index_path(&self) -> PathBuf {
        self.path.with_extension("index")
    }

    /// Creates the file with all of its disk space: what does not fit shows here, and not as a
    /// SIGBUS when a page of a sparse file is first written.
    ///
    /// # Errors
    /// Those of the file system; nothing is left behind then.
    pub fn create(directory: &Path, head: SegmentHead) -> io::Result<Segment> {
        let path = directory.join(Segment::file_name(head.number));
        let unfinished = unfinished_name(&path);
        let made = Segment::create_at(&unfinished, &head)
            .and_then(|file| fs::rename(&unfinished, &path).map(|()| file))
            .and_then(|file| Segment::map(&file, path, head));
        if made.is_err() {
            // Only its space matters; the error to tell is the first.
            let _ = fs::remove_file(&unfinished);
        }
        made
    }

    fn create_at(path: &Path, head: &SegmentHead) -> io::Result<File> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
        let allocated = rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, head.file_bytes);
        match allocated {
            Ok(()) => {}
            Err(rustix::io::Errno::OPNOTSUPP) => write_zeros(&mut file, head.file_bytes)?,
            Err(error) => return Err(error.into()),
        }
        rustix::io::pwrite(&file, &head.encode(), 0)?;
        Ok(file)
    }

    /// Opens an existing file; None if its head does not stand there whole, or names another
    /// segment or length.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn open(path: &Path, number: u64) -> io::Result<Option<Segment>> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let file_bytes = file.metadata()?.len();
        let mut head = [0; DATA_AT as usize];
        if file_bytes < DATA_AT || rustix::io::pread(&file, &mut head, 0)? < head.len() {
            return Ok(None);
        }
        match SegmentHead::decode(&head) {
            Some(head) if head.number == number && head.file_bytes == file_bytes => {
                Segment::map(&file, path.to_owned(), head).map(Some)
            }
            _ => Ok(None),
        }
    }

    fn map(file: &File, path: PathBuf, head: SegmentHead) -> io::Result<Segment> {
        let length = usize::try_from(head.file_bytes)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "longer than the address space"))?;
        let map = MmapOptions::new().len(length).map_raw(file)?;
        let notes = RwLock::new(Notes::default());
        let (end, verified) = (AtomicU64::new(DATA_AT), AtomicU64::new(u64::MAX));
        Ok(Segment { head, path, map, end, verified, notes })
    }

    /// The published end. What it covers is seen whole by whoever has read it.
    pub fn end(&self) -> End {
        let end = self.end.load(Ordering::Acquire);
        End { offset: end & !SEALED, sealed: end & SEALED != 0 }
    }

    /// Shows readers everything up to `offset`, and whether more can come.
    pub fn publish(&self, offset: u64, sealed: bool) {
        let before = self.end();
        assert!(before.offset <= offset && offset <= self.head.file_bytes && (sealed || !before.sealed));
        self.end.store(offset | if sealed { SEALED } else { 0 }, Ordering::Release);
    }

    /// Published bytes.
    ///
    /// # Panics
    /// If the range is not published.
    pub fn published(&self, from: u64, to: u64) -> &[u8] {
        assert!(from <= to && to <= self.end().offset, "only published bytes may be read");
        // SAFETY: the range lies in the mapping; published bytes are never written again, and the
        // Acquire load above orders the reads behind the writes. The file is this process's alone
        // (the data directory is locked) and is never shortened while it is mapped.
        unsafe { std::slice::from_raw_parts(self.map.as_ptr().add(from as usize), (to - from) as usize) }
    }

    /// Published bytes that keep the segment mapped.
    pub fn share(self: &Arc<Self>, from: u64, to: u64) -> Bytes {
        Bytes::from_owner(SharedBytes { segment: Arc::clone(self), from, to })
    }

    /// The whole file, for recovery: nobody else has the segment yet.
    pub fn exclusive(&mut self) -> &mut [u8] {
        // SAFETY: `&mut self` says that no reader and no appender exists; length as mapped.
        unsafe { std::slice::from_raw_parts_mut(self.map.as_mut_ptr(), self.map.len()) }
    }

    /// Copies `bytes` in behind the published end.
    ///
    /// # Safety
    /// Only one thread at a time calls this or [`Segment::zero_unpublished`].
    ///
    /// # Panics
    /// If they do not fit, or would change published bytes.
    pub unsafe fn write_unpublished(&self, at: u64, bytes: &[u8]) {
        let end = self.end();
        let fits = at.checked_add(bytes.len() as u64).is_some_and(|to| to <= self.head.file_bytes);
        assert!(!end.sealed && end.offset <= at && fits, "a frame must go behind the published ones");
        // SAFETY: in the mapping, behind everything that readers look at, and by the caller's word
        // nobody else writes.
        unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.map.as_mut_ptr().add(at as usize), bytes.len())
        }
    }

    /// Wipes unpublished bytes, so that no recovery takes them for frames.
    ///
    /// # Safety
    /// As [`Segment::write_unpublished`].
    pub unsafe fn zero_unpublished(&self, from: u64, to: u64) {
        let end = self.end();
        assert!(!end.sealed && end.offset <= from && from <= to && to <= self.head.file_bytes);
        // SAFETY: as in `write_unpublished`.
        unsafe { std::ptr::write_bytes(self.map.as_mut_ptr().add(from as usize), 0, (to - from) as usize) }
    }

    /// Puts the file's bytes from `from` to `to` on disk. Waits for it.
    pub fn flush(&self, from: u64, to: u64) -> io::Result<()> {
        self.map.flush_range(from as usize, (to - from) as usize)
    }

    /// Frames that this process neither wrote nor checked are behind this offset.
    pub fn verified(&self) -> u64 {
        self.verified.load(Ordering::Relaxed)
    }

    /// States up to where frames are known to be sound; `DATA_AT` if none is.
    pub fn set_verified(&self, offset: u64) {
        self.verified.store(offset, Ordering::Relaxed);
    }

    /// The frame from `from` to `to` was checked.
    pub fn extend_verified(&self, from: u64, to: u64) {
        // Losing a race only means that a frame is checked twice.
        let _ = self.verified.compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed);
    }

    pub fn notes(&self) -> RwLockReadGuard<'_, Notes> {
        self.notes.read().expect("nothing panics while it holds a segment's notes")
    }

    pub fn notes_mut(&self) -> RwLockWriteGuard<'_, Notes> {
        self.notes.write().expect("nothing panics while it holds a segment's notes")
    }

    /// See [`Summary::floor`].
    pub fn floor(&self) -> Option<Scn> {
        self.notes().summary.floor
    }

    /// A transaction became whole whose first frame lies here.
    pub fn note_begun(&self, done: &Completed) {
        let mut notes = self.notes_mut();
        let summary = &mut notes.summary;
        summary.floor.get_or_insert(done.scn);
        if let Some(first) = done.first {
            let last_offset = summary.index.last().map_or(0, |entry| entry.offset);
            if summary.index.is_empty() || first.offset >= last_offset + INDEX_EVERY_BYTES {
                summary.index.push(IndexEntry { scn: done.scn, offset: first.offset });
            }
        }
    }

    /// A transaction became whole whose last frame lies here.
    pub fn note_completed(&self, done: &Completed) {
        let mut notes = self.notes_mut();
        notes.summary.transactions += 1;
        notes.summary.floor.get_or_insert(done.scn);
    }

    /// Where to begin to look for the first frame after `scn`.
    pub fn look_from(&self, scn: Scn) -> u64 {
        let notes = self.notes();
        let index = &notes.summary.index;
        let behind = index.partition_point(|entry| entry.scn <= scn.transaction());
        behind.checked_sub(1).map_or(DATA_AT, |at| index[at].offset)
    }
}

/// A stretch of a segment that is lent out.
struct SharedBytes {
    segment: Arc<Segment>,
    from: u64,
    to: u64,
}

impl AsRef<[u8]> for SharedBytes {
    fn as_ref(&self) -> &[u8] {
        self.segment.published(self.from, self.to)
    }
}

/// For file systems that cannot allocate without writing.
fn write_zeros(file: &mut File, bytes: u64) -> io::Result<()> {
    let zeros = [0; 64 << 10];
    let mut left = bytes;
    while left > 0 {
        let count = left.min(zeros.len() as u64);
        file.write_all(&zeros[..count as usize])?;
        left -= count;
    }
    Ok(())
}

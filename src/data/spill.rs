//! Chunks of a transaction that is too large for memory, on disk while its end is awaited.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use super::records::{self, FileKind, RecordError, RecordReader};

const KIND: FileKind = FileKind { magic: *b"WEFTSPIL", version: 1 };
const BUFFER_BYTES: usize = 1 << 20;

/// Chunks in the order in which they were appended. The file has no name from the start: its space
/// is free again when this is dropped, and also when the process is killed.
#[derive(Debug)]
pub struct SpillFile {
    file: BufWriter<File>,
    chunks: u64,
    bytes: u64,
}

impl SpillFile {
    /// An empty file in `directory`.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn create(directory: &Path) -> io::Result<SpillFile> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = directory.join(name).with_extension(super::files::UNFINISHED);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path)?;
        fs::remove_file(&path)?;
        let mut file = BufWriter::with_capacity(BUFFER_BYTES, file);
        file.write_all(&KIND.head())?;
        Ok(SpillFile { file, chunks: 0, bytes: 0 })
    }

    /// Appends a chunk, at most 1 GiB. After an error the file is of no use any more.
    ///
    /// # Errors
    /// Those of the file system, a full disk above all.
    pub fn append(&mut self, chunk: &[u8]) -> io::Result<()> {
        records::write(&mut self.file, chunk)?;
        self.chunks += 1;
        self.bytes += chunk.len() as u64;
        Ok(())
    }

    /// How many chunks there are.
    pub fn len(&self) -> u64 {
        self.chunks
    }

    pub fn is_empty(&self) -> bool {
        self.chunks == 0
    }

    /// Bytes of all chunks.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The chunks from the first on, one in memory at a time. Can be asked for again.
    ///
    /// # Errors
    /// Those of the file system; each chunk's checksum is checked.
    pub fn chunks(&mut self) -> Result<impl Iterator<Item = Result<Vec<u8>, RecordError>> + '_, RecordError> {
        self.file.flush()?;
        let from = ReadAt { file: self.file.get_ref(), at: 0 };
        RecordReader::new(BufReader::with_capacity(BUFFER_BYTES, from), KIND)
    }
}

/// Reads with a position of its own, so that writing goes on at the end.
struct ReadAt<'a> {
    file: &'a File,
    at: u64,
}

impl Read for ReadAt<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(into, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_come_back_in_order_as_often_as_asked_and_nothing_is_left() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut spill = SpillFile::create(directory.path()).expect("writable");
        assert!(spill.is_empty());
        let chunk = |i: u32| vec![i as u8; (i as usize * 7919) % 100_000];
        for i in 0..200 {
            spill.append(&chunk(i)).expect("writable");
            if i % 67 == 0 {
                let read = spill.chunks().expect("readable").map(|chunk| chunk.expect("whole"));
                assert!(read.eq((0..=i).map(chunk)));
            }
        }
        let read = spill.chunks().expect("readable").map(|chunk| chunk.expect("whole"));
        assert!(read.eq((0..200).map(chunk)));
        assert_eq!(spill.len(), 200);
        assert_eq!(spill.bytes(), (0..200).map(|i| chunk(i).len() as u64).sum::<u64>());
        assert_eq!(fs::read_dir(directory.path()).expect("readable").count(), 0);
    }
}

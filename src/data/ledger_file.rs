//! A ledger checkpoint on disk: chunks whose encoding belongs to the ledger. Format 1.
//!
//! Records (see [`records`]), one a chunk, and one more at the end: `WEFTLEND` and the number of
//! chunks as 8 little-endian bytes. Without it the file is not whole.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;

use super::files::replace_with;
use super::records::{self, FileKind, RecordError, RecordReader};

const KIND: FileKind = FileKind { magic: *b"WEFTLEDG", version: 1 };
const END: [u8; 8] = *b"WEFTLEND";
const BUFFER_BYTES: usize = 1 << 20;

/// Replaces the checkpoint at `path` by these chunks, each at most 1 GiB; durable when it returns.
/// Only one chunk is in memory at a time. Waits for the disk.
///
/// # Errors
/// Those of the file system; the old checkpoint is then still there.
pub fn save(path: &Path, chunks: impl Iterator<Item = Vec<u8>>) -> io::Result<()> {
    replace_with(path, |file| {
        io::Write::write_all(file, &KIND.head())?;
        let mut count = 0_u64;
        for chunk in chunks {
            records::write(file, &chunk)?;
            count += 1;
        }
        records::write(file, &end_record(count))
    })
}

fn end_record(count: u64) -> [u8; 16] {
    let mut end = [0; 16];
    end[..8].copy_from_slice(&END);
    end[8..].copy_from_slice(&count.to_le_bytes());
    end
}

/// The chunks of the checkpoint at `path`, in order; None if there is no checkpoint. What was read
/// counts only once the iterator has ended without an error.
///
/// # Errors
/// `Io`, `Kind`; from the iterator also `Torn`, for a file that is not whole too.
pub fn load(path: &Path) -> Result<Option<Chunks>, RecordError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut records = RecordReader::new(BufReader::with_capacity(BUFFER_BYTES, file), KIND)?;
    // A head alone is not whole either: even an empty checkpoint has its end.
    let ahead = Some(records.next().unwrap_or(Err(RecordError::Torn { at: records.whole_bytes() })));
    Ok(Some(Chunks { records, ahead, given: 0 }))
}

/// Reads the chunks of a checkpoint.
pub struct Chunks {
    records: RecordReader<BufReader<File>>,
    /// One record ahead: the last one is no chunk.
    ahead: Option<Result<Vec<u8>, RecordError>>,
    given: u64,
}

impl Iterator for Chunks {
    type Item = Result<Vec<u8>, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        let record = match self.ahead.take()? {
            Ok(record) => record,
            Err(error) => return Some(Err(error)),
        };
        self.ahead = self.records.next();
        if self.ahead.is_some() {
            self.given += 1;
            return Some(Ok(record));
        }
        let whole = record == end_record(self.given);
        (!whole).then(|| Err(RecordError::Torn { at: self.records.whole_bytes() }))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn load_all(path: &Path) -> Result<Vec<Vec<u8>>, RecordError> {
        load(path)?.expect("a checkpoint").collect()
    }

    #[test]
    fn a_checkpoint_comes_back_whole_or_not_at_all() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("ledger");
        assert!(load(&path).expect("readable").is_none());
        save(&path, std::iter::empty()).expect("writable");
        assert_eq!(load_all(&path).expect("whole"), Vec::<Vec<u8>>::new());
        // A chunk may look like the end.
        let chunks = vec![vec![1; 100], Vec::new(), end_record(2).to_vec(), vec![2; 50]];
        save(&path, chunks.iter().cloned()).expect("writable");
        assert_eq!(load_all(&path).expect("whole"), chunks);
        let whole = fs::read(&path).expect("readable");
        for cut in 0..whole.len() {
            fs::write(&path, &whole[..cut]).expect("writable");
            let torn = load_all(&path);
            // Cut right behind the chunk that looks like the end it reads as whole, which no crash
            // can leave: the file is only named once it is on disk.
            let lookalike = 16 + 108 + 8 + 24;
            assert_eq!(torn.is_ok(), cut == lookalike, "cut at {cut}");
        }
    }
}

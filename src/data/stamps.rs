//! The stamp log: transactions whose version was raised above their commit time, so that whoever
//! reads the source again stamps them alike. Format 1.
//!
//! The head of [`records`](super::records), then records of 32 bytes with rising SCNs:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 20 | SCN of the transaction, as its own big-endian bytes |
//! | 20 | 8 | its version's time, microseconds, little-endian |
//! | 28 | 4 | CRC32 of the bytes 0..28, little-endian |

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use weft_core::scn::{SCN_BYTES, Scn};
use weft_core::time::Micros;

use super::files::replace_with;
use super::records::{FileKind, HEAD_BYTES};

const KIND: FileKind = FileKind { magic: *b"WEFTSTMP", version: 1 };
const RECORD_BYTES: usize = 32;

/// A transaction and the time that its version got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RaisedStamp {
    pub scn: Scn,
    pub time: Micros,
}

/// Why the stamp log cannot be used or added to.
#[derive(Debug, thiserror::Error)]
pub enum StampError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error(
        "{path} is not a stamp log of this release; move it away to read the source again from its start"
    )]
    Kind { path: String },
    #[error("stamp of {new} does not rise above {newest}")]
    NotRising { new: Scn, newest: Scn },
    #[error("the record {0} of the stamp log is damaged")]
    Damaged(u64),
}

/// The stamp log of one instance. Records are searched on disk and not held in memory.
#[derive(Debug)]
pub struct StampLog {
    path: PathBuf,
    file: File,
    count: u64,
    newest: Option<Scn>,
}

impl RaisedStamp {
    fn encode(&self) -> [u8; RECORD_BYTES] {
        let mut bytes = [0; RECORD_BYTES];
        bytes[..20].copy_from_slice(&self.scn.to_bytes());
        bytes[20..28].copy_from_slice(&self.time.0.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..28]);
        bytes[28..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8; RECORD_BYTES]) -> Option<RaisedStamp> {
        let (mut scn, mut time, mut crc) = ([0; SCN_BYTES], [0; 8], [0; 4]);
        scn.copy_from_slice(&bytes[..20]);
        time.copy_from_slice(&bytes[20..28]);
        crc.copy_from_slice(&bytes[28..]);
        let sound = crc32fast::hash(&bytes[..28]) == u32::from_le_bytes(crc);
        sound.then(|| RaisedStamp { scn: Scn::from_bytes(&scn), time: Micros(u64::from_le_bytes(time)) })
    }
}

impl StampLog {
    /// Opens the log, or creates it; what a crash tore is cut off.
    ///
    /// # Errors
    /// `Kind`, `Io`.
    pub fn open(path: &Path) -> Result<StampLog, StampError> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        if file.metadata()?.len() < HEAD_BYTES as u64 {
            file.set_len(0)?;
            file.write_all(&KIND.head())?;
        }
        let mut log = StampLog { path: path.to_owned(), file, count: 0, newest: None };
        let mut reader = BufReader::new(&log.file);
        io::Seek::rewind(&mut reader)?;
        let mut head = [0; HEAD_BYTES];
        reader.read_exact(&mut head)?;
        if head != KIND.head() {
            return Err(StampError::Kind { path: path.display().to_string() });
        }
        let (mut count, mut newest) = (0, None);
        let mut record = [0; RECORD_BYTES];
        while let Some(stamp) = read_record(&mut reader, &mut record)? {
            if newest.is_some_and(|newest| stamp.scn <= newest) {
                break;
            }
            (count, newest) = (count + 1, Some(stamp.scn));
        }
        (log.count, log.newest) = (count, newest);
        log.file.set_len(offset_of(count))?;
        Ok(log)
    }

    /// SCN of the last stamp.
    pub fn newest(&self) -> Option<Scn> {
        self.newest
    }

    /// How many stamps there are.
    pub fn len(&self) -> u64 {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Appends stamps with rising SCNs in one write; survives a kill of the process. After an error
    /// none of them counts, and they can be appended again.
    ///
    /// # Errors
    /// `NotRising`, `Io`.
    pub fn append(&mut self, stamps: &[RaisedStamp]) -> Result<(), StampError> {
        let mut newest = self.newest;
        let mut bytes = Vec::with_capacity(stamps.len() * RECORD_BYTES);
        for stamp in stamps {
            if let Some(newest) = newest.filter(|newest| stamp.scn <= *newest) {
                return Err(StampError::NotRising { new: stamp.scn, newest });
            }
            newest = Some(stamp.scn);
            bytes.extend_from_slice(&stamp.encode());
        }
        // At the end of what counts: half a write before this one is overwritten.
        self.file.write_all_at(&bytes, offset_of(self.count))?;
        self.count += stamps.len() as u64;
        self.newest = newest;
        Ok(())
    }

    /// Makes everything appended survive a crash of the machine. Waits for the disk.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// The stamps after `after` (exclusive) up to `through` (inclusive), rising.
    ///
    /// # Errors
    /// `Io`, `Damaged`.
    pub fn range(&self, after: Scn, through: Scn) -> Result<Vec<RaisedStamp>, StampError> {
        let mut found = Vec::new();
        for at in self.first_after(after)?..self.count {
            let stamp = self.record(at)?;
            if stamp.scn > through {
                break;
            }
            found.push(stamp);
        }
        Ok(found)
    }

    /// The stamp of the transaction, if it was raised.
    ///
    /// # Errors
    /// `Io`, `Damaged`.
    pub fn get(&self, scn: Scn) -> Result<Option<Micros>, StampError> {
        if self.newest.is_none_or(|newest| scn > newest) {
            return Ok(None);
        }
        let at = self.first_after(scn)?;
        let Some(before) = at.checked_sub(1) else { return Ok(None) };
        let stamp = self.record(before)?;
        Ok((stamp.scn == scn).then_some(stamp.time))
    }

    /// Lets stamps with times before `horizon` go, up to the first that is not. Waits for the disk.
    ///
    /// # Errors
    /// `Io`, `Damaged`; the log is then as it was.
    pub fn prune(&mut self, horizon: Micros) -> Result<(), StampError> {
        let mut first = 0;
        while first < self.count && self.record(first)?.time < horizon {
            first += 1;
        }
        if first == 0 {
            return Ok(());
        }
        let (from, length) = (offset_of(first), offset_of(self.count) - offset_of(first));
        let mut old = File::open(&self.path)?;
        io::Seek::seek(&mut old, io::SeekFrom::Start(from))?;
        replace_with(&self.path, |file| {
            file.write_all(&KIND.head())?;
            io::copy(&mut old.take(length), file).map(|_| ())
        })?;
        self.file = fs::OpenOptions::new().read(true).write(true).open(&self.path)?;
        self.count -= first;
        Ok(())
    }

    fn record(&self, at: u64) -> Result<RaisedStamp, StampError> {
        let mut bytes = [0; RECORD_BYTES];
        self.file.read_exact_at(&mut bytes, offset_of(at))?;
        RaisedStamp::decode(&bytes).ok_or(StampError::Damaged(at))
    }

    /// Number of the first record with a greater SCN; `count` if there is none.
    fn first_after(&self, scn: Scn) -> Result<u64, StampError> {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.record(middle)?.scn <= scn {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }
}

fn offset_of(record: u64) -> u64 {
    HEAD_BYTES as u64 + record * RECORD_BYTES as u64
}

/// The next record; None at the end and where it is torn.
fn read_record(from: &mut impl Read, into: &mut [u8; RECORD_BYTES]) -> io::Result<Option<RaisedStamp>> {
    match from.read_exact(into) {
        Ok(()) => Ok(RaisedStamp::decode(into)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(pos: u64) -> RaisedStamp {
        RaisedStamp { scn: Scn::of_transaction(1, 1, pos), time: Micros(pos * 1000) }
    }

    fn all(log: &StampLog) -> Vec<RaisedStamp> {
        log.range(Scn::ZERO, Scn::of_transaction(9, 9, 9)).expect("sound")
    }

    #[test]
    fn stamps_are_found_by_range_after_a_restart_and_after_pruning() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("stamps");
        let mut log = StampLog::open(&path).expect("new");
        assert!(log.is_empty() && log.get(stamp(1).scn).expect("sound").is_none());
        let stamps: Vec<RaisedStamp> = (1..=50).map(|i| stamp(i * 10)).collect();
        log.append(&stamps[..20]).expect("rising");
        log.append(&stamps[20..]).expect("rising");
        assert!(matches!(log.append(&[stamp(500)]), Err(StampError::NotRising { .. })));
        log.sync().expect("writable");
        drop(log);
        let mut log = StampLog::open(&path).expect("written before");
        assert_eq!(log.range(stamp(100).scn, stamp(200).scn).expect("sound"), &stamps[10..20]);
        assert_eq!(log.range(stamp(99).scn, stamp(99).scn).expect("sound"), &[]);
        assert_eq!(log.get(stamp(300).scn).expect("sound"), Some(Micros(300_000)));
        assert_eq!(log.get(stamp(305).scn).expect("sound"), None);
        log.prune(Micros(250_000)).expect("writable");
        assert_eq!(all(&log), &stamps[24..]);
        log.append(&[stamp(510)]).expect("rising");
        drop(log);
        let mut log = StampLog::open(&path).expect("written before");
        assert_eq!((log.len(), log.newest()), (27, Some(stamp(510).scn)));
        log.prune(Micros(u64::MAX)).expect("writable");
        assert!(all(&log).is_empty());
        assert!(matches!(log.append(&[stamp(510)]), Err(StampError::NotRising { .. })));
    }

    #[test]
    fn a_log_torn_at_any_byte_keeps_the_whole_records_and_goes_on() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("stamps");
        let mut log = StampLog::open(&path).expect("new");
        let stamps: Vec<RaisedStamp> = (1..=3).map(stamp).collect();
        log.append(&stamps).expect("rising");
        let whole = fs::read(&path).expect("readable");
        for cut in 0..whole.len() {
            fs::write(&path, &whole[..cut]).expect("writable");
            let mut log = StampLog::open(&path).expect("torn");
            let held = cut.saturating_sub(HEAD_BYTES) / RECORD_BYTES;
            assert_eq!(all(&log), &stamps[..held], "cut at {cut}");
            log.append(&stamps[held..]).expect("rising");
            assert_eq!(fs::read(&path).expect("readable"), whole, "cut at {cut}");
        }
    }
}

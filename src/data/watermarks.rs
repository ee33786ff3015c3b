//! How far each channel is, between its marks: transactions that were filtered or passed over move
//! a watermark without a write to the target. Losing this file costs reading them again.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rkyv::rancor::Error;
use rkyv::util::AlignedVec;
use rkyv::{Archive, Deserialize, Serialize};
use weft_core::scn::Scn;
use weft_core::time::Micros;

use super::files::write_atomically;
use super::records::{self, FileKind, RecordReader};

const KIND: FileKind = FileKind { magic: *b"WEFTWTRM", version: 2 };
/// The file is written at most this often.
const SAVE_EVERY_US: u64 = 1_000_000;

/// How far a channel is.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
pub struct Watermark {
    /// Everything up to here (inclusive) is applied or passed over.
    pub scn: Scn,
    /// Source time there.
    pub time: Micros,
    /// The channel's epoch at that time.
    pub epoch: u64,
    /// What each shard had committed last under it: if the target's marks do not hold all of it, the
    /// target is not the same.
    pub committed: Vec<Scn>,
}

#[derive(Archive, Serialize, Deserialize)]
struct Line {
    channel: String,
    watermark: Watermark,
}

/// The watermarks of this node's channels, by a name that says channel and direction.
#[derive(Debug)]
pub struct Watermarks {
    path: PathBuf,
    of: BTreeMap<String, Watermark>,
    changed: bool,
    saved_at: Option<Micros>,
}

impl Watermarks {
    /// Reads the file at `path`. A file that is not there or damaged is as good as an empty one.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn open(path: &Path) -> io::Result<Watermarks> {
        let of = match fs::read(path) {
            Ok(file) => decode(&file).unwrap_or_else(|| {
                tracing::warn!(path = %path.display(), "damaged watermarks: channels go on from their marks");
                BTreeMap::new()
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(error),
        };
        Ok(Watermarks { path: path.to_owned(), of, changed: false, saved_at: None })
    }

    pub fn get(&self, channel: &str) -> Option<&Watermark> {
        self.of.get(channel)
    }

    /// Sets a watermark in memory.
    pub fn set(&mut self, channel: &str, watermark: Watermark) {
        if self.get(channel) != Some(&watermark) {
            self.of.insert(channel.to_owned(), watermark);
            self.changed = true;
        }
    }

    /// Writes the file if something changed and the last time was a second ago or more; whether it
    /// did. Waits for the disk.
    ///
    /// # Errors
    /// Those of the file system; tried again at the next call after a second.
    pub fn save_if_due(&mut self, now: Micros) -> io::Result<bool> {
        let early = self.saved_at.is_some_and(|saved| saved <= now && now.since(saved) < SAVE_EVERY_US);
        if !self.changed || early {
            return Ok(false);
        }
        self.saved_at = Some(now);
        self.save().map(|()| true)
    }

    /// Writes the file now.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn save(&mut self) -> io::Result<()> {
        let line = |(channel, watermark): (&String, &Watermark)| Line {
            channel: channel.clone(),
            watermark: watermark.clone(),
        };
        let lines: Vec<Line> = self.of.iter().map(line).collect();
        let archive = rkyv::to_bytes::<Error>(&lines).map_err(io::Error::other)?;
        let mut file = KIND.head().to_vec();
        records::put(&mut file, &archive)?;
        write_atomically(&self.path, &file)?;
        self.changed = false;
        Ok(())
    }
}

fn decode(file: &[u8]) -> Option<BTreeMap<String, Watermark>> {
    let payload = RecordReader::new(file, KIND).ok()?.next()?.ok()?;
    let mut aligned = AlignedVec::<16>::with_capacity(payload.len());
    aligned.extend_from_slice(&payload);
    let lines = rkyv::from_bytes::<Vec<Line>, Error>(&aligned).ok()?;
    Some(lines.into_iter().map(|line| (line.channel, line.watermark)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(pos: u64) -> Watermark {
        Watermark {
            scn: Scn::of_transaction(1, 1, pos),
            time: Micros(pos),
            epoch: 3,
            committed: vec![Scn::of_transaction(1, 1, pos)],
        }
    }

    #[test]
    fn watermarks_are_written_once_a_second_at_most_and_come_back() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("watermarks");
        let mut marks = Watermarks::open(&path).expect("new");
        let save = |marks: &mut Watermarks, now| marks.save_if_due(Micros(now)).expect("writable");
        assert!(!save(&mut marks, 0), "nothing changed");
        marks.set("orders/sh.main/bj.main", at(1));
        assert!(save(&mut marks, 5));
        marks.set("orders/sh.main/bj.main", at(2));
        assert!(!save(&mut marks, 900_000), "too early");
        assert_eq!(Watermarks::open(&path).expect("sound").get("orders/sh.main/bj.main"), Some(&at(1)));
        assert!(save(&mut marks, 1_000_005));
        marks.set("orders/sh.main/bj.main", at(2));
        assert!(!save(&mut marks, 9_000_000), "nothing changed");
        marks.set("orders/bj.main/sh.main", at(7));
        assert!(save(&mut marks, 3), "a clock that went back does not silence it");
        let marks = Watermarks::open(&path).expect("sound");
        assert_eq!(marks.get("orders/sh.main/bj.main"), Some(&at(2)));
        assert_eq!(marks.get("orders/bj.main/sh.main"), Some(&at(7)));
        assert_eq!(marks.get("other"), None);
    }

    #[test]
    fn a_damaged_file_reads_as_empty() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("watermarks");
        let mut marks = Watermarks::open(&path).expect("new");
        marks.set("orders", at(1));
        marks.save().expect("writable");
        let whole = fs::read(&path).expect("readable");
        for cut in 0..whole.len() {
            fs::write(&path, &whole[..cut]).expect("writable");
            assert_eq!(Watermarks::open(&path).expect("readable").get("orders"), None);
        }
    }
}

//! The binlog files that were captured last from an instance: when they were made, so that others of the
//! same names are told from them. Losing this file costs only that.
//!
//! Records of 12 bytes, the newest file last: epoch, number, and seconds since 1970, each `u32`; and one of
//! 4 bytes, the epoch whose server lost what was captured, if there is one.

use std::fs;
use std::io;
use std::path::Path;

use weft_core::binlog::log_file::{LogFile, LogFiles};

use super::files::write_atomically;
use super::records::{self, FileKind, RecordReader};

const KIND: FileKind = FileKind { magic: *b"WEFTBLOG", version: 1 };

/// Reads the file at `path`. One that is not there or damaged is as good as an empty one.
///
/// # Errors
/// Those of the file system.
pub fn load(path: &Path) -> io::Result<LogFiles> {
    match fs::read(path) {
        Ok(bytes) => Ok(decode(&bytes).unwrap_or_else(|| {
            tracing::warn!(path = %path.display(), "damaged list of binlog files: it begins anew");
            LogFiles::default()
        })),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(LogFiles::default()),
        Err(error) => Err(error),
    }
}

/// Replaces the file at `path`; durable when it returns.
///
/// # Errors
/// Those of the file system; the old file is then still there.
pub fn save(path: &Path, files: &LogFiles) -> io::Result<()> {
    let mut bytes = KIND.head().to_vec();
    for LogFile { epoch, log_index, made_s } in files.iter() {
        let fields = [epoch, log_index, made_s].map(u32::to_le_bytes);
        records::put(&mut bytes, &fields.concat())?;
    }
    if let Some(epoch) = files.lost() {
        records::put(&mut bytes, &epoch.to_le_bytes())?;
    }
    write_atomically(path, &bytes)
}

fn decode(bytes: &[u8]) -> Option<LogFiles> {
    let mut files = Vec::new();
    let mut lost = None;
    for record in RecordReader::new(bytes, KIND).ok()? {
        let record = record.ok()?;
        let (fields, rest) = record.as_chunks::<4>();
        let fields: Vec<u32> = fields.iter().map(|field| u32::from_le_bytes(*field)).collect();
        match (fields.as_slice(), rest) {
            (&[epoch, log_index, made_s], []) => files.push(LogFile { epoch, log_index, made_s }),
            (&[epoch], []) => lost = Some(epoch),
            _ => return None,
        }
    }
    let mut files: LogFiles = files.into_iter().collect();
    lost.into_iter().for_each(|epoch| files.lose(epoch));
    Some(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_saved_is_loaded_and_what_is_damaged_is_forgotten() {
        let place = tempfile::tempdir().expect("a temporary directory");
        let path = place.path().join("sh.main");
        assert_eq!(load(&path).expect("no file is no error"), LogFiles::default());
        let mut files: LogFiles = (1..=3)
            .map(|index| LogFile { epoch: 1, log_index: index, made_s: 1_700_000_000 + index })
            .collect();
        save(&path, &files).expect("a directory that can be written");
        assert_eq!(load(&path).expect("a file"), files);
        files.lose(3);
        save(&path, &files).expect("a directory that can be written");
        assert_eq!(load(&path).expect("a file"), files);
        let mut bytes = fs::read(&path).expect("a file");
        *bytes.last_mut().expect("not empty") ^= 1;
        fs::write(&path, bytes).expect("a directory that can be written");
        assert_eq!(load(&path).expect("a file"), LogFiles::default());
    }
}

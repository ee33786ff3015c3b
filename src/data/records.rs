//! Checked records, the common ground of this node's small files. Format 1.
//!
//! A file begins with a head of 16 bytes:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | magic: what kind of file |
//! | 8 | 2 | format version of the kind |
//! | 10 | 2 | 0 |
//! | 12 | 4 | CRC32 of the bytes 0..12 |
//!
//! then come records:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | `n`, length of the payload |
//! | 4 | 4 | CRC32 of the length's bytes and the payload |
//! | 8 | n | payload |
//!
//! Numbers are little-endian. Zeros are never a record, so a file whose end was never written reads
//! as torn there.

use std::io::{self, Read, Write};

/// Length of a file's head in bytes.
pub const HEAD_BYTES: usize = 16;
/// Bytes before a record's payload.
pub const RECORD_HEAD_BYTES: usize = 8;
/// Longest payload in bytes that is written or believed.
pub const PAYLOAD_BYTES_MAX: usize = 1 << 30;

/// What a file is: its magic and the version of its format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileKind {
    pub magic: [u8; 8],
    pub version: u16,
}

impl FileKind {
    /// The head that a file of this kind begins with.
    pub fn head(&self) -> [u8; HEAD_BYTES] {
        let mut head = [0; HEAD_BYTES];
        head[..8].copy_from_slice(&self.magic);
        head[8..10].copy_from_slice(&self.version.to_le_bytes());
        let crc = crc32fast::hash(&head[..12]);
        head[12..].copy_from_slice(&crc.to_le_bytes());
        head
    }
}

/// Puts a record behind `out`.
///
/// # Errors
/// `InvalidInput` if the payload is longer than [`PAYLOAD_BYTES_MAX`].
pub fn put(out: &mut Vec<u8>, payload: &[u8]) -> io::Result<()> {
    out.extend_from_slice(&record_head(payload)?);
    out.extend_from_slice(payload);
    Ok(())
}

/// Writes a record.
///
/// # Errors
/// As [`put`], and those of `to`.
pub fn write(to: &mut impl Write, payload: &[u8]) -> io::Result<()> {
    to.write_all(&record_head(payload)?)?;
    to.write_all(payload)
}

fn record_head(payload: &[u8]) -> io::Result<[u8; RECORD_HEAD_BYTES]> {
    if payload.len() > PAYLOAD_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the record is longer than 1 GiB"));
    }
    let length = (payload.len() as u32).to_le_bytes();
    let mut head = [0; RECORD_HEAD_BYTES];
    head[..4].copy_from_slice(&length);
    head[4..].copy_from_slice(&checksum(&length, payload).to_le_bytes());
    Ok(head)
}

fn checksum(length: &[u8], payload: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(length);
    crc.update(payload);
    crc.finalize()
}

/// Why reading records ended before the file did.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Another kind of file, or one of another release.
    #[error("not a file of this kind and version")]
    Kind,
    /// The bytes end within a record, or its checksum does not hold.
    #[error("damaged {at} bytes from its start")]
    Torn { at: u64 },
}

/// Reads a file's records in order.
pub struct RecordReader<R> {
    from: R,
    /// Bytes of head and whole records read so far.
    at: u64,
    broken: bool,
}

impl<R: Read> RecordReader<R> {
    /// Reads and checks the head.
    ///
    /// # Errors
    /// `Kind`, `Io`.
    pub fn new(mut from: R, kind: FileKind) -> Result<RecordReader<R>, RecordError> {
        let mut head = [0; HEAD_BYTES];
        if read_full(&mut from, &mut head)? != HEAD_BYTES || head != kind.head() {
            return Err(RecordError::Kind);
        }
        Ok(RecordReader { from, at: HEAD_BYTES as u64, broken: false })
    }

    /// Bytes of head and whole records read so far: where a torn tail is to be cut.
    pub fn whole_bytes(&self) -> u64 {
        self.at
    }

    fn read(&mut self) -> Result<Option<Vec<u8>>, RecordError> {
        let torn = RecordError::Torn { at: self.at };
        let mut head = [0; RECORD_HEAD_BYTES];
        match read_full(&mut self.from, &mut head)? {
            0 => return Ok(None),
            RECORD_HEAD_BYTES => {}
            _ => return Err(torn),
        }
        let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
        if length > PAYLOAD_BYTES_MAX {
            return Err(torn);
        }
        // Grows as bytes come, not by a length that may be wrong.
        let mut payload = Vec::new();
        (&mut self.from).take(length as u64).read_to_end(&mut payload)?;
        let stored = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
        if payload.len() != length || stored != checksum(&head[..4], &payload) {
            return Err(torn);
        }
        self.at += (RECORD_HEAD_BYTES + length) as u64;
        Ok(Some(payload))
    }
}

impl<R: Read> Iterator for RecordReader<R> {
    type Item = Result<Vec<u8>, RecordError>;

    /// The next payload. After an error there is nothing more.
    fn next(&mut self) -> Option<Self::Item> {
        if self.broken {
            return None;
        }
        let next = self.read();
        self.broken = next.is_err();
        next.transpose()
    }
}

/// Reads until `into` is full or the input ends; how many bytes came.
fn read_full(from: &mut impl Read, into: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < into.len() {
        match from.read(&mut into[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KIND: FileKind = FileKind { magic: *b"WEFTTEST", version: 1 };

    proptest! {
        #[test]
        fn a_cut_or_changed_file_gives_the_records_before_the_damage(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..6),
            at in any::<prop::sample::Index>(),
            flip in prop::option::of(1_u8..),
        ) {
            let mut file = KIND.head().to_vec();
            let mut ends = Vec::new();
            for payload in &payloads {
                put(&mut file, payload).expect("short");
                ends.push(file.len());
            }
            let at = at.index(file.len());
            match flip {
                Some(flip) => file[at] ^= flip,
                None => file.truncate(at),
            }
            let sound = ends.iter().filter(|&&end| end <= at).count();
            match RecordReader::new(&file[..], KIND) {
                Err(_) => prop_assert!(at < HEAD_BYTES),
                Ok(mut reader) => {
                    let read: Vec<Vec<u8>> = reader.by_ref().map_while(Result::ok).collect();
                    prop_assert_eq!(&read[..], &payloads[..sound]);
                    let whole = if sound == 0 { HEAD_BYTES } else { ends[sound - 1] };
                    prop_assert_eq!(reader.whole_bytes(), whole as u64);
                }
            }
        }
    }
}

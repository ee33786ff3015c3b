//! What stands around the frames: the head of a segment, its index file, the buffer's meta file.
//!
//! Head of a segment, format 1, [`DATA_AT`] bytes, numbers little-endian:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | magic `WEFTSEGM` |
//! | 8 | 2 | format version |
//! | 10 | 2 | `n`, length of the instance's name |
//! | 12 | 4 | flags: bit 0 the SCN at 40 is set, bit 1 the SCN at 60 is set |
//! | 16 | 8 | number of the segment |
//! | 24 | 8 | length of the file in bytes |
//! | 32 | 8 | 0 |
//! | 40 | 20 | SCN of the last frame before this segment |
//! | 60 | 20 | SCN of the newest whole transaction before it |
//! | 80 | n | full name of the instance |
//! | 508 | 4 | CRC32 of the bytes 0..508 |
//!
//! Frames follow back to back; where none follows there are zeros. The index file and the meta file
//! are records (see `data::records`) of rkyv archives.

use rkyv::rancor::Failure;
use rkyv::util::AlignedVec;
use rkyv::{Archive, Deserialize, Serialize};
use weft_core::scn::{SCN_BYTES, Scn};

use super::chain::Chain;
use crate::data::records::FileKind;

/// Where the first frame of a segment begins; a multiple of the frames' alignment.
pub const DATA_AT: u64 = 512;
/// Longest instance name in bytes.
pub const NAME_BYTES_MAX: usize = 400;

const MAGIC: [u8; 8] = *b"WEFTSEGM";
const SEGMENT_FORMAT: u16 = 1;
const HEAD_BYTES: usize = DATA_AT as usize;
const CRC_AT: usize = HEAD_BYTES - 4;

/// The index file of a segment.
pub const INDEX_KIND: FileKind = FileKind { magic: *b"WEFTINDX", version: 1 };
/// The buffer's meta file.
pub const META_KIND: FileKind = FileKind { magic: *b"WEFTMETA", version: 1 };
/// The schema history.
pub const CATALOG_KIND: FileKind =
    FileKind { magic: *b"WEFTCTLG", version: weft_core::catalog::CATALOG_FORMAT };

/// The head of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentHead {
    pub instance: String,
    pub number: u64,
    /// Length of the file in bytes.
    pub file_bytes: u64,
    /// The last frame before this segment.
    pub last_frame: Option<Scn>,
    /// The newest whole transaction before this segment, or where the history began.
    pub whole: Option<Scn>,
}

impl SegmentHead {
    /// The head as bytes. The name has been held against [`NAME_BYTES_MAX`].
    pub fn encode(&self) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        let flags = u32::from(self.last_frame.is_some()) | u32::from(self.whole.is_some()) << 1;
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..10].copy_from_slice(&SEGMENT_FORMAT.to_le_bytes());
        bytes[10..12].copy_from_slice(&(self.instance.len() as u16).to_le_bytes());
        bytes[12..16].copy_from_slice(&flags.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.number.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.file_bytes.to_le_bytes());
        bytes[40..60].copy_from_slice(&self.last_frame.unwrap_or(Scn::ZERO).to_bytes());
        bytes[60..80].copy_from_slice(&self.whole.unwrap_or(Scn::ZERO).to_bytes());
        bytes[80..80 + self.instance.len()].copy_from_slice(self.instance.as_bytes());
        let crc = crc32fast::hash(&bytes[..CRC_AT]);
        bytes[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The head at the start of a segment; None if it does not stand there whole and in this
    /// format.
    pub fn decode(bytes: &[u8]) -> Option<SegmentHead> {
        let bytes = bytes.first_chunk::<HEAD_BYTES>()?;
        let u64_at = |at: usize| {
            let mut le = [0; 8];
            le.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(le)
        };
        let crc = u32::from_le_bytes([bytes[508], bytes[509], bytes[510], bytes[511]]);
        let version = u16::from_le_bytes([bytes[8], bytes[9]]);
        if bytes[..8] != MAGIC || version != SEGMENT_FORMAT || crc != crc32fast::hash(&bytes[..CRC_AT]) {
            return None;
        }
        let scn_at = |at: usize, flag: u8| {
            let mut scn = [0; SCN_BYTES];
            scn.copy_from_slice(&bytes[at..at + SCN_BYTES]);
            (bytes[12] & flag != 0).then(|| Scn::from_bytes(&scn))
        };
        let name_bytes = usize::from(u16::from_le_bytes([bytes[10], bytes[11]]));
        let name = bytes[..80 + NAME_BYTES_MAX].get(80..80 + name_bytes)?;
        Some(SegmentHead {
            instance: String::from_utf8(name.to_vec()).ok()?,
            number: u64_at(16),
            file_bytes: u64_at(24),
            last_frame: scn_at(40, 1),
            whole: scn_at(60, 2),
        })
    }
}

/// One entry of a segment's sparse index: a frame that begins a transaction.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexEntry {
    pub scn: Scn,
    pub offset: u64,
}

/// What is known of a segment's frames without reading them.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
pub struct Summary {
    /// Readers that start at or after this SCN, and not after a later segment's, begin here. None:
    /// no transaction begins or ends in the segment.
    pub floor: Option<Scn>,
    /// Transactions whose last frame is here.
    pub transactions: u64,
    /// Rising.
    pub index: Vec<IndexEntry>,
}

/// The index file of a full segment. Its presence says that the segment's frames are on disk.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
pub struct SegmentIndex {
    pub number: u64,
    /// Where the frames end.
    pub end: u64,
    /// Frames here name catalog entries below this only.
    pub catalog_entries: u32,
    /// The history's end as it was there.
    pub chain: Chain,
    pub summary: Summary,
}

/// Whose buffer a directory holds.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    pub instance: String,
}

/// Archives of this module's kinds are read from files, at any alignment.
pub fn read_archive<T>(bytes: &[u8]) -> Option<T>
where
    T: Archive,
    T::Archived: for<'a> rkyv::bytecheck::CheckBytes<rkyv::api::high::HighValidator<'a, Failure>>
        + Deserialize<T, rkyv::api::high::HighDeserializer<Failure>>,
{
    let mut aligned = AlignedVec::<16>::with_capacity(bytes.len());
    aligned.extend_from_slice(bytes);
    rkyv::from_bytes::<T, Failure>(&aligned).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_head_comes_back_and_any_changed_byte_is_found() {
        let head = SegmentHead {
            instance: "sh.main".into(),
            number: 7,
            file_bytes: 65_536,
            last_frame: Some(Scn::of_transaction(1, 2, 3).with_row(9)),
            whole: None,
        };
        let bytes = head.encode();
        assert_eq!(SegmentHead::decode(&bytes), Some(head));
        for at in 0..bytes.len() {
            let mut changed = bytes;
            changed[at] ^= 0x40;
            assert_eq!(SegmentHead::decode(&changed), None, "byte {at}");
        }
    }
}

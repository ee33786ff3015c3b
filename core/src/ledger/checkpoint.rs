//! The ledger as bytes: a head and one chunk for each sub-map. Format version 1.
//!
//! All numbers are little-endian. Every part ends with the CRC-32 (IEEE) of the bytes before it.
//!
//! | head | content |
//! |---|---|
//! | 0..8 | `WEFTLDG` and the format version, 1 |
//! | 8..28 | SCN up to which (inclusive) the binlog is in the ledger, as [`Scn::to_bytes`] |
//! | 28..36 | horizon, microseconds |
//! | 36..44 | time of the last heartbeat, microseconds; all ones: none |
//! | 44..52 | number of entries in all sub-maps |
//! | 52..56 | CRC-32 |
//!
//! | sub-map | content |
//! |---|---|
//! | 0..2 | number of the sub-map |
//! | 2..6 | number of entries |
//! | 6..14 | the head's SCN, its low eight bytes of XXH3: parts of two checkpoints do not mix |
//! | 14.. | entries of 29 bytes: key (16, big-endian), time (8), origin (4), removed (1) |
//! | last 4 | CRC-32 |

use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use super::table::Table;
use super::{Ledger, SUB_MAPS, sub_map_of};
use crate::instance::InstanceId;
use crate::key::KeyHash;
use crate::mark::codec::TIME_MAX;
use crate::scn::{SCN_BYTES, Scn};
use crate::time::Micros;
use crate::version::Version;

const MAGIC: &[u8; 8] = b"WEFTLDG\x01";
/// Bytes of a checkpoint's head.
pub const HEAD_BYTES: usize = 56;
const SUB_MAP_HEAD_BYTES: usize = 14;
const ENTRY_BYTES: usize = 29;
const CRC_BYTES: usize = 4;

/// Why a checkpoint cannot be loaded: take another one or read the binlog from further back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    #[error("not a ledger checkpoint of format 1")]
    UnknownFormat,
    #[error("a ledger checkpoint is cut short or too long: {0} bytes")]
    WrongLength(usize),
    #[error("a ledger checkpoint is damaged: its checksum does not match")]
    Checksum,
    #[error("a ledger checkpoint is damaged: sub-map {0} does not belong here")]
    WrongSubMap(u16),
    #[error("a ledger checkpoint is damaged: it holds {found} entries and names {named}")]
    WrongCount { found: u64, named: u64 },
}

/// An exact image of a ledger at one SCN. Cheap to take; may be encoded on another thread while the
/// ledger goes on.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    sub_maps: Vec<Arc<Table>>,
    scn: Scn,
    horizon: Micros,
    heartbeat: Option<Micros>,
}

impl Ledger {
    /// An image of the ledger as it is now.
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint {
            sub_maps: self.sub_maps.clone(),
            scn: self.scn,
            horizon: self.horizon,
            heartbeat: self.heartbeat,
        }
    }
}

impl Checkpoint {
    /// The SCN that the image was taken at.
    pub fn scn(&self) -> Scn {
        self.scn
    }

    /// All parts in the order in which [`Loader`] takes them: the head, then the sub-maps.
    pub fn chunks(&self) -> impl Iterator<Item = Vec<u8>> {
        std::iter::once_with(|| self.encode_head())
            .chain((0..SUB_MAPS).map(|index| self.encode_sub_map(index)))
    }

    /// The head: [`HEAD_BYTES`] bytes.
    pub fn encode_head(&self) -> Vec<u8> {
        let entries: usize = self.sub_maps.iter().map(|table| table.len()).sum();
        let mut out = Vec::with_capacity(HEAD_BYTES);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&self.scn.to_bytes());
        out.extend_from_slice(&self.horizon.0.to_le_bytes());
        out.extend_from_slice(&self.heartbeat.map_or(u64::MAX, |time| time.0).to_le_bytes());
        out.extend_from_slice(&(entries as u64).to_le_bytes());
        seal(out)
    }

    /// One sub-map, `index` below [`SUB_MAPS`].
    pub fn encode_sub_map(&self, index: usize) -> Vec<u8> {
        let table = &self.sub_maps[index];
        let mut out = Vec::with_capacity(SUB_MAP_HEAD_BYTES + table.len() * ENTRY_BYTES + CRC_BYTES);
        out.extend_from_slice(&(index as u16).to_le_bytes());
        out.extend_from_slice(&(table.len() as u32).to_le_bytes());
        out.extend_from_slice(&scn_tag(self.scn));
        for (key, version) in table.iter() {
            out.extend_from_slice(&key.0.to_be_bytes());
            out.extend_from_slice(&version.time.0.to_le_bytes());
            out.extend_from_slice(&version.origin.0.to_le_bytes());
            out.push(u8::from(version.removed));
        }
        seal(out)
    }
}

/// Builds a ledger from the parts of a checkpoint.
#[derive(Debug)]
pub struct Loader {
    ledger: Ledger,
    entries: u64,
    /// The sub-map that comes next.
    next: usize,
}

impl Loader {
    /// Starts with the head.
    ///
    /// # Errors
    /// Not a checkpoint, of another format, or damaged.
    pub fn new(head: &[u8]) -> Result<Loader, CheckpointError> {
        if head.len() != HEAD_BYTES {
            return Err(CheckpointError::WrongLength(head.len()));
        }
        if !head.starts_with(MAGIC) {
            return Err(CheckpointError::UnknownFormat);
        }
        let body = unseal(head)?;
        let scn: &[u8; SCN_BYTES] = body[8..28].try_into().expect("twenty bytes of the head's length");
        let heartbeat = u64_at(body, 36);
        let ledger = Ledger {
            scn: Scn::from_bytes(scn),
            horizon: Micros(u64_at(body, 28)),
            heartbeat: (heartbeat != u64::MAX).then_some(Micros(heartbeat)),
            ..Ledger::default()
        };
        Ok(Loader { ledger, entries: u64_at(body, 44), next: 0 })
    }

    /// How many bytes the next sub-map has, given at least its first six: what a reader of a file
    /// or stream must fetch. Not trusted: check it against what is there.
    pub fn sub_map_bytes(head: &[u8; 6]) -> usize {
        let entries = u32::from_le_bytes([head[2], head[3], head[4], head[5]]) as usize;
        SUB_MAP_HEAD_BYTES + entries * ENTRY_BYTES + CRC_BYTES
    }

    /// Takes the next sub-map.
    ///
    /// # Errors
    /// Damaged, out of order or of another checkpoint.
    pub fn load(&mut self, chunk: &[u8]) -> Result<(), CheckpointError> {
        let head: &[u8; 6] = chunk.first_chunk().ok_or(CheckpointError::WrongLength(chunk.len()))?;
        if chunk.len() != Loader::sub_map_bytes(head) {
            return Err(CheckpointError::WrongLength(chunk.len()));
        }
        let body = unseal(chunk)?;
        let index = u16::from_le_bytes([head[0], head[1]]);
        if usize::from(index) != self.next || self.next >= SUB_MAPS || body[6..14] != scn_tag(self.ledger.scn)
        {
            return Err(CheckpointError::WrongSubMap(index));
        }
        let entries = &body[SUB_MAP_HEAD_BYTES..];
        let mut table = Table::with_room_for(entries.len() / ENTRY_BYTES);
        for entry in entries.chunks_exact(ENTRY_BYTES) {
            let key = KeyHash(u128::from_be_bytes(entry[..16].try_into().expect("sixteen bytes")));
            let version = Version {
                time: Micros(u64_at(entry, 16)),
                origin: InstanceId(u32::from_le_bytes([entry[24], entry[25], entry[26], entry[27]])),
                removed: entry[28] != 0,
            };
            if key == KeyHash::NONE || sub_map_of(key) != self.next || version.time >= TIME_MAX {
                return Err(CheckpointError::WrongSubMap(index));
            }
            table.record(key, version);
        }
        self.ledger.sub_maps[self.next] = Arc::new(table);
        self.next += 1;
        Ok(())
    }

    /// The ledger, once all sub-maps are in.
    ///
    /// # Errors
    /// Fewer or more entries than the head names.
    pub fn finish(self) -> Result<Ledger, CheckpointError> {
        let found = self.ledger.len() as u64;
        if self.next != SUB_MAPS || found != self.entries {
            return Err(CheckpointError::WrongCount { found, named: self.entries });
        }
        Ok(self.ledger)
    }
}

fn scn_tag(scn: Scn) -> [u8; 8] {
    xxh3_64(&scn.to_bytes()).to_le_bytes()
}

fn seal(mut bytes: Vec<u8>) -> Vec<u8> {
    let crc = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes
}

fn unseal(bytes: &[u8]) -> Result<&[u8], CheckpointError> {
    let (body, crc) =
        bytes.split_last_chunk::<CRC_BYTES>().ok_or(CheckpointError::WrongLength(bytes.len()))?;
    if crc32fast::hash(body) == u32::from_le_bytes(*crc) { Ok(body) } else { Err(CheckpointError::Checksum) }
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ledger::LedgerView;

    fn ledger_of(entries: u64) -> Ledger {
        let mut ledger = Ledger::default();
        for n in 0..entries {
            let version = Version::new(Micros(n), InstanceId(3));
            let version = if n % 5 == 0 { version.evicted() } else { version };
            ledger.record(key(n), version);
        }
        ledger.advance(Scn::of_transaction(1, 2, entries));
        ledger
    }

    fn key(n: u64) -> KeyHash {
        KeyHash(xxhash_rust::xxh3::xxh3_128(&n.to_le_bytes()))
    }

    fn load(chunks: &[Vec<u8>]) -> Result<Ledger, CheckpointError> {
        let mut loader = Loader::new(&chunks[0])?;
        chunks[1..].iter().try_for_each(|chunk| loader.load(chunk))?;
        loader.finish()
    }

    #[test]
    fn a_ledger_comes_back_from_its_checkpoint() {
        let mut ledger = ledger_of(5000);
        ledger.raise_horizon(Micros(100));
        ledger.note_heartbeat(Micros(77));
        let chunks: Vec<_> = ledger.checkpoint().chunks().collect();
        let back = load(&chunks).expect("an undamaged checkpoint");
        assert_eq!((back.len(), back.scn()), (5000, ledger.scn()));
        assert_eq!((back.horizon(), back.heartbeat()), (Micros(100), Some(Micros(77))));
        assert!((0..5000).all(|n| back.newest(&key(n)) == ledger.newest(&key(n))));
    }

    #[test]
    fn a_checkpoint_does_not_see_what_is_recorded_after_it() {
        let mut ledger = ledger_of(100);
        let checkpoint = ledger.checkpoint();
        ledger.record(key(7), Version::new(Micros(999), InstanceId(1)));
        ledger.record(key(700), Version::new(Micros(999), InstanceId(1)));
        let back = load(&checkpoint.chunks().collect::<Vec<_>>()).expect("an undamaged checkpoint");
        assert_eq!(back.newest(&key(7)), Some(Version::new(Micros(7), InstanceId(3))));
        assert_eq!(back.newest(&key(700)), None);
    }

    #[test]
    fn parts_that_are_missing_or_of_another_checkpoint_are_refused() {
        let chunks: Vec<_> = ledger_of(1000).checkpoint().chunks().collect();
        let other: Vec<_> = ledger_of(1001).checkpoint().chunks().collect();
        assert!(matches!(load(&chunks[..SUB_MAPS]), Err(CheckpointError::WrongCount { named: 1000, .. })));
        let mut mixed = chunks.clone();
        mixed[9] = other[9].clone();
        assert!(matches!(load(&mixed), Err(CheckpointError::WrongSubMap(8))));
        mixed[9] = chunks[10].clone();
        assert!(matches!(load(&mixed), Err(CheckpointError::WrongSubMap(9))));
        let mut newer = chunks;
        newer[0][7] = 2;
        assert!(matches!(load(&newer), Err(CheckpointError::UnknownFormat)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn every_flipped_bit_and_every_cut_is_refused(chunk in 0..=SUB_MAPS, at in any::<usize>(), bit in 0..8_u32) {
            let chunks: Vec<_> = ledger_of(600).checkpoint().chunks().collect();
            let at = at % chunks[chunk].len();
            let mut damaged = chunks.clone();
            damaged[chunk][at] ^= 1_u8 << bit;
            prop_assert!(load(&damaged).is_err());
            damaged = chunks;
            damaged[chunk].truncate(at);
            prop_assert!(load(&damaged).is_err());
        }
    }
}

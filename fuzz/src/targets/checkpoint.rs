//! The ledger's checkpoint.

use weft_core::instance::InstanceId;
use weft_core::key::KeyHash;
use weft_core::ledger::checkpoint::{HEAD_BYTES, Loader};
use weft_core::ledger::{Ledger, LedgerView};
use weft_core::time::Micros;
use weft_core::version::Version;

/// Bytes from which an entry is made: key 16, time 7, origin 1.
const ENTRY_BYTES: usize = 24;
const CRC_BYTES: usize = 4;

pub fn run(data: &[u8]) {
    damaged(data);
    comes_back(data);
}

fn sealed(part: &[u8]) -> Vec<u8> {
    let body = &part[..part.len().saturating_sub(CRC_BYTES)];
    [body, &crc32fast::hash(body).to_le_bytes()].concat()
}

/// A head and the parts behind it as they are, but for their checksums.
fn damaged(data: &[u8]) {
    let Some((head, mut rest)) = data.split_at_checked(HEAD_BYTES) else { return };
    let _ = Loader::new(head);
    let mut head = head.to_vec();
    head[..8].copy_from_slice(b"WEFTLDG\x01");
    let Ok(mut loader) = Loader::new(&sealed(&head)) else { panic!("a sealed head is read") };
    while let Some(start) = rest.first_chunk::<6>() {
        let (part, behind) = rest.split_at(Loader::sub_map_bytes(start).min(rest.len()));
        rest = behind;
        if loader.load(&sealed(part)).is_err() {
            return;
        }
    }
    let _ = loader.finish();
}

/// A ledger of the input's entries, as parts and back; and not back where a byte was changed.
fn comes_back(data: &[u8]) {
    let mut ledger = Ledger::default();
    let entries = data.as_chunks::<ENTRY_BYTES>().0;
    for entry in entries {
        let key = KeyHash(u128::from_be_bytes(entry[..16].try_into().expect("sixteen bytes")));
        let time = entry[16..23].iter().fold(0, |time, &byte| time << 8 | u64::from(byte));
        let version = Version::new(Micros(time), InstanceId(u32::from(entry[23])));
        ledger.record(key, if entry[23] > 200 { version.evicted() } else { version });
    }
    let parts: Vec<Vec<u8>> = ledger.checkpoint().chunks().collect();
    let loaded = load(&parts).expect("its own checkpoint is read");
    assert_eq!(loaded.len(), ledger.len());
    for entry in entries {
        let key = KeyHash(u128::from_be_bytes(entry[..16].try_into().expect("sixteen bytes")));
        assert_eq!(loaded.newest(&key), ledger.newest(&key));
    }
    if let [which, place, flip, ..] = *data
        && flip != 0
    {
        let mut parts = parts;
        let part = &mut parts[usize::from(which)];
        let place = usize::from(place) % part.len();
        part[place] ^= flip;
        assert!(load(&parts).is_none(), "a changed byte goes unnoticed");
    }
}

fn load(parts: &[Vec<u8>]) -> Option<Ledger> {
    let (head, sub_maps) = parts.split_first()?;
    let mut loader = Loader::new(head).ok()?;
    sub_maps.iter().try_for_each(|part| loader.load(part)).ok()?;
    loader.finish().ok()
}

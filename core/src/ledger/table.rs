//! One sub-map: open addressing with linear probing over entries of 28 bytes.
//!
//! It grows by a quarter and not by doubling: at ten million keys a doubling map is on average a
//! third empty, and all sub-maps double at nearly the same time. Keys are hashes already, so their
//! bits choose the slot.

use crate::instance::InstanceId;
use crate::key::KeyHash;
use crate::time::Micros;
use crate::version::Version;

/// Bytes of an entry, in memory and in checkpoints.
pub const ENTRY_BYTES: usize = 28;

/// Set in the packed time of a version that was evicted. Times are below 2^62.
const REMOVED: u64 = 1 << 63;

/// An entry as seven words, so that it is aligned to four bytes and not to sixteen: key (four words,
/// most significant first), time with the removed bit (two), origin (one). A zero key is an empty
/// slot.
type Slot = [u32; ENTRY_BYTES / 4];

const EMPTY: Slot = [0; 7];

/// Key -> version.
#[derive(Debug, Clone, Default)]
pub struct Table {
    slots: Box<[Slot]>,
    len: usize,
}

impl Table {
    /// Room for `entries` without growing.
    pub fn with_room_for(entries: usize) -> Table {
        Table { slots: vec![EMPTY; slots_for(entries)].into_boxed_slice(), len: 0 }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn size_bytes(&self) -> usize {
        self.slots.len() * ENTRY_BYTES
    }

    pub fn get(&self, key: KeyHash) -> Option<Version> {
        if self.slots.is_empty() {
            return None;
        }
        let words = key_words(key);
        let slot = &self.slots[self.find(&words)];
        (slot[..4] == words).then(|| version_of(slot))
    }

    /// Keeps the greater of the versions.
    pub fn record(&mut self, key: KeyHash, version: Version) {
        if (self.len + 1) * 7 > self.slots.len() * 6 {
            let grown = self.slots.len() * 5 / 4 + 8;
            self.rebuild(grown, |_| true);
        }
        let words = key_words(key);
        let at = self.find(&words);
        if self.slots[at] == EMPTY {
            self.len += 1;
        } else if version_of(&self.slots[at]) >= version {
            return;
        }
        self.slots[at] = pack(&words, version);
    }

    /// A copy, in memory of its own size, without entries older than `horizon`.
    pub fn without_older(&self, horizon: Micros) -> Table {
        let mut copy = self.clone();
        let kept = self.iter().filter(|(_, version)| version.time >= horizon).count();
        copy.rebuild(slots_for(kept), |slot| version_of(slot).time >= horizon);
        copy
    }

    pub fn iter(&self) -> impl Iterator<Item = (KeyHash, Version)> {
        self.slots.iter().filter(|slot| **slot != EMPTY).map(|slot| (key_of(slot), version_of(slot)))
    }

    fn rebuild(&mut self, slots: usize, keep: impl Fn(&Slot) -> bool) {
        let old = std::mem::replace(&mut self.slots, vec![EMPTY; slots].into_boxed_slice());
        self.len = 0;
        for slot in old.iter().filter(|slot| **slot != EMPTY && keep(slot)) {
            let at = self.find(&slot[..4]);
            self.slots[at] = *slot;
            self.len += 1;
        }
    }

    /// The slot that holds the key, or the empty one where it would go. There is always an empty
    /// slot: the table is at most six sevenths full.
    fn find(&self, key: &[u32]) -> usize {
        // The first byte chose the sub-map; the bits after it choose the slot.
        let bits = u64::from(key[0] & 0x00ff_ffff) << 8 | u64::from(key[1] >> 24);
        let mut at = ((bits * self.slots.len() as u64) >> 32) as usize;
        while self.slots[at] != EMPTY && self.slots[at][..4] != *key {
            at = if at + 1 == self.slots.len() { 0 } else { at + 1 };
        }
        at
    }
}

fn slots_for(entries: usize) -> usize {
    if entries == 0 { 0 } else { entries * 7 / 6 + 2 }
}

fn key_words(key: KeyHash) -> [u32; 4] {
    [(key.0 >> 96) as u32, (key.0 >> 64) as u32, (key.0 >> 32) as u32, key.0 as u32]
}

fn key_of(slot: &Slot) -> KeyHash {
    KeyHash(slot[..4].iter().fold(0, |key, word| key << 32 | u128::from(*word)))
}

fn version_of(slot: &Slot) -> Version {
    let packed = u64::from(slot[4]) << 32 | u64::from(slot[5]);
    Version { time: Micros(packed & !REMOVED), origin: InstanceId(slot[6]), removed: packed & REMOVED != 0 }
}

fn pack(key: &[u32; 4], version: Version) -> Slot {
    debug_assert!(version.time.0 < REMOVED, "a version's time is below 2^62");
    let packed = version.time.0 & !REMOVED | if version.removed { REMOVED } else { 0 };
    [key[0], key[1], key[2], key[3], (packed >> 32) as u32, packed as u32, version.origin.0]
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Keys that fall on few slots probe, wrap around and meet each other.
        #[test]
        fn a_table_holds_what_a_map_of_greatest_versions_holds(
            changes in vec((1..60_u128, any::<bool>(), 0..50_u64, 0..3_u32, any::<bool>()), 0..300),
            horizon in 0..50_u64,
        ) {
            let mut table = Table::default();
            let mut model: HashMap<KeyHash, Version> = HashMap::new();
            for (key, high, time, origin, removed) in changes {
                let key = KeyHash(if high { key | 0xffff << 88 } else { key });
                let version = Version { time: Micros(time), origin: InstanceId(origin), removed };
                table.record(key, version);
                let newest = model.entry(key).or_insert(version);
                *newest = version.max(*newest);
            }
            prop_assert_eq!(table.len(), model.len());
            prop_assert!(model.iter().all(|(key, version)| table.get(*key) == Some(*version)));
            prop_assert_eq!(table.get(KeyHash(9 << 100)), None);
            let swept = table.without_older(Micros(horizon));
            model.retain(|_, version| version.time >= Micros(horizon));
            prop_assert_eq!(swept.iter().collect::<HashMap<_, _>>(), model);
        }
    }
}

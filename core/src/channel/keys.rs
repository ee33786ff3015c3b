//! Maps by key hash, and the keys that a unit touches.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::channel::delivery::Unit;
use crate::key::KeyHash;

/// A map from key hashes. They are hashes already, so no time goes into hashing them again.
pub type KeyMap<V> = HashMap<KeyHash, V, BuildHasherDefault<AlreadyHashed>>;

/// Takes 64 of the 128 bits of a [`KeyHash`] as they are.
#[derive(Debug, Default, Clone, Copy)]
pub struct AlreadyHashed(u64);

impl Hasher for AlreadyHashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn write_u128(&mut self, hash: u128) {
        self.0 = (hash as u64) ^ ((hash >> 64) as u64);
    }
}

/// Calls `f` with every key that the unit's rows touch: row keys before and after, and the unique
/// values that they hold, take or give up. A key may come more than once; the same unit always
/// gives the same keys as often, so that what was counted for it can be taken back.
pub fn for_each_key(unit: &Unit, mut f: impl FnMut(KeyHash)) {
    let Some(rows) = unit.delivery.transaction.rows() else { return };
    for (_, stamp) in unit.stamps() {
        f(stamp.key);
        if let Some(old) = stamp.old_key {
            f(old);
        }
    }
    let first = rows.unique.partition_point(|unique| unique.row < unit.rows.start);
    for unique in rows.unique[first..].iter().take_while(|unique| unique.row < unit.rows.end) {
        f(unique.hash);
    }
}

//! Keys as the server compares them: two keys are equal here exactly if the server says so.

pub mod collation;
pub mod exact;
pub mod hasher;
mod number;

use rkyv::{Archive, Deserialize, Serialize};

pub use hasher::{KeyHasher, TableKeys};

/// 128-bit hash over a table's name, which of its keys it is, and the key's values in the weights
/// of their types and collations. Equal keys have equal hashes; unequal ones collide with
/// probability 2^-128 a pair. Part of the frame, mark and ledger formats.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[rkyv(derive(Debug, Clone, Copy, PartialEq, Eq))]
pub struct KeyHash(pub u128);

impl KeyHash {
    /// The key of a row whose table has no primary key: such rows have no identity, are never
    /// compared by version and never folded.
    pub const NONE: KeyHash = KeyHash(0);
}

impl std::fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

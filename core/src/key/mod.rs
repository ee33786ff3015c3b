//! Keys as the server compares them: two keys are equal here exactly if the server says so.

use rkyv::{Archive, Deserialize, Serialize};

/// 128-bit hash over a table's name, which of its keys it is, and the key's values in the weights
/// of their types and collations. Equal keys have equal hashes; unequal ones collide with
/// probability 2^-128 a pair. Part of the frame, mark and ledger formats.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[rkyv(derive(Debug, Clone, Copy, PartialEq, Eq))]
pub struct KeyHash(pub u128);

impl std::fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

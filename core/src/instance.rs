//! Which database server group a change belongs to.

use rkyv::{Archive, Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

/// The identity of an instance on the wire, in marks and in the ledger: the low 32 bits of XXH3 of
/// its full name (`site.instance`). The same on every node without agreement; two instances of one
/// deployment whose names give equal ids are refused when the configuration is read.
#[derive(
    Archive,
    Serialize,
    Deserialize,
    serde::Serialize,
    serde::Deserialize,
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
)]
#[rkyv(derive(Debug, PartialEq, Eq))]
pub struct InstanceId(pub u32);

impl InstanceId {
    /// The id of the instance with this full name, for example `sh.main`.
    pub fn of(full_name: &str) -> InstanceId {
        InstanceId(xxh3_64(full_name.as_bytes()) as u32)
    }
}

//! Versions: the total order that decides conflicts.

use rkyv::{Archive, Deserialize, Serialize};

use crate::instance::InstanceId;
use crate::time::Micros;

/// The version of one row: when it was written, where, and whether Weft removed it afterwards.
///
/// Compared in the order of the fields. `removed` is set on the version of a row that was *evicted*
/// because a newer row took one of its unique keys: greater than the change that it undoes, smaller
/// than any later change of the row.
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
#[rkyv(derive(Debug))]
pub struct Version {
    /// Commit time at the origin, raised where needed so that the versions of a key rise.
    pub time: Micros,
    /// Where an application committed the change first.
    pub origin: InstanceId,
    /// The row was evicted.
    pub removed: bool,
}

impl Version {
    /// The version of an ordinary change.
    pub const fn new(time: Micros, origin: InstanceId) -> Version {
        Version { time, origin, removed: false }
    }

    /// The version of the same row once it is evicted.
    pub const fn evicted(self) -> Version {
        Version { removed: true, ..self }
    }
}

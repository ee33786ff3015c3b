//! The mark: the row of `weft.mark` that Weft writes first in every transaction that it applies.
//!
//! One write, four duties: it cuts loops (what follows is foreign), it is the checkpoint (position
//! and data commit together), it fences old owners (the update matches only while the stored epoch
//! is not newer), and it carries the versions of the foreign rows to everyone who reads the target's
//! binlog. The body's layout is in [`codec`], versioned by its first byte.

pub mod codec;
pub mod runs;

use crate::instance::InstanceId;
use crate::key::KeyHash;
use crate::scn::Scn;
use crate::time::Micros;
use crate::version::Version;

/// Raised by every recovery of a channel; a write with an older one matches no row. No two recoveries
/// give the same one, not even where a target lost the first of them together with its last commits: see
/// [`Epoch::raised`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The epoch of a recovery that finds this one in the marks, at `now` by the target's clock: the time
    /// in microseconds, or the next number where the clock is behind.
    pub fn raised(self, now: Micros) -> Epoch {
        Epoch(now.0.max(self.0 + 1))
    }
}

/// The body of a mark row.
#[derive(Debug, Clone, PartialEq)]
pub struct Mark {
    /// The instance that the channel reads from.
    pub source: InstanceId,
    /// Every transaction of the source up to here (inclusive) is applied or passed over.
    pub watermark: Scn,
    /// Source time of the watermark.
    pub watermark_time: Micros,
    /// What this shard applied above the watermark, rising, not overlapping.
    pub runs: Vec<Run>,
    /// The keys of the rows that follow in this transaction, with their versions. A row that is not
    /// named is a local change. Keys whose change leaves no row event are named too.
    pub named: Vec<Named>,
    /// Rows deleted everywhere because a newer row took one of their unique keys.
    pub evictions: Vec<Eviction>,
}

/// Everything that the channel pulls from `first` to `last`, both inclusive, is applied. Bounds are
/// SCNs of whole transactions (`row` 0) or of single rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    pub first: Scn,
    pub last: Scn,
}

/// Keys that get the same version.
#[derive(Debug, Clone, PartialEq)]
pub struct Named {
    pub version: Version,
    pub keys: Vec<KeyHash>,
}

/// An evicted row.
#[derive(Debug, Clone, PartialEq)]
pub struct Eviction {
    pub key: KeyHash,
    /// The evicted version, with `removed` set.
    pub version: Version,
    /// Canonical table map and delete rows event of the row, where this instance's own binlog has
    /// none because the row was never there; else empty.
    pub events: Vec<u8>,
}

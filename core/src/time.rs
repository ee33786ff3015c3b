//! Points in time and spans of it, in microseconds since the Unix epoch. Nothing here reads a clock.

use rkyv::{Archive, Deserialize, Serialize};

/// A point in time: microseconds since 1970-01-01 00:00:00 UTC.
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
    Default,
)]
#[rkyv(derive(Debug))]
pub struct Micros(pub u64);

impl Micros {
    /// The start of time; older than every change.
    pub const ZERO: Micros = Micros(0);

    /// From whole seconds since the Unix epoch, as binlog event headers carry them.
    pub const fn from_secs(secs: u64) -> Micros {
        Micros(secs * 1_000_000)
    }

    /// This point plus `us` microseconds.
    pub const fn plus(self, us: u64) -> Micros {
        Micros(self.0.saturating_add(us))
    }

    /// This point minus `us` microseconds, not below the start of time.
    pub const fn minus(self, us: u64) -> Micros {
        Micros(self.0.saturating_sub(us))
    }

    /// Microseconds from `earlier` to here; 0 if `earlier` is later.
    pub const fn since(self, earlier: Micros) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

//! What a replicator shows of itself. Written by its tasks, read by the admin API.

use weft_core::scn::Scn;
use weft_core::time::Micros;

/// One source now.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SourceStatus {
    /// Capture runs.
    pub running: bool,
    /// Why not; what to do.
    pub reason: Option<String>,
    /// The same, if it does not come right before a person has seen to it.
    pub standstill: Option<String>,
    pub scn: Option<Scn>,
    /// GTID position captured, as the server writes it.
    pub gtid: String,
    /// `file:position` read last.
    pub file: String,
    /// The newest heartbeat read, and when it was read; both by the node's clock.
    pub heartbeat: Option<(Micros, Micros)>,
}

impl SourceStatus {
    /// Lag of capture in microseconds: from writing to reading a heartbeat, and growing with the
    /// clock when none come.
    pub fn lag_us(&self, now: Micros) -> u64 {
        const LATE_US: u64 = 2_000_000;
        match self.heartbeat {
            Some((written, read)) if now.since(read) <= LATE_US => read.since(written),
            Some((written, _)) => now.since(written),
            None => 0,
        }
    }
}

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
    /// Of the server that answers, asked with each heartbeat; 0: not known yet.
    pub server_id: u32,
    /// `file:position` read last.
    pub file: String,
    /// The newest heartbeat read, and when it was read; both by the node's clock.
    pub heartbeat: Option<(Micros, Micros)>,
    /// The instance's clock less this node's, in microseconds, as far as the last heartbeat shows it.
    pub clock_skew_us: i64,
    /// The greatest time that was stamped above its commit time.
    pub raised_stamp: Micros,
}

/// The instance's clock less the node's, in microseconds: from what the node wrote and when the instance
/// says that it was. MariaDB says whole seconds, so that less than one second behind is none.
pub fn clock_skew_us(written: Micros, committed: Micros) -> i64 {
    const SECOND_US: u64 = 1_000_000;
    if committed > written {
        return i64::try_from(committed.since(written)).unwrap_or(i64::MAX);
    }
    let behind_us = written.since(committed).saturating_sub(SECOND_US);
    i64::try_from(behind_us).map_or(i64::MIN, |behind_us| -behind_us)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_seconds_of_the_instance_are_no_skew_but_more_is() {
        let at = |us| Micros(us);
        assert_eq!(clock_skew_us(at(5_900_000), at(5_000_000)), 0);
        assert_eq!(clock_skew_us(at(5_900_000), at(8_000_000)), 2_100_000);
        assert_eq!(clock_skew_us(at(5_900_000), at(2_000_000)), -2_900_000);
    }
}

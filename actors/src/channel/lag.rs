//! How far a direction is behind, end to end.

use std::collections::VecDeque;

use weft_core::scn::Scn;
use weft_core::time::Micros;

/// Lag by heartbeats: the time from a heartbeat's writing at the source to the moment when all that
/// was committed before it is applied at the target. Between heartbeats the newest measure stands;
/// when heartbeats fail to come through, the lag grows with the clock.
#[derive(Debug)]
pub struct Lag {
    /// Heartbeats above the watermark, in SCN order.
    pending: VecDeque<(Scn, Micros)>,
    /// The newest heartbeat at or below the watermark.
    newest: Option<Micros>,
    sampled_at: Micros,
    sample_us: u64,
}

/// Heartbeats kept above the watermark: an hour of them. Past that every second one is let go.
const PENDING_MAX: usize = 3_600;
/// A heartbeat may be this late before the lag grows: twice its interval.
const LATE_US: u64 = 2_000_000;

impl Lag {
    /// A direction that begins now, at a watermark of this source time ([`Micros::ZERO`]: not known).
    /// It is as far behind as that, until a heartbeat comes through.
    pub fn new(now: Micros, watermark_time: Micros) -> Lag {
        let newest = (watermark_time > Micros::ZERO).then_some(watermark_time);
        let sample_us = newest.map_or(0, |newest| now.since(newest));
        Lag { pending: VecDeque::new(), newest, sampled_at: now, sample_us }
    }

    /// A heartbeat was pulled.
    pub fn heartbeat(&mut self, scn: Scn, written: Micros) {
        if self.pending.len() >= PENDING_MAX {
            let mut keep = false;
            self.pending.retain(|_| {
                keep = !keep;
                keep
            });
        }
        self.pending.push_back((scn, written));
    }

    /// The watermark moved: measures by the newest heartbeat at or below it.
    pub fn passed(&mut self, watermark: Scn, now: Micros) {
        let mut passed = None;
        while self.pending.front().is_some_and(|(scn, _)| *scn <= watermark) {
            passed = self.pending.pop_front();
        }
        let Some((_, written)) = passed else { return };
        self.newest = Some(written);
        self.sampled_at = now;
        self.sample_us = now.since(written);
    }

    /// The lag now, in microseconds.
    pub fn now(&self, now: Micros) -> u64 {
        let silent_us = now.since(self.sampled_at);
        if silent_us <= LATE_US {
            return self.sample_us;
        }
        self.newest.map_or(silent_us, |newest| now.since(newest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scn(n: u64) -> Scn {
        Scn::of_transaction(1, 1, n)
    }

    #[test]
    fn lag_is_true_when_idle_and_grows_when_nothing_comes_through() {
        let second = |n: u64| Micros::from_secs(n);
        let mut lag = Lag::new(second(100), Micros::ZERO);
        lag.heartbeat(scn(1), second(101));
        lag.passed(scn(1), second(101).plus(4_000));
        assert_eq!(lag.now(second(102)), 4_000, "between heartbeats the newest measure stands");
        lag.heartbeat(scn(2), second(102));
        lag.passed(scn(1), second(103));
        assert_eq!(lag.now(second(110)), 9_000_000, "counted from the newest heartbeat that is applied");
    }

    #[test]
    fn a_direction_that_never_saw_a_heartbeat_lags_since_it_began() {
        let lag = Lag::new(Micros::from_secs(100), Micros::ZERO);
        assert_eq!(lag.now(Micros::from_secs(130)), 30_000_000);
    }

    /// The node was away for an hour, and the source wrote on.
    #[test]
    fn a_direction_that_comes_back_lags_since_its_watermark() {
        let second = |n: u64| Micros::from_secs(n);
        let mut lag = Lag::new(second(3_700), second(100));
        assert_eq!(lag.now(second(3_701)), 3_600_000_000);
        assert_eq!(lag.now(second(3_710)), 3_610_000_000);
        lag.heartbeat(scn(9), second(3_710));
        lag.passed(scn(9), second(3_711));
        assert_eq!(lag.now(second(3_711)), 1_000_000);
    }

    #[test]
    fn heartbeats_above_the_watermark_are_bounded() {
        let mut lag = Lag::new(Micros::ZERO, Micros::ZERO);
        for n in 0..100_000 {
            lag.heartbeat(scn(n), Micros(n));
        }
        assert!(lag.pending.len() <= PENDING_MAX);
    }
}

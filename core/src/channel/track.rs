//! Keeps the order in which things were pulled, and finds the watermark in it.

use std::collections::VecDeque;

use crate::scn::Scn;
use crate::time::Micros;

/// Where a channel stands: everything its source committed up to `scn` (inclusive) is applied or
/// passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watermark {
    pub scn: Scn,
    /// Source time of `scn`.
    pub time: Micros,
}

/// The order of pulling. Its memory is bounded by what is pulled and not yet below the watermark,
/// which the scheduler bounds in turn.
#[derive(Debug)]
pub struct Tracker {
    watermark: Watermark,
    /// What is not below the watermark yet, in the order of pulling. The first is never complete.
    open: VecDeque<Pulled>,
    next_sequence: u64,
}

/// A transaction, or a stretch of history without units.
#[derive(Debug)]
struct Pulled {
    scn: Scn,
    time: Micros,
    /// Sequence of its first unit; its others follow.
    first: u64,
    units: u32,
    /// Units that are not applied yet.
    left: u32,
    bytes: u64,
}

impl Tracker {
    pub fn new(watermark: Watermark) -> Tracker {
        Tracker { watermark, open: VecDeque::new(), next_sequence: 0 }
    }

    /// Notes a transaction with this many units (at least one), and gives the sequence of the first.
    /// `bytes` come back from [`Tracker::applied`] with the last of the units.
    pub fn pulled(&mut self, scn: Scn, time: Micros, units: u32, bytes: u64) -> u64 {
        assert!(units > 0, "what has no units is passed over");
        let first = self.next_sequence;
        self.next_sequence += u64::from(units);
        self.open.push_back(Pulled { scn, time, first, units, left: units, bytes });
        first
    }

    /// Notes that the history up to `scn` holds nothing more to apply.
    pub fn passed(&mut self, scn: Scn, time: Micros) {
        match self.open.back_mut() {
            None => self.raise(scn, time),
            // Idle sources report every second: one entry stands for all of them.
            Some(last) if last.units == 0 => {
                last.scn = scn;
                last.time = last.time.max(time);
            }
            Some(_) => {
                let first = self.next_sequence;
                self.open.push_back(Pulled { scn, time, first, units: 0, left: 0, bytes: 0 });
            }
        }
    }

    /// Notes that the unit is applied. Gives the bytes of its transaction if it was the last of it,
    /// else 0.
    pub fn applied(&mut self, sequence: u64) -> u64 {
        let after = self.open.partition_point(|pulled| pulled.first <= sequence);
        // An entry without units shares its `first` with the one that follows it.
        let found = self.open.range_mut(..after).rev().find(|pulled| pulled.units > 0);
        let pulled = found.expect("only units that are above the watermark are applied");
        assert!(pulled.left > 0 && sequence < pulled.first + u64::from(pulled.units), "applied once");
        pulled.left -= 1;
        let freed = if pulled.left == 0 { pulled.bytes } else { 0 };
        while self.open.front().is_some_and(|pulled| pulled.left == 0) {
            let passed = self.open.pop_front().expect("just seen");
            self.raise(passed.scn, passed.time);
        }
        freed
    }

    pub fn watermark(&self) -> Watermark {
        self.watermark
    }

    /// Sequence of the oldest unit that is not below the watermark; the next one to be given where
    /// there is none.
    pub fn oldest_open(&self) -> u64 {
        self.open.front().map_or(self.next_sequence, |pulled| pulled.first)
    }

    fn raise(&mut self, scn: Scn, time: Micros) {
        self.watermark.scn = self.watermark.scn.max(scn);
        self.watermark.time = self.watermark.time.max(time);
    }
}

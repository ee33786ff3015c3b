//! Numbers as a few stretches of them.

/// Greatest number of a GTID: one less than the end that an interval can have.
pub const NUMBER_MAX: u64 = i64::MAX as u64 - 1;

/// A set of numbers from 1 to [`NUMBER_MAX`]: stretches that rise, with gaps between them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Intervals(Vec<Interval>);

/// From `first` to `last`, both inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval {
    pub first: u64,
    pub last: u64,
}

impl Interval {
    /// None if it is empty or goes beyond what a GTID can have.
    pub fn new(first: u64, last: u64) -> Option<Interval> {
        (1 <= first && first <= last && last <= NUMBER_MAX).then_some(Interval { first, last })
    }
}

impl Intervals {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = Interval> + '_ {
        self.0.iter().copied()
    }

    /// How many numbers there are.
    pub fn count(&self) -> u64 {
        self.0.iter().map(|interval| interval.last - interval.first + 1).sum()
    }

    pub fn add(&mut self, new: Interval) {
        // Those that overlap or touch the new one become one with it.
        let from = self.0.partition_point(|old| old.last + 1 < new.first);
        let to = from + self.0[from..].partition_point(|old| old.first <= new.last + 1);
        let joined = self.0[from..to].iter().fold(new, |joined, old| Interval {
            first: joined.first.min(old.first),
            last: joined.last.max(old.last),
        });
        self.0.splice(from..to, [joined]);
    }

    pub fn remove(&mut self, gone: Interval) {
        let from = self.0.partition_point(|old| old.last < gone.first);
        let to = from + self.0[from..].partition_point(|old| old.first <= gone.last);
        let Some((head, tail)) = self.0[from..to].first().zip(self.0[from..to].last()) else { return };
        // `first` is at least 1 and `last` below the greatest number there is.
        let head = Interval::new(head.first, gone.first - 1);
        let tail = Interval::new(gone.last + 1, tail.last);
        self.0.splice(from..to, head.into_iter().chain(tail));
    }

    pub fn contains(&self, other: Interval) -> bool {
        let at = self.0.partition_point(|ours| ours.last < other.first);
        self.0.get(at).is_some_and(|ours| ours.first <= other.first && other.last <= ours.last)
    }
}

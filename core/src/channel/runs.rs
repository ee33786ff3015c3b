//! The runs of applied units that a shard names in its marks.

use crate::channel::delivery::Unit;
use crate::mark::Run;
use crate::scn::Scn;

/// What one shard applied above the watermark, as its next mark will say it. Neighbours in the order
/// of pulling become one run, so a shard that applies everything names a single one.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ShardRuns {
    /// Rising, not overlapping.
    runs: Vec<Numbered>,
}

/// A run and the sequences of its first and last unit; None for runs read from a mark, whose units
/// have no sequence in this life of the channel and so no known neighbours.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Numbered {
    run: Run,
    sequences: Option<(u64, u64)>,
}

impl ShardRuns {
    /// The runs that the shard's mark held when the channel was recovered. They stay in its marks
    /// until the watermark has passed them.
    pub fn recovered(mut runs: Vec<Run>) -> ShardRuns {
        runs.sort_by_key(|run| run.first);
        ShardRuns { runs: runs.into_iter().map(|run| Numbered { run, sequences: None }).collect() }
    }

    /// Forgets the runs at or below the watermark.
    pub fn trim(&mut self, watermark: Scn) {
        self.runs.retain(|numbered| numbered.run.last.transaction() > watermark);
    }

    /// Adds applied units, in any order.
    pub fn extend<'a>(&mut self, units: impl IntoIterator<Item = &'a Unit>) {
        self.runs.extend(units.into_iter().map(|unit| Numbered {
            run: Run { first: unit.scn, last: unit.scn },
            sequences: Some((unit.sequence, unit.sequence)),
        }));
        self.runs.sort_by_key(|numbered| numbered.run.first);
        self.runs.dedup_by(|later, earlier| earlier.absorb(later));
    }

    /// As the mark carries them.
    pub fn to_vec(&self) -> Vec<Run> {
        self.runs.iter().map(|numbered| numbered.run).collect()
    }
}

impl Numbered {
    /// Takes `later` in if it follows without a gap, or repeats what is here.
    fn absorb(&mut self, later: &Numbered) -> bool {
        let (Some((first, last)), Some((later_first, later_last))) = (self.sequences, later.sequences) else {
            return self.run == later.run;
        };
        if later_first > last + 1 {
            return false;
        }
        if later_last > last {
            self.run.last = later.run.last;
            self.sequences = Some((first, later_last));
        }
        true
    }
}

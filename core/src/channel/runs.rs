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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::*;
    use crate::catalog::CatalogId;
    use crate::channel::delivery::Delivery;
    use crate::time::Micros;
    use crate::transaction::{Body, Rows, Transaction, TransactionHeader};

    fn scn(n: u64) -> Scn {
        Scn::of_transaction(1, 1, n)
    }

    fn unit(n: u64, sequence: u64) -> Unit {
        let header = TransactionHeader {
            scn: scn(n),
            server_id: 1,
            gtid: None,
            commit_time: Micros(n),
            format: CatalogId(0),
            body: Body::Rows(Rows::default()),
        };
        let transaction = Transaction { header, raw: Bytes::new() };
        let (tables, format) = (Vec::new(), Arc::from(&[][..]));
        let delivery = Arc::new(Delivery { transaction, tables, format, refused: None });
        Unit { delivery, rows: 0..0, scn: scn(n), sequence }
    }

    fn run(first: u64, last: u64) -> Run {
        Run { first: scn(first), last: scn(last) }
    }

    #[test]
    fn neighbours_become_one_run_in_whatever_order_they_come() {
        let mut runs = ShardRuns::default();
        runs.extend(&[unit(50, 5), unit(10, 1), unit(20, 2)]);
        assert_eq!(runs.to_vec(), [run(10, 20), run(50, 50)]);
        runs.extend(&[unit(40, 4), unit(30, 3)]);
        assert_eq!(runs.to_vec(), [run(10, 50)]);
        runs.extend(&[unit(20, 2)]);
        assert_eq!(runs.to_vec(), [run(10, 50)], "a repeat adds nothing");
    }

    #[test]
    fn what_a_mark_held_at_the_recovery_stays_until_the_watermark_passes_it() {
        let mut runs = ShardRuns::recovered(vec![run(30, 40), run(10, 20)]);
        runs.extend(&[unit(25, 0), unit(50, 1)]);
        assert_eq!(runs.to_vec(), [run(10, 20), run(25, 25), run(30, 40), run(50, 50)]);
        runs.trim(scn(35));
        assert_eq!(runs.to_vec(), [run(30, 40), run(50, 50)]);
    }
}

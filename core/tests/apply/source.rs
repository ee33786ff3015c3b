//! A model of a source that nobody else writes to: random transactions, stamped.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use rand::Rng;
use rand::rngs::StdRng;
use weft_core::channel::delivery::Delivery;
use weft_core::transaction::Part;
use weft_core::version::Version;

use super::support::{Builder, Change, Row, version};

/// Ids of rows are below this.
pub const IDS: u64 = 8;
/// Values of the unique key are below this; 0 is NULL.
pub const VALUES: u64 = 5;

/// A source that nobody else writes to.
#[derive(Default)]
pub struct Source {
    pub rows: BTreeMap<u64, Row>,
    ledger: HashMap<u64, Version>,
    pub deliveries: Vec<Arc<Delivery>>,
    pub seen: Vec<(u64, Version, Option<Row>)>,
    unique: bool,
    clock: u64,
}

impl Source {
    pub fn new(unique: bool) -> Source {
        Source { unique, ..Source::default() }
    }

    fn random_change(&mut self, rng: &mut StdRng, value: u64) -> Option<(Option<Row>, Option<Row>)> {
        let id = rng.random_range(0..IDS);
        let before = self.rows.get(&id).copied();
        let to = if before.is_some() && rng.random_bool(0.2) { rng.random_range(0..IDS) } else { id };
        let unique = if self.unique { rng.random_range(0..VALUES) } else { 0 };
        let after = (before.is_none() || rng.random_bool(0.7)).then_some(Row { id: to, unique, value });
        if after.is_some() {
            let taken = |row: &Row| row.unique == unique && unique != 0 && row.id != id;
            if (to != id && self.rows.contains_key(&to)) || self.rows.values().any(taken) {
                return None;
            }
        }
        self.rows.remove(&id);
        self.rows.extend(after.map(|row| (row.id, row)));
        Some((before, after))
    }

    /// A row that lost a unique key at the source to another site's.
    fn eviction(&mut self, rng: &mut StdRng) {
        let Some(&id) = self.rows.keys().nth(rng.random_range(0..IDS) as usize) else { return };
        let row = self.rows.remove(&id);
        let known = self.ledger[&id];
        let mut change = Change::of(row, None, known.evicted(), Some(known));
        change.evict = true;
        self.ledger.insert(id, known.evicted());
        self.seen.push((id, known.evicted(), None));
        let mut builder = Builder::new((self.deliveries.len() as u64 + 1) * 10).change(change);
        builder.has_unique = self.unique;
        self.deliveries.push(builder.build());
    }

    pub fn transaction(&mut self, rng: &mut StdRng) {
        if rng.random_bool(0.1) {
            return self.eviction(rng);
        }
        let n = (self.deliveries.len() as u64 + 1) * 10;
        let changes: Vec<_> =
            (0..rng.random_range(1..5)).filter_map(|i| self.random_change(rng, n * 10 + i)).collect();
        if changes.is_empty() {
            return;
        }
        let ids = |change: &(Option<Row>, Option<Row>)| {
            [change.0, change.1].into_iter().flatten().map(|row| row.id)
        };
        let known = changes.iter().flat_map(ids).filter_map(|id| self.ledger.get(&id));
        self.clock += rng.random_range(1..20);
        let time = known.map(|version| version.time.0 + 1).max().unwrap_or(0).max(self.clock);
        let stamped: Vec<Change> = changes
            .iter()
            .map(|&(before, after)| {
                let of = after.or(before).expect("a row").id;
                let old = before.map(|row| row.id).filter(|&old| old != of);
                let mut change = Change::of(before, after, version(time), self.ledger.get(&of).copied());
                change.old_base = old.and_then(|old| self.ledger.get(&old).copied());
                for id in [Some(of), old].into_iter().flatten() {
                    self.ledger.insert(id, version(time));
                }
                self.seen.extend(old.map(|old| (old, version(time), None)));
                self.seen.push((of, version(time), after));
                change
            })
            .collect();
        let parts = if stamped.len() > 1 && rng.random_bool(0.2) { 2 } else { 1 };
        let cut = stamped.len() / parts;
        for index in 0..parts {
            let mut builder = Builder::new(n);
            builder.has_unique = self.unique;
            builder.scn.row = if index == 0 { 0 } else { cut as u32 };
            builder.part = (parts == 2).then_some(Part { index: index as u32, last: index == 1 });
            let rows = if parts == 1 {
                &stamped[..]
            } else if index == 0 {
                &stamped[..cut]
            } else {
                &stamped[cut..]
            };
            builder.changes = rows.to_vec();
            self.deliveries.push(builder.build());
        }
    }
}

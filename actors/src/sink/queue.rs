//! The units that wait in a shard, and how they are gathered into batches.

use std::collections::VecDeque;

use weft_core::channel::delivery::Unit;

/// First in, first out: the order in which keys were given is the order in which they are applied.
#[derive(Default)]
pub struct Queue {
    units: VecDeque<Unit>,
}

impl Queue {
    pub fn push(&mut self, units: Vec<Unit>) {
        self.units.extend(units);
    }

    /// Puts units back before all others, in their order.
    pub fn put_back(&mut self, units: Vec<Unit>) {
        units.into_iter().rev().for_each(|unit| self.units.push_front(unit));
    }

    pub fn is_empty(&self) -> bool {
        self.units.is_empty()
    }

    /// Takes units from the front while they hold no more than `rows_max` rows together; at least
    /// one. A part of a large transaction comes alone.
    pub fn take(&mut self, rows_max: usize) -> Vec<Unit> {
        let mut batch: Vec<Unit> = Vec::new();
        let mut rows = 0;
        while let Some(next) = self.units.front() {
            let alone = next.part().is_some();
            if !batch.is_empty() && (alone || rows + next.rows.len() > rows_max) {
                break;
            }
            rows += next.rows.len();
            batch.extend(self.units.pop_front());
            if alone {
                break;
            }
        }
        batch
    }
}

//! Which shard gets what, and when.

use std::collections::hash_map::Entry;
use std::sync::Arc;

use super::{Assignment, InFlight, Large, Pending, Pushed, Scheduler, ShardId};
use crate::channel::delivery::{Consistency, Delivery, Unit};
use crate::channel::keys::{KeyMap, for_each_key};
use crate::channel::window::{Group, join};
use crate::filter::idempotency::is_applied;
use crate::key::KeyHash;
use crate::scn::Scn;
use crate::sink::step::{Stop, StopKind};
use crate::time::Micros;
use crate::transaction::{Body, Ddl, DdlKind};

/// Collects units by shard; at most one assignment a shard.
#[derive(Default)]
pub(super) struct Handout {
    pub(super) assignments: Vec<Assignment>,
}

impl Handout {
    fn give(&mut self, shard: ShardId, units: Vec<Unit>) {
        match self.assignments.iter_mut().find(|assignment| assignment.shard == shard) {
            Some(assignment) => assignment.units.extend(units),
            None => self.assignments.push(Assignment { shard, units }),
        }
    }
}

impl Scheduler {
    /// Whether the unit was applied in an earlier life of the channel.
    pub(super) fn was_applied(&self, scn: Scn) -> bool {
        is_applied(&self.recovered, scn)
    }

    pub(super) fn pass(&mut self, scn: Scn, time: Micros, bytes: u64) {
        self.tracker.passed(scn, time);
        self.freed_bytes += bytes;
    }

    pub(super) fn push_part(&mut self, delivery: Arc<Delivery>, bytes: u64) -> Pushed {
        let header = &delivery.transaction.header;
        let (scn, time) = (header.scn, header.commit_time);
        let Some(part) = delivery.transaction.rows().and_then(|rows| rows.part) else {
            return Pushed::Broken;
        };
        let mut large = match self.large {
            None if part.index == 0 => {
                let fresh = !self.was_applied(scn.transaction());
                let sequence = fresh.then(|| self.tracker.pulled(scn.transaction(), time, 1, 0));
                Large { scn: scn.transaction(), next: 0, sequence }
            }
            Some(large) if large.scn == scn.transaction() && large.next == part.index => large,
            _ => return Pushed::Broken,
        };
        match large.sequence {
            Some(sequence) => self.pending.push_back(Pending::Part(delivery, sequence, bytes)),
            None if part.last => self.pass(scn.transaction(), time, bytes),
            None => self.freed_bytes += bytes,
        }
        large.next += 1;
        self.large = (!part.last).then_some(large);
        self.newest = scn;
        Pushed::Taken
    }

    /// Takes whole transactions from the head of what is pending, up to the window's limits.
    pub(super) fn cut_window(&mut self) -> Vec<Unit> {
        let mut units = Vec::new();
        let (mut rows, mut bytes) = (0, 0);
        let limit = self.tracker.oldest_open() + self.config.above_watermark_max;
        while units.len() < self.config.window_units_max
            && rows < self.config.window_rows_max
            && bytes < self.config.window_bytes_max
        {
            let (delivery, sequence) = match self.pending.front() {
                Some(Pending::Whole(delivery, sequence)) if *sequence < limit => {
                    (delivery.clone(), *sequence)
                }
                _ => break,
            };
            self.pending.pop_front();
            rows += delivery.transaction.rows().map_or(0, |rows| rows.rows.len());
            bytes += delivery.transaction.raw.len();
            self.cut_units(&delivery, sequence, &mut units);
        }
        units
    }

    fn cut_units(&mut self, delivery: &Arc<Delivery>, sequence: u64, units: &mut Vec<Unit>) {
        let scn = delivery.transaction.header.scn;
        let stamps = delivery.transaction.rows().map_or(&[][..], |rows| &rows.rows);
        if self.config.consistency != Consistency::Row {
            let rows = 0..stamps.len() as u32;
            units.push(Unit { delivery: delivery.clone(), rows, scn, sequence });
            return;
        }
        for (index, stamp) in stamps.iter().enumerate() {
            let sequence = sequence + index as u64;
            let scn = stamp.scn(scn);
            if self.was_applied(scn) {
                self.freed_bytes += self.tracker.applied(sequence);
            } else {
                let rows = index as u32..index as u32 + 1;
                units.push(Unit { delivery: delivery.clone(), rows, scn, sequence });
            }
        }
    }

    pub(super) fn schedule(&mut self, window: Vec<Unit>, out: &mut Handout) {
        if window.is_empty() {
            return;
        }
        if self.config.consistency == Consistency::Ordered {
            self.outstanding += window.len() as u64;
            out.give(ShardId(0), window);
            return;
        }
        for group in join(window) {
            match self.place(&group, |key| self.waiting_keys.contains_key(&key)) {
                Some(shard) => self.hand_out(shard, group, out),
                None => {
                    let waiting_keys = &mut self.waiting_keys;
                    group.all_keys(|key| {
                        *waiting_keys.entry(key).or_insert(0) += 1;
                        true
                    });
                    self.waiting.push_back(group);
                }
            }
        }
    }

    /// The shard that may take the group now; None: it waits, because its keys are in flight in
    /// several shards or because an older group wants one of them (`claimed`).
    fn place(&self, group: &Group, claimed: impl Fn(KeyHash) -> bool) -> Option<ShardId> {
        let mut shard = None;
        let free = group.all_keys(|key| {
            if claimed(key) {
                return false;
            }
            match (self.in_flight.get(&key), shard) {
                (None, _) => true,
                (Some(there), None) => {
                    shard = Some(there.shard);
                    true
                }
                (Some(there), Some(chosen)) => there.shard == chosen,
            }
        });
        let by_key = || {
            let hash = group.smallest.map_or(0, |key| key.0 as u64);
            ShardId((hash % u64::from(self.config.shards)) as u16)
        };
        free.then(|| shard.unwrap_or_else(by_key))
    }

    fn hand_out(&mut self, shard: ShardId, group: Group, out: &mut Handout) {
        let in_flight = &mut self.in_flight;
        group.all_keys(|key| {
            let there = in_flight.entry(key).or_insert(InFlight { shard, count: 0 });
            debug_assert_eq!(there.shard, shard, "a key is in flight in one shard only");
            there.count += 1;
            true
        });
        self.outstanding += group.units.len() as u64;
        out.give(shard, group.units);
    }

    pub(super) fn hand_out_waiting(&mut self, out: &mut Handout) {
        if !std::mem::take(&mut self.look_again) {
            return;
        }
        let mut claimed: KeyMap<()> = KeyMap::default();
        for group in std::mem::take(&mut self.waiting) {
            match self.place(&group, |key| claimed.contains_key(&key)) {
                Some(shard) => {
                    let waiting_keys = &mut self.waiting_keys;
                    group.all_keys(|key| {
                        if let Entry::Occupied(mut count) = waiting_keys.entry(key) {
                            *count.get_mut() -= 1;
                            if *count.get() == 0 {
                                count.remove();
                            }
                        }
                        true
                    });
                    self.hand_out(shard, group, out);
                }
                None => {
                    group.all_keys(|key| {
                        claimed.insert(key, ());
                        true
                    });
                    self.waiting.push_back(group);
                }
            }
        }
    }

    /// Takes the unit's keys out of flight.
    pub(super) fn release(&mut self, shard: ShardId, unit: &Unit) {
        for_each_key(unit, |key| {
            let Entry::Occupied(mut there) = self.in_flight.entry(key) else {
                panic!("a key was noted when its unit was handed out")
            };
            assert_eq!(there.get().shard, shard, "acknowledged by the shard that it was given to");
            there.get_mut().count -= 1;
            if there.get().count == 0 {
                there.remove();
                self.look_again = self.look_again || self.waiting_keys.contains_key(&key);
            }
        });
    }

    /// Whether no large transaction is with a shard, or `head` is its next part.
    pub(super) fn may_follow_large(&self, head: &Pending) -> bool {
        let same = match (head, self.alone) {
            (Pending::Part(_, sequence, _), Some(alone)) => *sequence == alone,
            _ => false,
        };
        self.alone.is_none() || same || self.outstanding == 0
    }

    pub(super) fn hand_out_part(&mut self, out: &mut Handout) {
        let Some(Pending::Part(delivery, sequence, bytes)) = self.pending.pop_front() else {
            unreachable!("called with a part at the head")
        };
        self.alone = Some(sequence);
        self.part_bytes.push_back(bytes);
        self.outstanding += 1;
        let rows = 0..delivery.transaction.rows().map_or(0, |rows| rows.rows.len() as u32);
        let scn = delivery.transaction.header.scn.transaction();
        out.give(ShardId(0), vec![Unit { delivery, rows, scn, sequence }]);
    }

    /// Passes over the statement at the head, or stops at it.
    pub(super) fn pass_statement(&mut self) {
        let Some(Pending::Statement(delivery, sequence)) = self.pending.front() else {
            unreachable!("called with a statement at the head")
        };
        if let Body::Ddl(ddl) = &delivery.transaction.header.body
            && self.must_stop(ddl)
        {
            self.stopped = Some(stop_at(delivery.transaction.header.scn, ddl));
            return;
        }
        self.freed_bytes += self.tracker.applied(*sequence);
        self.pending.pop_front();
    }

    /// A destructive statement stops the channel if it names a replicated table, or none that was
    /// recognised: going on could hide a loss.
    fn must_stop(&self, ddl: &Ddl) -> bool {
        let replicated = || ddl.tables.iter().any(|table| self.config.tables.chooses(table));
        ddl.kind == DdlKind::Destructive && (ddl.tables.is_empty() || replicated())
    }
}

fn stop_at(scn: Scn, ddl: &Ddl) -> Stop {
    let statement: String = ddl.statement.chars().take(200).collect();
    Stop {
        scn: Some(scn),
        reason: format!(
            "the source ran '{}', which is not replicated; run its like at the target if that is wanted, then skip SCN {scn}",
            statement.replace(['\n', '\r'], " ")
        ),
        kind: StopKind::Ddl,
    }
}

//! The scheduler of a channel: what is pulled goes in, what each shard is to apply comes out.
//!
//! Two units that share a key are applied in the order of pulling, always: they are in one group, or
//! in one shard's queue (first in, first out), or the later one waits. All others may pass each
//! other. Statements are barriers; the parts of a large transaction go alone.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::channel::delivery::{Consistency, Delivery, Unit};
use crate::channel::keys::KeyMap;
use crate::channel::track::{Tracker, Watermark};
use crate::channel::window::Group;
use crate::mark::runs::AppliedSet;
use crate::scn::Scn;
use crate::sink::step::Stop;
use crate::tables::TableFilter;
use crate::time::Micros;
use crate::transaction::Body;

mod handout;

use handout::Handout;

/// A shard of a channel, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(pub u16);

/// How a channel schedules. All limits are at least 1.
#[derive(Debug, Clone)]
pub struct ScheduleConfig {
    pub consistency: Consistency,
    /// Shards of the channel, 1 to 256.
    pub shards: u16,
    /// Most units that are joined at a time.
    pub window_units_max: usize,
    /// Most rows in them; a single transaction may have more.
    pub window_rows_max: usize,
    /// Most bytes of raw rows in them; a single transaction may have more.
    pub window_bytes_max: usize,
    /// Most units handed out above the watermark. Bounds the runs that marks carry.
    pub above_watermark_max: u64,
    /// The tables that the channel replicates: whose destructive statements stop it.
    pub tables: TableFilter,
}

/// Where a channel begins, as its recovery found it.
#[derive(Debug, Clone)]
pub struct ScheduleStart {
    pub watermark: Watermark,
    /// What all shards' marks together say is applied; it is passed over.
    pub applied: AppliedSet,
}

/// Units for a shard, to be applied in this order.
#[derive(Debug, Clone)]
pub struct Assignment {
    pub shard: ShardId,
    pub units: Vec<Unit>,
}

/// Whether a delivery was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    Taken,
    /// It does not rise above what was pushed before: a link delivered it again. Its bytes are
    /// free at once.
    Repeated,
    /// A part of a large transaction without the parts before it, or something else amid its parts.
    /// Not taken: pull again from the watermark, with a new scheduler.
    Broken,
}

#[derive(Debug)]
pub struct Scheduler {
    config: ScheduleConfig,
    tracker: Tracker,
    recovered: AppliedSet,
    /// SCN of the newest delivery or progress.
    newest: Scn,
    pending: VecDeque<Pending>,
    /// Groups whose keys are in flight in several shards or wanted by an older waiting group.
    waiting: VecDeque<Group>,
    /// How often each key occurs in the waiting groups.
    waiting_keys: KeyMap<u32>,
    /// A key that a waiting group has was released.
    look_again: bool,
    in_flight: KeyMap<InFlight>,
    /// Units handed out and not acknowledged.
    outstanding: u64,
    /// Sequence of the large transaction whose parts are with a shard: nothing else is, until all of
    /// them are acknowledged.
    alone: Option<u64>,
    /// Bytes of the parts with the shard, in order: they are freed as each part is acknowledged,
    /// before the transaction is.
    part_bytes: VecDeque<u64>,
    /// The large transaction whose parts are being pushed.
    large: Option<Large>,
    stopped: Option<Stop>,
    freed_bytes: u64,
}

#[derive(Debug)]
struct InFlight {
    shard: ShardId,
    count: u32,
}

/// What is pulled and not yet handed out, with the sequence of its first unit.
#[derive(Debug)]
enum Pending {
    Whole(Arc<Delivery>, u64),
    /// One part of a large transaction, and its bytes.
    Part(Arc<Delivery>, u64, u64),
    Statement(Arc<Delivery>, u64),
}

#[derive(Debug, Clone, Copy)]
struct Large {
    scn: Scn,
    /// Index of the part that comes next.
    next: u32,
    /// None: the transaction is applied already, its parts are passed over.
    sequence: Option<u64>,
}

impl Scheduler {
    pub fn new(config: ScheduleConfig, start: ScheduleStart) -> Scheduler {
        Scheduler {
            config,
            tracker: Tracker::new(start.watermark),
            recovered: start.applied,
            newest: start.watermark.scn,
            pending: VecDeque::new(),
            waiting: VecDeque::new(),
            waiting_keys: KeyMap::default(),
            look_again: false,
            in_flight: KeyMap::default(),
            outstanding: 0,
            alone: None,
            part_bytes: VecDeque::new(),
            large: None,
            stopped: None,
            freed_bytes: 0,
        }
    }

    /// Takes what the link delivered. Its `bytes` of credit are freed once all of it is
    /// acknowledged (a part of a large transaction: once the part is).
    pub fn push(&mut self, delivery: Arc<Delivery>, bytes: u64) -> Pushed {
        let header = &delivery.transaction.header;
        let (scn, time) = (header.scn, header.commit_time);
        if scn <= self.newest {
            self.freed_bytes += bytes;
            return Pushed::Repeated;
        }
        if self.large.is_some() && delivery.transaction.rows().is_none_or(|rows| rows.part.is_none()) {
            return Pushed::Broken;
        }
        match &header.body {
            Body::Heartbeat { written } => self.pass(scn, *written, bytes),
            // An operator passed over it.
            Body::Ddl(_) if self.was_applied(scn) => self.pass(scn, time, bytes),
            Body::Ddl(_) => {
                let sequence = self.tracker.pulled(scn, time, 1, bytes);
                self.pending.push_back(Pending::Statement(delivery, sequence));
            }
            Body::Rows(rows) if rows.part.is_some() => return self.push_part(delivery, bytes),
            Body::Rows(rows) => {
                let by_row = self.config.consistency == Consistency::Row;
                if rows.rows.is_empty() || (!by_row && self.was_applied(scn)) {
                    self.pass(scn, time, bytes);
                } else {
                    let units = if by_row { rows.rows.len() as u32 } else { 1 };
                    let sequence = self.tracker.pulled(scn, time, units, bytes);
                    self.pending.push_back(Pending::Whole(delivery, sequence));
                }
            }
        }
        self.newest = scn;
        Pushed::Taken
    }

    /// Notes that the source's history up to `scn` holds nothing more for this channel.
    pub fn progress(&mut self, scn: Scn, source_time: Micros) {
        if scn > self.newest && self.large.is_none() {
            self.newest = scn;
            self.tracker.passed(scn, source_time);
        }
    }

    /// Notes that the shard is done with these units of an assignment. A part of a large transaction
    /// is acknowledged when the next one may come, the last one when the transaction is committed.
    pub fn acked(&mut self, shard: ShardId, units: &[Unit]) {
        for unit in units {
            self.outstanding -= 1;
            if let Some(part) = unit.part() {
                self.freed_bytes += self.part_bytes.pop_front().expect("noted when it was handed out");
                if !part.last {
                    continue;
                }
            }
            self.freed_bytes += self.tracker.applied(unit.sequence);
            if self.config.consistency != Consistency::Ordered && unit.part().is_none() {
                self.release(shard, unit);
            }
        }
    }

    /// What may be handed to the shards now.
    pub fn poll(&mut self) -> Vec<Assignment> {
        let mut out = Handout::default();
        self.hand_out_waiting(&mut out);
        while let Some(head) = self.pending.front() {
            if self.stopped.is_some() || !self.may_follow_large(head) {
                break;
            }
            match head {
                Pending::Whole(_, sequence) => {
                    if *sequence >= self.tracker.oldest_open() + self.config.above_watermark_max {
                        break;
                    }
                    self.alone = None;
                    let window = self.cut_window();
                    self.schedule(window, &mut out);
                }
                Pending::Part(_, sequence, _) if self.alone == Some(*sequence) || self.drained() => {
                    self.hand_out_part(&mut out);
                }
                Pending::Statement(..) if self.drained() => self.pass_statement(),
                Pending::Part(..) | Pending::Statement(..) => break,
            }
        }
        out.assignments
    }

    /// The statement that the channel stands at, once everything before it is applied.
    pub fn stopped(&self) -> Option<&Stop> {
        self.stopped.as_ref()
    }

    pub fn watermark(&self) -> Watermark {
        self.tracker.watermark()
    }

    /// Whether no shard has anything of the channel.
    pub fn nothing_in_flight(&self) -> bool {
        self.outstanding == 0
    }

    /// Whether nothing is handed out or waiting for other units.
    pub fn drained(&self) -> bool {
        self.outstanding == 0 && self.waiting.is_empty()
    }

    /// Whether everything pushed is applied.
    pub fn idle(&self) -> bool {
        self.drained() && self.pending.is_empty()
    }

    /// Bytes of credit freed since the last call.
    pub fn take_freed_bytes(&mut self) -> u64 {
        std::mem::take(&mut self.freed_bytes)
    }
}

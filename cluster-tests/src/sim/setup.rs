//! What kind of run a seed is: sites and their channels, the load, the faults.

use rand::Rng;
use rand::rngs::StdRng;
use weft_core::channel::delivery::Consistency;
use weft_core::channel::recovery::StoredWatermark;
use weft_core::channel::schedule::{ScheduleConfig, ScheduleStart};
use weft_core::channel::track::Watermark;
use weft_core::filter::decide::ConflictRule;
use weft_core::instance::InstanceId;
use weft_core::link::message::RowFilter;
use weft_core::mark::runs::AppliedSet;
use weft_core::sink::apply::ApplyConfig;
use weft_core::tables::TableFilter;

use super::row;
use super::world::instance;

/// Something essential that is left out, to prove that the oracles see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Mutation {
    #[default]
    None,
    /// Old owners are neither killed nor stopped by their epoch.
    NoFence,
    /// Batches are decided without waiting for the ledger.
    NoLedgerWait,
    /// A site keeps evictions to itself.
    NoEvictionForwarding,
    /// Marks do not name the versions of the rows behind them.
    NoNames,
    /// What marks say was applied above the watermark is forgotten by a recovery.
    NoRuns,
    /// What a node remembers of a direction counts, whatever the target has lost since.
    TrustMemory,
    /// Capture goes on at whatever server answers, whether that has what was captured or not.
    NoGtidCheck,
    /// Positions and marks of one server count at the next, and epochs are counted, so that both may have the
    /// same one.
    NoServerInFence,
    /// History is read again without the version times that were raised.
    NoRaisedStamps,
}

impl Mutation {
    pub fn fences(self) -> bool {
        self != Mutation::NoFence
    }

    pub fn names(self) -> bool {
        self != Mutation::NoNames
    }

    pub fn forwards_evictions(self) -> bool {
        self != Mutation::NoEvictionForwarding
    }

    /// Takes away what a recovery found.
    pub fn weaken(self, start: &mut ScheduleStart, stored: Option<&StoredWatermark>) {
        match (self, stored) {
            (Mutation::NoRuns, _) => start.applied = AppliedSet::new(start.watermark.scn, []),
            (Mutation::TrustMemory, Some(stored)) if stored.watermark > start.watermark.scn => {
                start.watermark = Watermark { scn: stored.watermark, time: stored.time };
            }
            _ => {}
        }
    }

    pub fn checks_gtids(self) -> bool {
        self != Mutation::NoGtidCheck
    }

    pub fn tells_servers_apart(self) -> bool {
        self != Mutation::NoServerInFence
    }

    pub fn remembers_raised_stamps(self) -> bool {
        self != Mutation::NoRaisedStamps
    }

    pub fn waits_for_ledger(self) -> bool {
        self != Mutation::NoLedgerWait
    }
}

/// A run, as its seed has it.
#[derive(Debug, Clone)]
pub struct Setup {
    pub sites: usize,
    /// Directions, as (source, target).
    pub directions: Vec<(usize, usize)>,
    pub rule: ConflictRule,
    pub consistency: Consistency,
    pub shards: u16,
    pub batch_rows: usize,
    pub window_units: usize,
    pub above_watermark: u64,
    /// Rows of one part of a captured transaction.
    pub part_rows: usize,
    /// Ids and unique values that writers choose from.
    pub ids: u16,
    pub unique_values: u16,
    pub writers: usize,
    /// Ticks of load and faults.
    pub load_ticks: u32,
    /// Conflict window; None: the ledger keeps everything.
    pub window_us: Option<u64>,
    /// Most that a site's clock is ahead of the earliest one.
    pub skew_us: u64,
    pub lose_connection: f64,
    pub crash_node: f64,
    pub crash_database: f64,
    /// Another server takes the address over.
    pub promote: f64,
    /// Most commits that a crash or a promotion loses.
    pub lose_commits_max: usize,
    /// Frames that an event buffer holds; None: all.
    pub buffer_frames: Option<usize>,
    pub cut_link: f64,
    pub duplicate_owner: f64,
    /// Sites write to different rows: no conflicts.
    pub apart: bool,
    pub mutation: Mutation,
}

impl Setup {
    /// Draws a run; `sites`: how many, where that is asked for; `chain`: three of which the outer ones
    /// meet only by way of the middle one.
    pub fn draw(rng: &mut StdRng, sites: Option<usize>, chain: bool, mutation: Mutation) -> Setup {
        let drawn = if rng.random_bool(0.6) { 2 } else { 3 };
        let sites = if chain { 3 } else { sites.unwrap_or(drawn) };
        let one_way = sites == 2 && rng.random_bool(0.25);
        let every = |n: usize| (0..n).flat_map(move |a| (0..n).map(move |b| (a, b)));
        let directions: Vec<(usize, usize)> = every(sites)
            .filter(|(a, b)| a != b && !(one_way && *a != 0) && !(chain && a.abs_diff(*b) != 1))
            .collect();
        let consistency =
            [Consistency::Ordered, Consistency::Transaction, Consistency::Row][rng.random_range(0..3)];
        let window_us = rng.random_bool(0.2).then(|| rng.random_range(25_000_000..50_000_000));
        let faulty = rng.random_bool(0.85);
        let mut rate = |most: f64| if faulty { most * rng.random::<f64>() } else { 0.0 };
        let (lose_connection, crash_node, crash_database) = (rate(0.01), rate(0.002), rate(0.0006));
        let (cut_link, duplicate_owner, promote) = (rate(0.003), rate(0.001), rate(0.003));
        // A node that takes over from marks alone may meet again what lost long ago and left no mark;
        // the window is not made for that.
        let duplicate_owner = if window_us.is_some() { 0.0 } else { duplicate_owner };
        let promote = if rng.random_bool(0.5) { promote } else { 0.0 };
        Setup {
            sites,
            directions,
            rule: if one_way { ConflictRule::None } else { ConflictRule::LastWriteWins },
            consistency,
            shards: rng.random_range(1..4),
            batch_rows: [1, 1, 4, 12][rng.random_range(0..4)],
            window_units: rng.random_range(1..8),
            above_watermark: rng.random_range(1..20),
            part_rows: [3, 100][rng.random_range(0..2)],
            ids: rng.random_range(3..9),
            unique_values: rng.random_range(2..6),
            writers: rng.random_range(1..4),
            // Long enough for the horizon to rise over what was written.
            load_ticks: if window_us.is_some() { 12_000 } else { rng.random_range(1_000..5_000) },
            window_us,
            skew_us: [0, 900_000, 5_000_000][rng.random_range(0..3)],
            lose_connection,
            crash_node,
            crash_database,
            promote,
            lose_commits_max: [0, 3, 12][rng.random_range(0..3)],
            buffer_frames: rng.random_bool(0.25).then(|| rng.random_range(12..60)),
            cut_link,
            duplicate_owner,
            apart: !one_way && rng.random_bool(0.15),
            mutation,
        }
    }

    pub fn schedule(&self) -> ScheduleConfig {
        ScheduleConfig {
            consistency: self.consistency,
            shards: self.shards,
            window_units_max: self.window_units,
            window_rows_max: 12,
            window_bytes_max: 1 << 20,
            above_watermark_max: self.above_watermark,
            tables: TableFilter::new(["*"]),
        }
    }

    /// What goes from one site to another: not what reaches it directly from its origin.
    pub fn filter(&self, source: usize, target: usize) -> RowFilter {
        let everything = || TableFilter::new(["*"]);
        let direct: Vec<(InstanceId, TableFilter)> = self
            .directions
            .iter()
            .filter(|(from, to)| *to == target && *from != source)
            .map(|(from, _)| (instance(*from), everything()))
            .collect();
        RowFilter { tables: everything(), target: instance(target), direct }
    }

    pub fn apply(&self, source: usize) -> ApplyConfig {
        ApplyConfig {
            rule: self.rule,
            names_versions: true,
            source: instance(source),
            delete_events: row::delete_events,
        }
    }

    /// Whether the site's binlog is read: some direction begins there.
    pub fn is_captured(&self, site: usize) -> bool {
        self.directions.iter().any(|(source, _)| *source == site)
    }

    pub fn is_one_way(&self) -> bool {
        self.rule == ConflictRule::None
    }
}

/// Transactions are split by key.
pub const BY_ROW: Consistency = Consistency::Row;

//! The ledger: the newest version of each row key that an instance's binlog has shown.
//!
//! It is a function of the binlog up to an SCN, never of when it was read: whoever reads the same
//! prefix holds the same ledger and stamps alike. Entries are let go once they are older than the
//! horizon; an entry below the horizon does not exist for anyone, whether its memory is already
//! free or not, so that the pace of the sweep shows in nothing but memory.

pub mod checkpoint;
mod table;

use std::sync::Arc;

use crate::key::KeyHash;
use crate::scn::Scn;
use crate::time::Micros;
use crate::version::Version;
use table::Table;

/// What the deciding code may ask of a ledger.
pub trait LedgerView {
    /// The newest version of the key; None if it was not changed since the horizon.
    fn newest(&self, key: &KeyHash) -> Option<Version>;
    /// Entries older than this were let go: a change older than it cannot be decided any more.
    fn horizon(&self) -> Micros;
}

/// Number of sub-maps. Keys are spread by their first byte, so that no growth, sweep or checkpoint
/// step touches more than a 256th of the ledger.
pub const SUB_MAPS: usize = 256;

/// Key -> newest version, for ten million keys and more at 33 to 42 bytes a key.
///
/// Sub-maps are shared with checkpoints under way and copied when next written: a checkpoint of a
/// live ledger is exact and costs its writer at most one copy of each sub-map.
#[derive(Debug)]
pub struct Ledger {
    sub_maps: Vec<Arc<Table>>,
    scn: Scn,
    horizon: Micros,
    heartbeat: Option<Micros>,
    /// Length of the conflict window.
    window_us: Option<u64>,
    /// The sub-map that the sweep comes to next; `SUB_MAPS` when the sweep is through.
    sweep: usize,
}

impl Default for Ledger {
    fn default() -> Ledger {
        Ledger {
            sub_maps: (0..SUB_MAPS).map(|_| Arc::new(Table::default())).collect(),
            scn: Scn::ZERO,
            horizon: Micros::ZERO,
            heartbeat: None,
            window_us: None,
            sweep: SUB_MAPS,
        }
    }
}

impl Ledger {
    /// Makes `version` the key's newest, unless a greater one is known. [`KeyHash::NONE`] and
    /// versions older than the horizon are not kept.
    pub fn record(&mut self, key: KeyHash, version: Version) {
        if key == KeyHash::NONE || version.time < self.horizon {
            return;
        }
        Arc::make_mut(&mut self.sub_maps[sub_map_of(key)]).record(key, version);
    }

    /// Number of entries held in memory, those below the horizon included until they are swept.
    pub fn len(&self) -> usize {
        self.sub_maps.iter().map(|table| table.len()).sum()
    }

    /// Whether no entry is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Memory of the entries, in bytes.
    pub fn size_bytes(&self) -> usize {
        self.sub_maps.iter().map(|table| table.size_bytes()).sum()
    }

    /// Raises the horizon to `before` (exclusive: entries of that time stay) and starts a sweep of
    /// what fell under it. The memory is freed by [`Ledger::sweep`]. A horizon never falls.
    pub fn raise_horizon(&mut self, before: Micros) {
        if before > self.horizon {
            self.horizon = before;
            self.sweep = 0;
        }
    }

    /// Sweeps the next sub-map; None once the sweep is through, else how many entries it let go.
    pub fn sweep(&mut self) -> Option<usize> {
        let table = self.sub_maps.get_mut(self.sweep)?;
        self.sweep += 1;
        let stale = table.iter().filter(|(_, version)| version.time < self.horizon).count();
        if stale > 0 {
            *table = Arc::new(table.without_older(self.horizon));
        }
        Some(stale)
    }

    /// How far the horizon may be raised: one conflict window of `window_us` microseconds before the
    /// last heartbeat of this binlog, and before what every inbound channel has passed (`inbound`, by
    /// the sources' time).
    ///
    /// The window is needed below `inbound` too. What comes behind a watermark may be older than the
    /// watermark's time: commit times are whole seconds of a statement's start, heartbeats are
    /// microseconds of now.
    pub fn horizon_at(heartbeat: Micros, inbound: Micros, window_us: u64) -> Micros {
        heartbeat.min(inbound).minus(window_us)
    }

    /// Raises the horizon to `before` and sweeps all sub-maps at once: how many entries were let go.
    pub fn expire(&mut self, before: Micros) -> usize {
        self.raise_horizon(before);
        std::iter::from_fn(|| self.sweep()).sum()
    }

    /// The SCN up to which (inclusive) the binlog is in the ledger.
    pub fn scn(&self) -> Scn {
        self.scn
    }

    /// Everything up to this SCN (inclusive) is recorded. A capture that goes on at the newest frame
    /// reads again what left none, so a lower SCN than before is no news.
    pub fn advance(&mut self, scn: Scn) {
        self.scn = self.scn.max(scn);
    }

    /// Time of the last heartbeat seen in the binlog.
    pub fn heartbeat(&self) -> Option<Micros> {
        self.heartbeat
    }

    /// Says how long the conflict window is, in microseconds.
    pub fn set_window(&mut self, window_us: u64) {
        self.window_us = Some(window_us);
    }

    /// A time that no site's horizon has reached, for evictions: half a conflict window before the last
    /// heartbeat.
    ///
    /// Whoever gets an eviction has passed nothing of this binlog that is newer, and keeps a whole
    /// window below that. This ledger's own horizon says nothing about theirs: while a link into this
    /// site is cut it stands still, and theirs do not. Only where the window is not known it must do:
    /// halfway from there.
    pub fn eviction_floor(&self) -> Micros {
        let heartbeat = self.heartbeat.unwrap_or(self.horizon);
        let halfway = self.horizon.plus(heartbeat.since(self.horizon) / 2);
        self.window_us.map_or(halfway, |window_us| heartbeat.minus(window_us / 2).max(self.horizon))
    }

    /// A heartbeat came by in the binlog.
    pub fn note_heartbeat(&mut self, written: Micros) {
        self.heartbeat = Some(self.heartbeat.map_or(written, |before| before.max(written)));
    }
}

impl LedgerView for Ledger {
    fn newest(&self, key: &KeyHash) -> Option<Version> {
        self.sub_maps[sub_map_of(*key)].get(*key).filter(|version| version.time >= self.horizon)
    }

    fn horizon(&self) -> Micros {
        self.horizon
    }
}

fn sub_map_of(key: KeyHash) -> usize {
    (key.0 >> 120) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instance::InstanceId;

    fn version(time: u64) -> Version {
        Version::new(Micros(time), InstanceId(1))
    }

    fn key(n: u64) -> KeyHash {
        KeyHash(xxhash_rust::xxh3::xxh3_128(&n.to_be_bytes()))
    }

    #[test]
    fn the_newest_version_of_a_key_is_kept_whatever_the_order() {
        let mut ledger = Ledger::default();
        ledger.record(key(1), version(20));
        ledger.record(key(1), version(10));
        assert_eq!(ledger.newest(&key(1)), Some(version(20)));
        ledger.record(key(1), version(20).evicted());
        ledger.record(key(1), version(20));
        assert_eq!(ledger.newest(&key(1)), Some(version(20).evicted()));
        assert_eq!(ledger.newest(&key(2)), None);
    }

    #[test]
    fn rows_without_a_key_are_not_kept() {
        let mut ledger = Ledger::default();
        ledger.record(KeyHash::NONE, version(1));
        assert!(ledger.is_empty());
    }

    #[test]
    fn an_entry_below_the_horizon_is_gone_before_its_memory_is() {
        let mut ledger = Ledger::default();
        (0..1000).for_each(|n| ledger.record(key(n), version(n)));
        ledger.raise_horizon(Micros(600));
        assert_eq!(ledger.newest(&key(599)), None);
        assert_eq!(ledger.newest(&key(600)), Some(version(600)));
        assert_eq!(ledger.len(), 1000);
        assert_eq!(ledger.expire(Micros(600)), 600);
        assert_eq!((ledger.len(), ledger.horizon()), (400, Micros(600)));
        assert!((600..1000).all(|n| ledger.newest(&key(n)) == Some(version(n))));
        assert_eq!(ledger.sweep(), None);
        ledger.record(key(1), version(1));
        assert_eq!(ledger.len(), 400);
    }

    /// A link is cut for longer than the window. When it heals, a heartbeat of 10.9 s is applied, then
    /// comes a transaction that began at 10.4 s, stamped in whole seconds: it must not be refused.
    #[test]
    fn what_follows_a_heartbeat_after_a_long_cut_is_not_below_the_horizon() {
        let (heartbeat, passed) = (Micros::from_secs(500), Micros(10_900_000));
        let mut ledger = Ledger::default();
        ledger.raise_horizon(Ledger::horizon_at(heartbeat, passed, 60_000_000));
        assert!(ledger.horizon() <= Micros::from_secs(10));
        ledger.raise_horizon(Ledger::horizon_at(heartbeat, heartbeat.plus(5), 60_000_000));
        assert_eq!(ledger.horizon(), Micros::from_secs(440));
    }

    /// The link from the third site to this one is cut for ten windows, so this horizon stands still;
    /// the second site's follows the clock. An eviction decided here must be above it there.
    #[test]
    fn an_eviction_decided_while_a_link_is_cut_is_above_every_horizon() {
        let (window_us, now) = (60_000_000, Micros::from_secs(1_000));
        let mut here = Ledger::default();
        here.set_window(window_us);
        here.note_heartbeat(now);
        here.raise_horizon(Ledger::horizon_at(now, Micros::from_secs(400), window_us));
        let there = Ledger::horizon_at(now, now, window_us);
        assert!(here.horizon() < there && here.eviction_floor() > there);
    }

    #[test]
    fn a_key_takes_at_most_forty_bytes_or_little_more() {
        let mut ledger = Ledger::default();
        for n in 0..300_000 {
            ledger.record(key(n), version(n));
            if n > 100_000 && n % 1000 == 0 {
                let each = ledger.size_bytes() / ledger.len();
                assert!((28..=42).contains(&each), "{each} bytes a key at {n}");
            }
        }
    }
}

//! Sites, the channels between all of them, and what happens to them by chance.
//!
//! Every site pulls the binlog of every other: what was first committed there, and all evictions.
//! Clocks differ, stand still for a while and count whole seconds, so that equal times are common.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use weft_core::transaction::RowKind;

use crate::site::{Change, Logged, Pk, Row, Site};

/// What is wrong in a world.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    /// Rows of a transaction are applied one by one, local writes between them.
    pub row_by_row: bool,
    /// Channels fall back and pull again what they have applied.
    pub lost_acks: bool,
    /// Whole transactions arrive in any order, and some again later.
    pub any_order: bool,
    /// Mutation: rows that lose a unique key are deleted on the spot and nobody is told.
    pub no_evictions: bool,
    /// Mutation: the versions of deletes are forgotten.
    pub no_tombstones: bool,
}

/// One direction between two sites.
struct Channel {
    from: usize,
    to: usize,
    /// Transactions of the source that wait, by place in its log.
    waiting: Vec<usize>,
    /// How far the source's log was looked at.
    seen: usize,
    /// Nothing before this place is pulled again: the watermark was stored beyond it before ledgers
    /// let go what it is about.
    floor: usize,
    /// In order only: the next row of the first waiting transaction.
    row: usize,
}

pub struct World {
    rng: StdRng,
    sites: Vec<Site>,
    channels: Vec<Channel>,
    /// Microseconds, of each site.
    clocks: Vec<u64>,
    faults: Faults,
}

const SECOND: u64 = 1_000_000;

impl World {
    pub fn new(seed: u64, sites: usize, faults: Faults) -> World {
        let mut rng = StdRng::seed_from_u64(seed);
        let clocks = (0..sites).map(|_| rng.random_range(10..14) * SECOND).collect();
        let pairs = (0..sites).flat_map(|from| (0..sites).map(move |to| (from, to)));
        let channels = pairs
            .filter(|(from, to)| from != to)
            .map(|(from, to)| Channel { from, to, waiting: vec![], seen: 0, floor: 0, row: 0 })
            .collect();
        let sites = (0..sites).map(|id| Site::new(id as u32 + 1, faults)).collect();
        World { rng, sites, channels, clocks, faults }
    }

    /// Local writes and deliveries, in any order.
    pub fn disturb(&mut self, steps: usize) {
        for _ in 0..steps {
            match self.rng.random_range(0..10) {
                0..5 => {
                    let site = self.rng.random_range(0..self.sites.len());
                    self.write(site);
                }
                5..9 => {
                    let channel = self.rng.random_range(0..self.channels.len());
                    self.deliver(channel);
                }
                _ => {
                    let channel = self.rng.random_range(0..self.channels.len());
                    self.fall_back(channel);
                }
            }
        }
    }

    /// Delivers until nothing waits.
    pub fn settle(&mut self) -> Result<(), String> {
        for _ in 0..20_000 {
            (0..self.channels.len()).for_each(|channel| self.look(channel));
            let busy: Vec<usize> =
                (0..self.channels.len()).filter(|i| !self.channels[*i].waiting.is_empty()).collect();
            if busy.is_empty() {
                return Ok(());
            }
            let channel = busy[self.rng.random_range(0..busy.len())];
            self.deliver(channel);
        }
        Err("the sites answer each other for ever".to_owned())
    }

    /// All sites hold the same rows.
    pub fn check(&self) -> Result<(), String> {
        let first = &self.sites[0].rows;
        match self.sites.iter().find(|site| site.rows != *first) {
            Some(other) => Err(format!("{:?} holds {:?}, the first site {first:?}", other.id, other.rows)),
            None => Ok(()),
        }
    }

    /// Everything was delivered: some ledgers let go what is older than all clocks, others keep it.
    pub fn expire(&mut self) {
        self.channels.iter_mut().for_each(|channel| channel.floor = channel.seen);
        let oldest = *self.clocks.iter().min().expect("there are sites");
        for site in &mut self.sites {
            site.floor = weft_core::time::Micros(oldest);
            if self.rng.random_bool(0.5) {
                site.ledger.expire(weft_core::time::Micros(oldest));
            }
        }
    }

    fn tick(&mut self, site: usize) -> u64 {
        if self.rng.random_bool(0.4) {
            self.clocks[site] += self.rng.random_range(0..3) * SECOND;
        }
        self.clocks[site]
    }

    fn write(&mut self, site: usize) {
        let time = self.tick(site);
        let mut changes: Vec<Change> = Vec::new();
        for _ in 0..self.rng.random_range(1..4) {
            let pk: Pk = self.rng.random_range(0..5);
            let mut value = || self.rng.random_bool(0.7).then(|| self.rng.random_range(0..3));
            let unique = [value(), value()];
            let row = Row { unique, value: self.rng.random_range(0..1000) };
            let to = match self.rng.random_range(0..8) {
                0..4 => Some((pk, row)),
                4..6 => Some((self.rng.random_range(0..5), row)),
                _ => None,
            };
            changes.extend(self.sites[site].write(pk, to));
        }
        if !changes.is_empty() {
            self.sites[site].commit(changes, None, &[], time);
        }
    }

    /// Takes in what the source has logged since.
    fn look(&mut self, index: usize) {
        let channel = &mut self.channels[index];
        let source = &self.sites[channel.from];
        channel.waiting.extend(channel.seen..source.log.len());
        channel.seen = source.log.len();
    }

    /// What of a source's transaction goes over a channel: local changes, and all evictions.
    fn wanted(site: &Site, place: usize) -> Logged {
        let logged = &site.log[place];
        let rows = logged.stamps.iter().zip(&logged.changes);
        let (stamps, changes) = rows
            .filter(|(stamp, _)| {
                stamp.version.origin == site.id && !stamp.version.removed || stamp.kind == RowKind::Evict
            })
            .map(|(stamp, change)| (*stamp, *change))
            .unzip();
        Logged { stamps, changes }
    }

    fn deliver(&mut self, index: usize) {
        self.look(index);
        let channel = &mut self.channels[index];
        if channel.waiting.is_empty() {
            return;
        }
        let (from, to) = (channel.from, channel.to);
        let pick = if self.faults.any_order { self.rng.random_range(0..channel.waiting.len()) } else { 0 };
        let logged = World::wanted(&self.sites[from], channel.waiting[pick]);
        let whole = channel.row..logged.stamps.len();
        let rows = if self.faults.row_by_row && channel.row < whole.end {
            channel.row..channel.row + 1
        } else {
            whole.clone()
        };
        channel.row = rows.end;
        if rows.end == whole.end {
            channel.waiting.remove(pick);
            channel.row = 0;
        }
        if !rows.is_empty() {
            let time = self.tick(to);
            self.sites[to].apply(&logged, rows, time);
        }
    }

    /// The channel pulls some of what it has applied again: all from a place on, or anything.
    fn fall_back(&mut self, index: usize) {
        let channel = &mut self.channels[index];
        if self.faults.lost_acks {
            let next = channel.waiting.first().copied().unwrap_or(channel.seen);
            let back = self.rng.random_range(0..=(next - channel.floor).min(6));
            channel.waiting.splice(0..0, next - back..next);
            channel.row = 0;
        } else if self.faults.any_order && channel.seen > channel.floor {
            let again = self.rng.random_range(channel.floor..channel.seen);
            channel.waiting.push(again);
        }
    }
}

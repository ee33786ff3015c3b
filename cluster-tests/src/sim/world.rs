//! The world: sites, their nodes, time, faults, and the choice of who moves next.

mod quiet;

use std::collections::VecDeque;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use weft_core::instance::InstanceId;
use weft_core::ledger::LedgerView;
use weft_core::sink::step::{Stop, StopKind};
use weft_core::time::Micros;
use weft_core::transaction::{RowStamp, Transaction};

use super::capture::Replicator;
use super::channel::{Direction, Life, Phase};
use super::database::{Database, Event};
use super::oracle::Oracle;
use super::row::place_of;
use super::setup::{Mutation, Setup};
use super::shard::ShardContext;
use super::writer::Writer;

/// The instance of a site.
pub fn instance(site: usize) -> InstanceId {
    InstanceId(site as u32 + 1)
}

/// Lines of the trace that are kept for a failure.
const TRACE_MAX: usize = 400;
/// Ticks within which quiet sites must be equal.
const CONVERGE_TICKS_MAX: u32 = 150_000;
/// Clocks begin at this second.
const EPOCH_S: u64 = 1_700_000_000;
/// Nodes of a site at most.
const NODES_MAX: usize = 2;

struct Site {
    database: Database,
    /// How far its clock is ahead, in microseconds.
    skew_us: u64,
    next_heartbeat: u64,
    writers: Vec<Writer>,
    nodes: Vec<Node>,
}

struct Node {
    /// Raised by every restart.
    life: u64,
    /// Stopped (SIGSTOP) until this tick.
    stopped_until: u32,
    /// It runs the directions into its site. One of a site does; or two, where an old owner is not
    /// gone.
    owns: bool,
    replicator: Replicator,
    directions: Vec<Direction>,
}

/// What a run came to.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    pub ticks: u32,
    pub captured: u64,
    pub foreign: u64,
    pub evictions: u64,
    pub recoveries: u64,
    pub faults: u64,
}

pub struct World {
    setup: Setup,
    rng: StdRng,
    sites: Vec<Site>,
    oracle: Oracle,
    /// Microseconds since the run began.
    now_us: u64,
    tick: u32,
    values: u64,
    faults: bool,
    recoveries: u64,
    fault_count: u64,
    trace: VecDeque<String>,
    verbose: bool,
}

/// How a seed is run.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// As the seed has it, if not given.
    pub sites: Option<usize>,
    /// Three sites in a row.
    pub chain: bool,
    pub mutation: Mutation,
    /// Print every step.
    pub verbose: bool,
}

/// Runs one seed.
///
/// # Errors
/// What did not hold, with the end of the trace.
pub fn run(seed: u64, options: Options) -> Result<Summary, String> {
    let mut world = World::new(seed, options);
    let result = world.play();
    let result = result.map_err(|what| {
        let trace: Vec<&str> = world.trace.iter().map(String::as_str).collect();
        format!("seed {seed}: {what}\n{:?}\n{}", world.setup, trace.join("\n"))
    });
    result.map(|()| Summary {
        ticks: world.tick,
        captured: world.oracle.captured,
        foreign: world.oracle.foreign,
        evictions: world.oracle.evictions,
        recoveries: world.recoveries,
        faults: world.fault_count,
    })
}

impl World {
    fn new(seed: u64, options: Options) -> World {
        let mut rng = StdRng::seed_from_u64(seed);
        let setup = Setup::draw(&mut rng, options.sites, options.chain, options.mutation);
        let sites = (0..setup.sites)
            .map(|site| Site {
                database: Database::default(),
                skew_us: rng.random_range(0..=setup.skew_us),
                next_heartbeat: 0,
                writers: (0..if setup.is_one_way() && site > 0 { 0 } else { setup.writers })
                    .map(|_| Writer::default())
                    .collect(),
                nodes: vec![Node::new(site, &setup, true)],
            })
            .collect();
        World {
            setup,
            rng,
            sites,
            oracle: Oracle::default(),
            now_us: 0,
            tick: 0,
            values: 0,
            faults: true,
            recoveries: 0,
            fault_count: 0,
            trace: VecDeque::new(),
            verbose: options.verbose,
        }
    }

    fn play(&mut self) -> Result<(), String> {
        while self.tick < self.setup.load_ticks {
            self.step()?;
        }
        self.faults = false;
        self.say("--- faults and load end");
        // Of two owners one is stopped for good.
        for site in &mut self.sites {
            for node in &mut site.nodes {
                node.stopped_until = 0;
            }
            if site.nodes.len() > 1 {
                let mut gone = site.nodes.swap_remove(0);
                gone.directions.iter_mut().for_each(|direction| direction.crash(&mut site.database));
                site.nodes[0].owns = true;
                site.nodes[0].life += 1;
            }
        }
        let limit = self.tick + CONVERGE_TICKS_MAX;
        while !self.is_settled() {
            if self.tick >= limit {
                return Err(format!("no end after {CONVERGE_TICKS_MAX} quiet ticks: {}", self.unsettled()));
            }
            self.step()?;
        }
        let databases: Vec<&Database> = self.sites.iter().map(|site| &site.database).collect();
        self.oracle.settled(&self.setup, &databases)?;
        self.stay_quiet()
    }

    /// After quiet the binlogs grow by heartbeats alone.
    fn stay_quiet(&mut self) -> Result<(), String> {
        let before: Vec<usize> = self.sites.iter().map(|site| site.database.binlog.len()).collect();
        for _ in 0..3_000 {
            self.step()?;
        }
        for (site, before) in before.into_iter().enumerate() {
            let grown = &self.sites[site].database.binlog[before..];
            if let Some(logged) =
                grown.iter().find(|logged| !matches!(logged.events[..], [Event::Heartbeat(_)]))
            {
                return Err(format!("site {site} wrote {logged:?} after quiet"));
            }
        }
        Ok(())
    }

    fn say(&mut self, what: impl Into<String>) {
        let line = format!("{:>6} {}", self.tick, what.into());
        if self.verbose {
            println!("{line}");
        }
        if self.trace.len() >= TRACE_MAX {
            self.trace.pop_front();
        }
        self.trace.push_back(line);
    }

    fn clock(&self, site: usize) -> Micros {
        Micros::from_secs(EPOCH_S).plus(self.now_us + self.sites[site].skew_us)
    }

    fn step(&mut self) -> Result<(), String> {
        self.tick += 1;
        self.now_us += self.rng.random_range(0..20_000);
        let site = self.rng.random_range(0..self.sites.len());
        if self.now_us >= self.sites[site].next_heartbeat {
            self.sites[site].next_heartbeat = self.now_us + 1_000_000;
            let now = self.clock(site);
            self.sites[site].database.heartbeat(now);
        }
        if self.faults {
            self.strike(site);
            if self.rng.random_bool(0.3) {
                self.write(site);
                return Ok(());
            }
        } else if !self.sites[site].writers.is_empty() {
            self.finish_writers(site);
        }
        if self.rng.random_bool(0.02) {
            self.sites[site].database.purge();
        }
        let node = self.rng.random_range(0..self.sites[site].nodes.len());
        if self.sites[site].nodes[node].stopped_until > self.tick {
            return Ok(());
        }
        if self.rng.random_bool(0.3) {
            return self.capture(site, node);
        }
        self.direct(site, node)
    }

    /// Applications go: what they have not committed is rolled back.
    fn finish_writers(&mut self, site: usize) {
        let site = &mut self.sites[site];
        if site.writers.iter().any(|writer| !writer.is_idle()) {
            site.writers.iter_mut().for_each(|writer| writer.leave(&mut site.database));
        }
    }

    fn write(&mut self, site: usize) {
        let now = self.clock(site);
        let here = &mut self.sites[site];
        if here.writers.is_empty() {
            return;
        }
        let writer = self.rng.random_range(0..here.writers.len());
        let said = here.writers[writer].tick(
            &mut here.database,
            site,
            &self.setup,
            now,
            &mut self.values,
            &mut self.rng,
        );
        if let Some(said) = said {
            self.say(format!("site {site} writer {writer}: {said}"));
        }
    }

    fn capture(&mut self, site: usize, node: usize) -> Result<(), String> {
        let here = &mut self.sites[site];
        let at = &mut here.nodes[node];
        let inbound = at.directions.iter().map(|direction| direction.passed).min();
        let before = at.replicator.read_to;
        let frames = at.replicator.read_one(&here.database, inbound.unwrap_or(Micros(u64::MAX)));
        let read_to = at.replicator.read_to;
        if self.rng.random_bool(0.1) {
            at.replicator.sync();
        }
        if self.rng.random_bool(0.02) {
            at.replicator.write_checkpoint();
        }
        if frames.is_empty() {
            return Ok(());
        }
        let logged = here.database.binlog.iter().find(|logged| logged.end == read_to && before < read_to);
        let logged = logged.expect("frames come from a transaction").clone();
        if !matches!(logged.events[..], [Event::Heartbeat(_)]) {
            self.say(format!("site {site} node {node}: captured {}", brief(&frames)));
        }
        self.oracle.captured(&self.setup, site, &logged, &frames)
    }

    /// One step of one direction into the site.
    fn direct(&mut self, site: usize, node: usize) -> Result<(), String> {
        let now = self.clock(site);
        let here = &mut self.sites[site].nodes[node];
        if !here.owns || here.directions.is_empty() {
            return Ok(());
        }
        let index = self.rng.random_range(0..here.directions.len());
        // Taken out, so that the world may be looked at beside it.
        let mut direction = here.directions.swap_remove(index);
        let source = direction.source;
        let result = match &mut direction.phase {
            Phase::Running(life) => self.live(life, site, node, source, now),
            Phase::Resting(_) | Phase::Recovering(_) => {
                let here = &mut self.sites[site];
                let replicator = &here.nodes[node].replicator;
                Ok(direction.recover(&mut here.database, replicator, &self.setup, now))
            }
        };
        if self.rng.random_bool(0.05) {
            direction.save();
        }
        let who = format!("{source}>{site} node {node}:");
        let fatal = match result {
            Ok(Some(said)) => {
                self.recoveries += u64::from(said == "recovers");
                self.say(format!("{who} {said}"));
                None
            }
            Ok(None) => None,
            Err(stop) => {
                let horizon = self.sites[site].nodes[node].replicator.ledger.horizon();
                self.say(format!("{who} stops: {:?} {} (horizon {horizon:?})", stop.kind, stop.reason));
                direction.rest(&mut self.sites[site].database, &stop);
                matches!(stop.kind, StopKind::TooOld | StopKind::Refused | StopKind::Ddl)
                    .then_some(stop.reason)
            }
        };
        let directions = &mut self.sites[site].nodes[node].directions;
        directions.push(direction);
        let last = directions.len() - 1;
        directions.swap(index, last);
        fatal.map_or(Ok(()), Err)
    }

    fn live(
        &mut self,
        life: &mut Life,
        site: usize,
        node: usize,
        source: usize,
        now: Micros,
    ) -> Result<Option<String>, Stop> {
        if self.rng.random_bool(0.3) {
            let said = self.pull(life, source)?;
            life.drive();
            return Ok(said);
        }
        let here = &mut self.sites[site];
        let replicator = &here.nodes[node].replicator;
        let apply = self.setup.apply(source);
        let shard = self.rng.random_range(0..life.shards.len());
        let mut cx = ShardContext {
            database: &mut here.database,
            ledger: &replicator.ledger,
            read_to: replicator.read_to,
            scheduler: &mut life.scheduler,
            setup: &self.setup,
            apply: &apply,
            epoch: life.epoch,
            now,
            faults: self.faults,
            rng: &mut self.rng,
        };
        let said = life.shards[shard].tick(&mut cx)?;
        life.drive();
        Ok(said.map(|said| format!("shard {shard}: {said}")))
    }

    fn pull(&mut self, life: &mut Life, source: usize) -> Result<Option<String>, Stop> {
        let nodes = &self.sites[source].nodes;
        let alive = |node: usize| nodes[node].stopped_until <= self.tick;
        match life.link.peer() {
            Some((node, known)) if node < nodes.len() && nodes[node].life == known => {
                if self.faults && self.rng.random_bool(self.setup.cut_link) {
                    life.cut()?;
                    return Ok(Some("the link is cut".into()));
                }
                if alive(node) { life.pull(&nodes[node].replicator, &self.setup) } else { Ok(None) }
            }
            Some(_) => {
                life.cut()?;
                Ok(Some("the source's node is gone".into()))
            }
            None => {
                let node = self.rng.random_range(0..nodes.len());
                if alive(node) {
                    life.link.connect(node, nodes[node].life, &nodes[node].replicator);
                }
                Ok(None)
            }
        }
    }

    /// Faults, now and then.
    fn strike(&mut self, site: usize) {
        if self.rng.random_bool(self.setup.crash_node) {
            let here = &mut self.sites[site];
            let at = self.rng.random_range(0..here.nodes.len());
            let node = &mut here.nodes[at];
            let lost = self.rng.random_range(0..=node.replicator.volatile());
            node.directions.iter_mut().for_each(|direction| direction.crash(&mut here.database));
            node.replicator.restart(&here.database, lost);
            node.life += 1;
            node.stopped_until = 0;
            self.fault_count += 1;
            self.say(format!("site {site} node {at} crashes and loses {lost} frames"));
        }
        if self.rng.random_bool(self.setup.crash_database) {
            self.sites[site].database.crash();
            self.fault_count += 1;
            self.say(format!("site {site}: the database crashes"));
        }
        if self.rng.random_bool(self.setup.crash_database) {
            self.sites[site].database.rotate();
        }
        if self.rng.random_bool(self.setup.duplicate_owner) {
            self.duplicate(site);
        }
    }

    /// The owner hangs, and another node takes its place; the old one comes back later.
    fn duplicate(&mut self, site: usize) {
        let until = self.tick + self.rng.random_range(10..300);
        let here = &mut self.sites[site];
        let owner = self.rng.random_range(0..here.nodes.len());
        here.nodes[owner].stopped_until = until;
        if here.nodes.len() < NODES_MAX {
            here.nodes.push(Node::new(site, &self.setup, true));
        }
        self.fault_count += 1;
        self.say(format!("site {site} node {owner} is stopped; both own"));
    }
}

/// The rows of captured frames, for the trace.
fn brief(frames: &[Transaction]) -> String {
    let row = |row: &RowStamp| {
        let (place, version) = (place_of(row.key), row.version);
        format!("{:?} {place:?} {}@{}", row.kind, version.time.0 - EPOCH_S * 1_000_000, version.origin.0)
    };
    let frame = |frame: &Transaction| {
        let rows = frame.rows().map_or(Vec::new(), |rows| rows.rows.iter().map(row).collect());
        format!("{}: {}", frame.header.scn, rows.join(", "))
    };
    frames.iter().map(frame).collect::<Vec<_>>().join("; ")
}

impl Node {
    fn new(site: usize, setup: &Setup, owns: bool) -> Node {
        let inbound = setup.directions.iter().filter(|(_, target)| *target == site);
        Node {
            life: 0,
            stopped_until: 0,
            owns,
            replicator: Replicator::new(instance(site), setup.part_rows, setup.window_us),
            directions: inbound.map(|(source, target)| Direction::new(*source, *target)).collect(),
        }
    }
}

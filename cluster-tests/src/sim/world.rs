//! The world: sites, their nodes, time, faults, and the choice of who moves next.

mod captures;
mod faults;
mod quiet;

use std::collections::VecDeque;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use weft_core::instance::InstanceId;
use weft_core::ledger::LedgerView;
use weft_core::sink::step::{Stop, StopKind};
use weft_core::time::Micros;

use super::capture::{FIRST_SERVER, Replicator};
use super::channel::{Direction, Life, Phase};
use super::coverage::{Coverage, Situation};
use super::database::{Database, Event};
use super::oracle::{Broken, Failure, Oracle};
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
    /// Who answers at the site's address.
    database: Database,
    /// Who answered before, and may still be read.
    retired: Vec<Database>,
    /// The server does not have all that was captured of the instance: a person has to see to it.
    lacks: bool,
    /// Sequence of the newest transaction that was ever captured here and left frames.
    captured_to: u64,
    /// Sequence of the newest that was ever read.
    read_to: u64,
    /// The server does not have all that was read of the instance, frames or none: capture may stop.
    set_back: bool,
    /// How far its clock is ahead, in microseconds.
    skew_us: u64,
    next_heartbeat: u64,
    writers: Vec<Writer>,
    nodes: Vec<Node>,
}

impl Site {
    /// The server has the first `kept` transactions of the instance left. True: others were captured.
    fn loses(&mut self, kept: usize) -> bool {
        let captured = self.captured_to > kept as u64;
        self.lacks |= captured;
        self.set_back |= self.read_to > kept as u64;
        captured
    }

    /// Its capture stands still until a person comes.
    fn is_halted(&self) -> bool {
        self.nodes.iter().any(|node| node.replicator.halted.is_some())
    }
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
    /// It ended with something stopped, as it had to be, and not with equal sites.
    pub stopped: bool,
    pub coverage: Coverage,
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
    coverage: Coverage,
    /// Id of the newest server.
    servers: u32,
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
pub fn run(seed: u64, options: Options) -> Result<Summary, Failure> {
    let mut world = World::new(seed, options);
    let result = world.play();
    let result = result.map_err(|Failure { broken, what }| {
        let trace: Vec<&str> = world.trace.iter().map(String::as_str).collect();
        let what = format!("seed {seed}: {broken:?}: {what}\n{:?}\n{}", world.setup, trace.join("\n"));
        Failure { broken, what }
    });
    result.map(|()| Summary {
        ticks: world.tick,
        captured: world.oracle.captured,
        foreign: world.oracle.foreign,
        evictions: world.oracle.evictions,
        recoveries: world.recoveries,
        stopped: world.is_stopped(),
        coverage: world.coverage,
    })
}

impl World {
    fn new(seed: u64, options: Options) -> World {
        let mut rng = StdRng::seed_from_u64(seed);
        let setup = Setup::draw(&mut rng, options.sites, options.chain, options.mutation);
        let sites = (0..setup.sites)
            .map(|site| Site {
                database: Database::default(),
                retired: Vec::new(),
                lacks: false,
                captured_to: 0,
                read_to: 0,
                set_back: false,
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
            coverage: Coverage::default(),
            servers: FIRST_SERVER,
            trace: VecDeque::new(),
            verbose: options.verbose,
        }
    }

    fn play(&mut self) -> Result<(), Failure> {
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
                let what = format!("after {CONVERGE_TICKS_MAX} quiet ticks: {}", self.unsettled());
                return Err(Failure::new(Broken::NoEnd, what));
            }
            self.step()?;
        }
        self.stay_quiet()?;
        if self.refused() {
            return Ok(());
        }
        let running = self.sites.iter().enumerate().filter(|(_, site)| !site.is_halted());
        let databases: Vec<(usize, &Database)> = running.map(|(at, site)| (at, &site.database)).collect();
        self.oracle.settled(&self.setup, &databases)
    }

    /// Whether a direction is cut off from history that cannot be had any more.
    fn refused(&self) -> bool {
        let nodes = self.sites.iter().flat_map(|site| &site.nodes);
        let mut directions = nodes.flat_map(|node| &node.directions);
        directions.any(|one| matches!(&one.phase, Phase::Running(life) if life.link.refused.is_some()))
    }

    fn is_stopped(&self) -> bool {
        self.refused() || self.sites.iter().any(Site::is_halted)
    }

    /// After quiet the binlogs grow by heartbeats alone; but where capture stands still, directions try
    /// to recover again and again.
    fn stay_quiet(&mut self) -> Result<(), Failure> {
        let before: Vec<usize> = self.sites.iter().map(|site| site.database.binlog.len()).collect();
        for _ in 0..3_000 {
            self.step()?;
        }
        for (site, before) in
            before.into_iter().enumerate().filter(|(site, _)| !self.sites[*site].is_halted())
        {
            let grown = &self.sites[site].database.binlog[before..];
            if let Some(logged) =
                grown.iter().find(|logged| !matches!(logged.events[..], [Event::Heartbeat(_)]))
            {
                return Err(Failure::new(
                    Broken::NotQuiet,
                    format!("site {site} wrote {logged:?} after quiet"),
                ));
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

    fn step(&mut self) -> Result<(), Failure> {
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

    /// One step of one direction into the site.
    fn direct(&mut self, site: usize, node: usize) -> Result<(), Failure> {
        let now = self.clock(site);
        let here = &mut self.sites[site].nodes[node];
        if !here.owns || here.directions.is_empty() {
            return Ok(());
        }
        let index = self.rng.random_range(0..here.directions.len());
        // Taken out, so that the world may be looked at beside it.
        let mut direction = here.directions.swap_remove(index);
        let source = direction.source;
        let written = self.sites[site].database.binlog.len();
        let result = match &mut direction.phase {
            Phase::Running(life) => self.live(life, site, node, source, now),
            Phase::Resting(_) | Phase::Recovering(_) => {
                let here = &mut self.sites[site];
                let replicator = &here.nodes[node].replicator;
                Ok(direction.recover(&mut here.database, replicator, &self.setup, now, &mut self.coverage))
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
        match fatal {
            Some(reason) => Err(Failure::new(Broken::StoppedForNothing, format!("{who} {reason}"))),
            None => self.check_ledger(site, node, written),
        }
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
            replicator,
            scheduler: &mut life.scheduler,
            setup: &self.setup,
            apply: &apply,
            epoch: life.epoch,
            now,
            faults: self.faults,
            coverage: &mut self.coverage,
            rng: &mut self.rng,
        };
        let said = life.shards[shard].tick(&mut cx)?;
        life.drive();
        Ok(said.map(|said| format!("shard {shard}: {said}")))
    }

    fn pull(&mut self, life: &mut Life, source: usize) -> Result<Option<String>, Stop> {
        let Site { nodes, database, .. } = &self.sites[source];
        let alive = |node: usize| nodes[node].stopped_until <= self.tick;
        match life.link.peer() {
            Some((node, known)) if node < nodes.len() && nodes[node].life == known => {
                let cut = self.faults && self.rng.random_bool(self.setup.cut_link);
                if cut || life.link.is_overrun(&nodes[node].replicator) {
                    self.coverage.saw(Situation::LinkCut);
                    life.cut(&mut self.coverage)?;
                    return Ok(Some("the link is cut".into()));
                }
                if alive(node) { life.pull(&nodes[node].replicator, &self.setup) } else { Ok(None) }
            }
            Some(_) => {
                life.cut(&mut self.coverage)?;
                Ok(Some("the source's node is gone".into()))
            }
            None => {
                let node = self.rng.random_range(0..nodes.len());
                if alive(node) {
                    let Node { life: of, replicator, .. } = &nodes[node];
                    life.link.connect(node, *of, replicator, database, &mut self.coverage);
                }
                Ok(life.link.refused.clone())
            }
        }
    }
}

impl Node {
    fn new(site: usize, setup: &Setup, owns: bool) -> Node {
        let inbound = setup.directions.iter().filter(|(_, target)| *target == site);
        Node {
            life: 0,
            stopped_until: 0,
            owns,
            replicator: Replicator::new(instance(site), setup),
            directions: inbound.map(|(source, target)| Direction::new(*source, *target)).collect(),
        }
    }
}

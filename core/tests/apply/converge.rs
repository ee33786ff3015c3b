//! Real scheduler, real engines, model server: shards, local writers, lost connections and crashes
//! interleaved step by step. At the end every key is where its greatest version put it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use weft_core::channel::delivery::{Consistency, Delivery, Unit};
use weft_core::channel::runs::ShardRuns;
use weft_core::channel::schedule::{ScheduleConfig, ScheduleStart, Scheduler, ShardId};
use weft_core::channel::track::Watermark;
use weft_core::filter::decide::ConflictRule;
use weft_core::mark::runs::AppliedSet;
use weft_core::sink::apply::{Apply, ApplyConfig, MarkBase};
use weft_core::sink::step::{Outcome, Step, StopKind};
use weft_core::tables::TableFilter;
use weft_core::time::Micros;
use weft_core::version::Version;

use super::server::Server;
use super::source::{IDS, Source, VALUES};
use super::support::{Row, SOURCE, key, scn};

/// A shard's queue and the batch that it is at.
#[derive(Default)]
struct Shard {
    queue: VecDeque<Unit>,
    batch: Vec<Unit>,
    apply: Option<Apply>,
    step: Option<Step>,
    runs: ShardRuns,
    /// Rows of the present `Write` that are written.
    written: usize,
    waited: u32,
    races: u32,
}

struct World {
    rng: StdRng,
    server: Server,
    source: Source,
    rule: ConflictRule,
    consistency: Consistency,
    scheduler: Scheduler,
    pushed: usize,
    shards: Vec<Shard>,
    clock: u64,
    faults: bool,
    /// What happened, for the failure message.
    log: Vec<String>,
}

fn scheduler(consistency: Consistency, shards: u16, watermark: Watermark, applied: AppliedSet) -> Scheduler {
    let config = ScheduleConfig {
        consistency,
        shards,
        window_units_max: 6,
        window_rows_max: 12,
        window_bytes_max: 1 << 20,
        above_watermark_max: 20,
        tables: TableFilter::new(["*"]),
    };
    Scheduler::new(config, ScheduleStart { watermark, applied })
}

impl World {
    fn new(seed: u64, rule: ConflictRule, unique: bool) -> World {
        let mut rng = StdRng::seed_from_u64(seed);
        let consistency =
            [Consistency::Ordered, Consistency::Transaction, Consistency::Row][rng.random_range(0..3)];
        let shards = rng.random_range(1..4);
        let start = Watermark { scn: scn(0), time: Micros::ZERO };
        let mut server = Server::new(unique);
        server.replicator.one_way = rule == ConflictRule::None;
        let mut source = Source::new(unique);
        for _ in 0..rng.random_range(1..30) {
            source.transaction(&mut rng);
        }
        World {
            server,
            source,
            rule,
            consistency,
            scheduler: scheduler(consistency, shards, start, AppliedSet::new(scn(0), [])),
            pushed: 0,
            shards: (0..shards).map(|_| Shard::default()).collect(),
            clock: 0,
            faults: true,
            log: Vec::new(),
            rng,
        }
    }

    /// What every recovery does: nothing in memory is trusted, the marks tell.
    fn recover(&mut self) {
        self.log.push("recover".into());
        for (index, shard) in self.shards.iter_mut().enumerate() {
            self.server.roll_back(index + 1);
            *shard = Shard::default();
            if let Some(mark) = self.server.marks.get(&index) {
                shard.runs = ShardRuns::recovered(mark.runs.clone());
            }
        }
        let marks: Vec<_> = self.server.marks.values().collect();
        let newest = marks.iter().map(|mark| (mark.watermark, mark.watermark_time)).max();
        let (scn, time) = newest.unwrap_or((scn(0), Micros::ZERO));
        let runs = marks.iter().flat_map(|mark| mark.runs.iter().copied());
        let applied = AppliedSet::new(scn, runs);
        let shards = self.shards.len() as u16;
        self.scheduler = scheduler(self.consistency, shards, Watermark { scn, time }, applied);
        let after = |delivery: &Arc<Delivery>| delivery.transaction.header.scn.transaction() > scn;
        self.pushed = self.source.deliveries.iter().position(after).unwrap_or(self.source.deliveries.len());
    }

    fn local_write(&mut self) {
        let id = self.rng.random_range(0..IDS);
        let unique = if self.server.unique { self.rng.random_range(0..VALUES) } else { 0 };
        let value = 1_000_000 + self.clock;
        let row = self.rng.random_bool(0.6).then_some(Row { id, unique, value });
        if self.server.local_write(id, row, Micros(self.clock)) {
            self.log.push(format!("local {id} {row:?}"));
        }
    }

    fn config(&self) -> ApplyConfig {
        ApplyConfig {
            rule: self.rule,
            names_versions: true,
            source: SOURCE,
            delete_events: |delivery, _, image| Ok(delivery.transaction.bytes(image).to_vec()),
        }
    }

    /// One step of one shard.
    fn tick(&mut self, index: usize) {
        if self.shards[index].step.is_none() && !self.start_batch(index) {
            return;
        }
        let step = self.shards[index].step.take().expect("there");
        self.log.push(format!("{index}: {}", brief(&step)));
        if self.faults && self.rng.random_bool(0.004) {
            if matches!(step, Step::Commit) && self.rng.random_bool(0.5) {
                self.server.commit(index + 1, index, Micros(self.clock));
            }
            self.recover();
            return;
        }
        match step {
            Step::NeedPart => self.next_part(index),
            Step::Done(_) => self.finish(index),
            Step::Retry(cause) => {
                self.server.roll_back(index + 1);
                let large = self.shards[index].batch[0].part().is_some();
                if large {
                    return self.recover();
                }
                let raced = cause == weft_core::sink::step::RetryCause::Raced;
                let shard = &mut self.shards[index];
                shard.races = if raced { shard.races + 1 } else { 0 };
                self.begin_batch(index);
            }
            Step::Stop(stop) => {
                assert_eq!(stop.kind, StopKind::ConnectionLost, "{}\n{}", stop.reason, self.log.join("\n"));
                self.recover();
            }
            step => self.run(index, step),
        }
    }

    fn start_batch(&mut self, index: usize) -> bool {
        let shard = &mut self.shards[index];
        let Some(first) = shard.queue.pop_front() else { return false };
        let large = first.part().is_some();
        shard.batch = vec![first];
        while !large && self.rng.random_bool(0.7) {
            let Some(unit) = shard.queue.pop_front_if(|unit| unit.part().is_none()) else { break };
            shard.batch.push(unit);
        }
        shard.races = 0;
        self.begin_batch(index);
        true
    }

    fn begin_batch(&mut self, index: usize) {
        let config = self.config();
        let watermark = self.scheduler.watermark();
        let shard = &mut self.shards[index];
        let base = MarkBase {
            watermark: watermark.scn,
            watermark_time: watermark.time,
            runs: shard.runs.clone(),
            eviction_floor: Micros(self.clock / 2),
        };
        let mut apply = Apply::new(config, shard.batch.clone(), base).after_races(shard.races);
        shard.step = Some(apply.start());
        shard.apply = Some(apply);
    }

    fn next_part(&mut self, index: usize) {
        let shard = &mut self.shards[index];
        // Each part is acknowledged once, when the next is asked for.
        let asked = std::mem::take(&mut shard.batch);
        if !asked.is_empty() {
            self.scheduler.acked(ShardId(index as u16), &asked);
        }
        match shard.queue.pop_front() {
            Some(unit) => {
                shard.batch = vec![unit.clone()];
                shard.step = Some(shard.apply.as_mut().expect("running").part(unit));
            }
            None => shard.step = Some(Step::NeedPart),
        }
    }

    fn finish(&mut self, index: usize) {
        let shard = &mut self.shards[index];
        let apply = shard.apply.take().expect("running");
        shard.runs = apply.runs().clone();
        let batch = std::mem::take(&mut shard.batch);
        self.scheduler.acked(ShardId(index as u16), &batch);
    }

    fn run(&mut self, index: usize, step: Step) {
        let session = index + 1;
        let outcome = match &step {
            Step::Begin(isolation) => {
                self.server.begin(session, *isolation);
                Some(Outcome::Ok)
            }
            Step::Lock(rows) => self.server.lock(session, rows).map(Outcome::Locked),
            Step::ReadPosition => Some(Outcome::Position(self.server.position())),
            Step::AwaitLedger(_) if self.faults && self.rng.random_bool(0.02) => Some(Outcome::FenceTimedOut),
            Step::AwaitLedger(position) => {
                self.server.replicate(position.log_pos);
                Some(Outcome::Ok)
            }
            Step::ReadRows(rows) => Some(Outcome::RowsRead(vec![Some("{}".into()); rows.len()])),
            Step::WriteMark(mark) => {
                self.server.write_mark(session, (**mark).clone());
                Some(Outcome::Ok)
            }
            Step::Savepoint => {
                self.server.savepoint(session);
                Some(Outcome::Ok)
            }
            Step::RollBackToSavepoint => {
                self.server.roll_back_to_savepoint(session);
                self.shards[index].written = 0;
                Some(Outcome::Ok)
            }
            Step::Write(writes) => self.server.write(session, writes, &mut self.shards[index].written),
            Step::RecordConflicts(_) => Some(Outcome::Ok),
            Step::Commit => {
                self.server.commit(session, index, Micros(self.clock));
                Some(Outcome::Ok)
            }
            Step::RollBack => {
                self.server.roll_back(session);
                Some(Outcome::Ok)
            }
            Step::NeedPart | Step::Done(_) | Step::Retry(_) | Step::Stop(_) => unreachable!("handled before"),
        };
        self.answer(index, step, outcome);
    }

    fn answer(&mut self, index: usize, step: Step, outcome: Option<Outcome>) {
        let shard = &mut self.shards[index];
        let outcome = match outcome {
            Some(outcome) => outcome,
            None if shard.waited > 30 => {
                self.server.roll_back(index + 1);
                Outcome::Deadlock
            }
            None => {
                shard.waited += 1;
                shard.step = Some(step);
                return;
            }
        };
        if !matches!(outcome, Outcome::Ok) {
            self.log
                .push(format!("{index}: -> {}", format!("{outcome:?}").chars().take(60).collect::<String>()));
        }
        (shard.waited, shard.written) = (0, 0);
        let apply = shard.apply.as_mut().expect("running");
        shard.step = Some(apply.next(outcome, &self.server.replicator));
    }

    fn play(&mut self, local_writers: bool) {
        let mut ticks = 0;
        while self.pushed < self.source.deliveries.len() || !self.scheduler.idle() {
            ticks += 1;
            assert!(ticks < 200_000, "no end\n{:?}", self.scheduler);
            self.faults = ticks < 3_000;
            self.clock += 1;
            if self.pushed < self.source.deliveries.len() && self.rng.random_bool(0.3) {
                self.scheduler.push(self.source.deliveries[self.pushed].clone(), 1);
                self.pushed += 1;
            }
            for assignment in self.scheduler.poll() {
                self.shards[usize::from(assignment.shard.0)].queue.extend(assignment.units);
            }
            if local_writers && self.rng.random_bool(0.3) && ticks < 3_000 {
                self.local_write();
            }
            if self.rng.random_bool(0.1) {
                let up_to = self.server.binlog.len() as u64;
                self.server.replicate(up_to);
            }
            let index = self.rng.random_range(0..self.shards.len());
            self.tick(index);
        }
        let all = self.server.binlog.len() as u64;
        self.server.replicate(all);
    }

    /// Where the greatest version of each key puts it.
    fn expected(&self) -> BTreeMap<u64, Row> {
        let mut newest: BTreeMap<u64, (Version, Option<Row>)> = BTreeMap::new();
        let evictions = self.server.binlog.iter().flat_map(|committed| &committed.marks);
        let evictions = evictions.flat_map(|mark| &mark.evictions).map(|eviction| {
            let id = (0..IDS).find(|&id| key(id) == eviction.key).expect("one of ours");
            (id, eviction.version, None)
        });
        let seen = self.source.seen.iter().chain(&self.server.replicator.seen).copied();
        for (id, version, row) in seen.chain(evictions) {
            let entry = newest.entry(id).or_insert((version, row));
            // Of one transaction's changes of a key the last one counts.
            if version >= entry.0 {
                *entry = (version, row);
            }
        }
        newest.into_iter().filter_map(|(id, (_, row))| row.map(|row| (id, row))).collect()
    }
}

fn brief(step: &Step) -> String {
    match step {
        Step::WriteMark(mark) => format!("mark {:?} evict {:?}", mark.named, mark.evictions),
        Step::Write(writes) => {
            let read = |write: &weft_core::sink::step::RowWrite| format!("{:?}", write.op);
            format!("write {:?}", writes.iter().map(read).collect::<Vec<_>>())
        }
        other => format!("{other:?}").chars().take(50).collect(),
    }
}

fn run(seed: u64, rule: ConflictRule, unique: bool, local_writers: bool) {
    println!("seed {seed}");
    let mut world = World::new(seed, rule, unique);
    world.play(local_writers);
    let expected = if rule == ConflictRule::None { world.source.rows.clone() } else { world.expected() };
    assert_eq!(
        world.server.rows,
        expected,
        "seed {seed}, {:?}, {} shards\n{}",
        world.consistency,
        world.shards.len(),
        world.log.join("\n")
    );
}

#[test]
fn every_key_ends_at_its_greatest_version() {
    (0..400).for_each(|seed| run(seed, ConflictRule::LastWriteWins, false, true));
}

#[test]
fn every_key_ends_at_its_greatest_version_where_rows_want_one_unique_value() {
    (0..400).for_each(|seed| run(seed, ConflictRule::LastWriteWins, true, true));
}

#[test]
fn one_way_the_target_ends_like_the_source_after_any_crashes() {
    (0..200).for_each(|seed| run(seed, ConflictRule::None, seed % 2 == 0, false));
}

#[test]
fn one_way_rows_that_differ_before_are_mended() {
    for seed in 0..200 {
        println!("seed {seed}");
        let mut world = World::new(seed, ConflictRule::None, false);
        (0..10).for_each(|_| world.local_write());
        let mut expected = world.server.rows.clone();
        for (id, _, row) in &world.source.seen {
            expected.remove(id);
            expected.extend(row.map(|row| (*id, row)));
        }
        world.play(false);
        assert_eq!(world.server.rows, expected, "seed {seed}\n{}", world.log.join("\n"));
    }
}

//! One direction at one node: recovery, then a life of scheduler, link and shards, until something
//! ends it. Mirrors `weft_actors::channel`.

use std::sync::Arc;

use weft_core::channel::recovery::{StoredWatermark, start_after};
use weft_core::channel::runs::ShardRuns;
use weft_core::channel::schedule::{Pushed, ScheduleStart, Scheduler};
use weft_core::channel::track::Watermark;
use weft_core::mark::{Epoch, Mark};
use weft_core::sink::step::{Isolation, Stop, StopKind};
use weft_core::time::Micros;
use weft_core::transaction::{Body, RowKind};

use super::capture::{BEGINNING, Replicator};
use super::coverage::{Coverage, Situation};
use super::database::{Database, Denied, MarkId, SessionId};
use super::link::{Link, Pulled};
use super::setup::Setup;
use super::shard::Shard;

#[derive(Debug)]
pub struct Direction {
    pub source: usize,
    pub target: usize,
    stored: Option<StoredWatermark>,
    pub phase: Phase,
    was_fenced: bool,
    /// Source time that this node knows the direction has passed.
    pub passed: Micros,
}

#[derive(Debug)]
pub enum Phase {
    /// For so many ticks.
    Resting(u32),
    Recovering(Recovery),
    Running(Box<Life>),
}

/// How often the probe may be looked for before the recovery fails.
const PROBE_WAITS_MAX: u32 = 300;

/// Where a recovery stands.
#[derive(Debug)]
pub enum Recovery {
    Connected(SessionId),
    /// The old owner's sessions are gone, and their locks are ours.
    Owning(SessionId),
    /// The epoch is raised; the probe has to come back. Waited for so many ticks.
    Probing(SessionId, Raised, u32),
}

/// The marks of a channel's shards.
type ShardMarks = Vec<(u16, Mark)>;

/// What raising the epoch gave.
#[derive(Debug)]
pub struct Raised {
    epoch: Epoch,
    /// As they were before.
    marks: ShardMarks,
    start: ScheduleStart,
}

#[derive(Debug)]
pub struct Life {
    pub epoch: Epoch,
    pub scheduler: Scheduler,
    pub link: Link,
    pub shards: Vec<Shard>,
}

impl Direction {
    pub fn new(source: usize, target: usize) -> Direction {
        Direction {
            source,
            target,
            stored: None,
            phase: Phase::Resting(0),
            was_fenced: false,
            passed: Micros::ZERO,
        }
    }

    fn mark_id(&self, shard: u16) -> MarkId {
        MarkId { source: self.source as u16, shard }
    }

    /// One step of resting or recovering; says what it was.
    pub fn recover(
        &mut self,
        database: &mut Database,
        replicator: &Replicator,
        setup: &Setup,
        now: Micros,
        coverage: &mut Coverage,
    ) -> Option<String> {
        let phase = std::mem::replace(&mut self.phase, Phase::Resting(1));
        match phase {
            Phase::Resting(0) if self.was_fenced && database.is_owned(self.mark_id(0)) => {
                self.phase = Phase::Resting(20);
                None
            }
            Phase::Resting(0) => {
                self.phase = Phase::Recovering(Recovery::Connected(database.connect()));
                Some("recovers".into())
            }
            Phase::Resting(ticks) => {
                self.phase = Phase::Resting(ticks - 1);
                None
            }
            Phase::Recovering(Recovery::Connected(session)) => {
                if setup.mutation.fences() {
                    for shard in 0..setup.shards {
                        database.kill_owner(self.mark_id(shard));
                        database.take_owner_lock(session, self.mark_id(shard));
                    }
                }
                self.phase = Phase::Recovering(Recovery::Owning(session));
                Some("has shut the old owner out".into())
            }
            Phase::Recovering(Recovery::Owning(session)) => {
                self.raise(database, session, setup, now, coverage)
            }
            Phase::Recovering(Recovery::Probing(session, raised, waited)) => {
                // The locks go with the connection, before the sessions of the shards want them.
                database.disconnect(session);
                if !setup.is_captured(self.target) || self.came_back(replicator, raised.epoch) {
                    let life = self.begin(raised, setup);
                    let said =
                        format!("begins at {}, epoch {}", life.scheduler.watermark().scn, life.epoch.0);
                    self.phase = Phase::Running(Box::new(life));
                    self.was_fenced = false;
                    return Some(said);
                }
                // It may have come back from a server that was replaced since: the next one is looked for.
                self.phase = match waited < PROBE_WAITS_MAX {
                    true => Phase::Recovering(Recovery::Probing(session, raised, waited + 1)),
                    false => Phase::Resting(3),
                };
                None
            }
            Phase::Running(life) => {
                self.phase = Phase::Running(life);
                None
            }
        }
    }

    /// Raises the epoch in every mark row and reads them, in one transaction.
    fn raise(
        &mut self,
        database: &mut Database,
        session: SessionId,
        setup: &Setup,
        now: Micros,
        coverage: &mut Coverage,
    ) -> Option<String> {
        match self.try_raise(database, session, setup, now) {
            Ok((before, epoch, marks)) => {
                let start = self.start(before, &marks, setup, coverage);
                let Watermark { scn: watermark, time } = start.watermark;
                self.stored = Some(StoredWatermark { watermark, time, epoch, committed: Vec::new() });
                self.phase = Phase::Recovering(Recovery::Probing(session, Raised { epoch, marks, start }, 0));
                Some(format!("raised the epoch to {}", epoch.0))
            }
            Err(Denied::Waits(_)) => {
                database.roll_back(session);
                self.phase = Phase::Recovering(Recovery::Owning(session));
                None
            }
            Err(_) => {
                database.disconnect(session);
                self.phase = Phase::Resting(3);
                Some("was killed while recovering".into())
            }
        }
    }

    fn try_raise(
        &self,
        database: &mut Database,
        session: SessionId,
        setup: &Setup,
        now: Micros,
    ) -> Result<(Epoch, Epoch, ShardMarks), Denied> {
        database.begin(session, Isolation::ReadCommitted, now)?;
        let mut before = Epoch(0);
        let mut marks = Vec::new();
        for shard in 0..setup.shards {
            let stored = database.lock_mark(session, self.mark_id(shard))?;
            before = before.max(stored.as_ref().map_or(Epoch(0), |stored| stored.epoch));
            let mut mark = stored.map_or_else(|| self.first_mark(), |stored| stored.mark());
            mark.named.clear();
            mark.evictions.clear();
            marks.push((shard, mark));
        }
        let epoch = match setup.mutation.tells_servers_apart() {
            true => before.raised(now),
            false => Epoch(before.0 + 1),
        };
        for (shard, mark) in &marks {
            database.write_mark(session, self.mark_id(*shard), epoch, mark, true)?;
        }
        database.commit(session, now)?;
        Ok((before, epoch, marks))
    }

    fn first_mark(&self) -> Mark {
        Mark {
            source: super::world::instance(self.source),
            watermark: BEGINNING,
            watermark_time: Micros::ZERO,
            runs: Vec::new(),
            named: Vec::new(),
            evictions: Vec::new(),
        }
    }

    /// Whether the probe mark was read from the target's binlog.
    fn came_back(&self, replicator: &Replicator, epoch: Epoch) -> bool {
        let seen = |shard: u16| replicator.probes.get(&self.mark_id(shard)).copied();
        seen(0).is_some_and(|seen| seen >= epoch)
    }

    /// Where to go on after the marks and what is stored.
    fn start(
        &self,
        before: Epoch,
        marks: &[(u16, Mark)],
        setup: &Setup,
        coverage: &mut Coverage,
    ) -> ScheduleStart {
        let mut start = start_after(before, marks, &[], self.stored.as_ref());
        setup.mutation.weaken(&mut start, self.stored.as_ref());
        let watermark = start.watermark;
        let of_marks = start_after(before, marks, &[], None).watermark;
        if let Some(stored) = self.stored.as_ref().filter(|stored| stored.watermark > of_marks.scn) {
            let used = stored.watermark == watermark.scn;
            coverage.saw(match used {
                true => Situation::StoredWatermarkUsed,
                false => Situation::StoredWatermarkVoid,
            });
            let lost = stored.committed.iter().any(|scn| !start.applied.contains(*scn));
            coverage.saw_times(Situation::LostTailPulledAgain, u64::from(lost));
        }
        start
    }

    fn begin(&self, raised: Raised, setup: &Setup) -> Life {
        let Raised { epoch, marks, start } = raised;
        let watermark = start.watermark.scn;
        let shards = marks
            .iter()
            .map(|(shard, mark)| Shard::new(self.mark_id(*shard), ShardRuns::recovered(mark.runs.clone())))
            .collect();
        Life {
            epoch,
            scheduler: Scheduler::new(setup.schedule(), start),
            link: Link::new(setup.filter(self.source, self.target), watermark),
            shards,
        }
    }

    /// Ends what runs.
    pub fn rest(&mut self, database: &mut Database, stop: &Stop) {
        self.save();
        self.crash(database);
        self.was_fenced = stop.kind == StopKind::Fenced;
        self.phase = Phase::Resting(3);
    }

    /// Ends what runs without a word.
    pub fn crash(&mut self, database: &mut Database) {
        match &mut self.phase {
            Phase::Running(life) => life.shards.iter_mut().for_each(|shard| shard.end(database)),
            Phase::Recovering(
                Recovery::Connected(session) | Recovery::Owning(session) | Recovery::Probing(session, ..),
            ) => database.disconnect(*session),
            Phase::Resting(_) => {}
        }
        self.phase = Phase::Resting(0);
        self.was_fenced = false;
    }

    /// What the marks at the target say.
    pub fn epoch(&self, database: &Database) -> Epoch {
        database.marks.get(&self.mark_id(0)).map_or(Epoch(0), |mark| mark.epoch)
    }

    /// Stores how far the direction came.
    pub fn save(&mut self) {
        if let Phase::Running(life) = &self.phase {
            let Watermark { scn: watermark, time } = life.scheduler.watermark();
            let committed = life.shards.iter().filter_map(Shard::committed).collect();
            self.stored = Some(StoredWatermark { watermark, time, epoch: life.epoch, committed });
            self.passed = time;
        }
    }
}

impl Life {
    /// Moves one thing over the link; says what it was.
    ///
    /// # Errors
    /// The life must end.
    pub fn pull(&mut self, replicator: &Replicator, setup: &Setup) -> Result<Option<String>, Stop> {
        match self.link.pull(replicator) {
            Pulled::Delivery(mut delivery) => {
                if !setup.mutation.forwards_evictions()
                    && let Body::Rows(rows) = &mut delivery.transaction.header.body
                {
                    // Unique stamps go by the row's place; without them it is only scheduled less well.
                    rows.unique.clear();
                    rows.rows.retain(|row| row.kind != RowKind::Evict);
                }
                let scn = delivery.transaction.header.scn;
                if self.scheduler.push(Arc::from(delivery), 1) == Pushed::Broken {
                    return Err(broken("a large transaction was not complete"));
                }
                Ok(Some(format!("pulled {scn}")))
            }
            Pulled::Progress(scn, time) => {
                self.scheduler.progress(scn, time);
                Ok(None)
            }
            Pulled::Nothing => Ok(None),
        }
    }

    /// Breaks the connection to the source's node.
    ///
    /// # Errors
    /// The life must end: a large transaction was under way.
    pub fn cut(&mut self, coverage: &mut Coverage) -> Result<(), Stop> {
        if !self.link.cut() {
            return Ok(());
        }
        coverage.saw(Situation::LargeCut);
        Err(broken("a large transaction was cut off"))
    }

    /// Hands out what may be applied now.
    pub fn drive(&mut self) {
        for assignment in self.scheduler.poll() {
            self.shards[usize::from(assignment.shard.0)].give(assignment.units);
        }
        self.scheduler.take_freed_bytes();
    }
}

fn broken(reason: &str) -> Stop {
    Stop { scn: None, reason: reason.into(), kind: StopKind::ConnectionLost }
}

//! One direction at one node: recovery, then a life of scheduler, link and shards, until something
//! ends it. Mirrors `weft_actors::channel`.

use std::sync::Arc;

use weft_core::channel::runs::ShardRuns;
use weft_core::channel::schedule::{Pushed, ScheduleStart, Scheduler};
use weft_core::channel::track::Watermark;
use weft_core::mark::runs::AppliedSet;
use weft_core::mark::{Epoch, Mark};
use weft_core::scn::Scn;
use weft_core::sink::step::{Isolation, LogPosition, Stop, StopKind};
use weft_core::time::Micros;
use weft_core::transaction::{Body, RowKind};

use super::capture::{BEGINNING, Replicator};
use super::database::{Database, Denied, MarkId, SessionId};
use super::link::{Link, Pulled};
use super::setup::Setup;
use super::shard::Shard;

/// What a node keeps on disk for a direction.
#[derive(Debug, Clone, Copy)]
struct Stored {
    watermark: Watermark,
    in_marks: Scn,
}

#[derive(Debug)]
pub struct Direction {
    pub source: usize,
    pub target: usize,
    stored: Option<Stored>,
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

/// Where a recovery stands.
#[derive(Debug)]
pub enum Recovery {
    Connected(SessionId),
    /// The old owner's sessions are gone, and their locks are ours.
    Owning(SessionId),
    /// The epoch is raised; the probe has to come back.
    Probing(SessionId, Epoch, Vec<(u16, Mark)>, LogPosition),
}

#[derive(Debug)]
pub struct Life {
    pub epoch: Epoch,
    pub scheduler: Scheduler,
    pub link: Link,
    pub shards: Vec<Shard>,
    in_marks: Scn,
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
            Phase::Recovering(Recovery::Owning(session)) => self.raise(database, session, setup, now),
            Phase::Recovering(Recovery::Probing(session, epoch, marks, position)) => {
                // The locks go with the connection, before the sessions of the shards want them.
                database.disconnect(session);
                if replicator.read_to >= position {
                    let life = self.begin(epoch, &marks, setup);
                    let said = format!("begins at {}, epoch {}", life.scheduler.watermark().scn, epoch.0);
                    self.phase = Phase::Running(Box::new(life));
                    self.was_fenced = false;
                    return Some(said);
                }
                self.phase = Phase::Recovering(Recovery::Probing(session, epoch, marks, position));
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
    ) -> Option<String> {
        match self.try_raise(database, session, setup, now) {
            Ok((epoch, marks)) => {
                let position = database.position();
                self.phase = Phase::Recovering(Recovery::Probing(session, epoch, marks, position));
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
    ) -> Result<(Epoch, Vec<(u16, Mark)>), Denied> {
        database.begin(session, Isolation::ReadCommitted, now)?;
        let mut epoch = Epoch(0);
        let mut marks = Vec::new();
        for shard in 0..setup.shards {
            let stored = database.lock_mark(session, self.mark_id(shard))?;
            epoch = epoch.max(stored.as_ref().map_or(Epoch(0), |stored| stored.epoch));
            let mut mark = stored.map_or_else(|| self.first_mark(), |stored| stored.mark());
            mark.named.clear();
            mark.evictions.clear();
            marks.push((shard, mark));
        }
        let epoch = Epoch(epoch.0 + 1);
        for (shard, mark) in &marks {
            database.write_mark(session, self.mark_id(*shard), epoch, mark, true)?;
        }
        database.commit(session, now)?;
        Ok((epoch, marks))
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

    fn begin(&self, epoch: Epoch, marks: &[(u16, Mark)], setup: &Setup) -> Life {
        let highest = marks.iter().map(|(_, mark)| (mark.watermark, mark.watermark_time)).max();
        let (in_marks, time) = highest.expect("a channel has shards");
        let mut watermark = Watermark { scn: in_marks, time };
        // What the node remembers counts only while the marks are no older than it remembers them.
        if let Some(stored) = self.stored
            && in_marks >= stored.in_marks
            && stored.watermark.scn > in_marks
        {
            watermark = stored.watermark;
        }
        let runs = marks.iter().flat_map(|(_, mark)| mark.runs.iter().copied());
        let applied = AppliedSet::new(watermark.scn, runs);
        let start = ScheduleStart { watermark, applied };
        let shards = marks
            .iter()
            .map(|(shard, mark)| Shard::new(self.mark_id(*shard), ShardRuns::recovered(mark.runs.clone())))
            .collect();
        Life {
            epoch,
            scheduler: Scheduler::new(setup.schedule(), start),
            link: Link::new(setup.filter(self.source, self.target), watermark.scn),
            shards,
            in_marks,
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

    /// Stores how far the direction came.
    pub fn save(&mut self) {
        if let Phase::Running(life) = &self.phase {
            let watermark = life.scheduler.watermark();
            self.stored = Some(Stored { watermark, in_marks: life.in_marks });
            self.passed = watermark.time;
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
    pub fn cut(&mut self) -> Result<(), Stop> {
        if self.link.cut() { Err(broken("a large transaction was cut off")) } else { Ok(()) }
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

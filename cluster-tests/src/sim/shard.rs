//! A shard: carries the steps of the apply engine out at the model database, one at a time.

use std::collections::VecDeque;

use rand::Rng;
use rand::rngs::StdRng;
use weft_core::channel::delivery::Unit;
use weft_core::channel::runs::ShardRuns;
use weft_core::channel::schedule::{Scheduler, ShardId};
use weft_core::mark::Epoch;
use weft_core::scn::Scn;
use weft_core::sink::apply::{Apply, ApplyConfig, MarkBase};
use weft_core::sink::step::{
    Found, LockBy, LockRow, Outcome, RetryCause, RowWrite, Step, Stop, StopKind, WriteOp,
};
use weft_core::time::Micros;
use weft_core::transaction::Span;

use super::capture::Replicator;
use super::coverage::{Coverage, Situation};
use super::database::{Database, Denied, MarkId, SessionId};
use super::row::{self, Row};
use super::setup::Setup;

/// How often a step may wait for a lock before the server gives up on it.
const LOCK_WAITS_MAX: u32 = 40;
/// How often the ledger may be looked at before the fence times out.
const FENCE_WAITS_MAX: u32 = 60;

/// What a shard works with.
pub struct ShardContext<'a> {
    pub database: &'a mut Database,
    /// The node's capture of the target, and with it the ledger.
    pub replicator: &'a Replicator,
    pub scheduler: &'a mut Scheduler,
    pub setup: &'a Setup,
    pub apply: &'a ApplyConfig,
    pub epoch: Epoch,
    /// Clock of the target.
    pub now: Micros,
    pub faults: bool,
    pub coverage: &'a mut Coverage,
    pub rng: &'a mut StdRng,
}

#[derive(Debug)]
pub struct Shard {
    of: MarkId,
    session: Option<SessionId>,
    queue: VecDeque<Unit>,
    batch: Vec<Unit>,
    apply: Option<Box<Apply>>,
    step: Option<Step>,
    runs: ShardRuns,
    /// Rows of the present `Write` that are written.
    written: usize,
    waited: u32,
    races: u32,
    in_parts: bool,
    /// What it committed last.
    committed: Option<Scn>,
}

impl Shard {
    pub fn new(of: MarkId, runs: ShardRuns) -> Shard {
        Shard {
            of,
            session: None,
            queue: VecDeque::new(),
            batch: Vec::new(),
            apply: None,
            step: None,
            runs,
            written: 0,
            waited: 0,
            races: 0,
            in_parts: false,
            committed: None,
        }
    }

    /// What the shard committed last in this life.
    pub fn committed(&self) -> Option<Scn> {
        self.committed
    }

    pub fn is_connected(&self, database: &Database) -> bool {
        self.session.is_some_and(|session| database.is_connected(session))
    }

    pub fn give(&mut self, units: Vec<Unit>) {
        self.queue.extend(units);
    }

    /// The shard's process is gone, and with it its connection.
    pub fn end(&mut self, database: &mut Database) {
        if let Some(session) = self.session.take() {
            database.disconnect(session);
        }
    }

    /// Takes one step; says what it was, for the trace.
    ///
    /// # Errors
    /// Why the shard stops.
    pub fn tick(&mut self, cx: &mut ShardContext<'_>) -> Result<Option<String>, Stop> {
        let Some(session) = self.session else { return self.open(cx) };
        // An idle session is looked after now and then.
        if self.step.is_none() && !cx.database.is_connected(session) && cx.rng.random_bool(0.02) {
            cx.coverage.saw(Situation::IdleSessionLost);
            return Err(Stop::connection_lost());
        }
        let Some(step) = self.step.take() else { return Ok(self.start_batch(cx)) };
        let said = brief(&step);
        match step {
            Step::Done(report) => {
                self.finish(cx, report.committed);
                Ok(Some(said))
            }
            Step::NeedPart => Ok(self.next_part(cx)),
            Step::Retry(_) if self.in_parts => Err(lost("a large transaction is pulled again")),
            Step::Retry(cause) => {
                self.races = if cause == RetryCause::Raced { self.races + 1 } else { 0 };
                self.begin_batch(cx);
                Ok(Some(said))
            }
            Step::Stop(stop) => Err(stop),
            step => Ok(self.carry_out(cx, session, step).map(|outcome| format!("{said} -> {outcome}"))),
        }
    }

    fn open(&mut self, cx: &mut ShardContext<'_>) -> Result<Option<String>, Stop> {
        let session = cx.database.connect();
        let stored = cx.database.marks.get(&self.of).map(|mark| mark.epoch);
        let ours = !cx.setup.mutation.fences()
            || (cx.database.take_owner_lock(session, self.of) && stored == Some(cx.epoch));
        if !ours {
            cx.database.disconnect(session);
            return Err(Stop { scn: None, reason: "another owner".into(), kind: StopKind::Fenced });
        }
        self.session = Some(session);
        Ok(Some("opens".into()))
    }

    fn start_batch(&mut self, cx: &mut ShardContext<'_>) -> Option<String> {
        let first = self.queue.pop_front()?;
        let large = first.part().is_some();
        let mut rows = first.rows.len();
        self.batch = vec![first];
        while !large && rows < cx.setup.batch_rows {
            let Some(unit) = self.queue.pop_front_if(|unit| unit.part().is_none()) else { break };
            rows += unit.rows.len();
            self.batch.push(unit);
        }
        self.races = 0;
        self.begin_batch(cx);
        Some(format!("batch of {:?}", self.batch.iter().map(|unit| unit.scn.log_pos).collect::<Vec<_>>()))
    }

    fn begin_batch(&mut self, cx: &ShardContext<'_>) {
        let watermark = cx.scheduler.watermark();
        let base = MarkBase {
            watermark: watermark.scn,
            watermark_time: watermark.time,
            runs: self.runs.clone(),
            eviction_floor: cx.replicator.ledger.eviction_floor(),
        };
        let mut apply = Apply::new(cx.apply.clone(), self.batch.clone(), base).after_races(self.races);
        self.step = Some(apply.start());
        self.apply = Some(Box::new(apply));
        (self.written, self.waited) = (0, 0);
    }

    /// A part is acknowledged once, when the next is asked for.
    fn next_part(&mut self, cx: &mut ShardContext<'_>) -> Option<String> {
        let asked = std::mem::take(&mut self.batch);
        self.in_parts = true;
        if !asked.is_empty() {
            cx.scheduler.acked(ShardId(self.of.shard), &asked);
        }
        let Some(unit) = self.queue.pop_front() else {
            self.step = Some(Step::NeedPart);
            return None;
        };
        self.batch = vec![unit.clone()];
        self.step = Some(self.apply.as_mut().expect("a batch runs").part(unit));
        Some("next part".into())
    }

    fn finish(&mut self, cx: &mut ShardContext<'_>, committed: bool) {
        let apply = self.apply.take().expect("a batch runs");
        self.runs = apply.runs().clone();
        self.in_parts = false;
        let batch = std::mem::take(&mut self.batch);
        self.committed = batch.last().filter(|_| committed).map(|unit| unit.scn).or(self.committed);
        cx.scheduler.acked(ShardId(self.of.shard), &batch);
    }

    fn carry_out(&mut self, cx: &mut ShardContext<'_>, session: SessionId, step: Step) -> Option<String> {
        let outcome = self.outcome(cx, session, &step);
        let Some(outcome) = outcome else {
            self.waited += 1;
            self.step = Some(step);
            return None;
        };
        (self.waited, self.written) = (0, 0);
        let said = format!("{outcome:?}").chars().take(40).collect();
        self.step = Some(self.apply.as_mut().expect("a batch runs").next(outcome, &cx.replicator.ledger));
        Some(said)
    }

    /// None: not yet.
    fn outcome(&mut self, cx: &mut ShardContext<'_>, session: SessionId, step: &Step) -> Option<Outcome> {
        // A connection breaks most easily where the server works longest.
        let commits = matches!(step, Step::Commit);
        let breaks = if commits { 4.0 * cx.setup.lose_connection } else { cx.setup.lose_connection };
        if cx.faults && cx.rng.random_bool(breaks) {
            if commits && cx.rng.random_bool(0.7) {
                // The commit happened; nobody hears of it. A killed session's commit fails.
                let heard = cx.database.commit(session, cx.now);
                cx.coverage.saw_times(Situation::CommitUnheard, u64::from(heard.is_ok()));
            }
            cx.coverage.saw(Situation::ConnectionLost);
            cx.database.disconnect(session);
            return Some(Outcome::ConnectionLost);
        }
        if !cx.database.is_connected(session) {
            return Some(Outcome::ConnectionLost);
        }
        match self.at_server(cx, session, step) {
            Ok(outcome) => outcome,
            Err(Denied::Waits(_)) if self.waited < LOCK_WAITS_MAX => None,
            Err(Denied::Waits(_)) => {
                cx.database.roll_back(session);
                Some(Outcome::Deadlock)
            }
            Err(Denied::Duplicate) => Some(Outcome::DuplicateKey),
            Err(Denied::Missing) => Some(Outcome::MissingRow),
            Err(Denied::Gone) => Some(Outcome::ConnectionLost),
        }
    }

    fn at_server(
        &mut self,
        cx: &mut ShardContext<'_>,
        session: SessionId,
        step: &Step,
    ) -> Result<Option<Outcome>, Denied> {
        let database = &mut *cx.database;
        Ok(Some(match step {
            Step::Begin(isolation) => {
                database.begin(session, *isolation, cx.now)?;
                Outcome::Ok
            }
            Step::Lock(rows) => Outcome::Locked(lock(database, session, rows)?),
            Step::ReadPosition => Outcome::Position(database.position()),
            Step::AwaitLedger(position) if cx.replicator.has_passed(database.server_id, *position) => {
                Outcome::Ok
            }
            Step::AwaitLedger(_) if !cx.setup.mutation.waits_for_ledger() => Outcome::Ok,
            Step::AwaitLedger(_) if self.waited < FENCE_WAITS_MAX => return Ok(None),
            Step::AwaitLedger(_) => {
                cx.coverage.saw(Situation::FenceTimedOut);
                Outcome::FenceTimedOut
            }
            Step::ReadRows(rows) => Outcome::RowsRead(vec![Some("{}".into()); rows.len()]),
            Step::WriteMark(mark) => {
                let fenced = cx.setup.mutation.fences();
                let mut mark = mark.clone();
                if !cx.setup.mutation.names() {
                    mark.named.clear();
                }
                match database.write_mark(session, self.of, cx.epoch, &mark, fenced)? {
                    true => Outcome::Ok,
                    false => Outcome::Fenced,
                }
            }
            Step::Savepoint => {
                database.savepoint(session)?;
                Outcome::Ok
            }
            Step::RollBackToSavepoint => {
                database.roll_back_to_savepoint(session)?;
                Outcome::Ok
            }
            Step::Write(writes) => {
                while let Some(write) = writes.get(self.written) {
                    put(database, session, write)?;
                    self.written += 1;
                }
                Outcome::Ok
            }
            Step::RecordConflicts(_) => Outcome::Ok,
            Step::Commit => {
                database.commit(session, cx.now)?;
                Outcome::Ok
            }
            Step::RollBack => {
                database.roll_back(session);
                Outcome::Ok
            }
            Step::NeedPart | Step::Done(_) | Step::Retry(_) | Step::Stop(_) => {
                unreachable!("ends the batch")
            }
        }))
    }
}

fn lock(database: &mut Database, session: SessionId, rows: &[LockRow]) -> Result<Vec<Found>, Denied> {
    let lock_one = |want: &LockRow| {
        let (table, row) = Row::read(want.delivery.transaction.bytes(want.image));
        Ok(match want.by {
            LockBy::PrimaryKey => match database.lock_by_id(session, table, row.id)? {
                Some(_) => Found::Yes,
                None => Found::No,
            },
            LockBy::UniqueKey(_) => match database.lock_by_unique(session, table, row.unique)? {
                Some(holder) => Found::Holder {
                    key: row::key(table, holder.id),
                    delete_events: holder.image(table).to_vec(),
                },
                None => Found::No,
            },
        })
    };
    rows.iter().map(lock_one).collect()
}

fn put(database: &mut Database, session: SessionId, write: &RowWrite) -> Result<(), Denied> {
    let read = |span: Span| Row::read(write.delivery.transaction.bytes(span));
    match write.op {
        WriteOp::Insert { after } => {
            let (table, row) = read(after);
            database.insert(session, table, row)
        }
        WriteOp::Update { before, after } => {
            let (table, row) = read(after);
            database.update(session, table, read(before).1.id, row)
        }
        WriteOp::Delete { before } => {
            let (table, row) = read(before);
            database.delete(session, table, row.id)
        }
        WriteOp::DeleteHolder { image, .. } => {
            let (table, row) = read(image);
            match database.lock_by_unique(session, table, row.unique)? {
                Some(holder) if holder.id != row.id => database.delete(session, table, holder.id),
                _ => Err(Denied::Missing),
            }
        }
    }
}

fn lost(reason: &str) -> Stop {
    Stop { scn: None, reason: reason.into(), kind: StopKind::ConnectionLost }
}

fn brief(step: &Step) -> String {
    let text = match step {
        Step::WriteMark(mark) => format!("mark {:?} evicts {:?}", mark.named, mark.evictions),
        Step::Write(writes) => {
            let op = |write: &RowWrite| {
                let row = |span| Row::read(write.delivery.transaction.bytes(span));
                match write.op {
                    WriteOp::Insert { after } => format!("insert {:?}", row(after)),
                    WriteOp::Update { after, .. } => format!("update {:?}", row(after)),
                    WriteOp::Delete { before } => format!("delete {:?}", row(before)),
                    WriteOp::DeleteHolder { image, .. } => format!("free {:?}", row(image)),
                }
            };
            writes.iter().map(op).collect::<Vec<_>>().join(", ")
        }
        Step::Lock(rows) => format!("lock {} rows", rows.len()),
        other => format!("{other:?}"),
    };
    text.chars().take(300).collect()
}

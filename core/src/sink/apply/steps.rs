//! Which step follows which.

use super::{Apply, Asked, Awaits, Care, Then, careful, plan};
use crate::channel::keys::KeyMap;
use crate::filter::decide::ConflictRule;
use crate::key::KeyHash;
use crate::ledger::LedgerView;
use crate::mark::Mark;
use crate::sink::step::{Found, Isolation, Outcome, RetryCause, Step, Stop, StopKind, Verdict};
use crate::time::Micros;
use crate::version::Version;

/// After so many races in a row it is no race.
const RACED_MAX: u32 = 10;

impl Apply {
    pub(super) fn begin(&mut self) -> Step {
        self.awaits = Awaits::Begin;
        self.marked = false;
        self.fence = None;
        self.evicted.clear();
        Step::Begin(self.isolation)
    }

    pub(super) fn roll_back(&mut self, then: Then) -> Step {
        self.awaits = Awaits::RollBack(then);
        Step::RollBack
    }

    /// The first step of deciding, inside the transaction.
    pub(super) fn look(&mut self) -> Step {
        let by_version = self.config.rule != ConflictRule::None;
        let sound = plan::require_transformed(&self.units)
            .and_then(|()| plan::require_keys(&self.changes))
            .and_then(|()| if by_version { plan::require_weighed(&self.changes) } else { Ok(()) });
        if let Err(cause) = sound {
            return self.roll_back(Then::Stop(cause.stop()));
        }
        if self.config.rule == ConflictRule::None && self.care == Care::Usual {
            self.there = KeyMap::default();
            return self.decide(&NoLedger);
        }
        let (mut rows, keys) = self.changes.lock_rows();
        let mut holders_of = Vec::new();
        if self.care == Care::Careful {
            let (holder_rows, of_change) = careful::lock_holders(&self.changes);
            rows.extend(holder_rows);
            holders_of = of_change;
        }
        self.asked = Asked { keys, holders_of };
        self.awaits = Awaits::Lock;
        Step::Lock(rows)
    }

    pub(super) fn go_on(&mut self, awaited: Awaits, outcome: Outcome, ledger: &dyn LedgerView) -> Step {
        match (awaited, outcome) {
            (Awaits::Begin, Outcome::Ok) => self.look(),
            (Awaits::Lock, Outcome::Locked(found)) => self.locked(&found),
            (Awaits::Position, Outcome::Position(position)) => {
                self.awaits = Awaits::Ledger;
                self.fence = Some(position);
                Step::AwaitLedger(position)
            }
            (Awaits::Ledger, Outcome::Ok) => self.decide(ledger),
            (Awaits::PositionAfter, Outcome::Position(position)) if self.fence == Some(position) => {
                self.written()
            }
            (Awaits::PositionAfter, Outcome::Position(position)) => {
                self.awaits = Awaits::LedgerAfter;
                Step::AwaitLedger(position)
            }
            (Awaits::LedgerAfter, Outcome::Ok) => {
                if self.plan.inserted.iter().any(|(key, version)| ledger.newest(key) != *version) {
                    return self.roll_back(Then::Retry(RetryCause::Raced));
                }
                self.written()
            }
            (Awaits::Rows, Outcome::RowsRead(rows)) => {
                for conflict in &mut self.plan.conflicts {
                    let is_there = |&at: &u32| rows.get(at as usize).is_some_and(Option::is_some);
                    conflict.local = conflict.local.filter(is_there);
                }
                self.write_mark()
            }
            (Awaits::Mark, Outcome::Ok) => {
                self.marked = true;
                if self.plan.writes.is_empty() {
                    return self.written();
                }
                self.awaits = Awaits::Savepoint;
                Step::Savepoint
            }
            (Awaits::Savepoint, Outcome::Ok) => self.write(),
            (Awaits::SavepointRolledBack, Outcome::Ok) => self.look(),
            (Awaits::Write, Outcome::Ok) if self.may_have_missed_a_row() => {
                self.awaits = Awaits::PositionAfter;
                Step::ReadPosition
            }
            (Awaits::Write, Outcome::Ok) => self.written(),
            (Awaits::Conflicts, Outcome::Ok) => self.recorded(),
            (Awaits::Commit, Outcome::Ok) => self.done(),
            (Awaits::RollBack(then), Outcome::Ok) => match then {
                Then::BeginAgain => self.begin(),
                Then::Retry(cause) => Step::Retry(cause),
                Then::Stop(stop) => Step::Stop(stop),
                Then::Done => self.done(),
            },
            (awaited, outcome) => panic!("a session answered {outcome:?} where {awaited:?} was due"),
        }
    }

    fn locked(&mut self, found: &[Found]) -> Step {
        let asked = std::mem::take(&mut self.asked);
        assert_eq!(found.len(), asked.keys.len() + asked.holders_of.len(), "one answer for each row");
        let (rows, holders) = found.split_at(asked.keys.len());
        self.there = asked.keys.into_iter().zip(rows.iter().map(|found| *found != Found::No)).collect();
        self.holders = careful::holders(&self.changes, &asked.holders_of, holders);
        if self.config.rule == ConflictRule::None {
            return self.decide(&NoLedger);
        }
        if self.isolation == Isolation::ReadCommitted && self.changes.deletes_missing(&self.there) {
            self.isolation = Isolation::RepeatableRead;
            return self.roll_back(Then::BeginAgain);
        }
        self.awaits = Awaits::Position;
        Step::ReadPosition
    }

    /// Plans, now that all is known, and begins to write.
    fn decide(&mut self, ledger: &dyn LedgerView) -> Step {
        let binlog = ledger;
        let ledger = &WithEvicted { ledger, evicted: &self.evicted };
        let there = std::mem::take(&mut self.there);
        let planned = if self.care == Care::Careful {
            let given = careful::Given {
                there,
                holders: &self.holders,
                eviction_floor: self.base.eviction_floor,
                delete_events: self.config.delete_events,
            };
            careful::plan(&self.changes, given, ledger)
        } else {
            let names = self.config.names_versions || self.config.rule != ConflictRule::None;
            plan::plan(&self.changes, self.config.rule, names, there, ledger)
        };
        self.plan = match planned {
            Ok(plan) => plan,
            Err(cause) => return self.roll_back(Then::Stop(cause.stop())),
        };
        // What is compared after the write is what the binlog says, without what this batch evicts.
        for (key, version) in &mut self.plan.inserted {
            *version = binlog.newest(key);
        }
        let resumed = self.marked && self.care == Care::Corrected;
        if resumed {
            // The mark before the savepoint names the same keys.
            return self.write();
        }
        if !self.plan.to_read.is_empty() {
            self.awaits = Awaits::Rows;
            return Step::ReadRows(std::mem::take(&mut self.plan.to_read));
        }
        self.write_mark()
    }

    fn write_mark(&mut self) -> Step {
        // A batch that changes nothing writes nothing: or two channels would answer each other's
        // marks for ever. But a transaction that is begun ends with a mark that claims it.
        let claims = self.marked;
        if self.plan.is_empty() && (!claims || self.is_partial()) {
            return self.recorded();
        }
        let evictions = self.plan.evictions.iter();
        self.evicted.extend(evictions.map(|eviction| (eviction.key, eviction.version)));
        self.awaits = Awaits::Mark;
        Step::WriteMark(Box::new(Mark {
            source: self.config.source,
            watermark: self.base.watermark,
            watermark_time: self.base.watermark_time,
            runs: self.base.runs.to_vec(),
            named: std::mem::take(&mut self.plan.named),
            evictions: std::mem::take(&mut self.plan.evictions),
        }))
    }

    fn write(&mut self) -> Step {
        if self.plan.writes.is_empty() {
            return self.written();
        }
        self.awaits = Awaits::Write;
        Step::Write(std::mem::take(&mut self.plan.writes))
    }

    /// A row was not as planned.
    pub(super) fn write_failed(&mut self, duplicate: bool) -> Step {
        match (self.config.rule, self.care) {
            (ConflictRule::None, Care::Usual) => {
                self.care = Care::Corrected;
                self.awaits = Awaits::SavepointRolledBack;
                Step::RollBackToSavepoint
            }
            (ConflictRule::LastWriteWins, Care::Usual) if duplicate => {
                self.care = Care::Careful;
                if self.units.iter().any(|unit| unit.part().is_some()) {
                    // The parts before this one cannot be had again: they stay.
                    self.awaits = Awaits::SavepointRolledBack;
                    return Step::RollBackToSavepoint;
                }
                self.isolation = Isolation::RepeatableRead;
                self.roll_back(Then::BeginAgain)
            }
            _ if self.raced >= RACED_MAX => self.roll_back(Then::Stop(self.never_fits())),
            _ => self.roll_back(Then::Retry(RetryCause::Raced)),
        }
    }

    fn never_fits(&self) -> Stop {
        let single = (self.units.len() == 1).then(|| self.units[0].scn);
        let first = self.units.first().map(|unit| unit.scn).unwrap_or_default();
        Stop {
            scn: single,
            reason: format!(
                "a row of the changes from SCN {first} on meets other rows of the target in its unique keys, again and again; free those values at the target"
            ),
            kind: StopKind::DoesNotFit,
        }
    }

    /// A row that was not there could not be locked. Someone may have inserted *and deleted* it since
    /// the fence, so that the insert met no duplicate; only the ledger shows that. Gap locks do not
    /// help: another channel may have locked the same gap, to delete or evict the same absent row, and
    /// committed nothing but its mark. Now the inserted rows are locked, so looking once more is
    /// enough.
    fn may_have_missed_a_row(&self) -> bool {
        self.config.rule == ConflictRule::LastWriteWins && !self.plan.inserted.is_empty()
    }

    fn written(&mut self) -> Step {
        if self.plan.conflicts.is_empty() {
            return self.recorded();
        }
        for conflict in &self.plan.conflicts {
            count(&mut self.report.conflicts, conflict.verdict);
        }
        self.awaits = Awaits::Conflicts;
        Step::RecordConflicts(std::mem::take(&mut self.plan.conflicts))
    }

    /// The batch, or this part of it, is all at the target.
    fn recorded(&mut self) -> Step {
        let plan = std::mem::take(&mut self.plan);
        self.report.rows_applied += plan.applied;
        self.report.rows_skipped += plan.skipped;
        self.report.rows_mended += plan.mended;
        if self.is_partial() {
            self.awaits = Awaits::Part;
            return Step::NeedPart;
        }
        if !self.marked {
            return self.roll_back(Then::Done);
        }
        self.awaits = Awaits::Commit;
        Step::Commit
    }

    fn done(&mut self) -> Step {
        let mut report = std::mem::take(&mut self.report);
        report.committed = self.marked;
        report.runs = self.base.runs.to_vec();
        Step::Done(report)
    }
}

fn count(counts: &mut Vec<(Verdict, u64)>, verdict: Verdict) {
    match counts.iter_mut().find(|(counted, _)| *counted == verdict) {
        Some((_, count)) => *count += 1,
        None => counts.push((verdict, 1)),
    }
}

/// What the plan is given where there is no rule, and so no question to a ledger.
struct NoLedger;

impl LedgerView for NoLedger {
    fn newest(&self, _: &KeyHash) -> Option<Version> {
        None
    }

    fn horizon(&self) -> Micros {
        Micros::ZERO
    }
}

/// The ledger as it will be with what the open transaction has evicted.
struct WithEvicted<'a> {
    ledger: &'a dyn LedgerView,
    evicted: &'a KeyMap<Version>,
}

impl LedgerView for WithEvicted<'_> {
    fn newest(&self, key: &KeyHash) -> Option<Version> {
        self.evicted.get(key).copied().max(self.ledger.newest(key))
    }

    fn horizon(&self) -> Micros {
        self.ledger.horizon()
    }
}

pub(super) fn fenced() -> Stop {
    Stop {
        scn: None,
        reason: "another node has taken this channel over; nothing to do".into(),
        kind: StopKind::Fenced,
    }
}

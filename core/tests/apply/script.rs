//! A target that answers from a script, and notes what it was told.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use weft_core::channel::delivery::Delivery;
use weft_core::key::KeyHash;
use weft_core::ledger::LedgerView;
use weft_core::mark::Mark;
use weft_core::sink::apply::Apply;
use weft_core::sink::step::{
    Found, Isolation, LockBy, LogPosition, Outcome, Report, Step, Stop, Verdict, WriteOp,
};
use weft_core::time::Micros;
use weft_core::version::Version;

use super::support::{Row, key, unit};

/// Versions by key, and the horizon.
pub struct Ledger(pub HashMap<KeyHash, Version>, pub Micros);

impl LedgerView for Ledger {
    fn newest(&self, key: &KeyHash) -> Option<Version> {
        self.0.get(key).copied()
    }

    fn horizon(&self) -> Micros {
        self.1
    }
}

/// A target of the script: which rows are there, who holds unique values, what it answers out of turn.
pub struct Script {
    there: BTreeSet<u64>,
    pub holders: HashMap<u64, u64>,
    pub ledger: Ledger,
    /// (name of a step, outcome): given the first time that the step comes.
    pub answers: Vec<(&'static str, Outcome)>,
    /// How many positions were read; each is further on.
    positions: u64,
    pub parts: Vec<Arc<Delivery>>,
    pub marks: Vec<Mark>,
    pub writes: Vec<String>,
    pub verdicts: Vec<Verdict>,
    pub last: Option<Step>,
}

impl Script {
    pub fn new(there: &[u64], known: &[(u64, Version)]) -> Script {
        let ledger = known.iter().map(|&(id, version)| (key(id), version)).collect();
        Script {
            there: there.iter().copied().collect(),
            holders: HashMap::new(),
            ledger: Ledger(ledger, Micros::ZERO),
            answers: Vec::new(),
            positions: 0,
            parts: Vec::new(),
            marks: Vec::new(),
            writes: Vec::new(),
            verdicts: Vec::new(),
            last: None,
        }
    }

    pub fn answering(mut self, step: &'static str, outcome: Outcome) -> Script {
        self.answers.push((step, outcome));
        self
    }

    /// Runs the batch to its end; the names of its steps.
    pub fn run(&mut self, mut apply: Apply) -> Vec<&'static str> {
        let mut names = Vec::new();
        let mut step = apply.start();
        loop {
            let name = name_of(&step);
            names.push(name);
            self.note(&step);
            if matches!(step, Step::Done(_) | Step::Retry(_) | Step::Stop(_)) {
                self.last = Some(step);
                return names;
            }
            let scripted = self.answers.iter().position(|(at, _)| *at == name);
            step = match scripted {
                Some(at) => apply.next(self.answers.remove(at).1, &self.ledger),
                None if name == "NeedPart" => apply.part(unit(&self.parts.remove(0), 0)),
                None => {
                    let outcome = self.usual(&step);
                    apply.next(outcome, &self.ledger)
                }
            };
        }
    }

    fn note(&mut self, step: &Step) {
        match step {
            Step::WriteMark(mark) => self.marks.push((**mark).clone()),
            Step::Write(writes) => self.writes.extend(writes.iter().map(|write| {
                let read = |span| {
                    let row = Row::read(write.delivery.transaction.bytes(span));
                    format!("{}={}", row.id, row.value)
                };
                match write.op {
                    WriteOp::Insert { after } => format!("insert {}", read(after)),
                    WriteOp::Update { after, .. } => format!("update {}", read(after)),
                    WriteOp::Delete { before } => format!("delete {}", read(before)),
                    WriteOp::DeleteHolder { image, .. } => format!("delete holder for {}", read(image)),
                }
            })),
            Step::RecordConflicts(records) => {
                self.verdicts.extend(records.iter().map(|record| record.verdict));
            }
            _ => {}
        }
    }

    fn usual(&mut self, step: &Step) -> Outcome {
        match step {
            Step::Lock(rows) => Outcome::Locked(
                rows.iter()
                    .map(|want| {
                        let row = Row::read(want.delivery.transaction.bytes(want.image));
                        match want.by {
                            LockBy::PrimaryKey if self.there.contains(&row.id) => Found::Yes,
                            LockBy::PrimaryKey => Found::No,
                            LockBy::UniqueKey(_) => self.holders.get(&row.unique).map_or(Found::No, |&id| {
                                Found::Holder { key: key(id), delete_events: Vec::new() }
                            }),
                        }
                    })
                    .collect(),
            ),
            Step::ReadPosition => {
                self.positions += 1;
                Outcome::Position(LogPosition { log_index: 1, log_pos: self.positions })
            }
            Step::ReadRows(rows) => Outcome::RowsRead(vec![Some("{}".into()); rows.len()]),
            _ => Outcome::Ok,
        }
    }

    pub fn report(&self) -> Report {
        match &self.last {
            Some(Step::Done(report)) => report.clone(),
            other => panic!("not done: {other:?}"),
        }
    }

    pub fn stop(&self) -> Stop {
        match &self.last {
            Some(Step::Stop(stop)) => stop.clone(),
            other => panic!("not stopped: {other:?}"),
        }
    }
}

fn name_of(step: &Step) -> &'static str {
    match step {
        Step::Begin(Isolation::ReadCommitted) => "Begin",
        Step::Begin(Isolation::RepeatableRead) => "BeginWithGaps",
        Step::Lock(_) => "Lock",
        Step::ReadPosition => "ReadPosition",
        Step::AwaitLedger(_) => "AwaitLedger",
        Step::ReadRows(_) => "ReadRows",
        Step::WriteMark(_) => "WriteMark",
        Step::Savepoint => "Savepoint",
        Step::RollBackToSavepoint => "RollBackToSavepoint",
        Step::Write(_) => "Write",
        Step::RecordConflicts(_) => "RecordConflicts",
        Step::Commit => "Commit",
        Step::NeedPart => "NeedPart",
        Step::RollBack => "RollBack",
        Step::Done(_) => "Done",
        Step::Retry(_) => "Retry",
        Step::Stop(_) => "Stop",
    }
}

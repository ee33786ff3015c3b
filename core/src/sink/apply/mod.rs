//! Applies one batch of units on one shard, as one transaction at the target.
//!
//! [`Apply`] is an engine: it is told what the target answered and says the next step; it does
//! nothing itself. The way of a batch, for last-write-wins:
//!
//! `Begin, Lock, ReadPosition, AwaitLedger, [ReadRows], WriteMark, Savepoint, Write,
//! [RecordConflicts], Commit, Done`
//!
//! - The lock comes before the position, and the decision after the ledger has passed that position:
//!   what the decision sees cannot change any more before the commit.
//! - A row that is not there cannot be locked. If the batch deletes one, it begins again under
//!   REPEATABLE READ, whose gap locks hold the place against inserts. An insert fails with a
//!   duplicate key instead; and as the row may have come *and gone* since, or been deleted by another
//!   channel without having been there, a batch that inserted asks the ledger once more after `Write`,
//!   when its rows are locked.
//! - After a duplicate key the batch begins again *with care*: unfolded, with the holders of all its
//!   unique values locked and known.
//! - Without a rule (one way) nothing is locked nor waited for, until a row is not as expected: then
//!   the batch goes back to its savepoint, looks at what is there, and writes what fits.
//! - The parts of a large transaction go through the same steps, each with its own mark, inside one
//!   transaction at the target: `NeedPart` instead of `Commit` until the last.

mod careful;
mod change;
mod plan;
mod steps;

pub use careful::{DeleteEvents, delete_events};

use crate::channel::delivery::Unit;
use crate::channel::keys::KeyMap;
use crate::channel::runs::ShardRuns;
use crate::filter::decide::ConflictRule;
use crate::instance::InstanceId;
use crate::key::KeyHash;
use crate::ledger::LedgerView;
use crate::scn::Scn;
use crate::sink::step::{Isolation, LogPosition, Outcome, Report, RetryCause, Step, Stop};
use crate::time::Micros;
use crate::version::Version;
use change::Changes;
use plan::Plan;

/// What all batches of a channel have in common.
#[derive(Debug, Clone)]
pub struct ApplyConfig {
    pub rule: ConflictRule,
    /// The target is itself a source: marks name the versions of what follows, even without a rule.
    pub names_versions: bool,
    /// The instance that the channel reads from.
    pub source: InstanceId,
    pub delete_events: DeleteEvents,
}

/// Where a batch begins.
#[derive(Debug, Clone)]
pub struct MarkBase {
    /// The channel's watermark as it is now, and its source time.
    pub watermark: Scn,
    pub watermark_time: Micros,
    /// What the shard applied above it before this batch.
    pub runs: ShardRuns,
    /// A time that no site's horizon has reached: evictions are not older (see
    /// [`contest`](crate::filter::unique::contest)).
    pub eviction_floor: Micros,
}

/// The engine of one batch. Start it with [`Apply::start`]; feed it with [`Apply::next`] (and
/// [`Apply::part`]) until the step is `Done`, `Retry` or `Stop`. To retry, make a new one of the same
/// units; a large transaction is retried from its first part.
#[derive(Debug)]
pub struct Apply {
    config: ApplyConfig,
    /// In the order of pulling.
    units: Vec<Unit>,
    base: MarkBase,
    changes: Changes,
    isolation: Isolation,
    care: Care,
    awaits: Awaits,
    /// Keys or changes that the requested locks stand for.
    asked: Asked,
    there: KeyMap<bool>,
    holders: careful::Holders,
    plan: Plan,
    /// Where the ledger was awaited before deciding.
    fence: Option<LogPosition>,
    /// How often these units raced before.
    raced: u32,
    /// What earlier parts of the large transaction evicted: no ledger shows it yet, and nothing else
    /// tells a later change of the same row that it has lost.
    evicted: KeyMap<Version>,
    /// A mark is written in the open transaction.
    marked: bool,
    report: Report,
}

/// How a batch looks before it writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Care {
    /// By primary key, as the rule has it.
    Usual,
    /// Without a rule: what is there is looked up after all.
    Corrected,
    /// Unfolded, with the holders of unique values.
    Careful,
}

/// The rows of the last `Lock`, in its order: first the keys, then a change for each holder.
#[derive(Debug, Default)]
struct Asked {
    keys: Vec<KeyHash>,
    holders_of: Vec<usize>,
}

/// Which step's outcome comes next.
#[derive(Debug, Clone, PartialEq)]
enum Awaits {
    Start,
    Begin,
    Lock,
    Position,
    Ledger,
    PositionAfter,
    LedgerAfter,
    Rows,
    Mark,
    Savepoint,
    Write,
    SavepointRolledBack,
    Conflicts,
    Part,
    Commit,
    RollBack(Then),
    Nothing,
}

/// What follows a rollback.
#[derive(Debug, Clone, PartialEq)]
enum Then {
    BeginAgain,
    Retry(RetryCause),
    Stop(Stop),
    Done,
}

impl Apply {
    /// Of units that one shard was given, in that order. A part of a large transaction stands alone.
    pub fn new(config: ApplyConfig, mut units: Vec<Unit>, base: MarkBase) -> Apply {
        units.sort_by_key(|unit| (unit.sequence, unit.rows.start));
        let large = units.iter().any(|unit| unit.part().is_some());
        assert!(!large || units.len() == 1, "parts of large transactions stand alone");
        let mut apply = Apply {
            config,
            changes: Changes::default(),
            units: Vec::new(),
            base,
            // A large transaction cannot begin again for its gaps: its first parts are gone by then.
            isolation: if large { Isolation::RepeatableRead } else { Isolation::ReadCommitted },
            care: Care::Usual,
            awaits: Awaits::Start,
            asked: Asked::default(),
            there: KeyMap::default(),
            holders: Vec::new(),
            plan: Plan::default(),
            fence: None,
            raced: 0,
            evicted: KeyMap::default(),
            marked: false,
            report: Report::default(),
        };
        apply.base.runs.trim(apply.base.watermark);
        apply.take(units);
        apply
    }

    /// Says how often in a row these units ended in `Retry(Raced)`. After too many the engine stops
    /// instead: what is met then is no race.
    pub fn after_races(mut self, raced: u32) -> Apply {
        self.raced = raced;
        self
    }

    /// The first step.
    pub fn start(&mut self) -> Step {
        assert_eq!(self.awaits, Awaits::Start, "a batch starts once");
        self.begin()
    }

    /// The next part of the large transaction, after `NeedPart`.
    pub fn part(&mut self, unit: Unit) -> Step {
        assert_eq!(self.awaits, Awaits::Part, "parts are given when they are asked for");
        self.take(vec![unit]);
        self.care = Care::Usual;
        self.look()
    }

    /// The step that follows the outcome of the last one.
    ///
    /// # Panics
    /// If the outcome is none that the last step can have: the session is broken.
    pub fn next(&mut self, outcome: Outcome, ledger: &dyn LedgerView) -> Step {
        let awaited = std::mem::replace(&mut self.awaits, Awaits::Nothing);
        match outcome {
            Outcome::ConnectionLost => Step::Stop(Stop::connection_lost()),
            Outcome::Deadlock => self.roll_back(Then::Retry(RetryCause::Deadlock)),
            Outcome::FenceTimedOut => self.roll_back(Then::Retry(RetryCause::FenceTimedOut)),
            Outcome::Fenced => self.roll_back(Then::Stop(steps::fenced())),
            Outcome::Refused(mut stop) => {
                // One unit alone is known to be the one that does not fit.
                let single = (self.units.len() == 1).then(|| self.units[0].scn);
                stop.scn = stop.scn.or(single);
                self.roll_back(Then::Stop(stop))
            }
            Outcome::DuplicateKey | Outcome::MissingRow => {
                assert_eq!(awaited, Awaits::Write, "only a write meets rows");
                self.write_failed(matches!(outcome, Outcome::DuplicateKey))
            }
            Outcome::Ok | Outcome::Locked(_) | Outcome::Position(_) | Outcome::RowsRead(_) => {
                self.go_on(awaited, outcome, ledger)
            }
        }
    }

    /// The shard's runs with this batch in them: the base of the next one, once this is done.
    pub fn runs(&self) -> &ShardRuns {
        &self.base.runs
    }

    /// Takes the units of the batch, or of its next part.
    fn take(&mut self, units: Vec<Unit>) {
        self.changes = Changes::of(&units);
        let complete = units.iter().all(|unit| unit.part().is_none_or(|part| part.last));
        if complete {
            // Only what is complete is claimed: the last mark of the transaction is the one that
            // stays.
            self.base.runs.extend(&units);
        }
        self.units = units;
    }

    /// Whether another part of the same transaction is to come.
    fn is_partial(&self) -> bool {
        self.units.iter().any(|unit| unit.part().is_some_and(|part| !part.last))
    }
}

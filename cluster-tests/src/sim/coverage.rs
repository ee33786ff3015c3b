//! What happened in a run, by name: a suite whose seeds never reach a situation proves nothing about
//! it.

use std::collections::BTreeMap;
use std::fmt;

/// Something that the simulation is to reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Situation {
    /// A shard's connection broke amid a batch.
    ConnectionLost,
    /// A connection was gone that had nothing to do.
    IdleSessionLost,
    /// A commit that nobody heard of: its acknowledgement was lost.
    CommitUnheard,
    /// A link between two nodes was cut.
    LinkCut,
    /// It was cut amid a large transaction.
    LargeCut,
    /// A capture's connection to its server broke.
    DumpCut,
    NodeCrash,
    /// A node crashed, and frames that it had captured were not on its disk.
    FramesLost,
    /// A node was stopped (SIGSTOP), and another took its place.
    TwoOwners,
    DatabaseCrash,
    /// A database crashed and lost its last commits; nobody had captured them.
    LastCommitsLost,
    /// The same, and some of them were captured: they are at other sites.
    CapturedCommitsLost,
    /// A replica that had everything was promoted.
    Promoted,
    /// A replica that lacked the last commits was promoted; nobody had captured them.
    PromotedLacking,
    /// The same, and some of them were captured.
    PromotedLackingCaptured,
    /// A capture was still at the old server when another one took the address over.
    OldServerRead,
    /// Capture went on at another server, by GTID, in the next epoch.
    EpochRaised,
    /// The connection broke between the switch and the first transaction.
    SwitchedForNothing,
    /// Capture stopped: changes that it had captured are not in the server's binlog.
    CaptureStopped,
    /// What a node remembered of a direction was void: the target had lost commits.
    StoredWatermarkVoid,
    /// What a node remembered of a direction counted: the marks were behind it.
    StoredWatermarkUsed,
    /// A target lost commits of a direction, which had to be pulled again.
    LostTailPulledAgain,
    /// A reader was older than the event buffer, and history was read from the source again.
    Refilled,
    /// That history was another server's, and the link said so.
    RefillRefused,
    /// The horizon of a ledger rose.
    HorizonRaised,
    /// Entries below it were let go.
    EntriesExpired,
    /// A key changed that had been let go.
    ForgottenKeyChanged,
    /// A fence timed out.
    FenceTimedOut,
    /// A transaction went in parts.
    LargeTransaction,
    /// The version time of a local transaction was not its commit time.
    StampRaised,
}

impl Situation {
    /// All that the suite's seeds must reach: a fence hardly ever times out, as a recovery has seen the
    /// target's stream come back.
    pub const ALL: [Situation; 29] = [
        Situation::ConnectionLost,
        Situation::IdleSessionLost,
        Situation::CommitUnheard,
        Situation::LinkCut,
        Situation::LargeCut,
        Situation::DumpCut,
        Situation::NodeCrash,
        Situation::FramesLost,
        Situation::TwoOwners,
        Situation::DatabaseCrash,
        Situation::LastCommitsLost,
        Situation::CapturedCommitsLost,
        Situation::Promoted,
        Situation::PromotedLacking,
        Situation::PromotedLackingCaptured,
        Situation::OldServerRead,
        Situation::EpochRaised,
        Situation::SwitchedForNothing,
        Situation::CaptureStopped,
        Situation::StoredWatermarkVoid,
        Situation::StoredWatermarkUsed,
        Situation::LostTailPulledAgain,
        Situation::Refilled,
        Situation::RefillRefused,
        Situation::HorizonRaised,
        Situation::EntriesExpired,
        Situation::ForgottenKeyChanged,
        Situation::LargeTransaction,
        Situation::StampRaised,
    ];
}

/// How often each situation occurred.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage(BTreeMap<Situation, u64>);

impl Coverage {
    pub fn saw(&mut self, situation: Situation) {
        self.saw_times(situation, 1);
    }

    pub fn saw_times(&mut self, situation: Situation, times: u64) {
        if times > 0 {
            *self.0.entry(situation).or_default() += times;
        }
    }

    pub fn add(&mut self, other: &Coverage) {
        other.0.iter().for_each(|(situation, times)| self.saw_times(*situation, *times));
    }

    pub fn count(&self, situation: Situation) -> u64 {
        self.0.get(&situation).copied().unwrap_or(0)
    }

    /// The situations that never occurred.
    pub fn missing(&self) -> Vec<Situation> {
        Situation::ALL.into_iter().filter(|situation| self.count(*situation) == 0).collect()
    }
}

/// One line a situation.
impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Situation::ALL
            .into_iter()
            .try_for_each(|situation| writeln!(f, "{:>9} {situation:?}", self.count(situation)))
    }
}

//! The steps of applying a batch, and what comes back from each.

use std::sync::Arc;

use crate::channel::delivery::Delivery;
use crate::key::KeyHash;
use crate::mark::Mark;
use crate::scn::Scn;
use crate::transaction::Span;
use crate::version::Version;

/// What to do at the target next. Exactly one [`Outcome`] answers each step, but the last ones
/// (`Done`, `Retry`, `Stop`), which end the batch.
#[derive(Debug, Clone)]
pub enum Step {
    /// Begin a transaction.
    Begin(Isolation),
    /// Lock rows for update and say which of them are there. By primary key, or the holder of a
    /// secondary unique key's value.
    Lock(Vec<LockRow>),
    /// Read the server's own binlog file and position.
    ReadPosition,
    /// Wait until the ledger has read past this position of the target's binlog, at most the fence
    /// timeout.
    AwaitLedger(LogPosition),
    /// Read the whole current rows, for the conflict log.
    ReadRows(Vec<LockRow>),
    /// Write the mark. Always before the rows that it names.
    WriteMark(Box<Mark>),
    /// Set the savepoint that `RollBackToSavepoint` goes to.
    Savepoint,
    RollBackToSavepoint,
    /// Write rows, in this order where they touch the same row or unique key.
    Write(Vec<RowWrite>),
    /// Insert into `weft.conflict`.
    RecordConflicts(Vec<ConflictRecord>),
    Commit,
    /// The part is written, not committed; go on with the next part of the large transaction.
    /// Answered by `Apply::part`, not by an outcome.
    NeedPart,
    /// Roll back; answered by `Ok` even if there was nothing to roll back.
    RollBack,
    /// The batch is applied.
    Done(Report),
    /// The transaction is rolled back; run the same batch again, after a backoff.
    Retry(RetryCause),
    /// The transaction is rolled back; the shard stops at this change and reports it.
    Stop(Stop),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    ReadCommitted,
    /// Its gap locks hold keys that are not there.
    RepeatableRead,
}

/// A place in the target's own binlog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct LogPosition {
    /// Number of the binlog file.
    pub log_index: u32,
    /// Bytes from its start.
    pub log_pos: u64,
}

/// A row to be found by the key values of an image.
#[derive(Debug, Clone)]
pub struct LockRow {
    pub delivery: Arc<Delivery>,
    /// Index into the transaction's tables.
    pub table: u16,
    /// The row image whose values are used.
    pub image: Span,
    pub by: LockBy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockBy {
    /// The primary key.
    PrimaryKey,
    /// The unique key at this index of the table version's `unique_keys`.
    UniqueKey(u16),
}

/// A row to write.
#[derive(Debug, Clone)]
pub struct RowWrite {
    pub delivery: Arc<Delivery>,
    /// Index into the transaction's tables.
    pub table: u16,
    pub op: WriteOp,
}

/// Images are spans of the delivery's `raw`. An update finds its row by the primary key of
/// `before`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteOp {
    Insert {
        after: Span,
    },
    Update {
        before: Span,
        after: Span,
    },
    Delete {
        before: Span,
    },
    /// Deletes whatever other row holds the value that `image` has in the unique key at this index
    /// of the table version's `unique_keys`. The row was locked by the same image and key, as
    /// [`LockBy::UniqueKey`].
    DeleteHolder {
        image: Span,
        unique: u16,
    },
}

/// One conflict, for `weft.conflict`.
#[derive(Debug, Clone)]
pub struct ConflictRecord {
    pub delivery: Arc<Delivery>,
    pub table: u16,
    pub scn: Scn,
    pub key: KeyHash,
    /// An image of the source's row, before or after: by its primary key the row is found.
    pub image: Span,
    /// Image of the incoming row; None: it deletes.
    pub incoming: Option<Span>,
    /// Index into the answer of the batch's `ReadRows`; None where no row was there.
    pub local: Option<u32>,
    pub incoming_version: Version,
    /// What the incoming change overwrote at its origin.
    pub base: Option<Version>,
    pub local_version: Option<Version>,
    pub verdict: Verdict,
}

/// How a change that met another was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verdict {
    /// The incoming change has the greater version.
    IncomingWon,
    /// The local row has the greater version.
    LocalWon,
    /// The incoming row was evicted: the holder of its unique key is newer.
    IncomingEvicted,
    /// The local holder of the unique key was evicted.
    LocalEvicted,
}

impl Verdict {
    /// As `weft.conflict` and the metrics spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Verdict::IncomingWon => "incoming-won",
            Verdict::LocalWon => "local-won",
            Verdict::IncomingEvicted => "incoming-evicted",
            Verdict::LocalEvicted => "local-evicted",
        }
    }
}

/// What came back from a step.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// The step was carried out.
    Ok,
    /// Answer to `Lock`: parallel to its rows.
    Locked(Vec<Found>),
    /// Answer to `ReadPosition`.
    Position(LogPosition),
    /// Answer to `AwaitLedger`: the ledger did not pass in time.
    FenceTimedOut,
    /// Answer to `ReadRows`, parallel to it: the row as a JSON object, if it is there.
    RowsRead(Vec<Option<String>>),
    /// The mark's update matched no row: another owner has raised the epoch.
    Fenced,
    /// A write met a duplicate key (1062).
    DuplicateKey,
    /// A write missed its row (1032).
    MissingRow,
    /// Deadlock or lock wait timeout (1213, 1205); the server rolled back.
    Deadlock,
    /// The connection is gone; a commit under way may or may not have happened.
    ConnectionLost,
    /// The target refused for a reason that a person must see to.
    Refused(Stop),
}

/// Whether a row is there.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    No,
    Yes,
    /// By a unique key: the row that holds the value, as the key hash of its primary key and a
    /// canonical table map and delete rows event for it.
    Holder {
        key: KeyHash,
        delete_events: Vec<u8>,
    },
}

/// What applying a batch did.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    pub rows_applied: u64,
    pub rows_skipped: u64,
    /// Harmless differences that were passed over (a delete of a row already gone, an insert of a
    /// row that is there).
    pub rows_mended: u64,
    pub conflicts: Vec<(Verdict, u64)>,
    /// The target committed a mark: false where there was nothing to write.
    pub committed: bool,
    /// The mark's runs after this batch.
    pub runs: Vec<crate::mark::Run>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RetryCause {
    /// Decide again: a key was taken or a row went between lock and write.
    Raced,
    FenceTimedOut,
    Deadlock,
}

/// Why a shard stops: what, where, how to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    /// The change that cannot be applied, where there is one.
    pub scn: Option<Scn>,
    /// One line: what, where and what to do.
    pub reason: String,
    pub kind: StopKind,
}

impl Stop {
    /// The session is gone. What it had not committed is offered again after a recovery.
    pub fn connection_lost() -> Stop {
        Stop {
            scn: None,
            reason: "the connection to the target was lost; the channel recovers by itself".into(),
            kind: StopKind::ConnectionLost,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StopKind {
    /// The change does not fit the target (constraint, missing table or column, type).
    DoesNotFit,
    /// Another owner holds the channel.
    Fenced,
    /// The connection was lost: recover.
    ConnectionLost,
    /// Older than the ledger's horizon: copy the table again.
    TooOld,
    /// A destructive DDL.
    Ddl,
    /// The target refused (rights, read-only, disk).
    Refused,
    /// Source and target have one server id.
    SameServer,
}

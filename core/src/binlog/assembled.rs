//! What the [`assembler`](super::assembler) makes of a stream, and why it stops.

use bytes::Bytes;

use super::cursor::Malformed;
use super::event::EventType;
use super::format::EventError;
use super::payload::PayloadError;
use super::rows::RowsError;
use super::table_map::TableMapError;
use super::xa::Xid;
use crate::gtid::Gtid;
use crate::time::Micros;
use crate::transaction::Ddl;

/// What came out of the stream.
#[derive(Debug, Clone, PartialEq)]
pub enum Assembled {
    /// The dump was read up to here, and no transaction is open.
    Moved {
        log_index: u32,
        log_pos: u64,
        /// Server time of the event; None if the dump made it up.
        time: Option<Micros>,
    },
    /// The dump is now in this file.
    FileName(String),
    /// A format description event unlike the last, canonical: what follows is written under it.
    Format(Bytes),
    /// Part of a transaction that is too large to be held.
    Chunk(TxChunk),
    /// The chunks of the open transaction are void: it was rolled back, or its end was never
    /// written.
    Abandoned {
        gtid: Option<Gtid>,
    },
    Transaction(RawTransaction),
    /// An XA transaction was prepared: its rows, which count for nothing before it is decided. The chunks
    /// that went before are its own.
    Prepared {
        xid: Xid,
        transaction: RawTransaction,
    },
    /// A prepared XA transaction was committed or rolled back. It has no rows of its own.
    Decided {
        xid: Xid,
        committed: bool,
        transaction: RawTransaction,
    },
    Ddl(RawDdl),
}

/// Events of an open transaction. Begins with the table maps that its first rows need.
#[derive(Debug, Clone, PartialEq)]
pub struct TxChunk {
    /// Counted from 0.
    pub index: u32,
    pub gtid: Option<Gtid>,
    /// Canonical table map and rows events.
    pub events: Bytes,
}

/// A whole transaction, or what is left of it behind its chunks.
#[derive(Debug, Clone, PartialEq)]
pub struct RawTransaction {
    pub log_index: u32,
    /// Position after the transaction, in bytes from the start of the file.
    pub log_pos: u64,
    pub gtid: Option<Gtid>,
    pub server_id: u32,
    /// MySQL's commit in microseconds; else of the event that begins the transaction, in seconds.
    pub commit_time: Micros,
    /// Canonical table map and rows events, in order; empty if nothing was changed.
    pub events: Bytes,
    /// How many chunks went before.
    pub chunks: u32,
    /// DDL inside of the transaction (CREATE TABLE … SELECT).
    pub statements: Vec<Ddl>,
    pub ends: Ending,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// By an Xid event: a transactional engine committed.
    Xid,
    /// By a COMMIT statement.
    Commit,
    /// Rolled back: there are no rows, but the GTID is used up.
    Rollback,
    /// By XA PREPARE: what becomes of it is said later.
    Prepare,
    /// A statement that stood alone and changes nothing that is replicated.
    Statement,
}

/// A statement outside of a transaction that is not a change of rows.
#[derive(Debug, Clone, PartialEq)]
pub struct RawDdl {
    pub log_index: u32,
    /// Position after the statement.
    pub log_pos: u64,
    pub gtid: Option<Gtid>,
    pub server_id: u32,
    pub commit_time: Micros,
    pub ddl: Ddl,
}

/// Why the stream stops. Reading the same bytes again gives the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AssembleError {
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error(transparent)]
    Event(#[from] EventError),
    #[error(transparent)]
    Rows(#[from] RowsError),
    #[error(transparent)]
    Payload(#[from] PayloadError),
    #[error(transparent)]
    TableMap(#[from] TableMapError),
    #[error(
        "the binlog has an event of type {code}, which this release does not know and which may not be ignored"
    )]
    UnknownEvent { code: u8 },
    #[error("the binlog has a {kind:?} event, which this release cannot replicate")]
    Unsupported { kind: EventType },
    #[error("a change of rows was logged as a statement: {statement}; set binlog_format = ROW on the source")]
    StatementFormat {
        /// Its first characters.
        statement: String,
    },
    #[error("the binlog has a statement on an XA transaction that this release does not know: {statement}")]
    Xa {
        /// Its first characters.
        statement: String,
    },
    #[error("the source lost changes (an incident event); copy the replicated tables again")]
    Incident,
    #[error("a {kind:?} event came before any format description event")]
    NoFormat { kind: EventType },
    #[error("a {kind:?} event came outside of a transaction: the dump did not begin between transactions")]
    OutsideTransaction { kind: EventType },
    #[error("a transaction begins before the one before it has ended")]
    NotEnded,
    #[error("a transaction payload holds a {kind:?} event, which does not belong in one")]
    InPayload { kind: EventType },
    #[error("the binlog file's name '{0}' does not end in a number")]
    FileName(String),
    #[error("a transaction is rolled back to savepoint '{0}', the rows behind which were handed on already")]
    Savepoint(String),
    #[error("a rows event names table {table_id}, which no table map before it does")]
    NoTableMap { table_id: u64 },
    #[error("one statement locks more tables than this release holds")]
    TooManyTables,
}

//! A captured transaction: what the replicator stamps once and every later stage only reads.
//!
//! The raw bytes hold binlog events in *canonical form*: the 19-byte header with `event_size` of the
//! event as it stands (no checksum behind it), then the body; compressed rows are unpacked. Row
//! images are found by the offsets in the stamps, so nobody downstream walks the events again.

use bytes::Bytes;
use rkyv::{Archive, Deserialize, Serialize};

use crate::catalog::CatalogId;
use crate::gtid::Gtid;
use crate::key::KeyHash;
use crate::scn::Scn;
use crate::tables::TableName;
use crate::time::Micros;
use crate::version::Version;

/// A transaction, or one part of a large one, with its stamps and its raw rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Transaction {
    pub header: TransactionHeader,
    /// Canonical table map and rows events.
    pub raw: Bytes,
}

/// What is archived at the head of a frame.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct TransactionHeader {
    /// `row` is 0, but in the second and later parts of a large transaction, where it is the number
    /// of the last row before the part: parts rise too.
    pub scn: Scn,
    /// The server that wrote the binlog; rides along with the SCN.
    pub server_id: u32,
    pub gtid: Option<Gtid>,
    /// From the binlog; the start of the statement on MariaDB, in whole seconds.
    pub commit_time: Micros,
    /// Catalog id of the format description event that `raw` was written under.
    pub format: CatalogId,
    pub body: Body,
}

#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq)]
pub enum Body {
    /// Row changes.
    Rows(Rows),
    /// A statement that is not row changes.
    Ddl(Ddl),
    /// The instance's own heartbeat, written by its node at this time of that node's clock.
    Heartbeat { written: Micros },
}

#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
pub struct Rows {
    pub tables: Vec<TableUse>,
    /// In binlog order.
    pub rows: Vec<RowStamp>,
    /// Unique-key values that rows took or gave up; sorted by row.
    pub unique: Vec<UniqueStamp>,
    /// Keys that got a version without a row event: named in the mark, but equal or absent at this
    /// instance. They belong to the ledger's history and are not sent on.
    pub silent: Vec<SilentKey>,
    /// None: the transaction is whole.
    pub part: Option<Part>,
}

/// A key that got a version without a row event.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, Copy, PartialEq)]
pub struct SilentKey {
    pub key: KeyHash,
    pub version: Version,
}

/// Which part of a large transaction this is. All parts share the transaction's epoch, log index
/// and log position.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Counted from 0.
    pub index: u32,
    pub last: bool,
}

/// A table that the transaction touches.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct TableUse {
    pub name: TableName,
    pub version: CatalogId,
    /// Where in `raw` the table map event starts, and its length in bytes.
    pub table_map: Span,
}

/// A stretch of `raw`, in bytes.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    pub at: u32,
    pub len: u32,
}

impl Span {
    /// No bytes.
    pub const NONE: Span = Span { at: 0, len: 0 };

    pub const fn range(self) -> std::ops::Range<usize> {
        self.at as usize..self.at as usize + self.len as usize
    }
}

#[derive(Archive, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
#[rkyv(derive(Debug, PartialEq))]
pub enum RowKind {
    Insert,
    Update,
    Delete,
    /// A row that lost a unique key to a newer one and is to be deleted everywhere, here too.
    Evict,
}

/// One row change. Stamped once by the replicator.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, Copy, PartialEq)]
pub struct RowStamp {
    /// Number of the row in the whole source transaction, counted from 1; stays the same when a
    /// filter takes other rows out.
    pub row: u32,
    /// Index into [`Rows::tables`].
    pub table: u16,
    pub kind: RowKind,
    /// Key of the row after the change; for deletes and evictions, before it.
    pub key: KeyHash,
    /// Key before the change, where an update moved it.
    pub old_key: Option<KeyHash>,
    pub version: Version,
    /// The version of `key` that this change overwrote; None: none was known.
    pub base: Option<Version>,
    /// The same for `old_key`.
    pub old_base: Option<Version>,
    /// Row image before (update, delete, evict) in `raw`; empty for inserts.
    pub before: Span,
    /// Row image after (insert, update) in `raw`; empty for deletes and evictions.
    pub after: Span,
}

/// A unique-key value that a row took or gave up.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
pub struct UniqueStamp {
    /// Index into [`Rows::rows`].
    pub row: u32,
    /// Hash over the table, the key's name and its values. Values with a NULL have none.
    pub hash: KeyHash,
    /// The row has the value after the change (else only before).
    pub after: bool,
    /// The value is on one side of the change only: the row takes or gives it up.
    pub changed: bool,
}

/// A statement that is not row changes.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct Ddl {
    pub kind: DdlKind,
    /// Default schema of the session.
    pub schema: String,
    pub statement: String,
    /// The tables it names, as far as they were recognised.
    pub tables: Vec<TableName>,
}

#[derive(Archive, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
#[rkyv(derive(Debug))]
pub enum DdlKind {
    /// Removes or replaces rows or the table itself (TRUNCATE, DROP, RENAME, EXCHANGE PARTITION):
    /// stops a channel that replicates the table.
    Destructive,
    /// Everything else: recorded.
    Other,
}

impl Transaction {
    /// Rows of the transaction; none for statements and heartbeats.
    pub fn rows(&self) -> Option<&Rows> {
        match &self.header.body {
            Body::Rows(rows) => Some(rows),
            Body::Ddl(_) | Body::Heartbeat { .. } => None,
        }
    }

    /// The SCN up to which this frame completes the history: None inside a large transaction.
    pub fn completes(&self) -> Option<Scn> {
        match self.rows().and_then(|rows| rows.part) {
            Some(part) if !part.last => None,
            _ => Some(self.header.scn.transaction()),
        }
    }

    /// The bytes of a span of `raw`.
    pub fn bytes(&self, span: Span) -> &[u8] {
        &self.raw[span.range()]
    }
}

impl RowStamp {
    /// SCN of this row, given any SCN of its transaction.
    pub const fn scn(&self, transaction: Scn) -> Scn {
        transaction.with_row(self.row)
    }

    /// The keys that the change touches: its own and, where it moved, the old one.
    pub fn keys(&self) -> impl Iterator<Item = KeyHash> {
        std::iter::once(self.key).chain(self.old_key)
    }
}

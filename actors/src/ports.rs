//! What the actors need of the world, as traits. The node gives them MySQL, mmap and TCP; the
//! simulation gives them models.

use std::sync::Arc;

use futures::future::BoxFuture;
use weft_core::binlog::begin::{BinlogPlace, StartAt};
use weft_core::binlog::log_file::LogFiles;
use weft_core::binlog::primary::{Candidate, LastCaptured};
use weft_core::catalog::{CatalogEntry, CatalogId, TableVersion, UniqueKey};
use weft_core::channel::recovery::StoredWatermark;
use weft_core::gtid::GtidPosition;
use weft_core::link::message::{FromClient, FromServer, Hello};
use weft_core::mark::{Epoch, Mark};
use weft_core::scn::Scn;
use weft_core::sink::step::{LogPosition, Outcome, Step};
use weft_core::tables::TableName;
use weft_core::time::Micros;
use weft_core::transaction::Transaction;

/// Reads and serves the time.
pub trait Clock: Send + Sync {
    /// Wall-clock time.
    fn now(&self) -> Micros;
}

/// A source instance.
pub trait Source: Send + Sync {
    /// Finds the instance's primary, which all other calls go to from then on: who answers, and how far
    /// its binlog has come. `last` is what was captured before.
    fn identify(&self, last: Option<LastCaptured>) -> BoxFuture<'_, Result<SourceIdentity, SourceError>>;
    /// Waits until the server that answers is not the primary any more and another one is, or why none
    /// may be. `last` says what was captured whenever that is asked for.
    fn moved(&self, last: Arc<dyn Fn() -> LastCaptured + Send + Sync>) -> BoxFuture<'_, ()>;
    /// Opens the binlog dump of the server with this id: a place in its history says nothing at another
    /// one, and the address may lead there meanwhile. Events come in canonical form, checksums verified.
    fn stream(
        &self,
        from: StreamFrom,
        server_id: u32,
    ) -> BoxFuture<'_, Result<Box<dyn EventStream>, SourceError>>;
    /// What the server says of a table now; None if it is not there (any more).
    fn describe<'a>(&'a self, table: &'a TableName)
    -> BoxFuture<'a, Result<Option<TableFacts>, SourceError>>;
    /// Where the instance's captured history begins; None: nothing was captured ever, and nothing is
    /// written now: places in the binlog are looked for first. Creates what is missing of Weft's schema
    /// otherwise.
    fn history(&self) -> BoxFuture<'_, Result<Option<CaptureStart>, SourceError>>;
    /// Creates Weft's schema where it is missing, and writes where the history begins, the first time: at
    /// that place, or where the binlog ends now.
    fn begin(&self, at: Option<BinlogPlace>) -> BoxFuture<'_, Result<CaptureStart, SourceError>>;
    /// Finds the place in the binlog at which a channel is told to begin.
    fn locate<'a>(&'a self, start: &'a StartAt) -> BoxFuture<'a, Result<BinlogPlace, SourceError>>;
    /// Stores in the instance that its history goes on under another server, in the next epoch, so that
    /// a node without memory begins there. One that is stored already stays.
    fn begin_epoch(&self, epoch: EpochStart) -> BoxFuture<'_, Result<(), SourceError>>;
    /// Where the channel began; None: it did not yet.
    fn channel_start<'a>(
        &'a self,
        channel: &'a str,
    ) -> BoxFuture<'a, Result<Option<ChannelStart>, SourceError>>;
    /// Stores where the channel begins; what was stored before stays. Gives what is stored.
    fn begin_channel<'a>(
        &'a self,
        channel: &'a str,
        start: ChannelStart,
    ) -> BoxFuture<'a, Result<ChannelStart, SourceError>>;
    /// Writes the instance's heartbeat row; gives the server id, which can be set while a server runs.
    fn heartbeat(&self, now: Micros) -> BoxFuture<'_, Result<u32, SourceError>>;
}

/// Who answers behind an instance's address.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceIdentity {
    pub server: Candidate,
    /// As `SELECT VERSION()` says it.
    pub version: String,
    /// Name of the binlog file being written, and the position in it.
    pub file: String,
    pub position: u64,
}

/// Where the captured history of an instance begins; kept in the instance itself, so that a node
/// that lost its data directory can read the same history again.
#[derive(Debug, Clone, PartialEq)]
pub struct CaptureStart {
    /// SCN epoch of the server that the instance's history is captured from.
    pub epoch: u32,
    pub server_id: u32,
    /// File number 0: the epoch begins after `gtid`, wherever that is in the files.
    pub file: String,
    pub position: u64,
    pub gtid: GtidPosition,
    /// Versions up to this time may be from earlier epochs; 0 in the first.
    pub versions_to: Micros,
    /// It was written just now: the instance had no history with Weft.
    pub new: bool,
}

/// Where a channel begins; kept in the instance that it reads from.
#[derive(Debug, Clone, PartialEq)]
pub struct ChannelStart {
    /// Exclusive.
    pub after: Scn,
    /// What the configuration said then; None: now.
    pub asked: Option<StartAt>,
}

/// Where an epoch begins that is not the first.
#[derive(Debug, Clone, PartialEq)]
pub struct EpochStart {
    pub epoch: u32,
    pub server_id: u32,
    /// Names of binlog files without the number.
    pub log_base: String,
    /// What was captured under the epochs before.
    pub gtid: GtidPosition,
    /// The newest version that was.
    pub versions_to: Micros,
}

/// Where a binlog dump begins.
#[derive(Debug, Clone, PartialEq)]
pub enum StreamFrom {
    /// At a position, which must be the end of a transaction or of a file's head (4).
    Position { file: String, position: u64 },
    /// After these GTIDs.
    Gtid(GtidPosition),
}

/// A binlog dump. Dropping it closes the connection.
pub trait EventStream: Send {
    /// The next events that are there: at least one, waiting if need be, and as many more as came
    /// with it, up to some hundred. Each is header and body without checksum.
    fn next(&mut self) -> BoxFuture<'_, Result<Vec<Vec<u8>>, SourceError>>;
}

/// Why a source could not serve.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SourceError {
    /// Connection refused, lost, timed out: try again, for ever.
    #[error("{0}")]
    Unreachable(String),
    /// The binlog at our position is gone (error 1236 and its kin).
    #[error("{0}")]
    Purged(String),
    /// Rights, settings, an event with a wrong checksum: a person must see to it.
    #[error("{0}")]
    Refused(String),
}

/// What the server says of a table: see [`weft_core::catalog::Column`] for the fields.
#[derive(Debug, Clone, PartialEq)]
pub struct TableFacts {
    pub columns: Vec<ColumnFacts>,
    /// Indexes into `columns`, in key order.
    pub primary_key: Vec<u16>,
    pub unique_keys: Vec<UniqueKey>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ColumnFacts {
    pub name: String,
    pub column_type: String,
    /// Collation id; 63 for binary strings, 0 if not a character column.
    pub collation: u16,
    pub nullable: bool,
    pub default: Option<String>,
    pub generated: bool,
}

/// The event buffer of one instance on this node. Append and read do not wait for disks; they run
/// inside handlers.
pub trait EventBuffer: Send + Sync {
    /// Appends a frame.
    ///
    /// # Errors
    /// An SCN that does not rise is refused; so is a frame that cannot be stored (disk full).
    fn append(&self, transaction: &Transaction) -> Result<(), BufferError>;
    /// States where the history begins, while nothing was ever appended: readers may then start at
    /// `at` and not only after the first frame. Later it changes nothing.
    fn begin(&self, at: Scn) -> Result<(), BufferError> {
        let _ = at;
        Ok(())
    }
    /// Adds a catalog entry; its id is the next free one.
    fn add_catalog(&self, entry: CatalogEntry) -> Result<(), BufferError>;
    /// All catalog entries, in the order of their ids.
    fn catalog(&self) -> Vec<Arc<CatalogEntry>>;
    fn catalog_entry(&self, id: CatalogId) -> Option<Arc<CatalogEntry>>;
    /// The newest version of the table.
    fn newest_table(&self, name: &TableName) -> Option<(CatalogId, Arc<TableVersion>)>;
    /// SCN of the newest whole transaction; None while empty.
    fn newest(&self) -> Option<Scn>;
    /// Readers that start at or after this SCN are served from here; None while empty.
    fn oldest(&self) -> Option<Scn>;
    /// Bytes and whole transactions held.
    fn size(&self) -> (u64, u64);
    /// Bytes that may be held; 0: no limit.
    fn limit_bytes(&self) -> u64 {
        0
    }
    /// A reader of the frames after `after` (exclusive). Sees frames appended later.
    fn reader(&self, after: Scn) -> Result<Box<dyn FrameReader>, BufferError>;
    /// Makes everything appended so far survive a crash of the machine.
    fn sync(&self) -> Result<(), BufferError>;
}

/// Reads frames in SCN order. Parts of a large transaction are seen only once its last part is in.
pub trait FrameReader: Send {
    /// The next frame's bytes; None if there is no newer one now.
    fn next(&mut self) -> Result<Option<FrameRef>, BufferError>;
}

/// A frame in the mapped buffer or copied from it; decode with `weft_core::buffer::frame`.
pub type FrameRef = bytes::Bytes;

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum BufferError {
    #[error("SCN {new} does not rise above {newest}")]
    NotRising { new: Scn, newest: Scn },
    #[error("{after} is older than the buffer, which begins at {oldest}")]
    TooOld { after: Scn, oldest: Scn },
    #[error("cannot write the event buffer at {path}: {cause}; free space there, capture goes on by itself")]
    Write { path: String, cause: String },
    #[error("the event buffer at {path} is damaged: {cause}")]
    Damaged { path: String, cause: String },
}

/// A target instance, for one direction of one channel.
pub trait Target: Send + Sync {
    /// Takes the channel over: shuts out the old owner, raises the epoch in every mark row (creating
    /// the rows where there are none, with `start` as watermark), and only then reads them.
    fn recover(&self, shards: u16, start: Option<Scn>) -> BoxFuture<'_, Result<Recovered, TargetError>>;
    /// Opens the session of a shard, under the epoch that `recover` gave.
    fn session(&self, shard: u16, epoch: Epoch) -> BoxFuture<'_, Result<Box<dyn Session>, TargetError>>;
    /// Puts on record, in `weft.conflict`, that the operator passed over the change at this SCN.
    fn record_skip<'a>(&'a self, scn: Scn, what: &'a str) -> BoxFuture<'a, Result<(), TargetError>>;
    /// Whether another owner took the channel over after our last recovery, and its sessions are alive
    /// at the target.
    fn owned_by_other(&self) -> BoxFuture<'_, Result<bool, TargetError>>;
}

/// What a recovery found.
#[derive(Debug, Clone, PartialEq)]
pub struct Recovered {
    pub epoch: Epoch,
    /// The epoch that the marks had before.
    pub before: Epoch,
    /// Of the server that answered.
    pub server_id: u32,
    /// The marks of the channel's shards; empty bodies on a first start. None: no mark rows are
    /// there and no `start` was given.
    pub marks: Option<Vec<(u16, Mark)>>,
    /// Changes that an operator passed over and that may still be above the watermark.
    pub skipped: Vec<Scn>,
    /// Where the target's binlog was after the epoch was raised.
    pub position: LogPosition,
}

/// A shard's connection to the target. After `ConnectionLost` it is dropped.
pub trait Session: Send {
    /// Carries out one step. `Done`, `Retry`, `Stop` and `AwaitLedger` are not for it.
    fn run(&mut self, step: Step) -> BoxFuture<'_, Outcome>;
    /// Between two batches: `Ok` if the session is still there and its server is one that may be written.
    fn look(&mut self) -> BoxFuture<'_, Outcome>;
}

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TargetError {
    #[error("{0}")]
    Unreachable(String),
    #[error("{0}")]
    Refused(String),
    /// Another owner raised the epoch above ours.
    #[error("{0}")]
    Fenced(String),
}

/// Connects to other nodes.
pub trait Peers: Send + Sync {
    /// Connects and says hello; the answer is the first message received.
    fn connect(&self, address: String, hello: Hello)
    -> BoxFuture<'_, Result<Box<dyn PeerStream>, PeerError>>;
}

/// One connection of the peer link, from the connecting side.
pub trait PeerStream: Send {
    /// The next message. Cancel-safe.
    fn receive(&mut self) -> BoxFuture<'_, Result<FromServer, PeerError>>;
    fn send(&mut self, message: FromClient) -> BoxFuture<'_, Result<(), PeerError>>;
    /// Bytes received so far, those of a message still under way included: a peer that sends one
    /// long message over a slow line is not silent. 0 where nobody counts.
    fn bytes_received(&self) -> u64 {
        0
    }
}

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PeerError {
    #[error("{0}")]
    Unreachable(String),
    #[error("{0}")]
    Refused(String),
}

/// What a node keeps on disk for one instance, besides the event buffer. A cache: all of it can be
/// read again from the instance itself while its binlogs last.
pub trait CaptureStore: Send + Sync {
    /// The chunks of the newest ledger checkpoint, in the order they were saved; None if there is
    /// none.
    fn load_ledger(&self) -> Result<Option<Vec<Vec<u8>>>, StoreError>;
    /// Replaces the checkpoint, atomically and durably.
    fn save_ledger(&self, chunks: &mut dyn Iterator<Item = Vec<u8>>) -> Result<(), StoreError>;
    /// A place for the chunks of one large transaction.
    fn spill(&self) -> Result<Box<dyn Spill>, StoreError>;
    /// Remembers a local transaction whose version time is not its commit time.
    fn record_stamp(&self, scn: Scn, time: Micros) -> Result<(), StoreError>;
    /// The version times remembered from `after` (exclusive) on.
    fn stamps_after(&self, after: Scn) -> Result<Vec<(Scn, Micros)>, StoreError>;
    /// The binlog files that were captured last.
    fn log_files(&self) -> Result<LogFiles, StoreError>;
    /// Replaces the list, durably.
    fn save_log_files(&self, files: &LogFiles) -> Result<(), StoreError>;
}

/// Chunks of one large transaction, out of memory. Dropping it frees the place.
pub trait Spill: Send {
    fn push(&mut self, chunk: &[u8]) -> Result<(), StoreError>;
    /// The chunks from the first on, one in memory at a time. Can be asked for again.
    fn chunks(&mut self) -> Result<SpilledChunks<'_>, StoreError>;
}

/// Reads chunks back in the order they were pushed.
pub type SpilledChunks<'a> = Box<dyn Iterator<Item = Result<Vec<u8>, StoreError>> + Send + 'a>;

/// The node's data directory could not serve.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{path}: {cause}")]
pub struct StoreError {
    pub path: String,
    pub cause: String,
}

/// How far each inbound channel came, kept beside the marks: skipped and foreign transactions move
/// the watermark too, but only here.
pub trait WatermarkStore: Send + Sync {
    /// The watermark stored last for this direction, with the mark's watermark at that time.
    fn load(&self, direction: &str) -> Option<StoredWatermark>;
    fn save(&self, direction: &str, stored: StoredWatermark);
}

//! What a referee needs of the world, as traits.

use std::time::Duration;

use futures::future::BoxFuture;
use weft_core::filter::referee::{Contest, Entry, Row, Ruled, Why, Winner};
use weft_core::key::KeyHash;
use weft_core::sink::step::LogPosition;
use weft_core::tables::TableName;

use crate::ports::TargetError;

/// The open conflicts at an instance that decides them.
pub trait Docket: Send + Sync {
    /// Keys with open conflicts, those of the oldest first, at most `cases_max` of each channel.
    fn open(&self, cases_max: usize) -> BoxFuture<'_, Result<Vec<OpenCase>, TargetError>>;
    /// How many conflicts are open, and for how long.
    fn backlog(&self) -> BoxFuture<'_, Result<Backlog, TargetError>>;
    /// Begins a transaction that holds the key's row, be it there or not.
    fn hold<'a>(&'a self, case: &'a OpenCase) -> BoxFuture<'a, Result<Box<dyn Held>, TargetError>>;
}

/// The open conflicts of an instance together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backlog {
    pub open: u64,
    /// Of the one that was recorded first, by the instance's clock; zero where none is open.
    pub oldest_age: Duration,
}

/// A key with open conflicts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenCase {
    pub key: KeyHash,
    /// The channel of the oldest of them.
    pub channel: String,
    pub table: TableName,
    /// Names and SQL literals of the primary key.
    pub row_key: Vec<(String, String)>,
}

/// A transaction that holds the row of a case. Dropped without [`Held::commit`], it is rolled back.
pub trait Held: Send {
    /// The table is as it was when the conflicts were recorded, as far as finding the row goes.
    fn fits(&self) -> bool;
    /// The server whose row it is: positions are of its binlog.
    fn server_id(&self) -> u32;
    /// The binlog's position once the row was held: what the ledger must have passed to be asked.
    fn position(&self) -> LogPosition;
    /// The binlog's position now.
    fn position_now(&mut self) -> BoxFuture<'_, Result<LogPosition, TargetError>>;
    /// The records of the key, by rising id: all open ones and the newest of the others.
    fn entries(&mut self) -> BoxFuture<'_, Result<Vec<Entry>, TargetError>>;
    /// The row; None: there is none.
    fn row(&self) -> Option<Row>;
    /// Writes the row that the ruling names and closes the conflicts; where the row cannot be written,
    /// says why, and has changed nothing.
    fn write<'a>(&'a mut self, ruled: &'a Ruled) -> BoxFuture<'a, Result<Result<(), Why>, TargetError>>;
    fn commit(self: Box<Self>) -> BoxFuture<'static, Result<(), TargetError>>;
    /// Lets go of the row; nothing was changed.
    fn release(self: Box<Self>) -> BoxFuture<'static, ()>;
}

/// Asks the user's program who wins.
pub trait Arbiter: Send + Sync {
    /// One try.
    fn ask<'a>(
        &'a self,
        case: &'a OpenCase,
        contest: &'a Contest,
    ) -> BoxFuture<'a, Result<Winner, ArbiterError>>;
}

/// Why a try brought no answer. All are tried again. None has an address in it: there may be a
/// password in one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum ArbiterError {
    #[error("no answer in time")]
    Timeout,
    #[error("no connection")]
    Unreachable,
    #[error("the answer's status is not 200")]
    Status,
    #[error("the answer is not {{\"winner\": \"incoming\"}} or {{\"winner\": \"local\"}}")]
    BadAnswer,
}

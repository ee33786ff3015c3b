//! The binlog: transactions in the order of their commits.

use weft_core::gtid::MariaDbGtid;
use weft_core::mark::{Epoch, Mark};
use weft_core::sink::step::LogPosition;
use weft_core::time::Micros;

use super::{Database, MarkId};
use crate::sim::row::{Row, TableId};

/// What a transaction left in the binlog, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    Mark { of: MarkId, epoch: Epoch, mark: Mark },
    Row { table: TableId, before: Option<Row>, after: Option<Row> },
    Heartbeat(Micros),
}

/// A transaction of the binlog.
#[derive(Debug, Clone, PartialEq)]
pub struct Logged {
    pub gtid: MariaDbGtid,
    /// The position after it.
    pub end: LogPosition,
    /// Whole seconds of the server's clock when its statement began.
    pub time: Micros,
    pub events: Vec<Event>,
    /// A channel wrote it, whatever its marks say: what a reader cannot know, and the oracles do.
    pub foreign: bool,
}

impl Database {
    pub(super) fn log(&mut self, time: Micros, events: Vec<Event>, foreign: bool) {
        self.position.log_pos += self.transaction_bytes;
        let gtid = self.next_gtid();
        let time = Micros::from_secs(time.0 / 1_000_000);
        self.binlog.push(Logged { gtid, end: self.position, time, events, foreign });
    }

    /// Begins a new binlog file.
    pub fn rotate(&mut self) {
        self.position = LogPosition { log_index: self.position.log_index + 1, log_pos: 4 };
    }

    /// Binlog file and position: never behind a commit whose locks are free.
    pub fn position(&self) -> LogPosition {
        self.position
    }

    /// Writes the instance's heartbeat row.
    pub fn heartbeat(&mut self, now: Micros) {
        self.log(now, vec![Event::Heartbeat(now)], false);
    }
}

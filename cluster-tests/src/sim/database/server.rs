//! Who a server is, and what becomes of its history when it is replaced by a replica, or crashes
//! without having synced its last commits.

use std::collections::BTreeMap;

use weft_core::binlog::primary::Candidate;
use weft_core::binlog::resume::{Answering, Resume, log_name, split_log_name};
use weft_core::flavour::Flavour;
use weft_core::gtid::{Gtid, GtidPosition, MariaDbGtid};
use weft_core::sink::step::LogPosition;

use super::{Database, Event, Logged, StoredMark};

/// Names of binlog files without the number, at every server.
pub const LOG_BASE: &str = "binlog";

impl Database {
    /// What the server says of itself.
    pub fn identify(&self) -> Answering {
        let server = Candidate {
            address: format!("server {}", self.server_id),
            server_id: self.server_id,
            flavour: Flavour::MariaDb,
            writable: true,
            replicates_from: Vec::new(),
            gtids: self.gtids(),
            written: self.written(),
        };
        Answering {
            server,
            file: log_name(LOG_BASE, self.position.log_index),
            position: self.position.log_pos,
        }
    }

    /// GTIDs of all that is in the binlog.
    fn gtids(&self) -> GtidPosition {
        let mut gtids = GtidPosition::default();
        self.binlog.last().iter().for_each(|logged| gtids.advance(&Gtid::MariaDb(logged.gtid)));
        gtids
    }

    /// The newest GTID of each server that wrote what is in the binlog.
    fn written(&self) -> Vec<Gtid> {
        let newest: BTreeMap<u32, MariaDbGtid> =
            self.binlog.iter().map(|logged| (logged.gtid.server_id, logged.gtid)).collect();
        newest.into_values().map(Gtid::MariaDb).collect()
    }

    /// Opens a dump: the number of the first transaction that it brings.
    ///
    /// # Errors
    /// Error 1236: the place is not in the server's binlogs.
    pub fn dump(&self, from: &Resume) -> Result<usize, String> {
        match from {
            Resume::At { file, position } => {
                let (_, log_index) = split_log_name(file).expect("files are numbered");
                self.dump_at(LogPosition { log_index, log_pos: *position })
            }
            Resume::After { gtids, .. } => gtids.domains().values().try_fold(0, |next: usize, gtid| {
                let at = self.binlog.iter().position(|logged| logged.gtid == *gtid);
                Ok(next.max(at.ok_or_else(|| format!("the requested GTID {gtid} is missing"))? + 1))
            }),
            Resume::Stop(reason) | Resume::Lost(reason) => Err(reason.clone()),
        }
    }

    fn dump_at(&self, at: LogPosition) -> Result<usize, String> {
        let next = self.binlog.partition_point(|logged| logged.end <= at);
        let ends_here = next > 0 && self.binlog[next - 1].end == at;
        let head_of_file = at.log_pos == 4 && at.log_index <= self.position.log_index;
        if ends_here || head_of_file {
            Ok(next)
        } else {
            Err(format!("{}:{} is an impossible position", at.log_index, at.log_pos))
        }
    }

    /// A native replica that has the first `kept` transactions is promoted in this one's place. The
    /// GTIDs are the same, its files and positions are its own.
    pub fn promoted(&self, kept: usize, server_id: u32) -> Database {
        let mut replica = Database { server_id, next_session: self.next_session, ..Database::default() };
        // It writes more beside each transaction than its primary did, so that no place is the same.
        replica.transaction_bytes = self.transaction_bytes + 7;
        for (logged, number) in self.binlog[..kept].iter().zip(1..) {
            replica.redo(logged);
            if number % 50 == 0 {
                replica.rotate();
            }
            replica.position.log_pos += replica.transaction_bytes;
            replica.binlog.push(Logged { end: replica.position, ..logged.clone() });
        }
        replica.sequence = replica.binlog.last().map_or(0, |logged| logged.gtid.sequence);
        replica.purge();
        replica
    }

    /// The server dies and comes back with its first `kept` transactions: the others were never synced.
    pub fn crash_losing(&mut self, kept: usize) {
        let mut after = Database {
            server_id: self.server_id,
            next_session: self.next_session,
            transaction_bytes: self.transaction_bytes,
            position: self.position,
            life: self.life + 1,
            ..Database::default()
        };
        after.binlog = self.binlog[..kept].to_vec();
        let binlog = std::mem::take(&mut self.binlog);
        binlog[..kept].iter().for_each(|logged| after.redo(logged));
        // Its numbers are given again.
        after.sequence = after.binlog.last().map_or(0, |logged| logged.gtid.sequence);
        after.purge();
        after.rotate();
        *self = after;
    }

    /// Applies a transaction of a binlog as a replica does.
    fn redo(&mut self, logged: &Logged) {
        for event in &logged.events {
            match event {
                Event::Mark { of, epoch, mark } => {
                    let stored = StoredMark { epoch: *epoch, body: mark.encode(), before: Vec::new() };
                    self.marks.insert(*of, stored);
                }
                Event::Row { table, before, after } => {
                    let id = after.or(*before).map_or(0, |row| row.id);
                    if let Some(moved) = before.filter(|before| before.id != id) {
                        self.put(*table, moved.id, None);
                    }
                    self.put(*table, id, *after);
                }
                Event::Heartbeat(_) => {}
            }
        }
    }

    /// The GTID of the next transaction.
    pub(super) fn next_gtid(&mut self) -> MariaDbGtid {
        self.sequence += 1;
        MariaDbGtid { domain: 0, server_id: self.server_id, sequence: self.sequence }
    }
}

//! Transactions of a binlog in, stamped frames out: for the capture, and for history that is read
//! again. Mirrors `weft_actors::binlog::pipe` and `large`.

use std::collections::BTreeMap;

use bytes::Bytes;
use weft_core::gtid::Gtid;
use weft_core::instance::InstanceId;
use weft_core::ledger::Ledger;
use weft_core::scn::Scn;
use weft_core::stamp::{self, Naming};
use weft_core::time::Micros;
use weft_core::transaction::{Body, Part, Transaction, TransactionHeader};
use weft_core::version::Version;

use super::scan::scan;
use crate::sim::database::{Event, Logged};
use crate::sim::row;

/// How transactions of one server are stamped.
pub(super) struct Pipe<'a> {
    pub origin: InstanceId,
    pub epoch: u32,
    pub server_id: u32,
    /// Rows of one part of a transaction; larger ones are cut.
    pub part_rows: usize,
    /// Set where history is read again: the version times that were not the commit times.
    pub replayed: Option<&'a BTreeMap<Scn, Micros>>,
}

/// The frames of one transaction.
pub(super) struct Stamped {
    pub frames: Vec<Transaction>,
    /// The time of its local rows, where that is not the commit time.
    pub bumped: Option<Micros>,
}

impl Pipe<'_> {
    pub fn scn(&self, logged: &Logged) -> Scn {
        Scn::of_transaction(self.epoch, logged.end.log_index, logged.end.log_pos)
    }

    pub fn stamp(&self, logged: &Logged, ledger: &mut Ledger) -> Stamped {
        if let [Event::Heartbeat(written)] = logged.events[..] {
            ledger.note_heartbeat(written);
            let frame = self.transaction(logged, 0, Body::Heartbeat { written }, Vec::new());
            return Stamped { frames: vec![frame], bumped: None };
        }
        let rows = logged.events.iter().filter(|event| matches!(event, Event::Row { .. })).count();
        if rows > self.part_rows { self.large(logged, ledger) } else { self.small(logged, ledger) }
    }

    fn small(&self, logged: &Logged, ledger: &mut Ledger) -> Stamped {
        let (mut rows, raw, marks) = scan(&logged.events, 0);
        let mut naming = Naming::default();
        let greatest = stamp::max_known(&rows, &marks, &mut naming, ledger);
        let (time, bumped) = self.time_of(logged, greatest, ledger);
        let mut naming = Naming::default();
        stamp::stamp_rows(&mut rows, &marks, &mut naming, ledger, Version::new(time, self.origin));
        stamp::finish(&mut rows, &mut naming, ledger);
        rows.silent.sort_by_key(|silent| silent.key);
        if rows.rows.is_empty() && rows.silent.is_empty() {
            return Stamped { frames: Vec::new(), bumped: None };
        }
        let bumped = bumped.filter(|_| !rows.rows.is_empty());
        Stamped { frames: vec![self.transaction(logged, 0, Body::Rows(rows), raw)], bumped }
    }

    /// The chunks of a large transaction pass twice: for the one time of its local rows, then to be
    /// stamped and sent.
    fn large(&self, logged: &Logged, ledger: &mut Ledger) -> Stamped {
        let chunks: Vec<&[Event]> = logged.events.chunks(self.part_rows.max(1)).collect();
        let mut naming = Naming::default();
        let mut greatest = None;
        for chunk in &chunks {
            let (rows, _, marks) = scan(chunk, 0);
            greatest = greatest.max(stamp::max_known(&rows, &marks, &mut naming, ledger));
        }
        let (time, bumped) = self.time_of(logged, greatest, ledger);
        let local = Version::new(time, self.origin);
        let (mut naming, mut rows_before) = (Naming::default(), 0);
        let mut parts: Vec<Transaction> = Vec::new();
        let last = chunks.len() - 1;
        for (index, chunk) in chunks.into_iter().enumerate() {
            let (mut rows, raw, marks) = scan(chunk, rows_before);
            stamp::stamp_rows(&mut rows, &marks, &mut naming, ledger, local);
            if index == last {
                stamp::finish(&mut rows, &mut naming, ledger);
            }
            rows.silent.sort_by_key(|silent| silent.key);
            let count = rows.rows.len() as u32;
            match parts.last_mut().map(|before| &mut before.header.body) {
                Some(Body::Rows(before)) if count == 0 => before.silent.extend(rows.silent),
                _ => parts.push(self.transaction(logged, rows_before, Body::Rows(rows), raw)),
            }
            rows_before += count;
        }
        number(&mut parts);
        Stamped { frames: parts, bumped }
    }

    /// The time of the local rows; again where it is not the commit time and has to be remembered.
    fn time_of(
        &self,
        logged: &Logged,
        greatest: Option<Micros>,
        ledger: &Ledger,
    ) -> (Micros, Option<Micros>) {
        match self.replayed {
            Some(times) => (times.get(&self.scn(logged)).copied().unwrap_or(logged.time), None),
            None => {
                let time = stamp::stamp_time(logged.time, greatest, ledger);
                (time.time, time.bumped.then_some(time.time))
            }
        }
    }

    fn transaction(&self, logged: &Logged, rows_before: u32, body: Body, raw: Vec<u8>) -> Transaction {
        let header = TransactionHeader {
            scn: self.scn(logged).with_row(rows_before),
            server_id: self.server_id,
            gtid: Some(Gtid::MariaDb(logged.gtid)),
            commit_time: logged.time,
            format: row::FORMAT,
            body,
        };
        Transaction { header, raw: Bytes::from(raw) }
    }
}

fn number(parts: &mut [Transaction]) {
    let count = parts.len();
    if count < 2 {
        return;
    }
    for (index, part) in parts.iter_mut().enumerate() {
        let Body::Rows(rows) = &mut part.header.body else { unreachable!("parts have rows") };
        rows.part = Some(Part { index: index as u32, last: index + 1 == count });
    }
}

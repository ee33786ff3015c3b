//! One step of a node's capture, and what the oracles are told of it.

use rand::Rng;
use weft_core::time::Micros;
use weft_core::transaction::{RowStamp, Transaction};

use super::{EPOCH_S, World};
use crate::sim::coverage::Situation;
use crate::sim::database::Event;
use crate::sim::oracle::{Broken, Failure};
use crate::sim::row::place_of;

impl World {
    pub(super) fn capture(&mut self, site: usize, node: usize) -> Result<(), Failure> {
        let old_goes = self.rng.random_bool(0.05);
        let here = &mut self.sites[site];
        if !self.setup.is_captured(site) {
            return Ok(());
        }
        let at = &mut here.nodes[node];
        if self.faults && self.rng.random_bool(self.setup.cut_link) {
            self.coverage.saw(Situation::DumpCut);
            at.replicator.dump = None;
        }
        let inbound =
            at.directions.iter().map(|direction| direction.passed).min().unwrap_or(Micros(u64::MAX));
        let old = here.retired.iter().find(|retired| at.replicator.reads(retired)).filter(|_| !old_goes);
        let current = at.replicator.reads(&here.database);
        if !current && old.is_none() {
            at.replicator.find_place(&here.database, &mut self.coverage);
            let halted = at.replicator.halted.clone();
            let server = at.replicator.server();
            self.say(format!("site {site} node {node}: capture is at {server:?}, halted: {halted:?}"));
            return match halted {
                Some(reason) if !self.sites[site].set_back => {
                    Err(Failure::new(Broken::StoppedForNothing, format!("site {site}: {reason}")))
                }
                _ => Ok(()),
            };
        }
        let read = at.replicator.read_one(old.unwrap_or(&here.database), inbound, &mut self.coverage);
        if self.rng.random_bool(0.1) {
            at.replicator.sync();
        }
        if self.rng.random_bool(0.02) {
            at.replicator.write_checkpoint();
        }
        let Some((logged, frames)) = read else { return Ok(()) };
        here.read_to = here.read_to.max(logged.gtid.sequence);
        if !frames.is_empty() {
            here.captured_to = here.captured_to.max(logged.gtid.sequence);
        }
        if !current {
            self.coverage.saw(Situation::OldServerRead);
            // The server that took over may lack it, or have given its number to something else.
            let gone = here.database.binlog.iter().all(|there| there.gtid != logged.gtid);
            here.set_back |= gone;
            here.lacks |= gone && !frames.is_empty();
        } else if here.lacks {
            let what = format!("site {site}: capture goes on at {:?}", logged.end);
            return Err(Failure::new(Broken::LossNotSeen, what));
        }
        if frames.is_empty() {
            return Ok(());
        }
        if !matches!(logged.events[..], [Event::Heartbeat(_)]) {
            self.say(format!("site {site} node {node}: captured {}", brief(&frames)));
        }
        self.oracle.captured(&self.setup, site, &logged, &frames, &mut self.coverage)
    }

    /// What a shard wrote it decided by a ledger of this server's binlog, not of one before it.
    pub(super) fn check_ledger(&self, site: usize, node: usize, before: usize) -> Result<(), Failure> {
        let here = &self.sites[site];
        let read = here.nodes[node].replicator.server().server_id;
        let row = |event: &Event| matches!(event, Event::Row { .. });
        let mut written = here.database.binlog.iter().skip(before);
        match written.find(|logged| logged.foreign && logged.events.iter().any(row)) {
            Some(logged) if !self.setup.is_one_way() && read != here.database.server_id => {
                let what = format!("site {site} wrote {logged:?} by a ledger of server {read}");
                Err(Failure::new(Broken::StaleLedger, what))
            }
            _ => Ok(()),
        }
    }
}

/// The rows of captured frames, for the trace.
fn brief(frames: &[Transaction]) -> String {
    let row = |row: &RowStamp| {
        let (place, version) = (place_of(row.key), row.version);
        format!("{:?} {place:?} {}@{}", row.kind, version.time.0 - EPOCH_S * 1_000_000, version.origin.0)
    };
    let frame = |frame: &Transaction| {
        let rows = frame.rows().map_or(Vec::new(), |rows| rows.rows.iter().map(row).collect());
        format!("{}: {}", frame.header.scn, rows.join(", "))
    };
    frames.iter().map(frame).collect::<Vec<_>>().join("; ")
}

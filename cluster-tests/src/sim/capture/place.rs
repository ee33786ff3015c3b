//! Where capture goes on, and history that the event buffer does not hold any more. Mirrors
//! `weft_actors::binlog::{restore, refill}`.

use std::collections::BTreeMap;

use bytes::Bytes;
use weft_core::binlog::resume::{Captured, CapturedServer, Resume, resume};
use weft_core::buffer::frame;
use weft_core::catalog::{CatalogEntry, CatalogId, CatalogItem};
use weft_core::flavour::Flavour;
use weft_core::ledger::Ledger;
use weft_core::scn::Scn;
use weft_core::sink::step::LogPosition;

use super::pipe::Pipe;
use super::{BEGINNING, Dump, FIRST_SERVER, Replicator};
use crate::sim::coverage::{Coverage, Situation};
use crate::sim::database::{Database, LOG_BASE};

impl Replicator {
    /// The server that capture went on from last.
    pub fn server(&self) -> CapturedServer {
        CapturedServer::newest_of(&self.servers).expect("the first one was noted")
    }

    pub(super) fn note_server(&mut self, server: &CapturedServer) {
        self.servers.push(CatalogEntry {
            id: CatalogId(self.servers.len() as u32),
            began: Scn::of_transaction(server.epoch, 0, 0),
            what: CatalogItem::Server { server_id: server.server_id, log_base: server.log_base.clone() },
        });
    }

    /// Asks who answers, and opens a dump where capture goes on; or stops, with the reason.
    pub fn find_place(&mut self, database: &Database, coverage: &mut Coverage) {
        let (scn, server, gtids) = (self.newest(), self.server(), self.gtids.clone());
        let lost = self.lost == Some(server.epoch);
        let captured = Captured { scn, server, gtids, flavour: Some(Flavour::MariaDb), lost };
        if captured.scn.epoch < captured.server.epoch {
            coverage.saw(Situation::SwitchedForNothing);
        }
        let place = resume(&captured, &database.identify());
        let next = match database.dump(&place) {
            Ok(next) => next,
            Err(_) if !self.mutation.checks_gtids() => {
                let epoch = captured.server.epoch + 1;
                let log_base = captured.server.log_base.clone();
                self.note_server(&CapturedServer { epoch, server_id: database.server_id, log_base });
                database.binlog.len()
            }
            Err(reason) => {
                if matches!(place, Resume::Lost(_)) {
                    self.lost = Some(captured.server.epoch);
                }
                if self.halted.is_none() {
                    coverage.saw(Situation::CaptureStopped);
                }
                self.halted = Some(reason);
                return;
            }
        };
        self.halted = None;
        let same = self.reads_server == database.server_id || !self.mutation.tells_servers_apart();
        self.reads_server = database.server_id;
        if !same {
            self.probes.clear();
        }
        match place {
            Resume::At { .. } => {
                self.read_to =
                    LogPosition { log_index: captured.scn.log_index, log_pos: captured.scn.log_pos };
            }
            Resume::After { epoch, log_base, .. } => {
                if epoch != captured.server.epoch {
                    coverage.saw(Situation::EpochRaised);
                    self.note_server(&CapturedServer { epoch, server_id: database.server_id, log_base });
                }
                if !same {
                    self.read_to = LogPosition { log_index: 0, log_pos: 0 };
                }
            }
            Resume::Stop(_) | Resume::Lost(_) => self.read_to = LogPosition { log_index: 0, log_pos: 0 },
        }
        self.dump = Some(Dump { server_id: database.server_id, life: database.life, next });
    }

    /// What the buffer does not hold any more, up to `until`, read from whoever answers now.
    ///
    /// # Errors
    /// It cannot be had.
    pub fn refill(&self, database: &Database, after: Scn, until: Scn) -> Result<Vec<Bytes>, String> {
        let server = self.server();
        let place = server.place_after(after).ok_or("history of a server that does not answer any more")?;
        let (file, position) = place;
        let mut next = database.dump(&Resume::At { file, position })?;
        let stamps = match self.mutation.remembers_raised_stamps() {
            true => &self.stamps,
            false => &BTreeMap::new(),
        };
        let pipe = Pipe { replayed: Some(stamps), ..self.pipe() };
        let mut ledger = Ledger::default();
        let mut frames = Vec::new();
        while let Some(logged) = database.binlog.get(next).filter(|logged| pipe.scn(logged) <= until) {
            let stamped = pipe.stamp(logged, &mut ledger).frames;
            frames.extend(stamped.iter().map(|one| Bytes::from(frame::encode(one).expect("a sound frame"))));
            next += 1;
        }
        Ok(frames)
    }

    /// Nothing is captured yet.
    pub(super) fn first_server() -> CapturedServer {
        let (epoch, server_id) = (BEGINNING.epoch, FIRST_SERVER);
        CapturedServer { epoch, server_id, log_base: LOG_BASE.to_owned() }
    }
}

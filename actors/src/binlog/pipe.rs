//! Events in, stamped transactions out. The same pipe serves the capture and the refill: only where
//! the transactions go, and whose ledger stamps them, differ.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use weft_core::binlog::assembler::{
    AssembleError, Assembled, Assembler, AssemblerConfig, RawDdl, RawTransaction,
};
use weft_core::binlog::event::{EventHeader, EventType};
use weft_core::binlog::format::Format;
use weft_core::binlog::log_file::{LogFile, LogFiles, Replaced};
use weft_core::binlog::resume::{log_name, split_log_name};
use weft_core::catalog::{CatalogEntry, CatalogId, CatalogItem};
use weft_core::gtid::{Gtid, GtidPosition};
use weft_core::instance::InstanceId;
use weft_core::ledger::Ledger;
use weft_core::scn::Scn;
use weft_core::sink::step::LogPosition;
use weft_core::stamp::{self, Naming, ScanError, Scanned, Scanner};
use weft_core::tables::TableFilter;
use weft_core::time::Micros;
use weft_core::transaction::{Body, Ddl, Transaction, TransactionHeader};
use weft_core::version::Version;

use super::error::CaptureError;
use super::ledger::SharedLedger;
use super::prepared::Prepared;
use super::restore::Place;
use super::shapes::Shapes;
use crate::ports::{CaptureStore, EventBuffer, Source, Spill, StoreError, StreamFrom};

/// Where stamped transactions go.
pub trait Output: Send {
    fn frame(&mut self, transaction: Transaction) -> impl Future<Output = Result<(), CaptureError>> + Send;
    /// The transaction's version time is not its commit time.
    fn bumped(&mut self, scn: Scn, time: Micros) -> impl Future<Output = Result<(), CaptureError>> + Send;
}

/// What a pipe is made with.
pub struct PipeArgs {
    pub source: Arc<dyn Source>,
    pub buffer: Arc<dyn EventBuffer>,
    pub store: Arc<dyn CaptureStore>,
    pub wanted: Vec<TableFilter>,
    /// Full name of the instance.
    pub instance: String,
    pub origin: InstanceId,
    pub spill_bytes: usize,
    /// Set where history is read again: the version times that were not the commit times.
    pub replayed: Option<HashMap<Scn, Micros>>,
}

/// What heads a transaction or a statement.
pub(super) struct Head {
    pub scn: Scn,
    server_id: u32,
    gtid: Option<Gtid>,
    commit_time: Micros,
}

/// The state between events.
pub struct Pipe {
    pub(super) args: PipeArgs,
    assembler: Assembler,
    scanner: Scanner,
    pub(super) shapes: Shapes,
    pub(super) format: Option<(CatalogId, Format)>,
    pub(super) spill: Option<Box<dyn Spill>>,
    pub(super) prepared: Prepared,
    /// Whose binlog is read.
    pub(super) server_id: u32,
    epoch: u32,
    log_base: String,
    files: LogFiles,
    position: LogPosition,
    gtids: GtidPosition,
}

impl Pipe {
    /// # Errors
    /// What was remembered of the binlog files cannot be read.
    pub fn new(args: PipeArgs, place: &Place) -> Result<Pipe, StoreError> {
        let mut assembler = Assembler::new(AssemblerConfig { spill_bytes: args.spill_bytes });
        let mut log_base = String::new();
        if let StreamFrom::Position { file, .. } = &place.from {
            assembler.place(place.log_index, place.log_pos);
            log_base = split_log_name(file).map_or_else(String::new, |(base, _)| base.to_owned());
        }
        Ok(Pipe {
            files: args.store.log_files()?,
            shapes: Shapes::new(args.source.clone(), args.buffer.clone(), args.wanted.clone()),
            scanner: Scanner::new(&args.instance),
            prepared: Prepared::new(args.store.clone(), args.spill_bytes),
            args,
            assembler,
            format: None,
            spill: None,
            server_id: place.server_id,
            epoch: place.epoch,
            log_base,
            position: LogPosition { log_index: place.log_index, log_pos: place.log_pos },
            gtids: place.gtids.clone(),
        })
    }

    /// How far the binlog was read, whole transactions only.
    pub fn position(&self) -> LogPosition {
        self.position
    }

    pub fn gtids(&self) -> &GtidPosition {
        &self.gtids
    }

    /// Names of binlog files without the number.
    pub fn log_base(&self) -> &str {
        &self.log_base
    }

    /// Takes one canonical event.
    ///
    /// # Errors
    /// The event cannot be understood, or what comes out cannot be stored.
    pub async fn event<O: Output>(
        &mut self,
        event: &[u8],
        ledger: &SharedLedger,
        output: &mut O,
    ) -> Result<(), CaptureError> {
        let mut assembled = Vec::new();
        self.assembler.push(event, &mut assembled)?;
        self.note_file(event)?;
        loop {
            for one in assembled.drain(..) {
                self.take(one, ledger, output).await?;
            }
            if !self.assembler.unpack(&mut assembled)? {
                return Ok(());
            }
        }
    }

    /// A format description event is the first of its file, and sent again where a dump begins.
    fn note_file(&mut self, event: &[u8]) -> Result<(), CaptureError> {
        let header = EventHeader::parse(event).map_err(AssembleError::from)?;
        if header.kind != EventType::FormatDescription || header.timestamp == 0 {
            return Ok(());
        }
        let (log_index, _) = self.assembler.position();
        let file = LogFile { epoch: self.epoch, log_index, made_s: header.timestamp };
        match self.files.note(file) {
            Ok(false) => Ok(()),
            // What is read again is known, or too old to be.
            Ok(true) if self.args.replayed.is_some() => Ok(()),
            Ok(true) => Ok(self.args.store.save_log_files(&self.files)?),
            Err(Replaced) => Err(CaptureError::Stopped(format!(
                "the server's {} is another file than the one of that name that was captured: the server lost its last \
                 transactions, or was set back to an older state; make the sites equal again, then start this instance \
                 anew with an empty data directory and `weft uninstall`",
                log_name(&self.log_base, log_index)
            ))),
        }
    }

    async fn take<O: Output>(
        &mut self,
        one: Assembled,
        ledger: &SharedLedger,
        output: &mut O,
    ) -> Result<(), CaptureError> {
        match one {
            Assembled::Moved { log_index, log_pos, .. } => self.position = LogPosition { log_index, log_pos },
            Assembled::FileName(name) => {
                self.log_base = split_log_name(&name).map_or(name.as_str(), |(base, _)| base).to_owned();
            }
            Assembled::Format(bytes) => self.take_format(&bytes)?,
            Assembled::Chunk(chunk) => self.spill()?.push(&chunk.events)?,
            Assembled::Abandoned { .. } => self.spill = None,
            Assembled::Transaction(raw) => self.transaction(raw, ledger, output).await?,
            Assembled::Prepared { xid, transaction } => {
                let head = self.head(&transaction);
                self.hold_prepared(xid, transaction)?;
                self.passed(&head, ledger);
            }
            Assembled::Decided { xid, committed: true, transaction } => {
                self.commit_prepared(&xid, transaction, ledger, output).await?;
            }
            Assembled::Decided { xid, committed: false, transaction } => {
                self.forget_prepared(&xid);
                self.passed(&self.head(&transaction), ledger);
            }
            Assembled::Ddl(raw) => {
                let head = self.head_of_ddl(&raw);
                self.note_ddl(head.scn, &raw.ddl)?;
                let header = self.header(&head, Body::Ddl(raw.ddl));
                output.frame(Transaction { header, raw: Bytes::new() }).await?;
                self.passed(&head, ledger);
            }
        }
        Ok(())
    }

    pub(super) fn spill(&mut self) -> Result<&mut Box<dyn Spill>, CaptureError> {
        if self.spill.is_none() {
            self.spill = Some(self.args.store.spill()?);
        }
        Ok(self.spill.as_mut().expect("made above"))
    }

    pub(super) fn take_format(&mut self, event: &Bytes) -> Result<(), CaptureError> {
        let format = Format::parse(event)?;
        let known = self.args.buffer.catalog().iter().rev().find_map(|entry| match &entry.what {
            CatalogItem::Format(bytes) if bytes == format.canonical() => Some(entry.id),
            _ => None,
        });
        let id = match known {
            Some(id) => id,
            None => {
                let id = self.shapes.next_id();
                let what = CatalogItem::Format(format.canonical().to_vec());
                self.args.buffer.add_catalog(CatalogEntry { id, began: self.scn(self.position), what })?;
                id
            }
        };
        self.format = Some((id, format));
        Ok(())
    }

    fn note_ddl(&mut self, began: Scn, ddl: &Ddl) -> Result<(), CaptureError> {
        self.shapes.forget();
        let id = self.shapes.next_id();
        let what = CatalogItem::Ddl { schema: ddl.schema.clone(), statement: ddl.statement.clone() };
        Ok(self.args.buffer.add_catalog(CatalogEntry { id, began, what })?)
    }

    pub(super) async fn transaction<O: Output>(
        &mut self,
        raw: RawTransaction,
        ledger: &SharedLedger,
        output: &mut O,
    ) -> Result<(), CaptureError> {
        let head = self.head(&raw);
        for ddl in &raw.statements {
            self.note_ddl(head.scn, ddl)?;
        }
        if self.spill.is_some() {
            self.large(&head, &raw.events, ledger, output).await?;
        } else if !raw.events.is_empty() {
            self.small(&head, &raw.events, ledger, output).await?;
        }
        self.passed(&head, ledger);
        Ok(())
    }

    async fn small<O: Output>(
        &mut self,
        head: &Head,
        events: &Bytes,
        ledger: &SharedLedger,
        output: &mut O,
    ) -> Result<(), CaptureError> {
        let scn = head.scn;
        let scanned = self.scan(events, scn, 0).await?;
        note_marks(&scanned, ledger);
        let Scanned { mut rows, raw: bytes, marks, heartbeat, .. } = scanned;
        let known = |ledger: &Ledger| stamp::max_known(&rows, &marks, &mut Naming::default(), ledger);
        let time = self.time_of(head, ledger, known);
        ledger.write(|ledger| {
            let mut naming = Naming::default();
            let local = Version::new(time.time, self.args.origin);
            stamp::stamp_rows(&mut rows, &marks, &mut naming, ledger, local);
            stamp::finish(&mut rows, &mut naming, ledger);
            heartbeat.iter().for_each(|written| ledger.note_heartbeat(*written));
        });
        if time.bumped && !rows.rows.is_empty() {
            output.bumped(scn, time.time).await?;
        }
        let body = match heartbeat {
            Some(written) if rows.rows.is_empty() => Body::Heartbeat { written },
            _ if rows.rows.is_empty() && rows.silent.is_empty() => return Ok(()),
            _ => Body::Rows(rows),
        };
        output.frame(Transaction { header: self.header(head, body), raw: bytes }).await
    }

    /// The time of the transaction's local rows: as it was, where history is read again.
    pub(super) fn time_of(
        &self,
        head: &Head,
        ledger: &SharedLedger,
        max_known: impl FnOnce(&Ledger) -> Option<Micros>,
    ) -> stamp::StampTime {
        match &self.args.replayed {
            Some(times) => {
                let time = times.get(&head.scn).copied().unwrap_or(head.commit_time);
                stamp::StampTime { time, bumped: false, jump_us: 0 }
            }
            None => {
                let ledger = ledger.read();
                let time = stamp::stamp_time(head.commit_time, max_known(&ledger), &ledger);
                if time.jump_us > 0 {
                    tracing::warn!(scn = %head.scn, jump_us = time.jump_us, "a commit time far ahead of the heartbeats was cut");
                }
                time
            }
        }
    }

    /// Learns the shapes and scans.
    pub(super) async fn scan(
        &mut self,
        events: &Bytes,
        scn: Scn,
        rows_before: u32,
    ) -> Result<Scanned, CaptureError> {
        let Some((_, format)) = &self.format else {
            return Err(CaptureError::rows_before_format());
        };
        self.shapes.learn(events, format, scn).await?;
        let mut learnt = None;
        loop {
            let shapes = &self.shapes;
            match self.scanner.scan(events, format, rows_before, &mut |map| shapes.resolve(map)) {
                // The mark brings events of rows that were evicted on arrival: their table may not be
                // in this stream yet, and has the layout of where they came from.
                Err(ScanError::UnknownTable { table_map, .. }) if learnt.as_ref() != Some(&table_map) => {
                    self.shapes.learn(&table_map, format, scn).await?;
                    learnt = Some(table_map);
                }
                scanned => return Ok(scanned?),
            }
        }
    }

    pub(super) fn header(&self, head: &Head, body: Body) -> TransactionHeader {
        TransactionHeader {
            scn: head.scn,
            server_id: head.server_id,
            gtid: head.gtid.clone(),
            commit_time: head.commit_time,
            format: self.format.as_ref().map_or(CatalogId(0), |(id, _)| *id),
            body,
        }
    }

    pub(super) fn head(&self, raw: &RawTransaction) -> Head {
        Head {
            scn: Scn::of_transaction(self.epoch, raw.log_index, raw.log_pos),
            server_id: raw.server_id,
            gtid: raw.gtid.clone(),
            commit_time: raw.commit_time,
        }
    }

    fn head_of_ddl(&self, raw: &RawDdl) -> Head {
        Head {
            scn: Scn::of_transaction(self.epoch, raw.log_index, raw.log_pos),
            server_id: raw.server_id,
            gtid: raw.gtid.clone(),
            commit_time: raw.commit_time,
        }
    }

    fn scn(&self, position: LogPosition) -> Scn {
        Scn::of_transaction(self.epoch, position.log_index, position.log_pos)
    }

    /// Everything up to the end of this transaction is stored.
    fn passed(&mut self, head: &Head, ledger: &SharedLedger) {
        self.position = LogPosition { log_index: head.scn.log_index, log_pos: head.scn.log_pos };
        if let Some(gtid) = &head.gtid {
            self.gtids.advance(gtid);
        }
        if self.args.replayed.is_none() {
            ledger.write(|ledger| ledger.advance(head.scn));
        }
    }
}

/// Tells whoever waits for a probe that marks came by.
pub(super) fn note_marks(scanned: &Scanned, ledger: &SharedLedger) {
    for passing in &scanned.passing {
        ledger.mark_seen(&passing.channel, &passing.source, passing.epoch);
    }
}

//! XA transactions that are prepared and not decided: their rows wait here, and on disk where they are
//! many, until XA COMMIT gives them an SCN and stamps.
//!
//! Nothing of it is kept across a connection. A commit whose rows came before the place where the dump
//! began looks for them in the binlog files before it, whatever the reason: a restart, a refill, another
//! node or server that took over.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use weft_core::binlog::assembler::{Assembled, Assembler, AssemblerConfig, RawTransaction};
use weft_core::binlog::resume::log_name;
use weft_core::binlog::search_back::SearchBack;
use weft_core::binlog::xa::Xid;
use weft_core::sink::step::LogPosition;
use weft_core::transaction::Ddl;

use super::error::CaptureError;
use super::ledger::SharedLedger;
use super::pipe::{Head, Output, Pipe};
use crate::ports::{CaptureStore, EventStream, SourceError, Spill, StreamFrom};

/// Most transactions that may be prepared at once. Servers hold locks and undo for each of them.
const PREPARED_MAX: usize = 100_000;

/// A prepared transaction.
pub(super) struct Held {
    /// Canonical format description event that its rows were written under.
    format: Bytes,
    /// The rows, or the first of them.
    spill: Option<Box<dyn Spill>>,
    /// Those behind the spilled ones.
    events: Bytes,
    statements: Vec<Ddl>,
}

/// All that are known.
pub(super) struct Prepared {
    held: HashMap<Xid, Held>,
    store: Arc<dyn CaptureStore>,
    /// Of events in memory.
    bytes: usize,
    bytes_max: usize,
    /// From the beginning of this binlog file on, every prepared transaction is known; None: only from
    /// the place on where the dump began.
    known_from: Option<u32>,
}

impl Prepared {
    pub(super) fn new(store: Arc<dyn CaptureStore>, bytes_max: usize) -> Prepared {
        Prepared { held: HashMap::new(), store, bytes: 0, bytes_max, known_from: None }
    }

    /// Keeps the rows until the transaction is decided; those that do not fit go to disk.
    fn hold(
        &mut self,
        xid: Xid,
        format: &[u8],
        mut spill: Option<Box<dyn Spill>>,
        raw: RawTransaction,
    ) -> Result<(), CaptureError> {
        // A name is free again once its transaction ended: what was under it is void.
        self.take(&xid);
        if self.held.len() >= PREPARED_MAX {
            return Err(CaptureError::Stopped(format!(
                "more than {PREPARED_MAX} XA transactions are prepared; commit or roll back those that XA RECOVER lists"
            )));
        }
        let mut events = raw.events;
        if self.bytes + events.len() > self.bytes_max {
            let mut file = match spill.take() {
                Some(file) => file,
                None => self.store.spill()?,
            };
            file.push(&std::mem::take(&mut events))?;
            spill = Some(file);
        }
        self.bytes += events.len();
        let format = Bytes::copy_from_slice(format);
        self.held.insert(xid, Held { format, spill, events, statements: raw.statements });
        Ok(())
    }

    fn take(&mut self, xid: &Xid) -> Option<Held> {
        let held = self.held.remove(xid)?;
        self.bytes -= held.events.len();
        Some(held)
    }

    /// Takes over what a search found, but for what is known from later on.
    fn adopt(&mut self, found: Prepared) {
        for (xid, held) in found.held {
            self.held.entry(xid).or_insert_with(|| {
                self.bytes += held.events.len();
                held
            });
        }
        self.known_from = found.known_from;
    }
}

impl Pipe {
    /// The transaction ends with XA PREPARE.
    pub(super) fn hold_prepared(&mut self, xid: Xid, raw: RawTransaction) -> Result<(), CaptureError> {
        let Some((_, format)) = &self.format else { return Err(CaptureError::rows_before_format()) };
        let spill = self.spill.take();
        self.prepared.hold(xid, format.canonical(), spill, raw)
    }

    /// A prepared transaction is committed: its rows get the place of the commit.
    pub(super) async fn commit_prepared<O: Output>(
        &mut self,
        xid: &Xid,
        mut raw: RawTransaction,
        ledger: &SharedLedger,
        output: &mut O,
    ) -> Result<(), CaptureError> {
        let held = match self.prepared.take(xid) {
            Some(held) => held,
            None => self.find_prepared(xid, &self.head(&raw)).await?,
        };
        let current = self.format.clone();
        self.take_format(&held.format)?;
        (self.spill, raw.events, raw.statements) = (held.spill, held.events, held.statements);
        self.transaction(raw, ledger, output).await?;
        self.format = current;
        Ok(())
    }

    pub(super) fn forget_prepared(&mut self, xid: &Xid) {
        self.prepared.take(xid);
    }

    /// Looks for the rows of a transaction that was prepared before the dump began.
    async fn find_prepared(&mut self, xid: &Xid, commit: &Head) -> Result<Held, CaptureError> {
        let newest = self.prepared.known_from.map_or(commit.scn.log_index, |known| known.saturating_sub(1));
        let at = LogPosition { log_index: commit.scn.log_index, log_pos: commit.scn.log_pos };
        let mut back = SearchBack::from_file(newest);
        while let Some(file) = back.candidate() {
            let name = log_name(self.log_base(), file);
            tracing::info!(instance = self.args.instance, %xid, file = name, "looking for the rows of an XA transaction");
            let from = StreamFrom::Position { file: name, position: 4 };
            let stream = match self.args.source.stream(from, self.server_id).await {
                Err(SourceError::Purged(_)) => {
                    back.purged();
                    continue;
                }
                stream => stream?,
            };
            let mut search = Search::new(self, file);
            let found = search.read(stream, at).await?;
            self.prepared.adopt(search.prepared);
            match found {
                Some(held) => return Ok(held),
                None => back.not_found(),
            }
        }
        Err(CaptureError::Stopped(format!(
            "XA COMMIT {xid} at {}:{} is about rows that no binlog file of the server has any more, so that they \
             cannot be replicated; make the sites equal again, then start this instance anew with an empty data \
             directory and `weft uninstall`",
            log_name(self.log_base(), at.log_index),
            at.log_pos
        )))
    }
}

/// Reads a stretch of binlog again, up to a commit, for nothing but what is prepared in it.
struct Search {
    assembler: Assembler,
    prepared: Prepared,
    spill: Option<Box<dyn Spill>>,
}

impl Search {
    /// From the beginning of this file.
    fn new(pipe: &Pipe, file: u32) -> Search {
        let mut assembler = Assembler::new(AssemblerConfig { spill_bytes: pipe.args.spill_bytes });
        assembler.place(file, 4);
        let mut prepared = Prepared::new(pipe.args.store.clone(), pipe.args.spill_bytes);
        prepared.known_from = Some(file);
        Search { assembler, prepared, spill: None }
    }

    /// Reads up to the XA COMMIT that ends at `commit`; gives what it is about.
    async fn read(
        &mut self,
        mut stream: Box<dyn EventStream>,
        commit: LogPosition,
    ) -> Result<Option<Held>, CaptureError> {
        loop {
            for event in stream.next().await? {
                if let ControlFlow::Break(found) = self.event(&event, commit)? {
                    return Ok(found);
                }
            }
        }
    }

    fn event(
        &mut self,
        event: &[u8],
        commit: LogPosition,
    ) -> Result<ControlFlow<Option<Held>>, CaptureError> {
        let mut out = Vec::new();
        let mut understood = self.assembler.push(event, &mut out).map(|()| true);
        loop {
            for one in out.drain(..) {
                let Some((decided, at)) = self.take(one)? else { continue };
                let held = self.prepared.take(&decided);
                if at == commit {
                    return Ok(ControlFlow::Break(held));
                }
            }
            match understood {
                Ok(true) => understood = self.assembler.unpack(&mut out),
                Ok(false) => break,
                // History from before Weft may hold what capture would stop for: such a transaction is
                // passed over.
                Err(_) => {
                    let (log_index, log_pos) = self.assembler.position();
                    self.assembler.place(log_index, log_pos);
                    self.spill = None;
                    break;
                }
            }
        }
        let past = self.assembler.position() > (commit.log_index, commit.log_pos);
        Ok(if past { ControlFlow::Break(None) } else { ControlFlow::Continue(()) })
    }

    /// Gives the name of what was decided, and where.
    fn take(&mut self, one: Assembled) -> Result<Option<(Xid, LogPosition)>, CaptureError> {
        match one {
            Assembled::Chunk(chunk) => match &mut self.spill {
                Some(spill) => spill.push(&chunk.events)?,
                None => self.spill.insert(self.prepared.store.spill()?).push(&chunk.events)?,
            },
            Assembled::Prepared { xid, transaction } => {
                let format = self.assembler.format().ok_or_else(CaptureError::rows_before_format)?;
                self.prepared.hold(xid, format.canonical(), self.spill.take(), transaction)?;
            }
            Assembled::Decided { xid, transaction, .. } => {
                let RawTransaction { log_index, log_pos, .. } = transaction;
                return Ok(Some((xid, LogPosition { log_index, log_pos })));
            }
            Assembled::Transaction(_) | Assembled::Abandoned { .. } => self.spill = None,
            Assembled::Moved { .. } | Assembled::FileName(_) | Assembled::Format(_) | Assembled::Ddl(_) => {}
        }
        Ok(None)
    }
}

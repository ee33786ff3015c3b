//! Before capture goes on: the ledger is brought to where the buffer ends, the server is asked who it
//! is, and the place in its binlog is found.

use std::sync::Arc;
use std::time::Duration;

use weft_core::binlog::begin::BinlogPlace;
use weft_core::binlog::primary::{Candidate, LastCaptured};
use weft_core::binlog::resume::{
    Answering, Captured, CapturedServer, Resume, captured_flavour, resume, split_log_name,
};
use weft_core::buffer::frame;
use weft_core::catalog::{CatalogEntry, CatalogId, CatalogItem};
use weft_core::flavour::Flavour;
use weft_core::gtid::GtidPosition;
use weft_core::ledger::Ledger;
use weft_core::scn::Scn;
use weft_core::sink::step::LogPosition;
use weft_core::stamp;
use weft_core::time::Micros;
use weft_core::transaction::Transaction;

use super::args::{Reached, ReplicatorArgs};
use super::checkpoint;
use super::error::CaptureError;
use super::starts::{self, Places};
use crate::metrics;
use crate::ports::{CaptureStart, EpochStart, EventBuffer, FrameRef, SourceIdentity, StreamFrom};

/// Where capture goes on.
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    pub from: StreamFrom,
    pub epoch: u32,
    pub server_id: u32,
    /// Of `from`; zero where the dump begins by GTID and will say itself.
    pub log_index: u32,
    pub log_pos: u64,
    pub gtids: GtidPosition,
}

impl Place {
    /// Whether what was captured ends behind `other`, which is a place in the files of the server that
    /// answers. In a new server's files the end of it is known by GTIDs alone.
    pub(super) fn is_behind(&self, other: &BinlogPlace) -> bool {
        match self.from {
            StreamFrom::Position { .. } => (self.log_index, self.log_pos) > other.order(),
            StreamFrom::Gtid(_) => !other.gtids.contains(&self.gtids),
        }
    }
}

/// How long MySQL may take to list what its dumps had.
const LISTED_WITHIN: Duration = Duration::from_secs(15);

/// Finds the place.
///
/// # Errors
/// The source cannot be asked, or lost what was captured.
pub async fn find_place(args: &Arc<ReplicatorArgs>) -> Result<Place, CaptureError> {
    let this = args.clone();
    let reached = tokio::task::spawn_blocking(move || restore_ledger(&this)).await??;
    let last = CapturedServer::newest_of(&args.buffer.catalog())
        .map(|CapturedServer { server_id, .. }| LastCaptured { server_id, gtids: reached.gtids.clone() });
    let found = args.source.identify(last.clone()).await?;
    let (start, places) = begin_history(args).await?;
    // A history that begins just now begins behind where the binlog ended before.
    let identity = if start.new { args.source.identify(last.clone()).await? } else { found };
    forget_earlier_epochs(args, &start);
    let mut gtids = start.gtid.clone();
    gtids.follow(&reached.gtids);
    let mut captured = captured(args.buffer.as_ref(), &start, gtids)?;
    captured.lost = args.store.log_files()?.lost() == Some(captured.server.epoch);
    let place = match resume(&captured, &answering(&identity)) {
        Resume::Stop(reason) => return Err(CaptureError::Stopped(reason)),
        Resume::Lost(reason) => {
            remember_loss(args, &captured, &identity, last).await?;
            return Err(CaptureError::Stopped(reason));
        }
        Resume::At { file, position } => Place {
            from: StreamFrom::Position { file, position },
            epoch: captured.scn.epoch,
            server_id: captured.server.server_id,
            log_index: captured.scn.log_index,
            log_pos: captured.scn.log_pos,
            gtids: captured.gtids.clone(),
        },
        Resume::After { gtids, epoch, log_base } => {
            let server_id = identity.server.server_id;
            if epoch > captured.server.epoch {
                let server = CapturedServer { epoch, server_id, log_base };
                begin_epoch(args, &server, &identity, &gtids).await?;
            }
            let from = StreamFrom::Gtid(gtids.clone());
            Place { from, epoch, server_id, log_index: 0, log_pos: 0, gtids }
        }
    };
    starts::store(args, &identity, &place, places).await?;
    let scn = args.buffer.newest().unwrap_or(captured.scn);
    args.reached.update(|reached| *reached = Reached { scn, gtids: place.gtids.clone() });
    let position = LogPosition { log_index: place.log_index, log_pos: place.log_pos };
    args.ledger.follow(place.server_id, position);
    args.board.update(|status| status.server_id = place.server_id);
    Ok(place)
}

fn answering(identity: &SourceIdentity) -> Answering {
    Answering { server: identity.server.clone(), file: identity.file.clone(), position: identity.position }
}

/// MySQL lists a transaction when it has committed, and that may be long after its dumps had it, where it
/// waits for the word of a semi-synchronous replica: what it lacks is looked for again after a while.
async fn remember_loss(
    args: &ReplicatorArgs,
    captured: &Captured,
    identity: &SourceIdentity,
    last: Option<LastCaptured>,
) -> Result<(), CaptureError> {
    if identity.server.flavour == Flavour::MySql && !captured.lost {
        tokio::time::sleep(LISTED_WITHIN).await;
        let again = args.source.identify(last).await?;
        if !matches!(resume(captured, &answering(&again)), Resume::Lost(_)) {
            return Ok(());
        }
    }
    let mut files = args.store.log_files()?;
    files.lose(captured.server.epoch);
    Ok(args.store.save_log_files(&files)?)
}

/// Where the history of the instance begins: as it is stored, or the first time at the oldest of the
/// places at which channels are told to begin.
async fn begin_history(args: &ReplicatorArgs) -> Result<(CaptureStart, Places), CaptureError> {
    if let Some(start) = args.source.history().await? {
        return Ok((start, Places::new()));
    }
    let places = starts::find_all(args).await?;
    Ok((args.source.begin(starts::oldest(&places)).await?, places))
}

/// Capture moves to another server. In the instance first: a node that dies in between finds the same
/// epoch again, and one that lost its data directory begins there and not in an older server's files.
async fn begin_epoch(
    args: &ReplicatorArgs,
    server: &CapturedServer,
    identity: &SourceIdentity,
    gtids: &GtidPosition,
) -> Result<(), CaptureError> {
    let CapturedServer { epoch, server_id, log_base } = server.clone();
    let Candidate { address, .. } = &identity.server;
    tracing::warn!(
        instance = args.instance, epoch, server_id, address, %gtids, "another server is the primary: capture goes on by GTID"
    );
    let heartbeat = args.ledger.read().heartbeat().unwrap_or_else(|| args.clock.now());
    let start = EpochStart {
        epoch,
        server_id,
        log_base,
        gtid: gtids.clone(),
        versions_to: heartbeat.max(args.board.get().raised_stamp),
    };
    args.source.begin_epoch(start).await?;
    metrics::BINLOG_SOURCE_SWITCHES.counter(&[("database", &args.instance)]).increment(1);
    add_server(args.buffer.as_ref(), server)
}

/// A node that finds an instance in a later epoch and remembers nothing cannot know versions of before.
fn forget_earlier_epochs(args: &ReplicatorArgs, start: &CaptureStart) {
    if start.versions_to > Micros::ZERO && args.buffer.newest().is_none() {
        args.ledger.write(|ledger| ledger.raise_horizon(start.versions_to.plus(1)));
    }
}

/// What was captured: the end of the buffer, or the beginning of the instance's history.
fn captured(
    buffer: &dyn EventBuffer,
    start: &CaptureStart,
    gtids: GtidPosition,
) -> Result<Captured, CaptureError> {
    let (log_base, log_index) = split_log_name(&start.file).ok_or_else(|| {
        CaptureError::Stopped(format!("the binlog file '{}' has no number at its end", start.file))
    })?;
    let server = match CapturedServer::newest_of(&buffer.catalog()) {
        Some(server) => server,
        None => {
            let (epoch, server_id) = (start.epoch, start.server_id);
            let server = CapturedServer { epoch, server_id, log_base: log_base.to_owned() };
            add_server(buffer, &server)?;
            server
        }
    };
    let beginning = Scn::of_transaction(start.epoch, log_index, start.position);
    buffer.begin(beginning)?;
    let flavour = captured_flavour(&buffer.catalog());
    Ok(Captured { scn: buffer.newest().unwrap_or(beginning), server, gtids, flavour, lost: false })
}

fn add_server(buffer: &dyn EventBuffer, server: &CapturedServer) -> Result<(), CaptureError> {
    let id = CatalogId(buffer.catalog().len() as u32);
    let began = Scn::of_transaction(server.epoch, 0, 0);
    let what = CatalogItem::Server { server_id: server.server_id, log_base: server.log_base.clone() };
    Ok(buffer.add_catalog(CatalogEntry { id, began, what })?)
}

/// Brings the ledger to the end of the buffer, once in the life of a node. Gives how far capture came:
/// exactly, as at another server a transaction that is in the buffer must not be read again.
fn restore_ledger(args: &ReplicatorArgs) -> Result<Reached, CaptureError> {
    if args.ledger.read().scn() > Scn::ZERO {
        let mut reached = args.reached.get();
        roll_forward(args.buffer.as_ref(), None, &mut reached)?;
        return Ok(reached);
    }
    let (mut ledger, mut reached) = match checkpoint::load(args.store.as_ref()) {
        Ok(Some(loaded)) => loaded,
        Ok(None) => (Ledger::default(), Reached::default()),
        Err(error) => {
            tracing::warn!(instance = args.instance, %error, "the ledger is built again from the buffer");
            (Ledger::default(), Reached::default())
        }
    };
    roll_forward(args.buffer.as_ref(), Some(&mut ledger), &mut reached)?;
    args.ledger.write(|current| *current = ledger);
    Ok(reached)
}

/// Reads the frames behind the ledger's SCN into it, and the GTIDs of those behind `reached` into that.
fn roll_forward(
    buffer: &dyn EventBuffer,
    mut ledger: Option<&mut Ledger>,
    reached: &mut Reached,
) -> Result<(), CaptureError> {
    let Some(oldest) = buffer.oldest() else { return Ok(()) };
    let known = ledger.as_ref().map_or(reached.scn, |ledger| ledger.scn());
    if let Some(ledger) = ledger.as_mut().filter(|_| known > Scn::ZERO && known < oldest) {
        // Nothing is known of what was reclaimed: changes older than what is left are refused.
        if let Some(frame) = buffer.reader(oldest)?.next()? {
            ledger.raise_horizon(decode(&frame)?.header.commit_time);
        }
    }
    let mut reader = buffer.reader(known.min(reached.scn).max(oldest))?;
    while let Some(bytes) = reader.next()? {
        let transaction = decode(&bytes)?;
        if transaction.header.scn > known
            && let Some(ledger) = ledger.as_mut()
        {
            stamp::record_captured(&transaction, ledger);
        }
        if let Some(scn) = transaction.completes().filter(|scn| *scn > reached.scn) {
            reached.scn = scn;
            transaction.header.gtid.iter().for_each(|gtid| reached.gtids.advance(gtid));
        }
    }
    Ok(())
}

fn decode(frame: &FrameRef) -> Result<Transaction, CaptureError> {
    frame::decode(frame)
        .map_err(|error| CaptureError::Stopped(format!("the event buffer holds a damaged frame: {error}")))
}

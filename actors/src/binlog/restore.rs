//! Before capture goes on: the ledger is brought to where the buffer ends, the server is asked who it
//! is, and the place in its binlog is found.

use std::sync::Arc;

use weft_core::binlog::resume::{Answering, Captured, CapturedServer, Resume, resume, split_log_name};
use weft_core::buffer::frame;
use weft_core::catalog::{CatalogEntry, CatalogId, CatalogItem};
use weft_core::gtid::GtidPosition;
use weft_core::ledger::Ledger;
use weft_core::scn::Scn;
use weft_core::sink::step::LogPosition;
use weft_core::stamp;
use weft_core::transaction::Transaction;

use super::args::ReplicatorArgs;
use super::checkpoint;
use super::error::CaptureError;
use crate::ports::{CaptureStart, EventBuffer, FrameRef, SourceIdentity, StreamFrom};

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

/// Finds the place.
///
/// # Errors
/// The source cannot be asked, or lost what was captured.
pub async fn find_place(args: &Arc<ReplicatorArgs>) -> Result<Place, CaptureError> {
    let start = args.source.install().await?;
    let identity = args.source.identify().await?;
    let this = args.clone();
    let began = start.gtid.clone();
    let gtids = tokio::task::spawn_blocking(move || restore_ledger(&this, began)).await??;
    let captured = captured(args.buffer.as_ref(), &start, gtids)?;
    let answering = Answering {
        server_id: identity.server_id,
        file: identity.file.clone(),
        position: identity.position,
        gtids: identity.gtid.clone(),
    };
    let place = match resume(&captured, &answering) {
        Resume::Stop(reason) => return Err(CaptureError::Stopped(reason)),
        Resume::At { file, position } => Place {
            from: StreamFrom::Position { file, position },
            epoch: captured.scn.epoch,
            server_id: captured.server.server_id,
            log_index: captured.scn.log_index,
            log_pos: captured.scn.log_pos,
            gtids: captured.gtids,
        },
        Resume::After { gtids, epoch, log_base } => {
            tracing::warn!(
                instance = args.instance,
                epoch,
                "another server answers: capture goes on by GTID"
            );
            if epoch != captured.server.epoch {
                let server = CapturedServer { epoch, server_id: identity.server_id, log_base };
                add_server(args.buffer.as_ref(), &server)?;
            }
            Place {
                from: StreamFrom::Gtid(gtids.clone()),
                epoch,
                server_id: identity.server_id,
                log_index: 0,
                log_pos: 0,
                gtids,
            }
        }
    };
    store_starts(args, &start, &identity, &place).await?;
    args.gtids.update(|gtids| *gtids = place.gtids.clone());
    args.board.update(|status| status.server_id = identity.server_id);
    args.ledger.announce(LogPosition { log_index: place.log_index, log_pos: place.log_pos });
    Ok(place)
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
    Ok(Captured { scn: buffer.newest().unwrap_or(beginning), server, gtids })
}

fn add_server(buffer: &dyn EventBuffer, server: &CapturedServer) -> Result<(), CaptureError> {
    let id = CatalogId(buffer.catalog().len() as u32);
    let began = Scn::of_transaction(server.epoch, 0, 0);
    let what = CatalogItem::Server { server_id: server.server_id, log_base: server.log_base.clone() };
    Ok(buffer.add_catalog(CatalogEntry { id, began, what })?)
}

/// Brings the ledger to the end of the buffer, once in the life of a node. Gives the GTIDs there.
fn restore_ledger(args: &ReplicatorArgs, began: GtidPosition) -> Result<GtidPosition, CaptureError> {
    if args.ledger.read().scn() > Scn::ZERO {
        return Ok(args.gtids.get());
    }
    let (mut ledger, mut gtids) = match checkpoint::load(args.store.as_ref()) {
        Ok(Some(loaded)) => loaded,
        Ok(None) => (Ledger::default(), began),
        Err(error) => {
            tracing::warn!(instance = args.instance, %error, "the ledger is built again from the buffer");
            (Ledger::default(), began)
        }
    };
    roll_forward(args.buffer.as_ref(), &mut ledger, &mut gtids)?;
    args.ledger.write(|current| *current = ledger);
    Ok(gtids)
}

/// Reads the frames behind the ledger's SCN into it.
fn roll_forward(
    buffer: &dyn EventBuffer,
    ledger: &mut Ledger,
    gtids: &mut GtidPosition,
) -> Result<(), CaptureError> {
    let Some(oldest) = buffer.oldest() else { return Ok(()) };
    let after = if ledger.scn() >= oldest {
        ledger.scn()
    } else {
        // Nothing is known of what was reclaimed: changes older than what is left are refused.
        if let Some(frame) = buffer.reader(oldest)?.next()?
            && ledger.scn() > Scn::ZERO
        {
            ledger.raise_horizon(decode(&frame)?.header.commit_time);
        }
        oldest
    };
    let mut reader = buffer.reader(after)?;
    while let Some(bytes) = reader.next()? {
        let transaction = decode(&bytes)?;
        stamp::record_captured(&transaction, ledger);
        transaction.header.gtid.iter().for_each(|gtid| gtids.advance(gtid));
    }
    Ok(())
}

fn decode(frame: &FrameRef) -> Result<Transaction, CaptureError> {
    frame::decode(frame)
        .map_err(|error| CaptureError::Stopped(format!("the event buffer holds a damaged frame: {error}")))
}

/// Stores where the outgoing channels begin that have no start yet. What commits from now on is
/// theirs.
async fn store_starts(
    args: &ReplicatorArgs,
    start: &CaptureStart,
    identity: &SourceIdentity,
    place: &Place,
) -> Result<(), CaptureError> {
    let (file, position) =
        if start.new { (&start.file, start.position) } else { (&identity.file, identity.position) };
    let log_index = split_log_name(file).map_or(0, |(_, index)| index);
    let now = Scn::of_transaction(place.epoch, log_index, position);
    for channel in &args.outgoing {
        let stored = args.source.channel_start(channel, now).await?;
        args.starts.update(|starts| {
            starts.insert(channel.clone(), stored);
        });
    }
    Ok(())
}

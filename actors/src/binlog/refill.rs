//! History that the event buffer does not hold any more, read from the instance again.
//!
//! The stamps are the same as they were: versions of foreign rows are in the marks, and the version
//! times of local transactions are their commit times but for those that the capture remembered. Only
//! the bases are not known again, so conflicts among what is refilled may go uncounted; what wins is
//! decided by versions alone.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use futures::future::BoxFuture;
use weft_core::binlog::resume::log_name;
use weft_core::buffer::frame;
use weft_core::catalog::CatalogItem;
use weft_core::gtid::GtidPosition;
use weft_core::ledger::Ledger;
use weft_core::scn::Scn;
use weft_core::time::Micros;
use weft_core::transaction::Transaction;

use super::actor::ReplicatorArgs;
use super::capture::CaptureError;
use super::ledger::SharedLedger;
use super::pipe::{Output, Pipe, PipeArgs};
use super::restore::Place;
use crate::link::{FrameStream, Refill};
use crate::ports::{EventStream, FrameRef, SourceError, StreamFrom};

/// Reads history of one instance again.
pub struct FromSource {
    args: Arc<ReplicatorArgs>,
}

impl FromSource {
    pub fn new(args: Arc<ReplicatorArgs>) -> FromSource {
        FromSource { args }
    }
}

impl Refill for FromSource {
    fn refill(&self, after: Scn, until: Scn) -> BoxFuture<'_, Result<Box<dyn FrameStream>, SourceError>> {
        Box::pin(async move {
            let place = self.place(after)?;
            tracing::info!(instance = self.args.instance, %after, %until, "history is read from the source again");
            let stream = self.args.source.stream(place.from.clone()).await?;
            let stamps = self.args.store.stamps_after(after).map_err(|error| SourceError::Refused(error.to_string()))?;
            let pipe_args = PipeArgs {
                source: self.args.source.clone(),
                buffer: self.args.buffer.clone(),
                store: self.args.store.clone(),
                wanted: self.args.wanted.clone(),
                origin: self.args.id,
                spill_bytes: self.args.spill_bytes,
                replayed: Some(stamps.into_iter().collect::<HashMap<Scn, Micros>>()),
            };
            let refilling = Refilling {
                stream,
                pipe: Pipe::new(pipe_args, &place),
                ledger: SharedLedger::new(Ledger::default()),
                ready: Ready::default(),
                until,
            };
            Ok(Box::new(refilling) as Box<dyn FrameStream>)
        })
    }
}

impl FromSource {
    /// Where the dump begins: positions of an older server of the instance say nothing any more.
    fn place(&self, after: Scn) -> Result<Place, SourceError> {
        let server = self.args.buffer.catalog().into_iter().rev().find_map(|entry| match &entry.what {
            CatalogItem::Server { server_id, log_base } => Some((entry.began.epoch, *server_id, log_base.clone())),
            _ => None,
        });
        match server {
            Some((epoch, server_id, log_base)) if epoch == after.epoch => Ok(Place {
                from: StreamFrom::Position {
                    file: log_name(&log_base, after.log_index),
                    position: after.log_pos,
                },
                epoch,
                server_id,
                log_index: after.log_index,
                log_pos: after.log_pos,
                gtids: GtidPosition::default(),
            }),
            _ => Err(SourceError::Purged(format!(
                "{after} of {} is from a server that does not answer there any more; copy the channel's tables again",
                self.args.instance
            ))),
        }
    }
}

/// A refill under way.
struct Refilling {
    stream: Box<dyn EventStream>,
    pipe: Pipe,
    ledger: SharedLedger,
    ready: Ready,
    until: Scn,
}

#[derive(Default)]
struct Ready {
    frames: VecDeque<Transaction>,
}

impl Output for Ready {
    async fn frame(&mut self, transaction: Transaction) -> Result<(), CaptureError> {
        self.frames.push_back(transaction);
        Ok(())
    }

    async fn bumped(&mut self, _scn: Scn, _time: Micros) -> Result<(), CaptureError> {
        Ok(())
    }
}

impl FrameStream for Refilling {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<FrameRef>, SourceError>> {
        Box::pin(async move {
            loop {
                if let Some(transaction) = self.ready.frames.pop_front() {
                    if transaction.header.scn.transaction() > self.until {
                        return Ok(None);
                    }
                    return Ok(Some(frame::encode(&transaction).into()));
                }
                let position = self.pipe.position();
                if (position.log_index, position.log_pos) >= (self.until.log_index, self.until.log_pos) {
                    return Ok(None);
                }
                for event in self.stream.next().await? {
                    self.pipe.event(&event, &self.ledger, &mut self.ready).await.map_err(as_source_error)?;
                }
            }
        })
    }
}

fn as_source_error(error: CaptureError) -> SourceError {
    match error {
        CaptureError::Source(error) => error,
        other => SourceError::Refused(other.to_string()),
    }
}

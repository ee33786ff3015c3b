//! History that the event buffer does not hold any more, read from the instance again.
//!
//! The stamps are the same as they were: versions of foreign rows are in the marks, and the version
//! times of local transactions are their commit times but for those that the capture remembered. Only
//! the bases are not known again, so conflicts among what is refilled may go uncounted; what wins is
//! decided by versions alone.

use std::collections::HashMap;
use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use weft_core::binlog::resume::CapturedServer;
use weft_core::buffer::frame;
use weft_core::gtid::GtidPosition;
use weft_core::ledger::Ledger;
use weft_core::scn::Scn;
use weft_core::time::Micros;
use weft_core::transaction::Transaction;

use super::args::ReplicatorArgs;
use super::error::CaptureError;
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
            let stream = self.args.source.stream(place.from.clone(), place.server_id).await?;
            let stamps = self
                .args
                .store
                .stamps_after(after)
                .map_err(|error| SourceError::Refused(error.to_string()))?;
            let pipe_args = PipeArgs {
                source: self.args.source.clone(),
                buffer: self.args.buffer.clone(),
                store: self.args.store.clone(),
                wanted: self.args.wanted.clone(),
                instance: self.args.instance.clone(),
                origin: self.args.id,
                spill_bytes: self.args.spill_bytes,
                replayed: Some(stamps.into_iter().collect::<HashMap<Scn, Micros>>()),
            };
            let (frames, receiver) = mpsc::channel(FRAMES_AHEAD);
            let pipe =
                Pipe::new(pipe_args, &place).map_err(|error| SourceError::Refused(error.to_string()))?;
            let refilling = Refilling { stream, pipe, until };
            let task = tokio::spawn(refilling.run(frames));
            Ok(Box::new(Refilled { frames: receiver, task }) as Box<dyn FrameStream>)
        })
    }
}

impl FromSource {
    /// Where the dump begins: positions of an older server of the instance say nothing any more.
    fn place(&self, after: Scn) -> Result<Place, SourceError> {
        let server = CapturedServer::newest_of(&self.args.buffer.catalog());
        let place = server.and_then(|server| Some((server.place_after(after)?, server)));
        match place {
            Some(((file, position), server)) => Ok(Place {
                from: StreamFrom::Position { file, position },
                epoch: server.epoch,
                server_id: server.server_id,
                log_index: after.log_index,
                log_pos: after.log_pos,
                gtids: GtidPosition::default(),
            }),
            None => Err(SourceError::Purged(format!(
                "{after} of {} is from a server that does not answer there any more; copy the channel's tables again",
                self.args.instance
            ))),
        }
    }
}

/// Frames that may wait for the reader. Parts of large transactions are frames too, so that memory is
/// bounded whatever their size.
const FRAMES_AHEAD: usize = 16;

/// What the reading task and the reader say to each other.
type Frames = mpsc::Sender<Result<FrameRef, SourceError>>;

/// A refill under way.
struct Refilling {
    stream: Box<dyn EventStream>,
    pipe: Pipe,
    until: Scn,
}

impl Refilling {
    async fn run(mut self, frames: Frames) {
        let mut output = ToReader { frames, until: self.until };
        if let Err(error) = self.read(&mut output).await {
            // A reader that is gone needs no reason.
            let _ = output.frames.send(Err(as_source_error(error))).await;
        }
    }

    async fn read(&mut self, output: &mut ToReader) -> Result<(), CaptureError> {
        let ledger = SharedLedger::new(Ledger::default());
        loop {
            for event in self.stream.next().await? {
                self.pipe.event(&event, &ledger, output).await?;
            }
            let position = self.pipe.position();
            let there = (position.log_index, position.log_pos) >= (self.until.log_index, self.until.log_pos);
            if there || output.frames.is_closed() {
                return Ok(());
            }
        }
    }
}

struct ToReader {
    frames: Frames,
    until: Scn,
}

impl Output for ToReader {
    async fn frame(&mut self, transaction: Transaction) -> Result<(), CaptureError> {
        if transaction.header.scn.transaction() <= self.until {
            let bytes = frame::encode(&transaction)
                .map_err(|error| CaptureError::Stopped(format!("a frame of history: {error}")))?
                .into();
            // The task ends at its next look when nobody reads.
            let _ = self.frames.send(Ok(bytes)).await;
        }
        Ok(())
    }

    async fn bumped(&mut self, _scn: Scn, _time: Micros) -> Result<(), CaptureError> {
        Ok(())
    }
}

/// The reader's side; dropping it ends the refill.
struct Refilled {
    frames: mpsc::Receiver<Result<FrameRef, SourceError>>,
    task: JoinHandle<()>,
}

impl Drop for Refilled {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl FrameStream for Refilled {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<FrameRef>, SourceError>> {
        Box::pin(async move { self.frames.recv().await.transpose() })
    }
}

fn as_source_error(error: CaptureError) -> SourceError {
    match error {
        CaptureError::Source(error) => error,
        other => SourceError::Refused(other.to_string()),
    }
}

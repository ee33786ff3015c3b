//! The capture: reads the dump, and lets each transaction through [`Pipe`] into the event buffer.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use weft_core::binlog::primary::LastCaptured;
use weft_core::binlog::resume::log_name;
use weft_core::ledger::Ledger;
use weft_core::transaction::{Body, Transaction};

use super::args::ReplicatorArgs;
use super::error::CaptureError;
use super::ledger::SharedLedger;
use super::metrics::CaptureMetrics;
use super::pipe::{Output, Pipe, PipeArgs};
use super::restore::Place;
use super::status::clock_skew_us;
use crate::ports::BufferError;

/// How often a full disk is tried again.
const DISK_RETRY: Duration = Duration::from_secs(1);

/// Captures from `place` until something ends it.
///
/// # Errors
/// Always ends with one.
pub async fn run(args: &Arc<ReplicatorArgs>, place: Place) -> Result<Infallible, CaptureError> {
    let mut stream = args.source.stream(place.from.clone(), place.server_id).await?;
    args.board.update(|status| {
        status.running = true;
        (status.reason, status.standstill) = (None, None);
    });
    let mut pipe = Pipe::new(
        PipeArgs {
            source: args.source.clone(),
            buffer: args.buffer.clone(),
            store: args.store.clone(),
            wanted: args.wanted.clone(),
            instance: args.instance.clone(),
            origin: args.id,
            spill_bytes: args.spill_bytes,
            replayed: None,
        },
        &place,
    )?;
    let metrics = CaptureMetrics::new(&args.instance);
    let mut output = ToBuffer { args: args.clone(), metrics: metrics.clone() };
    let (reached, server_id) = (args.reached.clone(), place.server_id);
    let last = move || LastCaptured { server_id, gtids: reached.get().gtids };
    let mut moved = args.source.moved(Arc::new(last));
    loop {
        let events = tokio::select! {
            events = stream.next() => events?,
            () = &mut moved => return Err(CaptureError::Moved(server_id)),
        };
        let bytes: usize = events.iter().map(Vec::len).sum();
        for event in &events {
            pipe.event(event, &args.ledger, &mut output).await?;
        }
        metrics.read(events.len(), bytes);
        tell(args, &pipe);
    }
}

/// Tells the readers of buffer and ledger how far the capture came.
fn tell(args: &ReplicatorArgs, pipe: &Pipe) {
    let position = pipe.position();
    args.ledger.announce(position);
    if let Some(newest) = args.buffer.newest() {
        args.newest.send_if_modified(|current| {
            let moved = *current != newest;
            *current = newest;
            moved
        });
    }
    args.reached.update(|reached| {
        reached.scn = args.buffer.newest().unwrap_or(reached.scn);
        reached.gtids.clone_from(pipe.gtids());
    });
    args.board.update(|status| {
        status.scn = args.buffer.newest();
        status.gtid = pipe.gtids().to_string();
        status.file = format!("{}:{}", log_name(pipe.log_base(), position.log_index), position.log_pos);
    });
}

/// Appends to the event buffer, waiting while its disk is full.
struct ToBuffer {
    args: Arc<ReplicatorArgs>,
    metrics: CaptureMetrics,
}

impl Output for ToBuffer {
    async fn frame(&mut self, transaction: Transaction) -> Result<(), CaptureError> {
        if let Body::Heartbeat { written } = transaction.header.body {
            let read = self.args.clock.now();
            let skew_us = clock_skew_us(written, transaction.header.commit_time);
            self.args.board.update(|status| {
                (status.heartbeat, status.clock_skew_us) = (Some((written, read)), skew_us);
            });
            expire(&self.args.ledger, &self.args, written);
        }
        loop {
            match self.args.buffer.append(&transaction) {
                Ok(()) => break,
                Err(error @ BufferError::Write { .. }) => {
                    tracing::error!(instance = self.args.instance, %error, "capture waits");
                    self.metrics.write_failed();
                    self.args.board.update(|status| status.reason = Some(error.to_string()));
                    tokio::time::sleep(DISK_RETRY).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.metrics.captured(&transaction);
        Ok(())
    }

    async fn bumped(
        &mut self,
        scn: weft_core::scn::Scn,
        time: weft_core::time::Micros,
    ) -> Result<(), CaptureError> {
        self.metrics.bumped();
        self.args.board.update(|status| status.raised_stamp = status.raised_stamp.max(time));
        Ok(self.args.store.record_stamp(scn, time)?)
    }
}

/// Lets entries go that are older than the conflict window by binlog time, one stretch a heartbeat.
fn expire(ledger: &SharedLedger, args: &ReplicatorArgs, heartbeat: weft_core::time::Micros) {
    let window_us = args.conflict_window.as_micros() as u64;
    let before = Ledger::horizon_at(heartbeat, (args.inbound_time)(), window_us);
    ledger.write(|ledger| {
        ledger.set_window(window_us);
        // Once a minute is often enough: an entry that lives a little longer does no harm.
        if before.since(weft_core::ledger::LedgerView::horizon(ledger)) > 60_000_000 {
            ledger.raise_horizon(before);
        }
        for _ in 0..8 {
            ledger.sweep();
        }
    });
}

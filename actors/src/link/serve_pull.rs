//! Serves one pull: frames of the event buffer, cut down to what is wanted, under credit.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::atomic::{AtomicI64, Ordering};

use ::metrics::Counter;
use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout};
use weft_core::catalog::{CatalogEntry, CatalogId};
use weft_core::link::message::{FromClient, FromServer, Pull};
use weft_core::link::outgoing::{Outgoing, Passed, bytes_behind};
use weft_core::scn::Scn;

use super::server::hear;
use super::stream::{LinkError, MessageReader, MessageWriter};
use super::{DEAD_AFTER, PROGRESS_EVERY, SourceHandle};
use crate::metrics;
use crate::ports::{BufferError, Clock, FrameReader, SourceError};

/// A pull gives the other tasks of its thread a turn after so many frames, sent or not.
const FRAMES_PER_TURN: u32 = 128;

/// Serves the pull until the connection ends.
pub(super) async fn serve_pull<R, W>(
    pull: Pull,
    source: &SourceHandle,
    clock: &dyn Clock,
    reader: &mut MessageReader<R>,
    writer: &mut MessageWriter<W>,
) -> Result<(), LinkError>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let credit = Credit::new(pull.credit_bytes);
    let listening = async {
        loop {
            if let FromClient::Credit { bytes } = hear(reader).await? {
                credit.add(bytes);
            }
        }
    };
    let serving = async {
        let after = match pull.after {
            Some(after) => after,
            None => stored_start(source, &pull.channel).await?,
        };
        let server_id = source.starts.server_id();
        writer.send(&FromServer::Begins { after, server_id }).await?;
        let server = PullServer {
            server_id,
            outgoing: Outgoing::new(pull.filter, after),
            newest: source.newest.clone(),
            counters: Counters::of(&pull.channel),
            channel: pull.channel,
            source,
            clock,
            credit: &credit,
            writer,
            progress_due: Instant::now() + PROGRESS_EVERY,
            unreported: false,
        };
        server.run().await
    };
    let ended: Result<Infallible, LinkError> = tokio::select! {
        ended = listening => ended,
        ended = serving => ended,
    };
    ended.map(|never| match never {})
}

async fn stored_start(source: &SourceHandle, channel: &str) -> Result<Scn, LinkError> {
    let named = |cause: &str| format!("the start of channel {channel}: {cause}");
    match timeout(DEAD_AFTER / 2, source.starts.channel_start(channel)).await {
        Ok(Ok(start)) => Ok(start),
        Ok(Err(SourceError::Unreachable(cause))) => Err(LinkError::CannotServe(named(&cause))),
        Ok(Err(SourceError::Purged(cause) | SourceError::Refused(cause))) => {
            Err(LinkError::CannotBegin(named(&cause)))
        }
        Err(_) => Err(LinkError::CannotServe(named("the source did not answer in time"))),
    }
}

/// Bytes of frames that may still be sent; below 0 once a frame overdrew.
struct Credit {
    bytes: AtomicI64,
    more: Notify,
}

impl Credit {
    fn new(bytes: u64) -> Credit {
        Credit { bytes: AtomicI64::new(i64::try_from(bytes).unwrap_or(i64::MAX)), more: Notify::new() }
    }

    fn add(&self, bytes: u64) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        let add = |have: i64| Some(have.saturating_add(bytes));
        let _ = self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        self.more.notify_one();
    }

    fn take(&self, bytes: usize) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        let sub = |have: i64| Some(have.saturating_sub(bytes));
        let _ = self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, sub);
    }

    fn is_used_up(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) <= 0
    }
}

/// Looked up once a connection.
struct Counters {
    frames: Counter,
    bytes: Counter,
    rows_filtered: Counter,
    refills: Counter,
}

impl Counters {
    fn of(channel: &str) -> Counters {
        let labels = [("channel", channel)];
        Counters {
            frames: metrics::LINK_FRAMES_SENT.counter(&labels),
            bytes: metrics::LINK_BYTES_SENT.counter(&labels),
            rows_filtered: metrics::LINK_ROWS_FILTERED.counter(&labels),
            refills: metrics::LINK_REFILLS.counter(&labels),
        }
    }
}

struct PullServer<'a, W> {
    /// As the client was told.
    server_id: u32,
    outgoing: Outgoing,
    newest: watch::Receiver<Scn>,
    channel: String,
    counters: Counters,
    source: &'a SourceHandle,
    clock: &'a dyn Clock,
    credit: &'a Credit,
    writer: &'a mut MessageWriter<W>,
    progress_due: Instant,
    /// Something was passed that the client cannot know of from the frames it got.
    unreported: bool,
}

impl<W: AsyncWrite + Unpin> PullServer<'_, W> {
    async fn run(mut self) -> Result<Infallible, LinkError> {
        let mut refilled_to: Option<Scn> = None;
        loop {
            let at = self.outgoing.completed();
            let cause = match self.source.buffer.reader(at) {
                Ok(reader) => self.follow(reader).await?,
                Err(cause) => cause,
            };
            if self.outgoing.is_midway() {
                return Err(cannot_serve(&cause, "it will be sent again from its transaction's beginning"));
            }
            let until = match &cause {
                BufferError::TooOld { oldest, .. } => Some(*oldest),
                BufferError::Damaged { .. } => self.source.buffer.newest(),
                BufferError::NotRising { .. } | BufferError::Write { .. } => None,
            };
            let at = self.outgoing.completed();
            match until {
                // What was refilled and is still not served from the buffer never will be.
                Some(until) if refilled_to != Some(at) && until > at => self.refill(until).await?,
                _ => return Err(cannot_serve(&cause, "nothing newer can be read")),
            }
            refilled_to = Some(self.outgoing.completed());
        }
    }

    /// Sends what the buffer has and waits for more; returns why the buffer cannot go on.
    async fn follow(&mut self, mut reader: Box<dyn FrameReader>) -> Result<BufferError, LinkError> {
        let mut turn = 0;
        loop {
            self.newest.borrow_and_update();
            loop {
                self.await_credit().await?;
                match reader.next() {
                    Ok(Some(frame)) => self.pass(&frame).await?,
                    Ok(None) => break,
                    Err(cause) => return Ok(cause),
                }
                turn += 1;
                if turn % FRAMES_PER_TURN == 0 {
                    tokio::task::yield_now().await;
                }
            }
            if self.unreported {
                self.progress().await?;
            }
            self.writer.flush().await?;
            // Only now: what was captured before is still good.
            if let Some(reason) = self.source.starts.standstill() {
                return Err(LinkError::CannotServe(reason));
            }
            // No trouble: the client asks again at once, and is told.
            if self.source.starts.server_id() != self.server_id {
                return Err(LinkError::Closed);
            }
            tokio::select! {
                changed = self.newest.changed() => {
                    if changed.is_err() {
                        return Err(LinkError::CannotServe("the source's replicator stopped here".into()));
                    }
                }
                () = sleep_until(self.progress_due) => self.progress().await?,
            }
        }
    }

    async fn await_credit(&mut self) -> Result<(), LinkError> {
        while self.credit.is_used_up() {
            self.writer.flush().await?;
            tokio::select! {
                () = self.credit.more.notified() => {}
                () = sleep_until(self.progress_due) => self.progress().await?,
            }
        }
        if Instant::now() >= self.progress_due {
            self.progress().await?;
        }
        Ok(())
    }

    async fn refill(&mut self, until: Scn) -> Result<(), LinkError> {
        let after = self.outgoing.completed();
        let refill = &self.source.refill;
        let failed = |cause: &dyn std::fmt::Display| {
            LinkError::CannotServe(format!("{after} is older than the event buffer, and the source: {cause}"))
        };
        self.counters.refills.increment(1);
        tracing::info!(channel = %self.channel, %after, %until, "refilling a pull from the source");
        let opening = refill.refill(after, until);
        let mut stream = self.meanwhile(opening).await?.map_err(|cause| failed(&cause))?;
        loop {
            self.await_credit().await?;
            match self.meanwhile(stream.next()).await?.map_err(|cause| failed(&cause))? {
                Some(frame) => self.pass(&frame).await?,
                None => break,
            }
        }
        if self.outgoing.is_midway() {
            return Err(failed(&"its frames end inside a transaction"));
        }
        self.outgoing.passed_up_to(until);
        self.unreported = true;
        Ok(())
    }

    /// Waits for something slow and keeps the client assured.
    async fn meanwhile<T>(&mut self, slow: impl Future<Output = T>) -> Result<T, LinkError> {
        let mut slow = pin!(slow);
        loop {
            tokio::select! {
                done = &mut slow => return Ok(done),
                () = sleep_until(self.progress_due) => {
                    self.progress().await?;
                    self.writer.flush().await?;
                }
            }
        }
    }

    async fn pass(&mut self, frame: &Bytes) -> Result<(), LinkError> {
        let passed = self
            .outgoing
            .pass(frame)
            .map_err(|cause| LinkError::CannotServe(format!("a frame of the event buffer: {cause}")))?;
        let Passed { frame, catalog, heartbeat, rows_filtered } = passed;
        if rows_filtered > 0 {
            self.counters.rows_filtered.increment(rows_filtered);
        }
        let Some(frame) = frame else {
            self.unreported = true;
            return Ok(());
        };
        if !catalog.is_empty() {
            let entries = catalog.into_iter().map(|id| self.entry(id)).collect::<Result<_, _>>()?;
            self.writer.queue(&FromServer::Catalog(entries)).await?;
        }
        self.credit.take(frame.len());
        self.counters.frames.increment(1);
        self.counters.bytes.increment(frame.len() as u64);
        self.writer.queue(&FromServer::Frame(frame.into())).await?;
        if heartbeat { self.progress().await } else { Ok(()) }
    }

    fn entry(&self, id: CatalogId) -> Result<CatalogEntry, LinkError> {
        match self.source.buffer.catalog_entry(id) {
            Some(entry) => Ok((*entry).clone()),
            None => Err(LinkError::CannotServe(format!("the schema history has no entry {}", id.0))),
        }
    }

    async fn progress(&mut self) -> Result<(), LinkError> {
        let scn = self.outgoing.completed();
        let newest = self.source.buffer.newest();
        let message = FromServer::Progress {
            scn,
            source_time: self.outgoing.source_time(),
            sent_at: self.clock.now(),
            behind_bytes: newest.map_or(0, |newest| bytes_behind(scn, newest, self.source.buffer.size().0)),
        };
        self.writer.send(&message).await?;
        self.progress_due = Instant::now() + PROGRESS_EVERY;
        self.unreported = false;
        Ok(())
    }
}

fn cannot_serve(cause: &BufferError, then: &str) -> LinkError {
    LinkError::CannotServe(format!("{cause}; {then}"))
}

//! The binlog dump.
//!
//! The driver connects and frames; whatever its parser cannot take, this file turns into an error.

mod begin;
mod failure;
mod replica;

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt, Stream};
use mysql_async::BinlogStream;
use mysql_async::prelude::Queryable;
use weft_actors::ports::{EventStream, SourceError, StreamFrom};

use super::connect::{Endpoint, Role, connect};
use super::event::Parts;
use failure::{broken, is_same_id, unframed};
pub(super) use replica::{ReplicaId, ReplicaIds};

/// Silence after which the server, or the way to it, is taken for dead.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// The same until the server has reached the position: by GTID it reads a whole file for it, and
/// says nothing meanwhile.
const SEEK_MAX: Duration = Duration::from_secs(120);
/// A batch ends after so many events or bytes.
const BATCH_EVENTS_MAX: usize = 500;
const BATCH_BYTES_MAX: usize = 1 << 20;

/// An open dump. Dropping it closes the connection; the server's thread ends with its next
/// heartbeat.
pub(super) struct Dump {
    /// None once it failed.
    stream: Option<BinlogStream>,
    /// The event that was awaited to see whether the server agrees to dump.
    first: Option<Vec<u8>>,
    /// Returned by every call after the one that met it.
    failure: Option<SourceError>,
    /// The server has reached the position.
    reached: bool,
    endpoint: Endpoint,
    id: ReplicaId,
}

/// Opens the dump of this server and waits for its first event, so that a position that is gone is known at once.
pub(super) async fn open(
    endpoint: &Endpoint,
    id: ReplicaId,
    from: StreamFrom,
    server_id: u32,
) -> Result<Box<dyn EventStream>, SourceError> {
    let mut conn = connect(endpoint, Role::Dump).await?;
    let answers: Option<u32> = within(endpoint, SILENCE_MAX, conn.query_first("SELECT @@GLOBAL.server_id"))
        .await?
        .map_err(|error| broken(endpoint, &error))?;
    if answers != Some(server_id) {
        return Err(SourceError::Unreachable(format!(
            "another server than {server_id} answers at {} now",
            endpoint.address()
        )));
    }
    let place = begin::begin(endpoint, &mut conn, &id, &from).await?;
    let stream = within(endpoint, SILENCE_MAX, conn.get_binlog_stream(place.request(&id)))
        .await?
        .map_err(|error| broken(endpoint, &error))?;
    let mut dump = Dump {
        stream: Some(stream),
        first: None,
        failure: None,
        // A file and position are opened at once.
        reached: !place.file.is_empty(),
        endpoint: endpoint.clone(),
        id,
    };
    dump.first = Some(dump.wait().await?);
    Ok(Box::new(dump))
}

/// Waits at most `limit` for an answer.
async fn within<T>(
    endpoint: &Endpoint,
    limit: Duration,
    answer: impl Future<Output = T>,
) -> Result<T, SourceError> {
    tokio::time::timeout(limit, answer).await.map_err(|_| silent(&endpoint.address(), limit))
}

impl Dump {
    /// The next event, awaited only as long as a living server is silent.
    async fn wait(&mut self) -> Result<Vec<u8>, SourceError> {
        let limit = if self.reached { SILENCE_MAX } else { SEEK_MAX };
        match tokio::time::timeout(limit, self.event()).await {
            Ok(result) => result,
            Err(_) => Err(silent(&self.endpoint.address(), limit)),
        }
    }

    /// The next event in canonical form. Cancel-safe: what has arrived of an event stays with the
    /// driver until it is whole.
    async fn event(&mut self) -> Result<Vec<u8>, SourceError> {
        let Some(stream) = self.stream.as_mut() else { return Err(self.lost()) };
        // The driver's parser panics on events whose stated and real lengths differ.
        let polled =
            poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| Pin::new(&mut *stream).poll_next(cx))) {
                Ok(Poll::Pending) => Poll::Pending,
                Ok(Poll::Ready(event)) => Poll::Ready(Some(event)),
                Err(_) => Poll::Ready(None),
            })
            .await;
        let event = match polled {
            Some(Some(Ok(event))) => event,
            Some(Some(Err(error))) => {
                if is_same_id(&error) {
                    self.id.give_up();
                }
                return Err(broken(&self.endpoint, &error));
            }
            Some(None) => return Err(self.lost()),
            None => return Err(unframed(&self.endpoint.address(), "its length is not what it says")),
        };
        let parts = Parts::of(&event);
        self.reached |= !parts.is_head();
        parts.canonical().map_err(|error| {
            let what = format!("event of type {} that ends at {}: {error}", parts.kind, parts.log_pos);
            unframed(&self.endpoint.address(), &what)
        })
    }

    async fn batch(&mut self) -> Result<Vec<Vec<u8>>, SourceError> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        let first = match self.first.take() {
            Some(first) => Ok(first),
            None => self.wait().await,
        };
        let first = first.inspect_err(|error| self.fail(error.clone()))?;
        // From here on nothing waits: a caller that drops this future loses no event.
        let mut bytes = first.len();
        let mut events = vec![first];
        while events.len() < BATCH_EVENTS_MAX && bytes < BATCH_BYTES_MAX {
            match self.event().now_or_never() {
                Some(Ok(event)) => {
                    bytes += event.len();
                    events.push(event);
                }
                Some(Err(error)) => {
                    self.fail(error);
                    break;
                }
                None => break,
            }
        }
        Ok(events)
    }

    /// Closes the connection and keeps the reason.
    fn fail(&mut self, error: SourceError) {
        self.stream = None;
        self.failure = Some(error);
    }

    fn lost(&self) -> SourceError {
        SourceError::Unreachable(format!(
            "{} ended the binlog dump: it shuts down, or was told to",
            self.endpoint.address()
        ))
    }
}

impl EventStream for Dump {
    fn next(&mut self) -> BoxFuture<'_, Result<Vec<Vec<u8>>, SourceError>> {
        self.batch().boxed()
    }
}

fn silent(address: &str, limit: Duration) -> SourceError {
    SourceError::Unreachable(format!(
        "{address} sent nothing for {} s, not even a heartbeat",
        limit.as_secs()
    ))
}

//! The binlog dump: whole events as the server sent them, checked and without their checksums.

mod begin;
mod failure;
mod replica;

use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use weft_actors::ports::{EventStream, SourceError, StreamFrom};
use weft_core::binlog::event::{EventHeader, EventType};
use weft_core::binlog::format::{Checksum, Checksums};

use super::connect::{Endpoint, connect_dump};
use super::wire::Session;
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
    session: Option<Session>,
    checksums: Checksums,
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
    let mut session = connect_dump(endpoint).await?;
    let answers = within(endpoint, SILENCE_MAX, session.value("SELECT @@GLOBAL.server_id"))
        .await?
        .map_err(|error| broken(endpoint, &error))?;
    if answers != Some(server_id.to_string()) {
        return Err(SourceError::Unreachable(format!(
            "another server than {server_id} answers at {} now",
            endpoint.address()
        )));
    }
    let place = begin::begin(endpoint, &mut session, &id, &from).await?;
    within(endpoint, SILENCE_MAX, session.dump(id.number(), &place.request(&id)))
        .await?
        .map_err(|error| broken(endpoint, &error))?;
    let mut dump = Dump {
        session: Some(session),
        checksums: Checksums::new(Checksum::None),
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

/// Whether a dump says this of a file before any of the file's events: it tells where the dump is, and not
/// what happened.
fn is_head(kind: EventType) -> bool {
    use EventType::*;
    matches!(kind, Rotate | FormatDescription | PreviousGtids | BinlogCheckpoint | GtidList)
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
    /// session until it is whole.
    async fn event(&mut self) -> Result<Vec<u8>, SourceError> {
        let Some(session) = self.session.as_mut() else { return Err(self.lost()) };
        let event = match session.event().await {
            Ok(Some(event)) => event,
            Ok(None) => return Err(self.lost()),
            Err(error) => {
                if is_same_id(&error) {
                    self.id.give_up();
                }
                return Err(broken(&self.endpoint, &error));
            }
        };
        let address = self.endpoint.address();
        let header = EventHeader::parse(&event).map_err(|error| unframed(&address, &error.to_string()))?;
        self.reached |= !is_head(header.kind);
        self.checksums.strip(event).map_err(|error| {
            let what =
                format!("event of type {} that ends at {}: {error}", header.kind.code(), header.log_pos);
            unframed(&address, &what)
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
        self.session = None;
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

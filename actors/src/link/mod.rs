//! The peer link at work: one side serves pulls and status from what it has, the other keeps a pull
//! going for ever. Generic over byte streams, so that tests need no sockets.
//!
//! A connection serves one purpose. The client speaks first (preamble, hello, then credit, at least
//! every [`KEEPALIVE`]); the server answers and sends frames under credit, and progress at least
//! every [`PROGRESS_EVERY`]. A side that hears nothing for [`DEAD_AFTER`] closes.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::watch;
use weft_core::scn::Scn;

use crate::ports::{EventBuffer, FrameRef, SourceError};

pub mod backoff;
pub mod client;
mod pull_session;
pub mod puller;
pub mod serve_pull;
pub mod server;
pub mod status;
pub mod stream;
#[cfg(test)]
mod tests;

/// The client says something at least this often.
pub const KEEPALIVE: Duration = Duration::from_secs(2);
/// The server of a pull says something at least this often.
pub const PROGRESS_EVERY: Duration = Duration::from_millis(500);
/// A peer that was silent for so long is taken for dead.
pub const DEAD_AFTER: Duration = Duration::from_secs(10);

/// The sources that this node can serve.
pub trait Sources: Send + Sync {
    /// The source with this full name (`site.instance`); None: not here.
    fn source(&self, full_name: &str) -> Option<Arc<SourceHandle>>;
}

/// All that serving a pull needs of a source's replicator.
#[derive(Clone)]
pub struct SourceHandle {
    pub buffer: Arc<dyn EventBuffer>,
    /// Raised after each append to `buffer`; closed when the replicator is gone, which ends the pulls.
    pub newest: watch::Receiver<Scn>,
    pub starts: Arc<dyn StartPositions>,
    pub refill: Arc<dyn Refill>,
}

/// Where channels begin that have no position of their own yet.
pub trait StartPositions: Send + Sync {
    /// Position after which the channel begins (exclusive): stored when it was first asked for.
    fn channel_start<'a>(&'a self, channel: &'a str) -> BoxFuture<'a, Result<Scn, SourceError>>;

    /// Server id of the source's server now; 0: not known yet.
    fn server_id(&self) -> u32;

    /// Why the source's capture stands still until a person sees to it; None: it runs, or tries again
    /// what may come right by itself.
    fn standstill(&self) -> Option<String> {
        None
    }
}

/// Serves history that the event buffer does not hold any more, from the source itself.
pub trait Refill: Send + Sync {
    /// Frames after `after` (exclusive) up to `until` (inclusive), as the buffer held them: the same
    /// SCNs and stamps, naming entries of the same catalog. The stream ends with None once everything
    /// up to `until` was handed over.
    ///
    /// # Errors
    /// The source cannot give them: its binlog is purged, or it is not reachable.
    fn refill(&self, after: Scn, until: Scn) -> BoxFuture<'_, Result<Box<dyn FrameStream>, SourceError>>;
}

/// Frames that take their time to come.
pub trait FrameStream: Send {
    /// The next frame; None at the end. Not called again after None or an error.
    fn next(&mut self) -> BoxFuture<'_, Result<Option<FrameRef>, SourceError>>;
}

//! What a replicator is made with.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use weft_core::binlog::begin::StartAt;
use weft_core::gtid::GtidPosition;
use weft_core::instance::InstanceId;
use weft_core::scn::Scn;
use weft_core::tables::TableFilter;
use weft_core::time::Micros;

use super::ledger::SharedLedger;
use super::status::SourceStatus;
use crate::channel::status::Board;
use crate::ports::{CaptureStore, Clock, EventBuffer, Source};

/// How far capture came.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reached {
    /// Everything up to here is in the event buffer.
    pub scn: Scn,
    /// What is in the buffer up to `scn`, and what passed since without a frame: never more.
    pub gtids: GtidPosition,
}

/// A channel that reads from the instance.
#[derive(Debug, Clone, PartialEq)]
pub struct Outgoing {
    pub channel: String,
    /// Where it is told to begin; None: now.
    pub start: Option<StartAt>,
}

/// What a replicator and everything that belongs to it is made with.
pub struct ReplicatorArgs {
    /// Full name, `site.instance`.
    pub instance: String,
    pub id: InstanceId,
    pub source: Arc<dyn Source>,
    pub buffer: Arc<dyn EventBuffer>,
    pub store: Arc<dyn CaptureStore>,
    pub ledger: Arc<SharedLedger>,
    pub clock: Arc<dyn Clock>,
    /// The tables of all channels from and to this instance.
    pub wanted: Vec<TableFilter>,
    /// Channels that read from this instance: their starts are stored before capture begins.
    pub outgoing: Vec<Outgoing>,
    /// None: no heartbeats.
    pub heartbeat: Option<Duration>,
    pub conflict_window: Duration,
    /// Source time up to which every inbound channel has applied: younger entries stay.
    pub inbound_time: Arc<dyn Fn() -> Micros + Send + Sync>,
    pub checkpoint_interval: Duration,
    /// An open transaction larger than this goes to disk, in bytes.
    pub spill_bytes: usize,
    /// Raised after each frame.
    pub newest: watch::Sender<Scn>,
    pub reached: Board<Reached>,
    /// Where each outgoing channel begins, once it is stored; or why it cannot begin there.
    pub starts: Board<HashMap<String, Result<Scn, String>>>,
    pub board: Board<SourceStatus>,
}

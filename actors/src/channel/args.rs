//! What a direction is made with.

use std::sync::Arc;
use std::time::Duration;

use weft_core::channel::schedule::ScheduleConfig;
use weft_core::filter::transform::Transforms;
use weft_core::ledger::Ledger;
use weft_core::scn::Scn;
use weft_core::sink::apply::ApplyConfig;

use super::metrics::DirectionMetrics;
use super::status::{Board, DirectionStatus};
use crate::binlog::ledger::SharedLedger;
use crate::link::puller::PullHandle;
use crate::ports::{Clock, Target, WatermarkStore};

/// Starts a pull after an SCN; None: from where the source's node says that the channel begins.
pub type StartPull = Arc<dyn Fn(Option<Scn>) -> PullHandle + Send + Sync>;

/// What a direction is made with.
pub struct ChannelArgs {
    pub channel: String,
    /// Full names of the instances.
    pub source: String,
    pub target_name: String,
    pub schedule: ScheduleConfig,
    pub transforms: Transforms,
    pub apply: ApplyConfig,
    pub batch_rows_max: usize,
    pub fence_timeout: Duration,
    pub target: Arc<dyn Target>,
    /// The target's ledger, where the target is captured too.
    pub ledger: Option<Arc<SharedLedger>>,
    pub pulls: StartPull,
    pub watermarks: Arc<dyn WatermarkStore>,
    pub clock: Arc<dyn Clock>,
    pub board: Board<DirectionStatus>,
    pub metrics: DirectionMetrics,
}

impl ChannelArgs {
    /// `channel:source>target`: the direction's name in logs, metrics and files.
    pub fn direction(&self) -> String {
        format!("{}:{}>{}", self.channel, self.source, self.target_name)
    }

    /// One-way channels ask no ledger, but the engine wants one to ask.
    pub fn ledger_or_empty(&self) -> Arc<SharedLedger> {
        self.ledger.clone().unwrap_or_else(|| Arc::new(SharedLedger::new(Ledger::default())))
    }
}

//! Writes the instance's heartbeat row, so that lag is end to end and true when idle.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::status::SourceStatus;
use crate::channel::status::Board;
use crate::ports::{Clock, Source};

/// Writes a heartbeat every `interval` while capture runs, until the handle is aborted. What fails is
/// tried again with the next one: an instance that cannot be written shows as growing lag.
pub fn start(
    source: Arc<dyn Source>,
    clock: Arc<dyn Clock>,
    interval: Duration,
    board: Board<SourceStatus>,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            ticks.tick().await;
            // Before capture has run, the table may not be there.
            if !board.get().running {
                continue;
            }
            match source.heartbeat(clock.now()).await {
                Ok(server_id) => board.update(|status| status.server_id = server_id),
                Err(error) => tracing::debug!(%error, "no heartbeat was written"),
            }
        }
    })
}

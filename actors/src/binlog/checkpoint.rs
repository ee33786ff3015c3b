//! Ledger checkpoints: so that a start does not read the whole buffer again.
//!
//! A checkpoint is an exact image of the ledger at an SCN, and how far capture had come by GTID, at that
//! SCN or before: `SCN GTIDs` as text, with the SCN that the GTIDs belong to. It is saved only once every frame that left entries in it is durable, so that no version outlives the
//! transaction that made it.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use weft_core::ledger::Ledger;
use weft_core::ledger::checkpoint::{CheckpointError, Loader};
use weft_core::scn::Scn;

use super::args::Reached;
use super::ledger::SharedLedger;
use crate::channel::status::Board;
use crate::ports::{CaptureStore, EventBuffer, StoreError};

/// What writing checkpoints needs.
#[derive(Clone)]
pub struct Checkpoints {
    pub ledger: Arc<SharedLedger>,
    pub buffer: Arc<dyn EventBuffer>,
    pub store: Arc<dyn CaptureStore>,
    /// Kept by the capture.
    pub reached: Board<Reached>,
}

impl Checkpoints {
    /// Writes a checkpoint every `interval` until the handle is aborted.
    pub fn start(self, interval: Duration) -> JoinHandle<()> {
        tokio::spawn(async move {
            let mut written = Scn::ZERO;
            loop {
                tokio::time::sleep(interval).await;
                if self.ledger.read().scn() == written {
                    continue;
                }
                let this = self.clone();
                match tokio::task::spawn_blocking(move || this.write()).await {
                    Ok(Ok(scn)) => written = scn,
                    Ok(Err(error)) => tracing::warn!(%error, "the ledger checkpoint was not written"),
                    Err(error) => tracing::error!(%error, "writing the ledger checkpoint failed"),
                }
            }
        })
    }

    /// Writes one checkpoint: the SCN that it holds.
    ///
    /// # Errors
    /// The data directory cannot be written; the checkpoint before stays.
    pub fn write(&self) -> Result<Scn, StoreError> {
        // Before the ledger: the frames between the two are read again at a start, and none is left out.
        let Reached { scn, gtids } = self.reached.get();
        let reached = format!("{scn} {gtids}");
        let image = self.ledger.read().checkpoint();
        self.buffer
            .sync()
            .map_err(|error| StoreError { path: "event buffer".into(), cause: error.to_string() })?;
        self.store.save_ledger(&mut std::iter::once(reached.into_bytes()).chain(image.chunks()))?;
        Ok(image.scn())
    }
}

/// Why there is no checkpoint to start from.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the ledger checkpoint is damaged: {0}")]
    Damaged(#[from] CheckpointError),
    #[error("the ledger checkpoint is cut short")]
    Short,
}

/// Loads the newest checkpoint; None if there is none.
///
/// # Errors
/// It cannot be read, or it is damaged.
pub fn load(store: &dyn CaptureStore) -> Result<Option<(Ledger, Reached)>, LoadError> {
    let Some(chunks) = store.load_ledger()? else { return Ok(None) };
    let mut chunks = chunks.into_iter();
    let (Some(reached), Some(head)) = (chunks.next(), chunks.next()) else { return Err(LoadError::Short) };
    let reached = read_reached(&reached).ok_or(LoadError::Short)?;
    let mut loader = Loader::new(&head)?;
    for chunk in chunks {
        loader.load(&chunk)?;
    }
    Ok(Some((loader.finish()?, reached)))
}

fn read_reached(text: &[u8]) -> Option<Reached> {
    let (scn, gtids) = std::str::from_utf8(text).ok()?.split_once(' ')?;
    Some(Reached { scn: scn.parse().ok()?, gtids: gtids.parse().ok()? })
}

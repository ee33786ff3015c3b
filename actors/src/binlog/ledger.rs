//! The ledger of one instance, shared between the capture that writes it and the shards that ask it.

use std::sync::{PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use tokio::sync::watch;
use weft_core::ledger::Ledger;
use weft_core::sink::step::LogPosition;

/// One writer (the capture), many readers (the shards that apply to this instance).
pub struct SharedLedger {
    ledger: RwLock<Ledger>,
    read_to: watch::Sender<LogPosition>,
}

impl SharedLedger {
    pub fn new(ledger: Ledger) -> SharedLedger {
        let (read_to, _) = watch::channel(LogPosition { log_index: 0, log_pos: 0 });
        SharedLedger { ledger: RwLock::new(ledger), read_to }
    }

    /// For asking. A panic of the writer leaves whole entries behind, so a poisoned lock is read on.
    pub fn read(&self) -> RwLockReadGuard<'_, Ledger> {
        self.ledger.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `change` on the ledger. Only the capture calls it.
    pub fn write<T>(&self, change: impl FnOnce(&mut Ledger) -> T) -> T {
        change(&mut self.ledger.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// Announces that everything up to this position of the binlog is in the ledger. After a source
    /// switch positions begin anew, so they may fall.
    pub fn announce(&self, position: LogPosition) {
        self.read_to.send_if_modified(|current| {
            let moved = *current != position;
            *current = position;
            moved
        });
    }

    /// How far the binlog was read.
    pub fn read_to(&self) -> LogPosition {
        *self.read_to.borrow()
    }

    /// Waits until the ledger has passed `position`; false if it did not within `timeout`.
    pub async fn passed(&self, position: LogPosition, timeout: Duration) -> bool {
        let mut read_to = self.read_to.subscribe();
        let reached = read_to.wait_for(|current| *current >= position);
        matches!(tokio::time::timeout(timeout, reached).await, Ok(Ok(_)))
    }
}

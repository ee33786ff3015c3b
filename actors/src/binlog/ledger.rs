//! The ledger of one instance, shared between the capture that writes it and the shards that ask it.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use tokio::sync::watch;
use weft_core::key::KeyHash;
use weft_core::ledger::{Ledger, LedgerView};
use weft_core::mark::Epoch;
use weft_core::sink::step::LogPosition;
use weft_core::version::Version;

/// One writer (the capture), many readers (the shards that apply to this instance).
pub struct SharedLedger {
    ledger: RwLock<Ledger>,
    read_to: watch::Sender<LogPosition>,
    /// By channel and source: the newest epoch seen in the marks of the instance's own binlog.
    probes: watch::Sender<HashMap<(String, String), Epoch>>,
}

impl SharedLedger {
    pub fn new(ledger: Ledger) -> SharedLedger {
        let (read_to, _) = watch::channel(LogPosition { log_index: 0, log_pos: 0 });
        let (probes, _) = watch::channel(HashMap::new());
        SharedLedger { ledger: RwLock::new(ledger), read_to, probes }
    }

    /// For asking. A panic of the writer leaves whole entries behind, so a poisoned lock is read on.
    pub fn read(&self) -> RwLockReadGuard<'_, Ledger> {
        self.ledger.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest version of the key; None if it was not changed since the horizon.
    pub fn newest(&self, key: &KeyHash) -> Option<Version> {
        self.read().newest(key)
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

    /// Notes that a mark of this channel came by in the binlog.
    pub fn mark_seen(&self, channel: &str, source: &str, epoch: Epoch) {
        self.probes.send_if_modified(|probes| {
            let newest = probes.entry((channel.to_owned(), source.to_owned())).or_default();
            let newer = epoch > *newest;
            *newest = epoch.max(*newest);
            newer
        });
    }

    /// Forgets the marks of this channel that came by: before a recovery writes its own. A server that
    /// lost its last commits gives the same epochs out again, and a mark from the history that it lost
    /// would pass for one that came back.
    pub fn forget_marks(&self, channel: &str, source: &str) {
        self.probes.send_modify(|probes| {
            probes.remove(&(channel.to_owned(), source.to_owned()));
        });
    }

    /// Waits until a mark of this channel with at least this epoch has come back in the binlog;
    /// false if none did within `timeout`.
    pub async fn probe_returned(&self, channel: &str, source: &str, epoch: Epoch, timeout: Duration) -> bool {
        let key = (channel.to_owned(), source.to_owned());
        let mut probes = self.probes.subscribe();
        let returned = probes.wait_for(|probes| probes.get(&key).is_some_and(|seen| *seen >= epoch));
        matches!(tokio::time::timeout(timeout, returned).await, Ok(Ok(_)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The target crashed and lost the commit that raised the epoch to 8; the next recovery raised it to
    /// 8 again, while the capture stood still at the lost history.
    #[tokio::test(start_paused = true)]
    async fn a_mark_from_before_the_recovery_is_not_its_probe() {
        let ledger = SharedLedger::new(Ledger::default());
        let returned =
            |epoch| ledger.probe_returned("orders", "sh.main", Epoch(epoch), Duration::from_secs(30));
        ledger.mark_seen("orders", "sh.main", Epoch(8));
        assert!(returned(8).await);
        ledger.forget_marks("orders", "sh.main");
        assert!(!returned(8).await);
        ledger.mark_seen("orders", "sh.main", Epoch(8));
        assert!(returned(8).await);
    }
}

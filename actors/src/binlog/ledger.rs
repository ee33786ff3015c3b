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
    read_to: watch::Sender<ReadTo>,
    probes: watch::Sender<Probes>,
}

/// How far which server's binlog was read. Positions of two servers say nothing about each other.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct ReadTo {
    server_id: u32,
    position: LogPosition,
}

/// The marks that came by in the binlog of this server.
#[derive(Debug, Default)]
struct Probes {
    server_id: u32,
    /// By channel and source: the newest epoch seen.
    seen: HashMap<(String, String), Epoch>,
}

impl SharedLedger {
    pub fn new(ledger: Ledger) -> SharedLedger {
        let (read_to, _) = watch::channel(ReadTo::default());
        let (probes, _) = watch::channel(Probes::default());
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

    /// The capture goes on with this server's binlog at `position`. Another server than before has yet
    /// to show everything: its position, and the marks.
    pub fn follow(&self, server_id: u32, position: LogPosition) {
        self.probes.send_if_modified(|probes| {
            if probes.server_id != server_id {
                *probes = Probes { server_id, seen: HashMap::new() };
            }
            false
        });
        self.read_to.send_replace(ReadTo { server_id, position });
    }

    /// Announces that everything up to this position of the followed server's binlog is in the ledger.
    pub fn announce(&self, position: LogPosition) {
        self.read_to.send_if_modified(|current| {
            let moved = current.position != position;
            current.position = position;
            moved
        });
    }

    /// How far the binlog was read.
    pub fn read_to(&self) -> LogPosition {
        self.read_to.borrow().position
    }

    /// The server whose binlog is read; 0 before the first.
    pub fn server_id(&self) -> u32 {
        self.read_to.borrow().server_id
    }

    /// Waits until the ledger has passed `position` of this server; false if it did not within
    /// `timeout`.
    pub async fn passed(&self, server_id: u32, position: LogPosition, timeout: Duration) -> bool {
        let mut read_to = self.read_to.subscribe();
        let reached =
            read_to.wait_for(|current| current.server_id == server_id && current.position >= position);
        matches!(tokio::time::timeout(timeout, reached).await, Ok(Ok(_)))
    }

    /// Notes that a mark of this channel came by in the binlog.
    pub fn mark_seen(&self, channel: &str, source: &str, epoch: Epoch) {
        self.probes.send_if_modified(|probes| {
            let newest = probes.seen.entry((channel.to_owned(), source.to_owned())).or_default();
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
            probes.seen.remove(&(channel.to_owned(), source.to_owned()));
        });
    }

    /// Waits until a mark of this channel with at least this epoch has come back in the binlog of this
    /// server; false if none did within `timeout`.
    pub async fn probe_returned(
        &self,
        server_id: u32,
        (channel, source): (&str, &str),
        epoch: Epoch,
        timeout: Duration,
    ) -> bool {
        let key = (channel.to_owned(), source.to_owned());
        let mut probes = self.probes.subscribe();
        let returned = probes.wait_for(|probes| {
            probes.server_id == server_id && probes.seen.get(&key).is_some_and(|seen| *seen >= epoch)
        });
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
            |epoch| ledger.probe_returned(1, ("orders", "sh.main"), Epoch(epoch), Duration::from_secs(30));
        ledger.follow(1, LogPosition::default());
        ledger.mark_seen("orders", "sh.main", Epoch(8));
        assert!(returned(8).await);
        ledger.forget_marks("orders", "sh.main");
        assert!(!returned(8).await);
        ledger.mark_seen("orders", "sh.main", Epoch(8));
        assert!(returned(8).await);
    }

    const SOON: Duration = Duration::from_millis(20);

    fn at(log_pos: u64) -> LogPosition {
        LogPosition { log_index: 1, log_pos }
    }

    /// The server before had read further, and had seen the same epoch raised: its replica did not get
    /// that far, and the epoch was raised again there.
    #[tokio::test]
    async fn neither_position_nor_probe_of_one_server_counts_for_another() {
        let ledger = SharedLedger::new(Ledger::default());
        ledger.follow(1, at(4));
        ledger.announce(at(900));
        ledger.mark_seen("orders", "bj.main", Epoch(7));
        assert!(ledger.passed(1, at(900), SOON).await && !ledger.passed(2, at(100), SOON).await);
        ledger.follow(2, at(50));
        assert!(!ledger.passed(2, at(100), SOON).await && !ledger.passed(1, at(4), SOON).await);
        let probe = ("orders", "bj.main");
        assert!(!ledger.probe_returned(2, probe, Epoch(7), SOON).await);
        ledger.mark_seen("orders", "bj.main", Epoch(7));
        assert!(ledger.probe_returned(2, probe, Epoch(7), SOON).await);
        assert!(!ledger.probe_returned(1, probe, Epoch(7), SOON).await);
        ledger.follow(2, at(60));
        assert!(ledger.probe_returned(2, probe, Epoch(7), SOON).await, "a reconnect forgets nothing");
    }
}

//! The server ids that Weft's dumps give as theirs.
//!
//! A server ends the dump of a replica when another one with the same id begins. So a node that
//! reconnects must come with the id that it had (its half-dead dump ends at once), and two dumps that
//! a node reads at the same time, or two nodes, must not have the same.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use xxhash_rust::xxh3::xxh3_64;

/// The ids of one node's dumps of one instance.
#[derive(Debug)]
pub(in crate::mysql) struct ReplicaIds {
    node: String,
    instance: String,
    /// Numbers of the dumps that are open.
    open: Arc<Mutex<BTreeSet<u32>>>,
}

/// An id in use; free again when dropped.
#[derive(Debug)]
pub(in crate::mysql) struct ReplicaId {
    number: u32,
    dump: u32,
    open: Arc<Mutex<BTreeSet<u32>>>,
}

impl ReplicaIds {
    pub(in crate::mysql) fn new(node: &str, instance: &str) -> ReplicaIds {
        ReplicaIds { node: node.to_owned(), instance: instance.to_owned(), open: Arc::default() }
    }

    /// The id of the first dump that is not open: a reconnect gets the one it had.
    pub(in crate::mysql) fn take(&self) -> ReplicaId {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let dump =
            (0..).find(|dump| !open.contains(dump)).expect("fewer dumps are open than there are numbers");
        open.insert(dump);
        let hash = xxh3_64(format!("{}\0{}\0{dump}", self.node, self.instance).as_bytes());
        // The upper half of the ids, where people seldom put their servers'.
        let number = hash as u32 | 0x8000_0000;
        ReplicaId { number, dump, open: Arc::clone(&self.open) }
    }
}

impl ReplicaId {
    pub(in crate::mysql) fn number(&self) -> u32 {
        self.number
    }
}

impl Drop for ReplicaId {
    fn drop(&mut self) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.dump);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reconnect_has_the_same_id_and_a_second_dump_another() {
        let ids = ReplicaIds::new("sh-1", "sh.main");
        let first = ids.take();
        let second = ids.take();
        assert_ne!(first.number(), second.number());
        let before = first.number();
        drop(first);
        assert_eq!(ids.take().number(), before);
        assert_ne!(ReplicaIds::new("sh-2", "sh.main").take().number(), before);
    }
}

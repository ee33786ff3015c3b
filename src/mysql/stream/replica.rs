//! The server ids that Weft's dumps give as theirs.
//!
//! A server ends the dump of a replica when another one with the same id begins. So a node that
//! reconnects must come with the id that it had (its half-dead dump ends at once), and two dumps that
//! a node reads at the same time, or two nodes, must not have the same. Two processes of one node (the
//! old one froze and woke after it was replaced) begin with the same ids: whoever loses a dump to the
//! other gives that id up, or they would end each other's dumps for ever.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use weft_core::gtid::Uuid;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

/// The ids of one node's dumps of one instance.
#[derive(Debug)]
pub(in crate::mysql) struct ReplicaIds {
    node: String,
    instance: String,
    /// Numbers of the dumps that are open, and of those that another process has.
    open: Arc<Mutex<BTreeSet<u32>>>,
}

/// An id in use; free again when dropped, unless it was given up.
#[derive(Debug)]
pub(in crate::mysql) struct ReplicaId {
    number: u32,
    uuid: Uuid,
    dump: u32,
    given_up: bool,
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
        let name = format!("{}\0{}\0{dump}", self.node, self.instance);
        let hash = xxh3_64(name.as_bytes());
        // The upper half of the ids, where people seldom put their servers'.
        let number = hash as u32 | 0x8000_0000;
        let uuid = Uuid(xxh3_128(name.as_bytes()).to_be_bytes());
        ReplicaId { number, uuid, dump, given_up: false, open: Arc::clone(&self.open) }
    }
}

impl ReplicaId {
    pub(in crate::mysql) fn number(&self) -> u32 {
        self.number
    }

    /// By which MySQL tells replicas apart.
    pub(in crate::mysql) fn uuid(&self) -> Uuid {
        self.uuid
    }

    /// Another process dumps with this id: it is not taken again.
    pub(in crate::mysql) fn give_up(&mut self) {
        self.given_up = true;
    }
}

impl Drop for ReplicaId {
    fn drop(&mut self) {
        if !self.given_up {
            self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.dump);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_another_process_has_is_not_taken_again() {
        let ids = ReplicaIds::new("sh-1", "sh.main");
        let mut first = ids.take();
        let lost = first.number();
        first.give_up();
        drop(first);
        let second = ids.take().number();
        assert_ne!(second, lost);
        assert_eq!(ids.take().number(), second, "and is stable from then on");
    }

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

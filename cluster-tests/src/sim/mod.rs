//! The seeded simulation: binlog -> buffer -> channel -> shard over the real engines of `weft-core`,
//! against a model database, with crashes, cuts and duplicate owners at every step.
//!
//! One seed is one run, always the same: there is one source of randomness, no clock and no thread,
//! and nothing depends on the order of a hash map. What moves, one small step at a time, is chosen by
//! [`world`]; [`oracle`] looks on.
//!
//! | part | what it stands for |
//! |---|---|
//! | [`database`] | a server: rows, locks and gaps, undo, marks, binlog; its replicas, and what a crash loses |
//! | [`writer`] | an application with its transactions |
//! | [`capture`] | the replicator of an instance: ledger, event buffer, checkpoints |
//! | [`link`] | a pull between two nodes |
//! | [`channel`], [`shard`] | one direction at one node: recovery, scheduler, batches |
//! | [`coverage`] | which situations a run reached |

pub mod capture;
pub mod channel;
pub mod coverage;
pub mod database;
pub mod link;
pub mod oracle;
pub mod row;
pub mod setup;
pub mod shard;
pub mod world;
pub mod writer;

//! The binlog stage: turns one instance's binlog into stamped frames in the event buffer, and keeps
//! the instance's ledger.
//!
//! [`actor`] owns the life of a replicator: it finds where to go on, runs the capture in a task of
//! its own, and starts it again for ever. [`capture`] is the pipe: events in, stamps and frames out.
//! [`restore`] brings the ledger to where the buffer ends, and `starts` stores where channels begin. [`refill`] reads history that the buffer
//! does not hold any more from the instance again.

pub mod actor;
pub mod args;
pub mod capture;
pub mod checkpoint;
pub mod error;
pub mod heartbeat;
mod large;
pub mod ledger;
pub mod metrics;
pub mod pipe;
mod prepared;
pub mod refill;
pub mod restore;
pub mod shapes;
mod starts;
pub mod status;

//! The node's own actor: supervises replicators and channels.

pub mod supervisor;

//! The channel stage: one direction of replication, from its source's event buffer to its target.
//!
//! [`actor`] owns the life of a direction: it recovers from the marks, pulls, hands out what
//! `weft_core::channel::schedule` decides, and moves the watermark as its shards report. Every
//! start, and every trouble that is more than a retry, is a recovery: nothing in memory is trusted
//! across it. Each such life is an *incarnation*; what an older one still says is dropped.

pub mod actor;
pub mod args;
mod commands;
pub mod lag;
pub mod message;
pub mod metrics;
pub mod recovery;
pub mod run;
pub mod status;

#[cfg(test)]
mod tests;

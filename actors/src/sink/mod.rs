//! The sink stage: a shard takes units from its channel, gathers what is queued into one target
//! transaction, and reports what was committed.
//!
//! [`shard`] is the actor, [`batch`] carries out the steps that `weft_core::sink::apply` decides.

pub mod batch;
pub mod message;
pub mod queue;
pub mod shard;

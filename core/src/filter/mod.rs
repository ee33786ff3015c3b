//! The filter stage: is the change already applied, and if not, who wins? Pure functions; a shard's
//! chain of filters asks them in this order: [`idempotency`], [`decide`], [`unique`].

pub mod decide;
pub mod idempotency;
pub mod unique;

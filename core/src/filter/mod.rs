//! The filter stage: is the change already applied, and if not, who wins? Pure functions; a shard's
//! chain of filters asks them in this order: [`idempotency`], [`decide`], [`unique`]. What the other
//! rules than last-write-wins say is decided behind the commit, by the [`referee`].

pub mod decide;
pub mod idempotency;
pub mod referee;
pub mod unique;

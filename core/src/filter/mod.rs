//! The filter stage: what of a change is wanted, is it already applied, and if not, who wins? Pure
//! functions: [`transform`] as a delivery arrives, then a shard's chain of filters in this order:
//! [`idempotency`], [`decide`], [`unique`]. What the other rules than last-write-wins say is decided
//! behind the commit, by the [`referee`].

pub mod decide;
pub mod idempotency;
pub mod referee;
pub mod transform;
pub mod unique;

//! The sink stage: one batch of units becomes one transaction at the target.
//!
//! [`apply`] is the engine: it takes what the target answered and says the next step; the actors
//! carry the steps out on a real session, the simulation on a model one.

pub mod apply;
pub mod literal;
pub mod replay;
pub mod step;

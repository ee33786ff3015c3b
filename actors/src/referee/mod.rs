//! The referee of an instance that decides conflicts by rules: takes the open ones of one key after the
//! other, holds the row, and carries out what `weft_core::filter::referee` decides.
//!
//! [`actor`] knows which keys are in hand, [`hearing`] hears one, each in a task of its own: a user's
//! program that is slow to answer holds up nothing but its own conflicts. Nothing is kept in memory
//! that the instance does not have: after a crash an open conflict is found again, and asked again.

pub mod actor;
mod hearing;
pub mod message;
mod metrics;
pub mod ports;

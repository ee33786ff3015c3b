//! The harness: real database servers as plain processes, and waiting without luck.

pub mod events;
pub mod ports;
pub mod servers;
pub mod sim;
pub mod wait;

//! The harness: real database servers as plain processes, and waiting without luck.

pub mod events;
pub mod nodes;
pub mod oracle;
pub mod ports;
pub mod process;
pub mod proxy;
pub mod servers;
pub mod sim;
pub mod types;
pub mod wait;
pub mod workload;

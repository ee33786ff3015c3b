//! The stages as supervised actors. They decide nothing about rows, versions or SCNs: that is
//! `weft-core`'s; they talk to the world only through [`ports`].

pub mod binlog;
pub mod channel;
pub mod link;
pub mod metrics;
pub mod node;
pub mod ports;
pub mod referee;
pub mod sink;
pub mod status;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

//! The stages as supervised actors. They decide nothing about rows, versions or SCNs: that is
//! `weft-core`'s; they talk to the world only through [`ports`].

pub mod ports;
pub mod status;

//! In-memory models of the ports, for tests here and in the other packages.

pub mod buffer;
pub mod clock;
pub mod peers;
pub mod transactions;

//! The real ports to MariaDB and MySQL: one account, sessions whose settings are all explicit.

pub mod connect;
mod describe;
pub mod dialect;
mod heartbeat;
pub mod identify;
mod install;
mod lane;
mod locate;
pub mod schema;
pub mod servers;
pub mod source;
mod stream;
pub mod target;
pub mod tls;
mod wire;

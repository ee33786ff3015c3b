//! What is true: positions, versions, decoding, deciding and scheduling.
//!
//! Nothing here reads a clock, a file or a socket, starts a thread or sends a message. Whatever a
//! decision needs is passed in, so that every decision can be tested in microseconds and repeated
//! exactly. The stages are named in the order in which data flows through them:
//! **binlog -> buffer -> channel -> filter -> sink**.

pub mod binlog;
pub mod buffer;
pub mod catalog;
pub mod channel;
pub mod filter;
pub mod flavour;
pub mod gtid;
pub mod instance;
pub mod key;
pub mod ledger;
pub mod link;
pub mod mark;
pub mod scn;
pub mod sink;
pub mod stamp;
pub mod tables;
pub mod time;
pub mod transaction;
pub mod verify;
pub mod version;

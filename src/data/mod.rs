//! The node's data directory: who may use it, and the small files in it.
//!
//! | path | holds |
//! |---|---|
//! | `lock` | locked while a process uses the directory |
//! | `identity` | whose directory this is, JSON |
//! | `buffer/INSTANCE/` | the event buffer of an instance |
//! | `ledger/INSTANCE` | the ledger's last checkpoint |
//! | `stamps/INSTANCE` | times that were raised above the commit time |
//! | `binlogs/INSTANCE` | which binlog files were captured last |
//! | `watermarks` | how far each channel is, between its marks |
//! | `spill/` | transactions too large for memory, while they are read |

mod directory;
pub mod files;
pub mod ledger_file;
pub mod log_files;
pub mod records;
pub mod spill;
pub mod stamps;
pub mod watermarks;

pub use directory::{DataDir, DataError};
pub use files::write_atomically;

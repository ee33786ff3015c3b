//! The targets, one a file.

pub mod checkpoint;
#[cfg(feature = "config")]
pub mod config;
pub mod event;
pub mod frame;
pub mod gtid;
pub mod json;
pub mod mark;
pub mod peer;
pub mod rows;
pub mod statement;
pub mod stream;

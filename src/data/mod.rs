//! The node's data directory: who may use it, and the small files in it.

pub mod files;
pub mod records;

//! The binlog stage: events as the server wrote them, decoded without copying, and the transactions they form.
//!
//! Bytes come from a server, a peer or a file, so every parser here refuses what it cannot read with
//! a typed error: it neither panics nor allocates more than it was given bytes for.

mod assembled;
pub mod assembler;
pub mod begin;
pub(crate) mod charset;
pub mod classify;
pub(crate) mod cursor;
pub mod decimal;
pub mod event;
pub mod format;
pub mod group;
pub mod image;
pub mod json;
pub mod locate;
pub mod log_file;
mod metadata;
pub mod mysql_gtid;
mod open;
mod partial;
pub mod payload;
pub mod primary;
pub mod query;
pub mod resume;
pub mod rows;
pub mod search_back;
pub mod sql;
pub mod table_map;
pub mod table_map_names;
#[cfg(test)]
pub(crate) mod testing;
pub mod value;
pub mod xa;

pub use cursor::Malformed;

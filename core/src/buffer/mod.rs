//! The buffer stage: how a stamped transaction lies in the event buffer and on the wire, and how
//! it is cut down to the rows that a reader wants. The ring of files itself is the node's.

pub mod frame;
#[cfg(test)]
mod sample;
mod schema_glob;
pub mod select;

//! The event buffer of one instance on this node: a ring of mapped files.
//!
//! | file | holds |
//! |---|---|
//! | `meta` | whose buffer this is |
//! | `catalog` | the schema history, append only |
//! | `segment-N.weft` | frames, back to back; `N` rises by one |
//! | `segment-N.index` | the summary of a full segment, written once its frames are on disk |
//!
//! One appender and any number of readers do not wait for each other: the appender copies a frame
//! in and then publishes the segment's new end; a reader looks at nothing behind it. Parts of a
//! large transaction are published with their last one. Frames are handed out as slices of the
//! mapping, which keep their segment mapped (and, once reclaimed, its disk space taken) while they
//! live; whoever holds frames holds them under a byte budget.

mod appender;
mod catalog;
mod chain;
mod layout;
mod open;
mod reader;
mod recover;
mod ring;
mod segment;
#[cfg(test)]
mod tests;

pub use open::{BufferOptions, RecoveryReport};
pub use ring::MmapBuffer;

//! The channel stage: what was pulled is cut into units, joined into groups by the keys they share,
//! spread over shards, and tracked until the watermark passes it.

pub mod delivery;
pub mod keys;
pub mod recovery;
pub mod runs;
pub mod schedule;
pub mod track;
pub mod window;

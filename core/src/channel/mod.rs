//! The channel stage: what was pulled is cut into units, joined into groups by the keys they share,
//! spread over shards, and tracked until the watermark passes it.

pub mod delivery;

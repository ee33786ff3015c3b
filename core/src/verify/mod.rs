//! Verify: whether a table holds the same rows on both sides while both may be written.
//!
//! [`compare`] walks the table in chunks by primary key and narrows a chunk whose digests differ
//! down to keys; [`settle`] watches those keys until each is equal, or different without moving.
//! The caller carries out what is asked, on both sides, and tells the time.

pub mod compare;
pub mod settle;

/// The values of a row's primary key, as the texts that the server printed them in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowKey(pub Vec<String>);

/// Digest of one row's columns, the same on both sides if the columns are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowHash(pub u128);

/// Digest of all rows of a range: their number, and the exclusive or of their hashes. (No two rows
/// of a range have the same key, so equal rows cannot cancel each other.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RangeDigest {
    pub rows: u64,
    pub hashes: u128,
}

/// The rows whose key is greater than `after` and not greater than `upto`; None: no bound.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyRange {
    pub after: Option<RowKey>,
    pub upto: Option<RowKey>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    Left,
    Right,
}

/// A key whose rows differ, and did not change on either side while it was watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    pub key: RowKey,
    /// The side where the row is missing; None: it is on both, with other values.
    pub missing: Option<Side>,
}

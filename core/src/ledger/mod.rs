//! The ledger: the newest version of each row key that an instance's binlog has shown.

use crate::key::KeyHash;
use crate::time::Micros;
use crate::version::Version;

/// What the deciding code may ask of a ledger.
pub trait LedgerView {
    /// The newest version of the key; None if it was not changed since the horizon.
    fn newest(&self, key: &KeyHash) -> Option<Version>;
    /// Entries older than this were let go: a change older than it cannot be decided any more.
    fn horizon(&self) -> Micros;
}

//! What the marks of one transaction say about its rows.

use std::collections::HashMap;

use crate::key::KeyHash;
use crate::mark::Mark;
use crate::version::Version;

/// The versions of the foreign rows of one transaction, by key.
///
/// A key that is named more than once (several changes of it were applied in one transaction) has
/// the greatest of its versions for all its rows: they came in rising order and the last one stands.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Naming {
    versions: HashMap<KeyHash, Version>,
}

impl Naming {
    pub fn of(marks: &[Mark]) -> Naming {
        let mut naming = Naming::default();
        marks.iter().for_each(|mark| naming.add(mark));
        naming
    }

    /// Adds what another mark of the same transaction names.
    pub fn add(&mut self, mark: &Mark) {
        for named in &mark.named {
            named.keys.iter().for_each(|key| self.name(*key, named.version));
        }
        for eviction in &mark.evictions {
            self.name(eviction.key, eviction.version.evicted());
        }
    }

    fn name(&mut self, key: KeyHash, version: Version) {
        let known = self.versions.entry(key).or_insert(version);
        *known = version.max(*known);
    }

    /// The version of the key; None: the marks do not name it, its changes are local.
    pub fn version_of(&self, key: KeyHash) -> Option<Version> {
        self.versions.get(&key).copied()
    }

    /// Whether the last thing that happened to the key in this transaction is that it was evicted.
    pub fn evicts(&self, key: KeyHash) -> bool {
        self.version_of(key).is_some_and(|version| version.removed)
    }

    /// All keys named, with their versions, in no order.
    pub fn all(&self) -> impl Iterator<Item = (KeyHash, Version)> {
        self.versions.iter().map(|(key, version)| (*key, *version))
    }
}

//! What the marks of one transaction say about its rows.

use std::collections::{HashMap, HashSet};

use crate::key::KeyHash;
use crate::mark::Mark;
use crate::time::Micros;
use crate::transaction::SilentKey;
use crate::version::Version;

/// A mark, and where in the transaction it came by.
#[derive(Debug, Clone, PartialEq)]
pub struct PlacedMark {
    /// How many rows of the scanned events come before it.
    pub rows_before: usize,
    pub mark: Mark,
}

/// The versions of the foreign rows that come next, by key.
///
/// Marks that follow each other without a row in between open a *window*: they name the rows up to the
/// next mark, and nothing behind it. So a transaction of any size that was applied in parts, each with
/// a mark of its own, is read with the memory of one part.
///
/// A key that one window names more than once (several changes of it were applied together) has the
/// greatest of its versions for all its rows: they came in rising order and the last one stands.
#[derive(Debug, Clone, Default)]
pub struct Naming {
    window: HashMap<KeyHash, Name>,
    /// Rows of the window came by: the next mark opens another one.
    has_rows: bool,
    /// The greatest time that the windows before named.
    closed: Option<Micros>,
}

#[derive(Debug, Clone, Copy)]
struct Name {
    version: Version,
    /// A row of the key came by.
    has_row: bool,
}

impl Naming {
    /// Takes in a mark. Gives the keys of the window before, if that ends here, of which no row came by.
    /// `carried`: keys whose rows the marks carry, and which therefore are none of these.
    pub(super) fn mark(&mut self, mark: &Mark, carried: &HashSet<KeyHash>) -> Vec<SilentKey> {
        let silent = if self.has_rows { self.close() } else { Vec::new() };
        for named in &mark.named {
            named.keys.iter().for_each(|key| self.name(*key, named.version, carried));
        }
        for eviction in &mark.evictions {
            self.name(eviction.key, eviction.version.evicted(), carried);
        }
        silent
    }

    fn name(&mut self, key: KeyHash, version: Version, carried: &HashSet<KeyHash>) {
        let name = Name { version, has_row: carried.contains(&key) };
        let known = self.window.entry(key).or_insert(name);
        known.version = version.max(known.version);
    }

    /// Ends the window: the transaction does, or another begins. Gives the keys of which no row came by,
    /// in no order.
    pub fn close(&mut self) -> Vec<SilentKey> {
        self.has_rows = false;
        let greatest = self.window.values().map(|name| name.version.time).max();
        self.closed = self.closed.max(greatest);
        let window = std::mem::take(&mut self.window).into_iter();
        let silent = window.filter(|(_, name)| !name.has_row);
        silent.map(|(key, name)| SilentKey { key, version: name.version }).collect()
    }

    /// Notes that a row of the key came by, and says its version; None: the marks do not name it, the
    /// change is local.
    pub(super) fn row(&mut self, key: KeyHash) -> Option<Version> {
        self.has_rows = true;
        let name = self.window.get_mut(&key)?;
        name.has_row = true;
        Some(name.version)
    }

    /// Whether the key is named for the rows that come next.
    pub(super) fn names(&self, key: KeyHash) -> bool {
        self.window.contains_key(&key)
    }

    /// The greatest time of the versions named by windows that have ended.
    pub(super) fn closed(&self) -> Option<Micros> {
        self.closed
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::instance::InstanceId;
    use crate::mark::Named;
    use crate::scn::Scn;

    impl Naming {
        /// Names held, and names there is memory for.
        fn held(&self) -> (usize, usize) {
            (self.window.len(), self.window.capacity())
        }
    }

    fn mark(keys: impl Iterator<Item = u128>) -> Mark {
        let version = Version::new(Micros(7), InstanceId(2));
        Mark {
            source: InstanceId(2),
            watermark: Scn::ZERO,
            watermark_time: Micros::ZERO,
            runs: Vec::new(),
            named: vec![Named { version, keys: keys.map(KeyHash).collect() }],
            evictions: Vec::new(),
        }
    }

    proptest! {
        /// A transaction that was applied in any number of parts, each of which names its own keys (one
        /// or some marks), of which some leave no row: what is held is the names of one part, and what
        /// all parts named is accounted for.
        #[test]
        fn the_names_held_are_those_of_one_window(
            parts in prop::collection::vec((1..4_usize, 1..40_usize, 1..40_usize), 1..60),
        ) {
            let mut naming = Naming::default();
            let (mut next, mut silent, mut rows) = (0_u128, 0, 0);
            let window_max = parts.iter().map(|(marks, keys, _)| marks * keys).max().unwrap_or(0);
            for (marks, keys, rows_wanted) in &parts {
                let first = next;
                for _ in 0..*marks {
                    silent += naming.mark(&mark(next..next + *keys as u128), &HashSet::new()).len();
                    next += *keys as u128;
                }
                let (held, room) = naming.held();
                prop_assert_eq!(held, marks * keys, "the names of this part alone");
                prop_assert!(room <= 4 * window_max + 8, "room for {} names, windows of {}", room, window_max);
                for key in (first..next).take(*rows_wanted) {
                    prop_assert!(naming.row(KeyHash(key)).is_some());
                    rows += 1;
                }
            }
            silent += naming.close().len();
            prop_assert_eq!(rows + silent, next as usize);
            prop_assert_eq!(naming.held(), (0, 0));
        }
    }
}

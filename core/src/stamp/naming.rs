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

//! Which change is a successor of which, as far as the records show it.
//!
//! Changes of one origin follow each other. A change follows its base, and what that followed. Where
//! a verdict wrote a row again, the deciding instance's version of it stands for the change that the
//! row came with, known by the row itself: no record has to learn which version the verdict got, so a
//! crash behind its commit loses nothing.

use super::case::{Case, Entry, Ruling};
use super::{Row, rule::Claim};
use crate::version::Version;

impl Case {
    /// A side of an entry, or the row in the table, as a claim.
    pub(super) fn claim(&self, version: Version, row: Option<&Row>) -> Claim {
        Claim { version, stands_for: self.stands_for(version, row), row: row.cloned() }
    }

    fn stands_for(&self, version: Version, row: Option<&Row>) -> Version {
        if version.origin != self.decider {
            return version;
        }
        let last = self.entries.iter().rev().find(|entry| entry.ruling == Ruling::Overturned);
        let written = last.filter(|entry| entry.loser().row.as_ref() == row);
        written.and_then(|entry| entry.stands_for).unwrap_or(version)
    }

    /// Whether `later` was made by someone who had `earlier` before him.
    pub(super) fn follows(&self, later: &Claim, earlier: &Claim) -> bool {
        let follows = |version: Version| {
            let mut ancestors = self.ancestors(later).into_iter();
            ancestors.any(|own| own.origin == version.origin && own >= version)
        };
        follows(earlier.version) || follows(earlier.stands_for)
    }

    /// The change itself, and what it was made upon.
    fn ancestors(&self, claim: &Claim) -> Vec<Version> {
        let mut found = vec![claim.version, claim.stands_for];
        let mut next = 0;
        while let Some(version) = found.get(next).copied() {
            next += 1;
            let of = |entry: &&Entry| entry.incoming.version == version;
            let bases = self.entries.iter().filter(of).filter_map(|entry| entry.base);
            let new: Vec<Version> = bases.filter(|base| !found.contains(base)).collect();
            found.extend(new);
        }
        found
    }
}

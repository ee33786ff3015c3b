//! Keys that differed once, watched until it is sure what they are.
//!
//! A change in flight makes a key differ for a moment. So a key counts as different only when both
//! sides stayed as they were, differing, for a while: a short one when nothing is being applied, a
//! longer one while channels are still working off what was written.

use std::collections::BTreeMap;

use super::{Difference, RowHash, RowKey, Side};
use crate::time::Micros;

/// How long keys are watched, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Both sides unchanged for this long while nothing is being applied: a difference.
    pub quiet_us: u64,
    /// The same while something is being applied.
    pub busy_us: u64,
    /// A key that still changes after this long is given up.
    pub give_up_us: u64,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience { quiet_us: 5_000_000, busy_us: 30_000_000, give_up_us: 300_000_000 }
    }
}

/// The keys under watch.
#[derive(Debug, Default)]
pub struct Suspects {
    watched: BTreeMap<RowKey, Suspect>,
}

#[derive(Debug)]
struct Suspect {
    left: Option<RowHash>,
    right: Option<RowHash>,
    /// When the pair was first seen as it is.
    unchanged_since: Micros,
    watched_since: Micros,
}

/// What a look at the keys settled.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Settled {
    pub differences: Vec<Difference>,
    /// Still changing after all the patience there is.
    pub given_up: Vec<RowKey>,
}

/// What both sides hold under one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    pub key: RowKey,
    pub left: Option<RowHash>,
    pub right: Option<RowHash>,
}

/// Pairs up the rows of both sides by key.
pub fn pair_up(left: Vec<(RowKey, RowHash)>, right: Vec<(RowKey, RowHash)>) -> Vec<Pair> {
    let mut pairs: BTreeMap<RowKey, (Option<RowHash>, Option<RowHash>)> = BTreeMap::new();
    for (key, hash) in left {
        pairs.entry(key).or_default().0 = Some(hash);
    }
    for (key, hash) in right {
        pairs.entry(key).or_default().1 = Some(hash);
    }
    pairs.into_iter().map(|(key, (left, right))| Pair { key, left, right }).collect()
}

impl Suspects {
    /// Takes a key under watch, if its rows differ.
    pub fn suspect(&mut self, pair: Pair, now: Micros) {
        if pair.left != pair.right {
            self.watched.entry(pair.key).or_insert(Suspect {
                left: pair.left,
                right: pair.right,
                unchanged_since: now,
                watched_since: now,
            });
        }
    }

    pub fn len(&self) -> usize {
        self.watched.len()
    }

    pub fn is_empty(&self) -> bool {
        self.watched.is_empty()
    }

    /// All keys under watch.
    pub fn keys(&self) -> Vec<RowKey> {
        self.watched.keys().cloned().collect()
    }

    /// Looks at all watched keys again: `pairs` is what both sides hold now (a key that is not among
    /// them is on neither side), `busy` whether something was applied since the last look.
    pub fn look(&mut self, pairs: Vec<Pair>, busy: bool, patience: &Patience, now: Micros) -> Settled {
        let mut seen: BTreeMap<RowKey, Pair> =
            pairs.into_iter().map(|pair| (pair.key.clone(), pair)).collect();
        let mut settled = Settled::default();
        let needed_us = if busy { patience.busy_us } else { patience.quiet_us };
        self.watched.retain(|key, suspect| {
            let (left, right) = seen.remove(key).map_or((None, None), |pair| (pair.left, pair.right));
            if left == right {
                return false;
            }
            if (left, right) != (suspect.left, suspect.right) {
                (suspect.left, suspect.right) = (left, right);
                suspect.unchanged_since = now;
            }
            if now.since(suspect.unchanged_since) >= needed_us {
                let missing = match (left, right) {
                    (None, _) => Some(Side::Left),
                    (_, None) => Some(Side::Right),
                    _ => None,
                };
                settled.differences.push(Difference { key: key.clone(), missing });
                return false;
            }
            if now.since(suspect.watched_since) >= patience.give_up_us {
                settled.given_up.push(key.clone());
                return false;
            }
            true
        });
        settled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u32) -> RowKey {
        RowKey(vec![n.to_string()])
    }

    fn pair(n: u32, left: Option<u128>, right: Option<u128>) -> Pair {
        Pair { key: key(n), left: left.map(RowHash), right: right.map(RowHash) }
    }

    fn at(seconds: u64) -> Micros {
        Micros::from_secs(seconds)
    }

    #[test]
    fn key_that_becomes_equal_is_no_difference() {
        let mut suspects = Suspects::default();
        suspects.suspect(pair(1, Some(1), Some(2)), at(0));
        suspects.suspect(pair(2, Some(1), None), at(0));
        suspects.suspect(pair(3, Some(1), Some(1)), at(0));
        assert_eq!(suspects.len(), 2, "an equal key is not watched");
        // Key 2 was deleted on the left too: it is on neither side now.
        let settled = suspects.look(vec![pair(1, Some(2), Some(2))], false, &Patience::default(), at(60));
        assert_eq!(settled, Settled::default());
        assert!(suspects.is_empty());
    }

    #[test]
    fn key_that_stays_different_is_named_with_the_side_that_lacks_it() {
        let mut suspects = Suspects::default();
        let pairs = || vec![pair(1, Some(1), None), pair(2, None, Some(1)), pair(3, Some(1), Some(2))];
        pairs().into_iter().for_each(|pair| suspects.suspect(pair, at(0)));
        assert_eq!(suspects.look(pairs(), false, &Patience::default(), at(4)), Settled::default());
        let settled = suspects.look(pairs(), false, &Patience::default(), at(5));
        let missing: Vec<_> = settled.differences.iter().map(|difference| difference.missing).collect();
        assert_eq!(missing, [Some(Side::Right), Some(Side::Left), None]);
    }

    #[test]
    fn change_on_either_side_starts_the_wait_anew_and_a_restless_key_is_given_up() {
        let patience = Patience::default();
        let mut suspects = Suspects::default();
        suspects.suspect(pair(1, Some(0), Some(900)), at(0));
        let mut second = 0;
        loop {
            second += 4;
            let settled =
                suspects.look(vec![pair(1, Some(second.into()), Some(900))], false, &patience, at(second));
            assert_eq!(settled.differences, [], "it changed {second} s after the start");
            if !settled.given_up.is_empty() {
                break;
            }
        }
        assert_eq!(second, 300);
    }

    #[test]
    fn while_changes_are_applied_a_key_is_watched_for_longer() {
        let mut suspects = Suspects::default();
        let pairs = || vec![pair(1, Some(1), None)];
        suspects.suspect(pair(1, Some(1), None), at(0));
        assert_eq!(suspects.look(pairs(), true, &Patience::default(), at(29)), Settled::default());
        assert_eq!(suspects.look(pairs(), true, &Patience::default(), at(30)).differences.len(), 1);
    }
}

//! The walk through one table: what to ask both sides next.

use super::settle::{Patience, Suspects, pair_up};
use super::{Difference, KeyRange, RangeDigest, RowHash, RowKey, Side};
use crate::time::Micros;

/// Rows of a chunk.
pub const CHUNK_ROWS: u32 = 1_000;
/// Keys under watch at most before the walk goes on: bounds memory.
const SUSPECTS_MAX: usize = 20_000;
/// Between two looks at the watched keys.
pub const LOOK_AGAIN_MS: u64 = 500;

/// What to ask the sides next; one [`Answer`] each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// On this side: the key of the `rows`-th row after `after` (exclusive), if there are so many.
    Boundary { side: Side, after: Option<RowKey>, rows: u32 },
    /// On both: the digest of the range.
    Digests(KeyRange),
    /// On both: keys and hashes of the range's rows.
    Rows(KeyRange),
    /// Wait so many milliseconds, then on both: hashes of these keys' rows, and whether anything was
    /// applied by a channel between the sides since the last time.
    Again { keys: Vec<RowKey>, wait_ms: u64 },
    /// The table is compared.
    Done,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Boundary(Option<RowKey>),
    Digests { left: RangeDigest, right: RangeDigest },
    Rows { left: Vec<(RowKey, RowHash)>, right: Vec<(RowKey, RowHash)> },
    Again { left: Vec<(RowKey, RowHash)>, right: Vec<(RowKey, RowHash)>, busy: bool },
}

/// What a comparison has found so far.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Findings {
    /// Rows compared, as the left side counts them.
    pub rows: u64,
    pub differences: Vec<Difference>,
    /// Keys that changed for as long as they were watched.
    pub given_up: Vec<RowKey>,
}

/// The comparison of one table.
#[derive(Debug)]
pub struct Comparison {
    patience: Patience,
    asked: Ask,
    /// Everything up to here is compared.
    done_upto: Option<RowKey>,
    /// The last range is compared.
    at_end: bool,
    suspects: Suspects,
    findings: Findings,
}

impl Comparison {
    pub fn new(patience: Patience) -> Comparison {
        Comparison {
            patience,
            asked: Ask::Done,
            done_upto: None,
            at_end: false,
            suspects: Suspects::default(),
            findings: Findings::default(),
        }
    }

    /// The first question.
    pub fn start(&mut self) -> Ask {
        self.ask_boundary(Side::Left)
    }

    /// The question after this answer.
    ///
    /// # Panics
    /// If the answer is not of the kind that was asked for: the caller answers what was asked.
    pub fn next(&mut self, answer: Answer, now: Micros) -> Ask {
        match (self.asked.clone(), answer) {
            (Ask::Boundary { side: Side::Left, .. }, Answer::Boundary(None)) => {
                self.ask_boundary(Side::Right)
            }
            (Ask::Boundary { after, .. }, Answer::Boundary(upto)) => {
                self.ask(Ask::Digests(KeyRange { after, upto }))
            }
            (Ask::Digests(range), Answer::Digests { left, right }) => self.digests(range, left, right),
            (Ask::Rows(range), Answer::Rows { left, right }) => {
                for pair in pair_up(left, right) {
                    self.suspects.suspect(pair, now);
                }
                self.pass(range)
            }
            (Ask::Again { .. }, Answer::Again { left, right, busy }) => {
                let settled = self.suspects.look(pair_up(left, right), busy, &self.patience, now);
                self.findings.differences.extend(settled.differences);
                self.findings.given_up.extend(settled.given_up);
                self.go_on()
            }
            (asked, answer) => panic!("asked for {asked:?}, was answered {answer:?}"),
        }
    }

    /// What was found; whole once [`Ask::Done`] was said.
    pub fn findings(&self) -> &Findings {
        &self.findings
    }

    /// Takes the differences found so far out, so that they can be printed as they come.
    pub fn take_differences(&mut self) -> Vec<Difference> {
        std::mem::take(&mut self.findings.differences)
    }

    fn ask(&mut self, ask: Ask) -> Ask {
        self.asked = ask.clone();
        ask
    }

    fn ask_boundary(&mut self, side: Side) -> Ask {
        let after = self.done_upto.clone();
        self.ask(Ask::Boundary { side, after, rows: CHUNK_ROWS })
    }

    fn digests(&mut self, range: KeyRange, left: RangeDigest, right: RangeDigest) -> Ask {
        if left == right {
            self.findings.rows += left.rows;
            return self.pass(range);
        }
        // Where one side has many rows that the other lacks, the range is cut on the fuller side
        // first: rows are listed a chunk or two at a time.
        let many = u64::from(CHUNK_ROWS) * 2;
        if left.rows.max(right.rows) > many {
            return self.ask_boundary(if left.rows > right.rows { Side::Left } else { Side::Right });
        }
        self.findings.rows += left.rows;
        self.ask(Ask::Rows(range))
    }

    /// The range is compared, but for its suspects.
    fn pass(&mut self, range: KeyRange) -> Ask {
        self.at_end = range.upto.is_none();
        self.done_upto = range.upto;
        self.go_on()
    }

    fn go_on(&mut self) -> Ask {
        if !self.suspects.is_empty() && (self.at_end || self.suspects.len() >= SUSPECTS_MAX) {
            return self.ask(Ask::Again { keys: self.suspects.keys(), wait_ms: LOOK_AGAIN_MS });
        }
        if self.at_end {
            return self.ask(Ask::Done);
        }
        self.ask_boundary(Side::Left)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    type Table = BTreeMap<RowKey, RowHash>;

    fn key(n: u32) -> RowKey {
        RowKey(vec![format!("{n:08}")])
    }

    fn rows(table: &Table, range: &KeyRange) -> Vec<(RowKey, RowHash)> {
        table
            .iter()
            .filter(|(key, _)| range.after.as_ref().is_none_or(|after| *key > after))
            .filter(|(key, _)| range.upto.as_ref().is_none_or(|upto| *key <= upto))
            .map(|(key, hash)| (key.clone(), *hash))
            .collect()
    }

    fn digest(table: &Table, range: &KeyRange) -> RangeDigest {
        let rows = rows(table, range);
        let hashes = rows.iter().fold(0, |hashes, (_, hash)| hashes ^ hash.0);
        RangeDigest { rows: rows.len() as u64, hashes }
    }

    /// Answers the questions from two tables, and calls `each` before each answer.
    fn compare(
        left: &mut Table,
        right: &mut Table,
        mut each: impl FnMut(u32, &mut Table, &mut Table),
    ) -> Findings {
        let mut comparison = Comparison::new(Patience::default());
        let mut ask = comparison.start();
        let mut now = Micros::ZERO;
        for step in 0.. {
            assert!(step < 100_000, "the walk makes no way: {ask:?}");
            each(step, left, right);
            let answer = match &ask {
                Ask::Boundary { side, after, rows: count } => {
                    let table = if *side == Side::Left { &*left } else { &*right };
                    let after = KeyRange { after: after.clone(), upto: None };
                    Answer::Boundary(rows(table, &after).get(*count as usize - 1).map(|row| row.0.clone()))
                }
                Ask::Digests(range) => {
                    Answer::Digests { left: digest(left, range), right: digest(right, range) }
                }
                Ask::Rows(range) => {
                    let (left, right) = (rows(left, range), rows(right, range));
                    assert!(left.len().max(right.len()) <= 2 * CHUNK_ROWS as usize);
                    Answer::Rows { left, right }
                }
                Ask::Again { keys, wait_ms } => {
                    now = now.plus(wait_ms * 1_000);
                    let held = |table: &Table| {
                        keys.iter().filter_map(|key| Some((key.clone(), *table.get(key)?))).collect()
                    };
                    Answer::Again { left: held(left), right: held(right), busy: false }
                }
                Ask::Done => return comparison.findings().clone(),
            };
            ask = comparison.next(answer, now);
        }
        unreachable!("the loop has no end but its return")
    }

    fn table_of(count: u32, of: impl Fn(u32) -> Option<u128>) -> Table {
        (0..count).filter_map(|n| Some((key(n), RowHash(of(n)?)))).collect()
    }

    fn spread(n: u32) -> u128 {
        xxhash_rust::xxh3::xxh3_128(&n.to_le_bytes())
    }

    #[test]
    fn equal_tables_of_any_size_have_no_differences() {
        for size in [0, 1, 999, 1_000, 1_001, 5_000] {
            let mut left = table_of(size, |n| Some(spread(n)));
            let mut right = left.clone();
            let findings = compare(&mut left, &mut right, |_, _, _| {});
            assert_eq!(findings, Findings { rows: size.into(), ..Findings::default() });
        }
    }

    #[test]
    fn side_that_lacks_nearly_everything_is_compared_in_chunks_all_the_same() {
        let full = table_of(12_345, |n| Some(spread(n)));
        let few = table_of(12_345, |n| (n % 5_000 == 17).then(|| spread(n)));
        let findings = compare(&mut full.clone(), &mut few.clone(), |_, _, _| {});
        assert_eq!(findings.differences.len(), 12_342);
        let findings = compare(&mut few.clone(), &mut full.clone(), |_, _, _| {});
        assert_eq!(findings.differences.len(), 12_342);
    }

    #[test]
    fn change_that_arrives_late_is_tolerated() {
        let mut left = table_of(3_000, |n| Some(spread(n)));
        let mut right = left.clone();
        right.insert(key(1_500), RowHash(7));
        let findings = compare(&mut left, &mut right, |step, left, _| {
            // Written on the right before the walk; it reaches the left only while keys are watched.
            if step == 12 {
                left.insert(key(1_500), RowHash(7));
            }
        });
        assert_eq!(findings.differences, []);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn every_planted_difference_is_named_and_nothing_else(
            size in 0u32..4_000,
            changes in prop::collection::vec((0u32..6_000, 0u8..3), 0..30),
        ) {
            let mut left = table_of(size, |n| Some(spread(n)));
            let mut right = left.clone();
            for (n, kind) in changes {
                match kind {
                    0 => drop(left.insert(key(n), RowHash(spread(n + 1_000_000)))),
                    1 => drop(right.remove(&key(n))),
                    _ => drop(left.remove(&key(n))),
                }
            }
            let mut expected: Vec<RowKey> = left.iter().filter(|(k, v)| right.get(*k) != Some(*v))
                .map(|(k, _)| k.clone())
                .chain(right.keys().filter(|k| !left.contains_key(*k)).cloned())
                .collect();
            expected.sort();
            let findings = compare(&mut left, &mut right, |_, _, _| {});
            let mut named: Vec<RowKey> = findings.differences.into_iter().map(|d| d.key).collect();
            named.sort();
            prop_assert_eq!(named, expected);
        }
    }
}

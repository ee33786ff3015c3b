//! Which binlog files are read again to find the rows of an XA transaction that was prepared before the
//! place where the dump began.

/// Goes back file by file, in steps that double, so that the whole search reads little more than what
/// lies between the two places. Each attempt reads from the beginning of its file up to the commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchBack {
    candidate: Option<u32>,
    /// Oldest file that was searched.
    reached: Option<u32>,
    /// Oldest file that may still be there.
    floor: u32,
    step: u32,
}

impl SearchBack {
    /// The first attempt begins at this file; servers count them from 1.
    pub fn from_file(log_index: u32) -> SearchBack {
        let candidate = (log_index > 0).then_some(log_index);
        SearchBack { candidate, reached: None, floor: 1, step: 1 }
    }

    /// Number of the file to begin at; None: there is no older one.
    pub fn candidate(&self) -> Option<u32> {
        self.candidate
    }

    /// The candidate and the files behind it were read in vain.
    pub fn not_found(&mut self) {
        self.reached = self.candidate;
        self.go_back();
        self.step = self.step.saturating_mul(2);
    }

    /// The server does not have the candidate any more.
    pub fn purged(&mut self) {
        self.floor = self.candidate.map_or(self.floor, |candidate| candidate.saturating_add(1));
        self.step = 1;
        self.go_back();
    }

    fn go_back(&mut self) {
        let older = self.reached.filter(|reached| *reached > self.floor);
        self.candidate = older.map(|reached| reached.saturating_sub(self.step).max(self.floor));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The files at which attempts begin, where those below `oldest` are purged and the rows are in `at`.
    fn attempts(from: u32, oldest: u32, at: Option<u32>) -> (Vec<u32>, bool) {
        let mut search = SearchBack::from_file(from);
        let mut begun = Vec::new();
        while let Some(file) = search.candidate() {
            begun.push(file);
            assert!(begun.len() < 200, "it does not end: {begun:?}");
            if file < oldest {
                search.purged();
            } else if at.is_some_and(|at| file <= at) {
                return (begun, true);
            } else {
                search.not_found();
            }
        }
        (begun, false)
    }

    #[test]
    fn steps_double_and_are_small_again_at_the_edge_of_what_was_purged() {
        assert_eq!(attempts(20, 1, Some(20)), (vec![20], true));
        assert_eq!(attempts(20, 1, Some(4)), (vec![20, 19, 17, 13, 5, 1], true));
        assert_eq!(attempts(20, 10, Some(10)), (vec![20, 19, 17, 13, 5, 12, 11, 9, 10], true));
        assert_eq!(attempts(7, 8, None), (vec![7], false));
        assert_eq!(attempts(0, 1, None), (vec![], false));
    }

    proptest! {
        #[test]
        fn rows_in_a_file_that_is_there_are_found(from in 1u32..5_000, oldest in 1u32..5_000, at in 1u32..5_000) {
            let (oldest, at) = (oldest.min(from), at.min(from));
            prop_assert_eq!(attempts(from, oldest, Some(at)).1, at >= oldest);
            prop_assert!(!attempts(from, oldest, None).1);
        }
    }
}

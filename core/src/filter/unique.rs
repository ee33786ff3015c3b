//! Two different rows that want one value of a unique secondary key.
//!
//! The row with the greater version keeps the value; the other one is evicted: it is deleted
//! wherever it is, and its key gets its own version with `removed` set, which beats the change that
//! brought the row in and nothing newer (but see [`contest`] on old rows). Both outcomes are the same at every site, whichever of the
//! rows was there first, because they look at nothing but the two versions.

use crate::key::KeyHash;
use crate::sink::step::Verdict;
use crate::time::Micros;
use crate::version::Version;

/// Who has to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contest {
    /// The incoming row takes the value; the holder is deleted and named in the mark with this
    /// version.
    EvictHolder(Version),
    /// The holder keeps the value; the incoming row is not written (and, if an older state of it is
    /// there, deleted), and named in the mark with this version.
    EvictIncoming(Version),
}

impl Contest {
    /// As the conflict log calls it.
    pub const fn verdict(self) -> Verdict {
        match self {
            Contest::EvictHolder(_) => Verdict::LocalEvicted,
            Contest::EvictIncoming(_) => Verdict::IncomingEvicted,
        }
    }
}

/// Decides between the incoming row and the present holder of the value, a *different* row.
///
/// `holder` is the ledger's newest version of the holder's key; None: not changed since the horizon,
/// so older than anything that comes in. Two rows of one transaction have equal versions, as may two
/// of one instance in one microsecond: then the greater key hash keeps the value, the same
/// everywhere.
///
/// `floor` is a time that no site's horizon has reached: the last heartbeat less half the conflict
/// window. An eviction is a new change of a row that may be old; with a version below a horizon it
/// would be refused there. So it is given `floor` as its time where the row's own is older still,
/// and then beats what else was done to that row in the older half of the window.
pub fn contest(incoming: (KeyHash, Version), holder: (KeyHash, Option<Version>), floor: Micros) -> Contest {
    let evicted = |version: Version| Version { time: version.time.max(floor), ..version }.evicted();
    let Some(holder_version) = holder.1 else {
        return Contest::EvictHolder(evicted(Version { time: floor, ..incoming.1 }));
    };
    if (incoming.1, incoming.0) > (holder_version, holder.0) {
        Contest::EvictHolder(evicted(holder_version))
    } else {
        Contest::EvictIncoming(evicted(incoming.1))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::instance::InstanceId;

    const FLOOR: Micros = Micros(2);

    fn at(time: u64) -> Version {
        Version::new(Micros(time), InstanceId(1))
    }

    #[test]
    fn the_greater_version_keeps_the_value_and_the_other_row_is_evicted() {
        let (a, b) = (KeyHash(1), KeyHash(2));
        assert_eq!(contest((a, at(5)), (b, Some(at(4))), FLOOR), Contest::EvictHolder(at(4).evicted()));
        assert_eq!(contest((a, at(5)), (b, Some(at(6))), FLOOR), Contest::EvictIncoming(at(5).evicted()));
        assert_eq!(contest((a, at(5)), (b, None), FLOOR), Contest::EvictHolder(at(2).evicted()));
        assert_eq!(contest((a, at(5)), (b, Some(at(5))), FLOOR), Contest::EvictIncoming(at(5).evicted()));
    }

    #[test]
    fn an_eviction_is_never_older_than_the_floor() {
        let got = contest((KeyHash(1), at(5)), (KeyHash(2), Some(at(1))), FLOOR);
        assert_eq!(got, Contest::EvictHolder(at(2).evicted()));
    }

    proptest! {
        #[test]
        fn both_sides_of_a_contest_evict_the_same_row(a in 0..4_u64, b in 0..4_u64, swap in any::<bool>()) {
            let (one, two) = ((KeyHash(1), at(a)), (KeyHash(2), at(b)));
            let (one, two) = if swap { (two, one) } else { (one, two) };
            let here = contest(one, (two.0, Some(two.1)), FLOOR);
            let there = contest(two, (one.0, Some(one.1)), FLOOR);
            let same = match (here, there) {
                (Contest::EvictHolder(x), Contest::EvictIncoming(y))
                | (Contest::EvictIncoming(x), Contest::EvictHolder(y)) => x == y && x.removed,
                _ => false,
            };
            prop_assert!(same);
        }
    }
}

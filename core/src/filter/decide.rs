//! The decision: one incoming change against what the ledger knows of its key.
//!
//! With `l` the target's newest version of the key, `v` the incoming version and `b` its base:
//!
//! | rule | `l` | `v` to `l` | `b` | action | conflict |
//! |---|---|---|---|---|---|
//! | none | any | any | any | apply | no |
//! | last-write-wins | none, `v` an eviction below the horizon | | any | skip | no |
//! | | none, else `v` below the horizon | | any | refuse | no |
//! | | none | | any | apply | no |
//! | | known | equal | `v` | apply: goes on with its own transaction | no |
//! | | known | equal | not `v` | skip: a repeat | no |
//! | | known | greater | `l` | apply | no |
//! | | known | greater | `v` | apply: goes on with its own transaction | no |
//! | | known | greater | else | apply | incoming won |
//! | | known | smaller | any | skip | local won |
//!
//! Why a row may be its own base: all rows of a transaction share one version, so the second change
//! of one key has the first's version as its base. Whether the first was applied a moment ago in the
//! same batch (the ledger does not show it yet) or in a batch before (it does), the second has to
//! follow it; where the first was beaten, the second is too, as their versions are equal.
//! Why an old eviction is skipped: whoever decides one gives it a version above every horizon, and
//! sends it to every site. But every site that applies it sends it on too, and may apply it late: the
//! link from there was cut for longer than the conflict window. A horizon has risen over an eviction
//! only where it has come by on the direct way before.
//! A whole transaction that comes again ends in the same state, so going on with it is harmless.

use crate::ledger::LedgerView;
use crate::sink::step::Verdict;
use crate::time::Micros;
use crate::transaction::RowStamp;
use crate::version::Version;

/// How conflicts are decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConflictRule {
    /// The greater version wins.
    #[default]
    LastWriteWins,
    /// Everything is applied: for one-way channels.
    None,
}

/// What to do with a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Apply,
    Skip,
    /// Older than the ledger's horizon and its key unknown: nobody can say any more what it met.
    RefuseTooOld,
}

/// What to do with a change, and whether it met another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    pub action: Action,
    pub conflict: Option<Verdict>,
}

impl Decision {
    const fn new(action: Action) -> Decision {
        Decision { action, conflict: None }
    }
}

/// Decides one change of one key: see the truth table above.
pub fn decide(
    rule: ConflictRule,
    version: Version,
    base: Option<Version>,
    local: Option<Version>,
    horizon: Micros,
) -> Decision {
    if rule == ConflictRule::None {
        return Decision::new(Action::Apply);
    }
    let Some(local) = local else {
        return Decision::new(match (version.time < horizon, version.removed) {
            (false, _) => Action::Apply,
            (true, true) => Action::Skip,
            (true, false) => Action::RefuseTooOld,
        });
    };
    let goes_on = base == Some(version);
    if version == local {
        return Decision::new(if goes_on { Action::Apply } else { Action::Skip });
    }
    if version < local {
        return Decision { action: Action::Skip, conflict: Some(Verdict::LocalWon) };
    }
    let met_another = !goes_on && base != Some(local);
    Decision { action: Action::Apply, conflict: met_another.then_some(Verdict::IncomingWon) }
}

/// The decisions for a row: for its key and, where the change moved the row, for its old key. The
/// two are decided apart: one row may have lost while the other won, and then the change becomes an
/// insert of the new key or a delete of the old one.
pub fn decide_row(
    rule: ConflictRule,
    row: &RowStamp,
    ledger: &impl LedgerView,
) -> (Decision, Option<Decision>) {
    let one = |key, base| decide(rule, row.version, base, ledger.newest(key), ledger.horizon());
    (one(&row.key, row.base), row.old_key.as_ref().map(|old_key| one(old_key, row.old_base)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::instance::InstanceId;

    const HORIZON: Micros = Micros(100);

    fn at(time: u64) -> Version {
        Version::new(Micros(time), InstanceId(5))
    }

    #[test]
    fn every_line_of_the_truth_table_holds() {
        use Action::{Apply, RefuseTooOld, Skip};
        use ConflictRule::{LastWriteWins as Lww, None as NoRule};
        use Verdict::{IncomingWon, LocalWon};
        let other_origin = Version::new(Micros(200), InstanceId(6));
        let table = [
            // rule, version, base, local -> action, conflict
            (NoRule, at(200), None, None, Apply, None),
            (NoRule, at(50), None, None, Apply, None),
            (NoRule, at(200), Some(at(150)), Some(at(300)), Apply, None),
            (NoRule, at(200), Some(at(150)), Some(at(200)), Apply, None),
            (Lww, at(99), None, None, RefuseTooOld, None),
            (Lww, at(99), Some(at(98)), None, RefuseTooOld, None),
            (Lww, at(100), None, None, Apply, None),
            (Lww, at(200), Some(at(150)), None, Apply, None),
            (Lww, at(200), Some(at(150)), Some(at(200)), Skip, None),
            (Lww, at(200), None, Some(at(200)), Skip, None),
            (Lww, at(200), Some(at(200)), Some(at(200)), Apply, None),
            (Lww, at(200), Some(at(150)), Some(at(150)), Apply, None),
            (Lww, at(200), Some(at(200)), Some(at(150)), Apply, None),
            (Lww, at(200), Some(at(140)), Some(at(150)), Apply, Some(IncomingWon)),
            (Lww, at(200), None, Some(at(150)), Apply, Some(IncomingWon)),
            (Lww, at(200), Some(at(150)), Some(at(201)), Skip, Some(LocalWon)),
            (Lww, at(200), None, Some(at(201)), Skip, Some(LocalWon)),
            (Lww, at(200), Some(at(200)), Some(at(201)), Skip, Some(LocalWon)),
            // A change below the horizon whose key is known is decided like any other.
            (Lww, at(90), None, Some(at(150)), Skip, Some(LocalWon)),
            // Ties of time go by origin, and an eviction beats the change that it undoes only.
            (Lww, at(200), None, Some(other_origin), Skip, Some(LocalWon)),
            (Lww, other_origin, None, Some(at(200)), Apply, Some(IncomingWon)),
            (Lww, at(200).evicted(), Some(at(200)), Some(at(200)), Apply, None),
            (Lww, at(200), Some(at(150)), Some(at(200).evicted()), Skip, Some(LocalWon)),
            (Lww, at(201), Some(at(200)), Some(at(200).evicted()), Apply, Some(IncomingWon)),
        ];
        for (rule, version, base, local, action, conflict) in table {
            let got = decide(rule, version, base, local, HORIZON);
            assert_eq!(got, Decision { action, conflict }, "{rule:?} {version:?} {base:?} {local:?}");
        }
    }

    /// Site A evicts a row; the link to B is cut for longer than the window. When it heals, A's horizon
    /// rises over the eviction, then B applies it and sends it back: A must not stop at it.
    #[test]
    fn an_eviction_that_comes_back_after_a_long_cut_is_passed_over() {
        let evicted = at(50).evicted();
        let decision = decide(ConflictRule::LastWriteWins, evicted, Some(at(50)), None, HORIZON);
        assert_eq!(decision, Decision::new(Action::Skip));
        let fresh = at(100).evicted();
        let decision = decide(ConflictRule::LastWriteWins, fresh, None, None, HORIZON);
        assert_eq!(decision, Decision::new(Action::Apply));
    }

    fn version() -> impl Strategy<Value = Version> {
        (0..6_u64, 0..3_u32, any::<bool>()).prop_map(|(time, origin, removed)| Version {
            time: Micros(time),
            origin: InstanceId(origin),
            removed,
        })
    }

    proptest! {
        /// Commutative, associative, idempotent: a register that took the same changes holds the
        /// same version, whatever their order and repetition.
        #[test]
        fn any_order_of_the_same_changes_ends_at_the_greatest_version(
            changes in proptest::collection::vec(version(), 1..12),
            order in proptest::collection::vec(any::<prop::sample::Index>(), 0..30),
        ) {
            let mut local = None;
            let repeats = order.iter().map(|index| *index.get(&changes));
            for version in repeats.chain(changes.iter().copied()) {
                if decide(ConflictRule::LastWriteWins, version, None, local, Micros::ZERO).action == Action::Apply {
                    local = Some(version);
                }
            }
            prop_assert_eq!(local, changes.iter().copied().max());
        }
    }

    #[test]
    fn rules_are_spelled_as_in_the_configuration() {
        let text =
            serde_json::to_string(&[ConflictRule::LastWriteWins, ConflictRule::None]).expect("plain names");
        assert_eq!(text, r#"["last-write-wins","none"]"#);
    }
}

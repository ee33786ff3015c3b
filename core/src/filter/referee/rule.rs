//! The rules that need nothing but both rows and their versions.

use std::collections::BTreeMap;

use super::case::Why;
use super::{Row, column};
use crate::instance::InstanceId;
use crate::scn::Scn;
use crate::version::Version;

/// By what a referee decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    Pure(PureRule),
    /// A program of the user's says who wins; where it does not, `fallback` does.
    Webhook {
        fallback: PureRule,
    },
}

/// A rule that is a function of both rows and their versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PureRule {
    /// What holds anyway: the greater version.
    LastWriteWins,
    /// The greater value of this column. A row that has none (NULL, no such column, deleted) loses to
    /// one that has; of equals the greater version wins.
    Column(String),
    /// The row whose origin has the lower rank; of equals the greater version. An instance that is not
    /// named comes last.
    SitePriority(BTreeMap<InstanceId, u32>),
}

/// One side of a contest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// As the ledger has it.
    pub version: Version,
    /// The change whose row it is: another one than `version` where a verdict wrote it again.
    pub stands_for: Version,
    /// None: deleted.
    pub row: Option<Row>,
}

/// Two rows of one key, one of which must go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contest {
    /// The record in which the challenger lost.
    pub entry: u64,
    /// Of the change that came in there.
    pub scn: Scn,
    /// The challenger came in there; else it was there already.
    pub challenger_came_in: bool,
    /// What is in the table by last-write-wins.
    pub standing: Claim,
    pub challenger: Claim,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Winner {
    Standing,
    Challenger,
}

impl PureRule {
    /// Who wins, and by what.
    pub(super) fn judge(&self, contest: &Contest) -> (Winner, Why) {
        let (standing, challenger) = (&contest.standing, &contest.challenger);
        let order = match self {
            PureRule::LastWriteWins => return (Winner::Standing, Why::LastWriteWins),
            PureRule::Column(name) => {
                let value =
                    |claim: &Claim| claim.row.as_ref().and_then(|row| row.get(name).cloned().flatten());
                match (value(standing), value(challenger)) {
                    (Some(standing), Some(challenger)) => column::compare(&challenger, &standing),
                    (standing, challenger) => Some(challenger.is_some().cmp(&standing.is_some())),
                }
            }
            PureRule::SitePriority(ranks) => {
                let rank = |claim: &Claim| ranks.get(&claim.stands_for.origin).copied().unwrap_or(u32::MAX);
                Some(rank(standing).cmp(&rank(challenger)))
            }
        };
        match order {
            Some(std::cmp::Ordering::Greater) => (Winner::Challenger, self.why()),
            Some(std::cmp::Ordering::Less) => (Winner::Standing, self.why()),
            // The standing row is the one with the greater version.
            Some(std::cmp::Ordering::Equal) | None => (Winner::Standing, Why::Equal),
        }
    }

    fn why(&self) -> Why {
        match self {
            PureRule::LastWriteWins => Why::LastWriteWins,
            PureRule::Column(_) => Why::Column,
            PureRule::SitePriority(_) => Why::SitePriority,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Micros;

    fn claim(origin: u32, value: Option<&str>, there: bool) -> Claim {
        let version = Version::new(Micros(1), InstanceId(origin));
        let row = Row::from([("at".to_owned(), value.map(str::to_owned))]);
        Claim { version, stands_for: version, row: there.then_some(row) }
    }

    fn winner(rule: &PureRule, standing: Claim, challenger: Claim) -> Winner {
        rule.judge(&Contest { entry: 1, scn: Scn::ZERO, challenger_came_in: true, standing, challenger }).0
    }

    #[test]
    fn the_greater_value_wins_none_loses_and_equal_leaves_the_last_write() {
        use Winner::{Challenger, Standing};
        let rule = PureRule::Column("at".to_owned());
        // standing, challenger; None: the row is deleted.
        let table = [
            (Some(Some("5")), Some(Some("10")), Challenger),
            (Some(Some("10")), Some(Some("5")), Standing),
            (Some(Some("5")), Some(Some("5.0")), Standing),
            (Some(None), Some(Some("1")), Challenger),
            (Some(Some("1")), Some(None), Standing),
            (Some(None), Some(None), Standing),
            (None, Some(Some("1")), Challenger),
            (Some(Some("1")), None, Standing),
            (None, Some(None), Standing),
            (Some(None), None, Standing),
            (Some(Some("x")), Some(Some("y")), Standing),
        ];
        for (standing, challenger, expected) in table {
            let of = |side: Option<Option<&str>>| claim(1, side.flatten(), side.is_some());
            assert_eq!(winner(&rule, of(standing), of(challenger)), expected, "{standing:?} {challenger:?}");
        }
        let absent = PureRule::Column("gone".to_owned());
        assert_eq!(winner(&absent, claim(1, Some("1"), true), claim(2, Some("2"), true)), Standing);
    }

    #[test]
    fn the_row_of_the_site_that_is_named_first_wins_whether_it_is_there_or_not() {
        let rule = PureRule::SitePriority(BTreeMap::from([(InstanceId(7), 0), (InstanceId(8), 1)]));
        let of = |origin, there| claim(origin, None, there);
        assert_eq!(winner(&rule, of(8, true), of(7, true)), Winner::Challenger);
        assert_eq!(winner(&rule, of(8, true), of(7, false)), Winner::Challenger);
        assert_eq!(winner(&rule, of(7, true), of(8, true)), Winner::Standing);
        assert_eq!(winner(&rule, of(7, true), of(7, true)), Winner::Standing);
        assert_eq!(
            winner(&rule, of(9, true), of(8, true)),
            Winner::Challenger,
            "an instance not named is last"
        );
    }
}

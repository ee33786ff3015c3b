//! The open conflicts of one key, and what follows from them.

use std::collections::BTreeMap;

use super::Row;
use super::rule::{Claim, Contest, Rule, Winner};
use crate::instance::InstanceId;
use crate::scn::Scn;
use crate::sink::step::Verdict;
use crate::version::Version;

/// How long a conflict waits, in microseconds, for a change that its incoming change was made upon and
/// that comes here by another channel. Without it nobody can tell whether there is a conflict at all.
pub const BASE_WAIT_US: u64 = 60_000_000;

/// One conflict on record.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Rises along the decisions of one key.
    pub id: u64,
    /// Of the incoming change.
    pub scn: Scn,
    /// Microseconds since it was recorded.
    pub age_us: u64,
    pub incoming: Side,
    /// What the incoming change was made upon.
    pub base: Option<Version>,
    pub local: Side,
    /// By last-write-wins: `IncomingWon` or `LocalWon`.
    pub verdict: Verdict,
    pub ruling: Ruling,
    /// With `Overturned`: the change whose row was written again.
    pub stands_for: Option<Version>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Side {
    pub version: Version,
    /// None: deleted.
    pub row: Option<Row>,
}

impl Entry {
    pub(super) fn winner(&self) -> &Side {
        if self.verdict == Verdict::IncomingWon { &self.incoming } else { &self.local }
    }

    pub(super) fn loser(&self) -> &Side {
        if self.verdict == Verdict::IncomingWon { &self.local } else { &self.incoming }
    }

    fn is_open(&self) -> bool {
        self.ruling == Ruling::Open
    }
}

/// What became of a conflict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ruling {
    /// The channel has no rule but last-write-wins, or the rule does not apply.
    None,
    Open,
    /// The rule, or the lack of a true conflict, leaves what last-write-wins did.
    Upheld,
    /// The row that lost was written again.
    Overturned,
    /// Another change of the row, or another conflict of it, made the question void.
    Superseded,
    /// The rule wants the other row, and it cannot be written.
    Abandoned,
}

impl Ruling {
    /// All that are ever given, in the order of the metrics.
    pub const GIVEN: [Ruling; 4] =
        [Ruling::Upheld, Ruling::Overturned, Ruling::Superseded, Ruling::Abandoned];

    /// As `weft.conflict` and the metrics spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Ruling::None => "",
            Ruling::Open => "open",
            Ruling::Upheld => "upheld",
            Ruling::Overturned => "overturned",
            Ruling::Superseded => "superseded",
            Ruling::Abandoned => "abandoned",
        }
    }

    /// Reads what `as_str` spells; anything else is `None`.
    pub fn from_text(text: &str) -> Ruling {
        let given = Ruling::GIVEN.into_iter().chain([Ruling::Open]);
        given.into_iter().find(|ruling| ruling.as_str() == text).unwrap_or(Ruling::None)
    }
}

/// By what a ruling was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Why {
    LastWriteWins,
    Column,
    SitePriority,
    Webhook,
    /// The webhook gave no answer that could be used; by the fallback.
    Fallback,
    /// The rule makes no difference between the two.
    Equal,
    /// Both rows are the same.
    SameRow,
    /// One of the changes was made upon the other.
    Followed,
    /// A newer change came before the verdict.
    NewerChange,
    /// The conflict is older than the conflict window.
    Expired,
    /// A row with one of its unique values is there by now.
    DuplicateKey,
    /// The table has another shape by now.
    DoesNotFit,
}

impl Why {
    /// As `weft.conflict` spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Why::LastWriteWins => "last-write-wins",
            Why::Column => "column",
            Why::SitePriority => "site-priority",
            Why::Webhook => "webhook",
            Why::Fallback => "webhook failed: fallback",
            Why::Equal => "equal: last-write-wins",
            Why::SameRow => "both rows are the same",
            Why::Followed => "one change followed the other",
            Why::NewerChange => "a newer change came first",
            Why::Expired => "older than the conflict window",
            Why::DuplicateKey => "another row has its unique value",
            Why::DoesNotFit => "the row does not fit the table any more",
        }
    }
}

/// All that is on record of one key, and what is in the table, read while the row is held.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// The instance that decides.
    pub decider: InstanceId,
    /// By rising id; closed ones too, as far back as they are kept.
    pub entries: Vec<Entry>,
    /// The ledger's newest version of the key; None: not changed within the conflict window.
    pub newest: Option<Version>,
    /// The row; None: there is none.
    pub row: Option<Row>,
}

/// What a webhook said of a contest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Winner(Winner),
    /// Nothing that could be used, however often it was asked.
    Nothing,
}

/// By entry: against which standing version it was asked, and what came back.
pub type Answers = BTreeMap<u64, (Version, Answer)>;

/// What to do with a case.
#[derive(Debug, Clone, PartialEq)]
pub enum Hearing {
    /// A change that is needed to judge is still on its way.
    Wait,
    /// Let go of the row, ask who wins, and come back with the answer.
    Ask(Box<Contest>),
    /// Write and close, in one transaction.
    Ruled(Ruled),
}

/// The end of a case.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ruled {
    /// The entry whose losing row is written; None: the table stays as it is.
    pub write: Option<u64>,
    pub closes: Vec<Close>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Close {
    pub entry: u64,
    pub ruling: Ruling,
    pub why: Why,
    /// With `Overturned`: the change whose row is written.
    pub stands_for: Option<Version>,
}

impl Ruled {
    /// Closes all that is open in the same way, and writes nothing.
    pub fn all(entries: &[Entry], ruling: Ruling, why: Why) -> Ruled {
        let open = entries.iter().filter(|entry| entry.is_open());
        Ruled {
            write: None,
            closes: open.map(|entry| Close { entry: entry.id, ruling, why, stands_for: None }).collect(),
        }
    }

    /// The same, where the row could not be written: the table stays as last-write-wins left it.
    pub fn abandoned(&self, why: Why) -> Ruled {
        let close = |close: &Close| match close.ruling {
            Ruling::Overturned => Close { ruling: Ruling::Abandoned, why, stands_for: None, ..*close },
            _ => *close,
        };
        Ruled { write: None, closes: self.closes.iter().map(close).collect() }
    }
}

/// Whether a conflict is one for the rule: two changes of applications at different places. Evictions
/// stay decided by version, and of one place's changes the later one has seen the earlier.
pub fn opens(verdict: Verdict, incoming: Version, local: Option<Version>) -> bool {
    let won = matches!(verdict, Verdict::IncomingWon | Verdict::LocalWon);
    local.is_some_and(|local| won && !incoming.removed && !local.removed && incoming.origin != local.origin)
}

/// Hears the case: what the rule makes of everything that is known.
///
/// `answers` are the webhook's, given since the case was first heard. A contest that changed after
/// its answer is not asked again: then the newer change stands.
pub fn hear(case: &Case, rule: &Rule, answers: &Answers) -> Hearing {
    let open: Vec<&Entry> = case.entries.iter().filter(|entry| entry.is_open()).collect();
    let Some(left) = open.iter().map(|entry| entry.winner().version).max() else {
        return Hearing::Ruled(Ruled::default());
    };
    let void = |why| {
        let close =
            |entry: &&Entry| Close { entry: entry.id, ruling: Ruling::Superseded, why, stands_for: None };
        Hearing::Ruled(Ruled { write: None, closes: open.iter().map(close).collect() })
    };
    let Some(newest) = case.newest else { return void(Why::Expired) };
    // A later change from where the standing one came goes on with its line, and saw no more than it.
    if newest.removed || newest < left || newest.origin != left.origin {
        return void(Why::NewerChange);
    }
    if open.iter().any(|entry| case.awaits_base(entry)) {
        return Hearing::Wait;
    }
    case.judge(&open, rule, answers, (newest, left))
}

impl Case {
    /// The incoming change was made upon one that has not come here, by its own channel.
    fn awaits_base(&self, entry: &Entry) -> bool {
        let on_its_way =
            entry.base.filter(|base| *base > entry.local.version && *base != entry.incoming.version);
        on_its_way.is_some_and(|base| {
            entry.age_us < BASE_WAIT_US && !self.entries.iter().any(|other| other.incoming.version == base)
        })
    }

    fn judge(
        &self,
        open: &[&Entry],
        rule: &Rule,
        answers: &Answers,
        (newest, left): (Version, Version),
    ) -> Hearing {
        let mut standing = self.claim(newest, self.row.as_ref());
        let left = self.claim(left, self.row.as_ref());
        let mut losers: Vec<(&Entry, Claim)> = open
            .iter()
            .map(|entry| (*entry, self.claim(entry.loser().version, entry.loser().row.as_ref())))
            .collect();
        losers.sort_by_key(|(entry, claim)| (claim.version, entry.id));
        let mut ruled = Ruled::default();
        let mut written: Option<usize> = None;
        for (entry, challenger) in &losers {
            let gone_on = losers
                .iter()
                .any(|(_, other)| other.version != challenger.version && self.follows(other, challenger));
            let (winner, why) =
                if gone_on || self.follows(&standing, challenger) || self.follows(&left, challenger) {
                    (Winner::Standing, Why::Followed)
                } else if challenger.row == standing.row {
                    (Winner::Standing, Why::SameRow)
                } else if self.follows(challenger, &standing) {
                    (Winner::Challenger, Why::Followed)
                } else {
                    let contest = Contest {
                        entry: entry.id,
                        scn: entry.scn,
                        challenger_came_in: entry.verdict == Verdict::LocalWon,
                        standing: standing.clone(),
                        challenger: challenger.clone(),
                    };
                    match judge_by(rule, &contest, answers) {
                        Some(judged) => judged,
                        None => return Hearing::Ask(Box::new(contest)),
                    }
                };
            if why == Why::NewerChange {
                let ruling = Ruling::Superseded;
                ruled.closes.push(Close { entry: entry.id, ruling, why, stands_for: None });
                continue;
            }
            let mut ruling = Ruling::Upheld;
            if winner == Winner::Challenger {
                standing = challenger.clone();
                ruling = Ruling::Overturned;
                // Only the last row is written: what was to be written before has lost to it.
                if let Some(before) = written.replace(ruled.closes.len()) {
                    let before: &mut Close = &mut ruled.closes[before];
                    (before.ruling, before.stands_for) = (Ruling::Superseded, None);
                }
                ruled.write = Some(entry.id);
            }
            let stands_for = (ruling == Ruling::Overturned).then_some(challenger.stands_for);
            ruled.closes.push(Close { entry: entry.id, ruling, why, stands_for });
        }
        Hearing::Ruled(ruled)
    }
}

/// None: the webhook was not asked yet.
fn judge_by(rule: &Rule, contest: &Contest, answers: &Answers) -> Option<(Winner, Why)> {
    match rule {
        Rule::Pure(rule) => Some(rule.judge(contest)),
        Rule::Webhook { fallback } => Some(match *answers.get(&contest.entry)? {
            (standing, _) if standing != contest.standing.version => (Winner::Standing, Why::NewerChange),
            (_, Answer::Winner(winner)) => (winner, Why::Webhook),
            (_, Answer::Nothing) => (fallback.judge(contest).0, Why::Fallback),
        }),
    }
}

//! Single cases: what the rules make of what meets, arrives late, or is lost.

use std::collections::BTreeMap;

use weft_core::filter::referee::{
    Answer, Answers, Case, Close, Entry, Hearing, PureRule, Row, Rule, Ruled, Ruling, Side, Why, Winner,
    hear, opens,
};
use weft_core::instance::InstanceId;
use weft_core::scn::Scn;
use weft_core::sink::step::Verdict;
use weft_core::time::Micros;
use weft_core::version::Version;

/// The deciding instance, and two others.
const D: u32 = 1;
const A: u32 = 2;
const B: u32 = 3;

fn v(time: u64, origin: u32) -> Version {
    Version::new(Micros(time), InstanceId(origin))
}

fn row(n: u64) -> Option<Row> {
    Some(Row::from([("n".to_owned(), Some(n.to_string()))]))
}

fn side(version: Version, n: u64) -> Side {
    Side { version, row: row(n) }
}

/// An open conflict as last-write-wins left it.
fn met(id: u64, incoming: Side, base: Option<Version>, local: Side) -> Entry {
    let verdict = if incoming.version > local.version { Verdict::IncomingWon } else { Verdict::LocalWon };
    assert!(opens(verdict, incoming.version, Some(local.version)));
    Entry {
        id,
        scn: Scn::ZERO,
        age_us: 0,
        incoming,
        base,
        local,
        verdict,
        ruling: Ruling::Open,
        stands_for: None,
    }
}

fn case(entries: Vec<Entry>, newest: Version, row: Option<Row>) -> Case {
    Case { decider: InstanceId(D), entries, newest: Some(newest), row }
}

fn column() -> Rule {
    Rule::Pure(PureRule::Column("n".to_owned()))
}

/// A before B before the deciding instance.
fn sites() -> Rule {
    Rule::Pure(PureRule::SitePriority(BTreeMap::from([
        (InstanceId(A), 0),
        (InstanceId(B), 1),
        (InstanceId(D), 2),
    ])))
}

fn ruled(case: &Case, rule: &Rule) -> Ruled {
    match hear(case, rule, &Answers::new()) {
        Hearing::Ruled(ruled) => ruled,
        other => panic!("{other:?}"),
    }
}

fn rulings(ruled: &Ruled) -> Vec<(u64, Ruling, Why)> {
    let mut rulings: Vec<_> =
        ruled.closes.iter().map(|close| (close.entry, close.ruling, close.why)).collect();
    rulings.sort_by_key(|(entry, ..)| *entry);
    rulings
}

#[test]
fn the_row_that_lost_by_time_is_written_if_the_rule_wants_it() {
    let lost = met(1, side(v(10, A), 9), Some(v(1, D)), side(v(20, D), 5));
    let got = ruled(&case(vec![lost], v(20, D), row(5)), &column());
    let stands_for = Some(v(10, A));
    let close = Close { entry: 1, ruling: Ruling::Overturned, why: Why::Column, stands_for };
    assert_eq!(got, Ruled { write: Some(1), closes: vec![close] });
    let won = met(1, side(v(20, A), 9), Some(v(1, D)), side(v(10, D), 5));
    let got = ruled(&case(vec![won], v(20, A), row(9)), &column());
    assert_eq!((got.write, rulings(&got)), (None, vec![(1, Ruling::Upheld, Why::Column)]));
}

#[test]
fn the_first_of_the_sites_keeps_its_delete_too() {
    let deleted = Side { version: v(10, A), row: None };
    let got = ruled(&case(vec![met(1, deleted, None, side(v(20, D), 5))], v(20, D), row(5)), &sites());
    assert_eq!((got.write, rulings(&got)), (Some(1), vec![(1, Ruling::Overturned, Why::SitePriority)]));
}

#[test]
fn equal_rows_are_no_question() {
    let got =
        ruled(&case(vec![met(1, side(v(10, A), 5), None, side(v(20, D), 5))], v(20, D), row(5)), &sites());
    assert_eq!((got.write, rulings(&got)), (None, vec![(1, Ruling::Upheld, Why::SameRow)]));
}

/// A changed the row, and changed it again before it heard of anything: both lost by time.
#[test]
fn of_two_changes_of_one_site_the_later_one_is_judged() {
    let first = met(1, side(v(10, A), 9), Some(v(1, D)), side(v(20, D), 5));
    let second = met(2, side(v(11, A), 7), Some(v(10, A)), side(v(20, D), 5));
    let got = ruled(&case(vec![first, second], v(20, D), row(5)), &column());
    assert_eq!(got.write, Some(2));
    assert_eq!(rulings(&got), [(1, Ruling::Upheld, Why::Followed), (2, Ruling::Overturned, Why::Column)]);
}

/// The verdict wrote A's first change again, as the deciding instance's own. Then comes A's second one,
/// made upon the first: the rule is not asked whether the first may stay.
#[test]
fn a_change_made_upon_the_row_that_a_verdict_chose_follows_it() {
    let mut decided = met(1, side(v(10, A), 9), Some(v(1, D)), side(v(20, D), 5));
    (decided.ruling, decided.stands_for) = (Ruling::Overturned, Some(v(10, A)));
    let second = met(2, side(v(11, A), 2), Some(v(10, A)), side(v(21, D), 9));
    let got = ruled(&case(vec![decided.clone(), second], v(21, D), row(9)), &column());
    assert_eq!((got.write, rulings(&got)), (Some(2), vec![(2, Ruling::Overturned, Why::Followed)]));
    // Later than the verdict by its own clock: it is there already, and stays.
    let second = met(2, side(v(30, A), 2), Some(v(10, A)), side(v(21, D), 9));
    let got = ruled(&case(vec![decided, second], v(30, A), row(2)), &column());
    assert_eq!((got.write, rulings(&got)), (None, vec![(2, Ruling::Upheld, Why::Followed)]));
}

/// The verdict gave A's row to all. B, who comes after A and before the deciding site, had changed the
/// row meanwhile: what stands is A's row, whoever wrote it down.
#[test]
fn a_row_that_a_verdict_chose_keeps_the_rank_of_the_site_it_came_from() {
    let mut decided = met(1, side(v(10, A), 9), Some(v(1, D)), side(v(20, D), 5));
    (decided.ruling, decided.stands_for) = (Ruling::Overturned, Some(v(10, A)));
    let late = met(2, side(v(30, B), 4), Some(v(1, D)), side(v(21, D), 9));
    let got = ruled(&case(vec![decided.clone(), late], v(30, B), row(4)), &sites());
    assert_eq!((got.write, rulings(&got)), (Some(2), vec![(2, Ruling::Overturned, Why::SitePriority)]));
    // Once an application of the deciding site changed the row, it is its own.
    let late = met(2, side(v(30, B), 4), Some(v(1, D)), side(v(25, D), 6));
    let got = ruled(&case(vec![decided, late], v(30, B), row(4)), &sites());
    assert_eq!((got.write, rulings(&got)), (None, vec![(2, Ruling::Upheld, Why::SitePriority)]));
}

#[test]
fn a_newer_change_from_elsewhere_supersedes_and_one_of_the_same_site_is_judged() {
    let lost = || met(1, side(v(10, A), 9), Some(v(1, D)), side(v(20, D), 5));
    let got = ruled(&case(vec![lost()], v(30, B), row(7)), &column());
    assert_eq!((got.write, rulings(&got)), (None, vec![(1, Ruling::Superseded, Why::NewerChange)]));
    let got = ruled(&case(vec![lost()], v(30, D), row(7)), &column());
    assert_eq!(got.write, Some(1));
    let got = ruled(&case(vec![lost()], v(30, D), row(12)), &column());
    assert_eq!((got.write, rulings(&got)), (None, vec![(1, Ruling::Upheld, Why::Column)]));
    let gone = Case { newest: None, ..case(vec![lost()], v(20, D), row(5)) };
    assert_eq!(rulings(&ruled(&gone, &column())), [(1, Ruling::Superseded, Why::Expired)]);
    let evicted = case(vec![lost()], v(20, D).evicted(), None);
    assert_eq!(rulings(&ruled(&evicted, &column())), [(1, Ruling::Superseded, Why::NewerChange)]);
}

/// A took over what B had written and changed it. A's change comes first, and the deciding site does
/// not know B's: it looks like a conflict with what was there before, and is none.
#[test]
fn a_change_whose_base_is_still_on_its_way_waits_for_it() {
    let early = met(1, side(v(12, A), 3), Some(v(11, B)), side(v(10, D), 8));
    let waiting = case(vec![early.clone()], v(12, A), row(3));
    assert_eq!(hear(&waiting, &column(), &Answers::new()), Hearing::Wait);
    let late = met(2, side(v(11, B), 9), Some(v(10, D)), side(v(12, A), 3));
    let got = ruled(&case(vec![early.clone(), late], v(12, A), row(3)), &column());
    assert_eq!(got.write, None);
    assert_eq!(rulings(&got), [(1, Ruling::Upheld, Why::Followed), (2, Ruling::Upheld, Why::Followed)]);
    // If it never comes, what is known has to do.
    let patient = Entry { age_us: u64::MAX, ..early };
    assert_eq!(ruled(&case(vec![patient], v(12, A), row(3)), &column()).write, Some(1));
}

/// Three sites changed one row at the same time.
#[test]
fn of_three_rows_the_best_is_written_once() {
    let first = met(1, side(v(10, A), 7), Some(v(1, D)), side(v(20, D), 5));
    let second = met(2, side(v(12, B), 9), Some(v(1, D)), side(v(20, D), 5));
    let got = ruled(&case(vec![first, second], v(20, D), row(5)), &column());
    assert_eq!(got.write, Some(2));
    assert_eq!(rulings(&got), [(1, Ruling::Superseded, Why::Column), (2, Ruling::Overturned, Why::Column)]);
}

#[test]
fn a_webhook_is_asked_for_each_contest_and_its_answer_holds_for_that_contest_only() {
    let rule = Rule::Webhook { fallback: PureRule::Column("n".to_owned()) };
    let lost = met(1, side(v(10, A), 9), Some(v(1, D)), side(v(20, D), 5));
    let asked = case(vec![lost], v(20, D), row(5));
    let Hearing::Ask(contest) = hear(&asked, &rule, &Answers::new()) else { panic!("it is asked") };
    assert!(contest.challenger_came_in && contest.standing.version == v(20, D));
    let answered = |answer| Answers::from([(1, (v(20, D), answer))]);
    let by = |case: &Case, answer| match hear(case, &rule, &answered(answer)) {
        Hearing::Ruled(ruled) => (ruled.write, ruled.closes[0].why),
        other => panic!("{other:?}"),
    };
    assert_eq!(by(&asked, Answer::Winner(Winner::Challenger)), (Some(1), Why::Webhook));
    assert_eq!(by(&asked, Answer::Winner(Winner::Standing)), (None, Why::Webhook));
    assert_eq!(by(&asked, Answer::Nothing), (Some(1), Why::Fallback));
    // The row was changed while it was asked.
    let changed = case(asked.entries.clone(), v(22, D), row(1));
    assert_eq!(by(&changed, Answer::Winner(Winner::Challenger)), (None, Why::NewerChange));
}

#[test]
fn a_row_that_cannot_be_written_leaves_the_last_write() {
    let lost = met(1, side(v(10, A), 9), Some(v(1, D)), side(v(20, D), 5));
    let got = ruled(&case(vec![lost], v(20, D), row(5)), &column()).abandoned(Why::DuplicateKey);
    assert_eq!((got.write, rulings(&got)), (None, vec![(1, Ruling::Abandoned, Why::DuplicateKey)]));
}

#[test]
fn evictions_and_changes_of_one_place_are_no_case_for_a_rule() {
    use Verdict::{IncomingEvicted, IncomingWon, LocalEvicted, LocalWon};
    assert!(opens(IncomingWon, v(2, A), Some(v(1, D))) && opens(LocalWon, v(1, A), Some(v(2, D))));
    assert!(!opens(IncomingWon, v(2, A), Some(v(1, A))));
    assert!(!opens(IncomingWon, v(2, A).evicted(), Some(v(1, D))));
    assert!(!opens(IncomingWon, v(2, A), Some(v(1, D).evicted())));
    assert!(!opens(IncomingEvicted, v(2, A), Some(v(1, D))) && !opens(LocalEvicted, v(2, A), Some(v(1, D))));
    assert!(!opens(IncomingWon, v(2, A), None));
}

#[test]
fn rulings_are_read_as_they_are_spelled() {
    for ruling in Ruling::GIVEN.into_iter().chain([Ruling::Open]) {
        assert_eq!(Ruling::from_text(ruling.as_str()), ruling);
    }
    assert_eq!(Ruling::from_text("of another release"), Ruling::None);
}

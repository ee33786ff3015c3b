//! The steps of each way that a batch can go, against a target that answers from a script.

use std::sync::Arc;

use weft_core::catalog::{Column, TableVersion};
use weft_core::channel::delivery::Delivery;
use weft_core::channel::runs::ShardRuns;
use weft_core::filter::decide::ConflictRule;
use weft_core::key::KeyHash;
use weft_core::mark::Run;
use weft_core::scn::Scn;
use weft_core::sink::apply::{Apply, ApplyConfig, MarkBase};
use weft_core::sink::step::{LogPosition, Outcome, RetryCause, Step, Stop, StopKind, Verdict};
use weft_core::time::Micros;
use weft_core::transaction::{Body, Part};
use weft_core::version::Version;

use super::script::Script;
use super::support::{Builder, Change, Row, SOURCE, TARGET, key, scn, unit, version};

fn row(id: u64, value: u64) -> Row {
    Row { id, unique: 0, value }
}

fn local(time: u64) -> Version {
    Version::new(Micros(time), TARGET)
}

fn batch(rule: ConflictRule, deliveries: &[Arc<Delivery>]) -> Apply {
    let config = ApplyConfig {
        rule,
        names_versions: false,
        source: SOURCE,
        delete_events: |delivery, _, image| Ok(delivery.transaction.bytes(image).to_vec()),
    };
    let base = MarkBase {
        watermark: scn(1),
        watermark_time: Micros(1),
        runs: ShardRuns::default(),
        eviction_floor: Micros::ZERO,
    };
    let units = deliveries.iter().zip(0..).map(|(delivery, sequence)| unit(delivery, sequence)).collect();
    Apply::new(config, units, base)
}

fn lww(deliveries: &[Arc<Delivery>]) -> Apply {
    batch(ConflictRule::LastWriteWins, deliveries)
}

fn update(n: u64, id: u64, time: u64, base: Option<Version>) -> Arc<Delivery> {
    Builder::new(n).change(Change::of(Some(row(id, 0)), Some(row(id, n)), version(time), base)).build()
}

fn delete(n: u64, id: u64, time: u64, base: Option<Version>) -> Arc<Delivery> {
    Builder::new(n).change(Change::of(Some(row(id, 0)), None, version(time), base)).build()
}

const USUAL: [&str; 8] =
    ["Begin", "Lock", "ReadPosition", "AwaitLedger", "WriteMark", "Savepoint", "Write", "Commit"];

#[test]
fn a_change_that_follows_what_is_there_is_locked_fenced_decided_named_and_written() {
    let mut script = Script::new(&[1], &[(1, version(5))]);
    let steps = script.run(lww(&[update(10, 1, 8, Some(version(5)))]));
    assert_eq!(steps, [&USUAL[..], &["Done"]].concat());
    assert_eq!(script.writes, ["update 1=10"]);
    let mark = &script.marks[0];
    assert_eq!((mark.source, mark.watermark), (SOURCE, scn(1)));
    assert_eq!(mark.runs, [Run { first: scn(10), last: scn(10) }]);
    assert_eq!((mark.named[0].version, &mark.named[0].keys[..]), (version(8), &[key(1)][..]));
    assert_eq!(script.report().rows_applied, 1);
}

#[test]
fn a_conflict_is_read_before_the_write_and_recorded_with_it() {
    let mut script = Script::new(&[1], &[(1, local(6))]);
    let steps = script.run(lww(&[update(10, 1, 8, Some(version(5)))]));
    let expected = [&USUAL[..4], &["ReadRows"], &USUAL[4..7], &["RecordConflicts", "Commit", "Done"]];
    assert_eq!(steps, expected.concat());
    assert_eq!(script.verdicts, [Verdict::IncomingWon]);
    assert_eq!(script.report().conflicts, [(Verdict::IncomingWon, 1)]);
}

#[test]
fn a_batch_of_repeats_writes_nothing_at_all() {
    let mut script = Script::new(&[1], &[(1, version(8))]);
    let steps = script.run(lww(&[update(10, 1, 8, Some(version(5)))]));
    assert_eq!(steps, [&USUAL[..4], &["RollBack", "Done"]].concat());
    let report = script.report();
    assert_eq!((report.rows_applied, report.rows_skipped), (0, 1));
    assert_eq!(report.runs, [Run { first: scn(10), last: scn(10) }], "applied all the same");
}

#[test]
fn a_batch_that_only_loses_writes_its_conflicts_under_a_mark() {
    let mut script = Script::new(&[1], &[(1, local(9))]);
    let steps = script.run(lww(&[update(10, 1, 8, Some(version(5)))]));
    let expected = [&USUAL[..4], &["ReadRows", "WriteMark", "RecordConflicts", "Commit", "Done"]];
    assert_eq!(steps, expected.concat());
    assert_eq!(script.verdicts, [Verdict::LocalWon]);
    assert!(script.marks[0].named.is_empty());
}

#[test]
fn a_delete_that_finds_no_row_begins_again_under_gap_locks_and_is_named() {
    let mut script = Script::new(&[], &[(1, version(5))]);
    let steps = script.run(lww(&[delete(10, 1, 8, Some(version(5)))]));
    let again = ["BeginWithGaps", "Lock", "ReadPosition", "AwaitLedger", "WriteMark", "Commit", "Done"];
    assert_eq!(steps, [&["Begin", "Lock", "RollBack"], &again[..]].concat());
    assert_eq!(script.marks[0].named[0].keys, [key(1)], "it leaves no row event but has a version");
    assert_eq!(script.report().rows_mended, 1);
}

#[test]
fn a_row_that_came_and_went_before_the_insert_is_noticed_by_a_second_look() {
    let insert = || Builder::new(10).insert(row(1, 1), 8).build();
    let mut script = Script::new(&[], &[]);
    let steps = script.run(lww(&[insert()]));
    let looks = ["ReadPosition", "AwaitLedger", "Commit", "Done"];
    assert_eq!(steps, [&USUAL[..7], &looks[..]].concat());

    let position = Outcome::Position(LogPosition { log_index: 1, log_pos: 7 });
    let mut script =
        Script::new(&[], &[]).answering("ReadPosition", position.clone()).answering("ReadPosition", position);
    let steps = script.run(lww(&[insert()]));
    assert_eq!(steps, [&USUAL[..7], &["ReadPosition", "Commit", "Done"]].concat(), "nothing happened since");
}

#[test]
fn rows_of_a_key_are_folded_to_the_last() {
    let mut script = Script::new(&[2], &[]);
    let batch = [
        Builder::new(10).insert(row(1, 10), 10).build(),
        update(20, 2, 20, None),
        update(30, 1, 30, Some(version(10))),
        delete(40, 2, 40, Some(version(20))),
    ];
    script.run(lww(&batch));
    assert_eq!(script.writes, ["delete 2=0", "insert 1=30"]);
    let named: Vec<_> =
        script.marks[0].named.iter().map(|named| (named.version, named.keys.clone())).collect();
    assert_eq!(named, [(version(30), vec![key(1)]), (version(40), vec![key(2)])]);
    assert_eq!(script.report().rows_mended, 0);
    assert_eq!(script.report().rows_applied, 4);
    assert_eq!(script.marks[0].runs, [Run { first: scn(10), last: scn(40) }]);
}

#[test]
fn a_row_that_moves_is_decided_for_both_its_keys() {
    let mut script = Script::new(&[1], &[(1, version(5)), (2, local(9))]);
    let mut change = Change::of(Some(row(1, 0)), Some(row(2, 7)), version(8), None);
    change.old_base = Some(version(5));
    script.run(lww(&[Builder::new(10).change(change).build()]));
    assert_eq!(script.writes, ["delete 1=0"], "the new key has a newer row");
    assert_eq!(script.verdicts, [Verdict::LocalWon]);
}

/// Id, unique value, version time.
fn with_unique(n: u64, changes: &[(Option<u64>, Option<u64>, u64)], time: u64) -> Arc<Delivery> {
    let mut builder = Builder::new(n);
    builder.has_unique = true;
    for &(before, after, id) in changes {
        let row = |unique| Row { id, unique, value: n };
        builder = builder.change(Change::of(before.map(row), after.map(row), version(time), None));
    }
    builder.build()
}

/// A batch deletes one absent row and inserts another, under gap locks. Another channel has locked the
/// same gap to evict the row that is to be inserted, which is not there, so that it commits nothing but
/// its mark: gap locks shut neither out.
#[test]
fn an_insert_under_gap_locks_notices_an_eviction_that_left_no_row_event() {
    let both = Builder::new(10)
        .insert(row(1, 1), 8)
        .change(Change::of(Some(row(2, 0)), None, version(8), Some(version(5))))
        .build();
    let mut script = Script::new(&[], &[(2, version(5))]);
    let steps = script.run(lww(&[both]));
    assert_eq!(steps[..4], ["Begin", "Lock", "RollBack", "BeginWithGaps"]);
    assert_eq!(steps[steps.len() - 5..], ["Write", "ReadPosition", "AwaitLedger", "Commit", "Done"]);
}

#[test]
fn a_duplicate_begins_again_with_care_and_the_older_holder_is_evicted() {
    let mut script = Script::new(&[9], &[(9, local(3))]).answering("Write", Outcome::DuplicateKey);
    script.holders.insert(5, 9);
    let steps = script.run(lww(&[with_unique(10, &[(None, Some(5), 1)], 8)]));
    let careful = [
        "RollBack",
        "BeginWithGaps",
        "Lock",
        "ReadPosition",
        "AwaitLedger",
        "ReadRows",
        "WriteMark",
        "Savepoint",
        "Write",
        "ReadPosition",
        "AwaitLedger",
        "RecordConflicts",
        "Commit",
        "Done",
    ];
    assert_eq!(steps, [&USUAL[..7], &careful[..]].concat());
    assert_eq!(script.writes[1..], ["delete holder for 1=10", "insert 1=10"]);
    let eviction = &script.marks[1].evictions[0];
    assert_eq!((eviction.key, eviction.version), (key(9), local(3).evicted()));
    assert!(eviction.events.is_empty(), "its delete is in the target's own binlog");
    assert_eq!(script.verdicts, [Verdict::LocalEvicted]);
}

#[test]
fn an_incoming_row_older_than_the_holder_of_its_value_is_evicted_everywhere() {
    let mut script = Script::new(&[9], &[(9, local(30))]).answering("Write", Outcome::DuplicateKey);
    script.holders.insert(5, 9);
    script.run(lww(&[with_unique(10, &[(None, Some(5), 1)], 8)]));
    assert_eq!(script.writes.len(), 1, "only the first try");
    let eviction = &script.marks[1].evictions[0];
    assert_eq!((eviction.key, eviction.version), (key(1), version(8).evicted()));
    assert!(!eviction.events.is_empty(), "it was never here: the mark carries its delete");
    assert_eq!(script.verdicts, [Verdict::IncomingEvicted]);
    assert_eq!(script.report().rows_applied, 0);
}

#[test]
fn a_value_that_its_holder_gives_up_earlier_in_the_batch_is_no_conflict() {
    let mut script = Script::new(&[9], &[]).answering("Write", Outcome::DuplicateKey);
    script.holders.insert(5, 9);
    let batch = [with_unique(10, &[(Some(5), Some(6), 9)], 8), with_unique(20, &[(None, Some(5), 1)], 8)];
    script.run(lww(&batch));
    assert_eq!(script.writes[2..], ["update 9=10", "insert 1=20"], "unfolded, in order");
    assert!(script.marks[1].evictions.is_empty());
    assert!(script.verdicts.is_empty());
}

#[test]
fn a_duplicate_on_the_careful_way_is_a_race_until_it_has_happened_too_often() {
    let twice = || {
        Script::new(&[], &[])
            .answering("Write", Outcome::DuplicateKey)
            .answering("Write", Outcome::DuplicateKey)
    };
    let insert = || [with_unique(10, &[(None, Some(5), 1)], 8)];
    let mut script = twice();
    let steps = script.run(lww(&insert()));
    assert_eq!(steps[steps.len() - 3..], ["Write", "RollBack", "Retry"]);
    assert!(matches!(script.last, Some(Step::Retry(RetryCause::Raced))));
    let mut script = twice();
    script.run(lww(&insert()).after_races(10));
    assert_eq!((script.stop().kind, script.stop().scn), (StopKind::DoesNotFit, Some(scn(10))));
}

#[test]
fn without_a_rule_nothing_is_locked_or_awaited() {
    let mut script = Script::new(&[], &[]);
    let steps = script.run(batch(ConflictRule::None, &[update(10, 1, 8, None)]));
    assert_eq!(steps, ["Begin", "WriteMark", "Savepoint", "Write", "Commit", "Done"]);
    assert!(script.marks[0].named.is_empty(), "the target is not a source");
}

#[test]
fn without_a_rule_a_row_that_is_not_as_expected_is_mended_behind_the_savepoint() {
    let mut script = Script::new(&[2], &[]).answering("Write", Outcome::MissingRow);
    let deliveries = [
        update(10, 1, 8, None),
        Builder::new(20).insert(row(2, 20), 9).build(),
        delete(30, 3, 9, None),
        delete(40, 2, 9, None),
        Builder::new(50).insert(row(2, 50), 9).build(),
    ];
    let steps = script.run(batch(ConflictRule::None, &deliveries));
    let corrected = ["RollBackToSavepoint", "Lock", "Write", "Commit", "Done"];
    assert_eq!(steps, [&["Begin", "WriteMark", "Savepoint", "Write"], &corrected[..]].concat());
    assert_eq!(script.writes[3..], ["update 2=50", "insert 1=10"]);
    assert_eq!(script.report().rows_mended, 3);
}

#[test]
fn failures_end_the_batch_as_their_kind_demands() {
    let run = |step, outcome| {
        let mut script = Script::new(&[1], &[]).answering(step, outcome);
        let steps = script.run(lww(&[update(10, 1, 8, None)]));
        (steps[steps.len() - 2..].to_vec(), script.last.expect("ended"))
    };
    let (steps, last) = run("WriteMark", Outcome::Fenced);
    assert_eq!(steps, ["RollBack", "Stop"]);
    assert!(matches!(last, Step::Stop(stop) if stop.kind == StopKind::Fenced));
    let (steps, last) = run("Commit", Outcome::ConnectionLost);
    assert_eq!(steps, ["Commit", "Stop"], "nobody is there to roll back");
    assert!(matches!(last, Step::Stop(stop) if stop.kind == StopKind::ConnectionLost));
    let (steps, last) = run("AwaitLedger", Outcome::FenceTimedOut);
    assert_eq!(steps, ["RollBack", "Retry"]);
    assert!(matches!(last, Step::Retry(RetryCause::FenceTimedOut)));
    let (_, last) = run("Lock", Outcome::Deadlock);
    assert!(matches!(last, Step::Retry(RetryCause::Deadlock)));
    let (_, last) = run("Write", Outcome::MissingRow);
    assert!(matches!(last, Step::Retry(RetryCause::Raced)));
    let refused = Stop { scn: None, reason: "no such table".into(), kind: StopKind::DoesNotFit };
    let (_, last) = run("Write", Outcome::Refused(refused));
    assert!(matches!(last, Step::Stop(stop) if stop.scn == Some(scn(10))));
}

#[test]
fn a_change_below_the_horizon_stops_the_shard() {
    let mut script = Script::new(&[1], &[]);
    script.ledger.1 = Micros(100);
    let steps = script.run(lww(&[update(10, 1, 8, None)]));
    assert_eq!(steps[steps.len() - 2..], ["RollBack", "Stop"]);
    assert_eq!(script.stop().kind, StopKind::TooOld);
    assert_eq!(script.stop().scn, Some(scn(10).with_row(1)));
}

fn part(index: u32, last: bool, id: u64) -> Arc<Delivery> {
    let mut builder = Builder::new(10).insert(row(id, 1), 8);
    builder.scn.row = index;
    builder.part = Some(Part { index, last });
    builder.build()
}

#[test]
fn parts_of_a_large_transaction_share_one_and_only_the_last_mark_claims_it() {
    let mut script = Script::new(&[], &[]);
    script.parts.push(part(1, true, 2));
    let steps = script.run(lww(&[part(0, false, 1)]));
    let each = ["Lock", "ReadPosition", "AwaitLedger", "WriteMark", "Savepoint", "Write"];
    let look = ["ReadPosition", "AwaitLedger"];
    let expected = [&["BeginWithGaps"], &each[..], &look, &["NeedPart"], &each, &look, &["Commit", "Done"]];
    assert_eq!(steps, expected.concat());
    assert!(script.marks[0].runs.is_empty());
    assert_eq!(script.marks[1].runs, [Run { first: scn(10), last: scn(10) }]);
    assert_eq!(script.report().rows_applied, 2);
}

#[test]
fn a_last_part_that_changes_nothing_still_claims_the_transaction() {
    let mut script = Script::new(&[2], &[(2, version(8))]);
    script.parts.push(part(1, true, 2));
    let steps = script.run(lww(&[part(0, false, 1)]));
    assert_eq!(steps[10..], ["Lock", "ReadPosition", "AwaitLedger", "WriteMark", "Commit", "Done"]);
    assert_eq!(script.marks[1].runs.len(), 1);
}

#[test]
fn a_duplicate_in_a_later_part_keeps_the_parts_before_it() {
    let mut script = Script::new(&[], &[]);
    script.parts.push(part(1, true, 2));
    script.answers.push(("Write", Outcome::Ok));
    script.answers.push(("Write", Outcome::DuplicateKey));
    let steps = script.run(lww(&[part(0, false, 1)]));
    let again =
        ["RollBackToSavepoint", "Lock", "ReadPosition", "AwaitLedger", "WriteMark", "Savepoint", "Write"];
    let look = ["ReadPosition", "AwaitLedger"];
    assert_eq!(steps[16..], [&again[..], &look, &["Commit", "Done"]].concat());
}

/// A table without a primary key: all its rows have the same key, which is none. Three inserts of one
/// transaction were folded to the last of them, and nobody heard of the other two.
#[test]
fn rows_without_a_key_stop_the_shard_instead_of_being_folded_into_one() {
    for rule in [ConflictRule::None, ConflictRule::LastWriteWins] {
        let mut builder = Builder::new(30);
        for id in 1..=3 {
            builder = builder.change(Change::of(None, Some(row(id, id)), version(9), None));
        }
        let mut delivery = Arc::into_inner(builder.build()).expect("nobody else has it");
        let Body::Rows(rows) = &mut delivery.transaction.header.body else { panic!("it has rows") };
        rows.rows.iter_mut().for_each(|row| row.key = KeyHash::NONE);
        let mut apply = batch(rule, &[Arc::new(delivery)]);
        assert!(matches!(apply.start(), Step::Begin(_)));
        let ledger = weft_core::ledger::Ledger::default();
        assert!(matches!(apply.next(Outcome::Ok, &ledger), Step::RollBack));
        let Step::Stop(stop) = apply.next(Outcome::Ok, &ledger) else { panic!("it stops") };
        assert_eq!(stop.kind, StopKind::DoesNotFit);
        assert_eq!(stop.scn.map(Scn::transaction), Some(scn(30)));
        assert!(stop.reason.contains("PRIMARY KEY"), "{}", stop.reason);
    }
}

/// A delivery of one row change whose table has a key of a collation that is not weighed.
fn unweighed(n: u64, change: Change) -> Arc<Delivery> {
    let mut delivery = Arc::into_inner(Builder::new(n).change(change).build()).expect("nobody else has it");
    let mut table = TableVersion::clone(&delivery.tables[0]);
    table.columns = vec![Column {
        name: "name".into(),
        type_code: 15,
        meta: 40,
        nullable: false,
        unsigned: false,
        collation: 9999,
        column_type: None,
        default: None,
        generated: false,
        labels: Vec::new(),
    }];
    delivery.tables = vec![Arc::new(table)];
    Arc::new(delivery)
}

/// Two spellings of one key had two hashes, so that each site kept its own row and nothing was said.
#[test]
fn a_key_that_cannot_be_weighed_stops_the_shard_where_versions_decide() {
    let delivery = unweighed(30, Change::of(None, Some(row(1, 1)), version(9), None));
    let mut apply = lww(&[update(20, 1, 8, None), delivery]);
    assert!(matches!(apply.start(), Step::Begin(_)));
    let ledger = weft_core::ledger::Ledger::default();
    assert!(matches!(apply.next(Outcome::Ok, &ledger), Step::RollBack));
    let Step::Stop(stop) = apply.next(Outcome::Ok, &ledger) else { panic!("it stops") };
    assert_eq!((stop.kind, stop.scn.map(Scn::transaction)), (StopKind::DoesNotFit, Some(scn(30))));
    for word in ["shop.t", "column name", "key PRIMARY", "9999", "ALTER", "!shop.t"] {
        assert!(stop.reason.contains(word), "{word} in {}", stop.reason);
    }
}

/// One row under two spellings came, went and came again; folded by hash, the last of it was deleted.
#[test]
fn keys_that_cannot_be_weighed_are_written_in_order_and_unfolded_one_way() {
    let (a, also_a) = (row(1, 1), row(2, 2));
    let changes = [
        (None, Some(a)),
        (Some(a), None),
        (None, Some(also_a)),
        (Some(also_a), Some(a)),
        (Some(a), Some(also_a)),
    ];
    let deliveries: Vec<Arc<Delivery>> = (10..)
        .zip(changes)
        .map(|(n, (before, after))| unweighed(n, Change::of(before, after, version(n), None)))
        .collect();
    let mut script = Script::new(&[], &[]);
    let steps = script.run(batch(ConflictRule::None, &deliveries));
    assert_eq!(steps, ["Begin", "WriteMark", "Savepoint", "Write", "Commit", "Done"]);
    let kinds: Vec<&str> = script.writes.iter().map(|write| &write[..6]).collect();
    assert_eq!(kinds, ["insert", "delete", "insert", "delete", "insert", "delete", "insert"]);
}

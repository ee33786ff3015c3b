//! The scheduler against its promises, under any order of acknowledgements.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use proptest::prelude::*;
use weft_core::channel::delivery::{Consistency, Delivery, Unit};
use weft_core::channel::keys::for_each_key;
use weft_core::channel::schedule::{Pushed, ScheduleConfig, ScheduleStart, Scheduler, ShardId};
use weft_core::channel::track::Watermark;
use weft_core::key::KeyHash;
use weft_core::mark::Run;
use weft_core::mark::runs::AppliedSet;
use weft_core::scn::Scn;
use weft_core::sink::step::StopKind;
use weft_core::tables::TableFilter;
use weft_core::time::Micros;
use weft_core::transaction::{DdlKind, Part};

use super::support::{Builder, Change, Row, scn, version};

fn config(consistency: Consistency, shards: u16) -> ScheduleConfig {
    ScheduleConfig {
        consistency,
        shards,
        window_units_max: 4,
        window_rows_max: 8,
        window_bytes_max: 1 << 20,
        above_watermark_max: 12,
        tables: TableFilter::new(["shop.*"]),
    }
}

fn scheduler(config: ScheduleConfig, applied: Vec<Run>) -> Scheduler {
    let watermark = Watermark { scn: scn(0), time: Micros::ZERO };
    let applied = AppliedSet::new(watermark.scn, applied);
    Scheduler::new(config, ScheduleStart { watermark, applied })
}

/// One thing that a source did.
#[derive(Debug, Clone)]
enum Did {
    /// Rows with these ids, each with a unique value.
    Rows(Vec<(u64, u64)>),
    Large(Vec<Vec<u64>>),
    Statement,
    Heartbeat,
}

fn anything() -> impl Strategy<Value = Did> {
    let rows = prop::collection::vec((0..12u64, 0..8u64), 1..4).prop_map(Did::Rows);
    let parts = prop::collection::vec(prop::collection::vec(0..12u64, 1..3), 2..4).prop_map(Did::Large);
    prop_oneof![20 => rows, 1 => parts, 1 => Just(Did::Statement), 2 => Just(Did::Heartbeat)]
}

fn deliveries(history: &[Did]) -> Vec<Arc<Delivery>> {
    let mut out = Vec::new();
    for (n, did) in (1..).zip(history) {
        let n = n * 10;
        match did {
            Did::Heartbeat => out.push(Builder::new(n).heartbeat()),
            Did::Statement => out.push(Builder::new(n).statement(DdlKind::Other, "t")),
            Did::Rows(rows) => {
                let mut builder = Builder::new(n);
                builder.has_unique = true;
                for &(id, unique) in rows {
                    builder = builder.insert(Row { id, unique, value: n }, n);
                }
                out.push(builder.build());
            }
            Did::Large(parts) => {
                let mut row = 0;
                for (index, ids) in parts.iter().enumerate() {
                    let mut builder = Builder::new(n);
                    builder.scn.row = row;
                    builder.part = Some(Part { index: index as u32, last: index + 1 == parts.len() });
                    for &id in ids {
                        builder = builder.insert(Row { id, unique: 0, value: n }, n);
                    }
                    row += ids.len() as u32;
                    out.push(builder.build());
                }
            }
        }
    }
    out
}

/// The rows of a unit as (SCN of the row, keys of the unit).
fn rows_of(unit: &Unit) -> Vec<Scn> {
    unit.stamps().map(|(_, stamp)| stamp.scn(unit.scn)).collect()
}

fn keys_of(unit: &Unit) -> HashSet<KeyHash> {
    let mut keys = HashSet::new();
    for_each_key(unit, |key| {
        keys.insert(key);
    });
    keys
}

/// What has been seen of one run.
#[derive(Default)]
struct Seen {
    /// Queues of the shards: what was handed out and is not applied yet.
    queues: Vec<VecDeque<Unit>>,
    applied: Vec<Scn>,
    last_of_key: HashMap<KeyHash, Scn>,
}

impl Seen {
    fn apply_one(&mut self, shard: usize, scheduler: &mut Scheduler) {
        let Some(unit) = self.queues[shard].pop_front() else { return };
        for key in keys_of(&unit) {
            let rows = rows_of(&unit);
            let last = self.last_of_key.insert(key, *rows.last().expect("rows"));
            assert!(last.is_none_or(|last| last < rows[0]), "{key:?}: {last:?} before {rows:?}");
        }
        self.applied.extend(rows_of(&unit));
        scheduler.acked(ShardId(shard as u16), &[unit]);
    }
}

fn any_consistency() -> impl Strategy<Value = Consistency> {
    prop_oneof![Just(Consistency::Ordered), Just(Consistency::Transaction), Just(Consistency::Row)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_order_of_acknowledgements_keeps_the_promises(
        history in prop::collection::vec(anything(), 1..40),
        consistency in any_consistency(),
        shards in 1..5u16,
        choices in prop::collection::vec((0..6usize, 0..5usize), 0..400),
    ) {
        let deliveries = deliveries(&history);
        let mut scheduler = scheduler(config(consistency, shards), Vec::new());
        let mut seen = Seen { queues: vec![VecDeque::new(); usize::from(shards)], ..Seen::default() };
        let mut next = 0;
        let mut choices = choices.into_iter().chain(std::iter::repeat((9, 9)));
        let mut idle_rounds = 0;
        while !(next == deliveries.len() && scheduler.idle()) {
            let (choice, shard) = choices.next().expect("endless");
            if (choice < 2 || choice == 9) && next < deliveries.len() {
                prop_assert_eq!(scheduler.push(deliveries[next].clone(), 100), Pushed::Taken);
                next += 1;
            }
            for assignment in scheduler.poll() {
                for unit in &assignment.units {
                    let whole = unit.delivery.transaction.rows().expect("rows").rows.len();
                    let split = unit.rows.len() != whole;
                    prop_assert!(!split || consistency == Consistency::Row, "a transaction was split");
                }
                seen.queues[usize::from(assignment.shard.0)].extend(assignment.units);
            }
            let before = seen.applied.len();
            match choice {
                9 => (0..usize::from(shards)).for_each(|shard| seen.apply_one(shard, &mut scheduler)),
                2.. => seen.apply_one(shard % usize::from(shards), &mut scheduler),
                _ => {}
            }
            idle_rounds = if choice == 9 && seen.applied.len() == before { idle_rounds + 1 } else { 0 };
            prop_assert!(idle_rounds < 100, "no progress: {:?}", scheduler);
        }
        let expected: Vec<Scn> = deliveries
            .iter()
            .flat_map(|delivery| {
                let scn = delivery.transaction.header.scn;
                let rows = delivery.transaction.rows().map_or(&[][..], |rows| &rows.rows);
                rows.iter().map(move |stamp| stamp.scn(scn))
            })
            .collect();
        if consistency == Consistency::Ordered {
            prop_assert_eq!(&seen.applied, &expected);
        }
        seen.applied.sort();
        prop_assert_eq!(&seen.applied, &expected, "every row exactly once");
        let last = deliveries.last().expect("some").transaction.header.scn.transaction();
        prop_assert_eq!(scheduler.watermark().scn, last);
        prop_assert_eq!(scheduler.take_freed_bytes(), 100 * deliveries.len() as u64);
    }

    #[test]
    fn the_watermark_never_passes_what_is_not_applied(
        history in prop::collection::vec(anything(), 1..30),
        choices in prop::collection::vec(0..4usize, 0..200),
    ) {
        let deliveries = deliveries(&history);
        let mut scheduler = scheduler(config(Consistency::Transaction, 4), Vec::new());
        for delivery in &deliveries {
            scheduler.push(delivery.clone(), 1);
        }
        let mut seen = Seen { queues: vec![VecDeque::new(); 4], ..Seen::default() };
        for shard in choices {
            for assignment in scheduler.poll() {
                seen.queues[usize::from(assignment.shard.0)].extend(assignment.units);
            }
            seen.apply_one(shard, &mut scheduler);
            let watermark = scheduler.watermark().scn;
            let applied: HashSet<Scn> = seen.applied.iter().copied().collect();
            for delivery in deliveries.iter().filter(|d| d.transaction.header.scn <= watermark) {
                let scn = delivery.transaction.header.scn;
                for stamp in delivery.transaction.rows().map_or(&[][..], |rows| &rows.rows) {
                    prop_assert!(applied.contains(&stamp.scn(scn)));
                }
            }
        }
    }
}

fn one(n: u64, id: u64) -> Arc<Delivery> {
    Builder::new(n).insert(Row { id, unique: 0, value: n }, n).build()
}

#[test]
fn what_the_marks_name_is_passed_over_after_a_recovery() {
    let applied = vec![Run { first: scn(20), last: scn(30) }];
    let mut scheduler = scheduler(config(Consistency::Transaction, 1), applied);
    for n in [10, 20, 30, 40] {
        scheduler.push(one(n, n), 1);
    }
    let units: Vec<Unit> = scheduler.poll().into_iter().flat_map(|assignment| assignment.units).collect();
    assert_eq!(units.iter().map(|unit| unit.scn).collect::<Vec<_>>(), [scn(10), scn(40)]);
    assert_eq!(units[1].sequence, units[0].sequence + 1, "neighbours: what is between is applied");
    scheduler.acked(ShardId(0), &units[..1]);
    assert_eq!(scheduler.watermark().scn, scn(30));
}

#[test]
fn a_destructive_statement_stops_the_channel_until_a_recovery_passes_over_it() {
    let mut scheduler = scheduler(config(Consistency::Transaction, 2), Vec::new());
    scheduler.push(one(10, 1), 1);
    scheduler.push(Builder::new(20).statement(DdlKind::Destructive, "t"), 1);
    scheduler.push(one(30, 2), 1);
    let first = scheduler.poll();
    assert_eq!(first.len(), 1);
    assert!(scheduler.stopped().is_none(), "what came before is not applied yet");
    scheduler.acked(first[0].shard, &first[0].units);
    assert!(scheduler.poll().is_empty());
    let stop = scheduler.stopped().expect("stopped").clone();
    assert_eq!((stop.kind, stop.scn), (StopKind::Ddl, Some(scn(20))));
    // The operator's skip is on record: the next recovery finds it among what is applied.
    let skipped = vec![Run { first: scn(20), last: scn(20) }];
    let mut scheduler = self::scheduler(config(Consistency::Transaction, 2), skipped);
    scheduler.push(Builder::new(20).statement(DdlKind::Destructive, "t"), 1);
    scheduler.push(one(30, 2), 1);
    assert_eq!(scheduler.poll()[0].units[0].scn, scn(30));
    assert!(scheduler.stopped().is_none());
    assert_eq!(scheduler.watermark().scn, scn(20));
}

#[test]
fn a_destructive_statement_on_a_table_that_is_not_replicated_is_passed_over() {
    let mut config = config(Consistency::Transaction, 2);
    config.tables = TableFilter::new(["shop.*", "!shop.audit"]);
    let mut scheduler = scheduler(config, Vec::new());
    scheduler.push(Builder::new(20).statement(DdlKind::Destructive, "audit"), 1);
    assert!(scheduler.poll().is_empty());
    assert!(scheduler.stopped().is_none());
    assert_eq!(scheduler.watermark().scn, scn(20));
}

#[test]
fn a_group_whose_keys_are_in_two_shards_waits_for_one_and_others_pass_it() {
    let mut config = config(Consistency::Transaction, 2);
    config.window_units_max = 2;
    let mut scheduler = scheduler(config, Vec::new());
    // Ids whose keys fall to different shards.
    let shard_of = |id: u64| super::support::key(id).0 as u64 % 2;
    let a = (0..).find(|&id| shard_of(id) == 0).expect("some");
    let b = (0..).find(|&id| shard_of(id) == 1).expect("some");
    let c = (a.max(b) + 1..).find(|&id| shard_of(id) == 0).expect("some");
    scheduler.push(one(10, a), 1);
    scheduler.push(one(20, b), 1);
    let row = |id| Row { id, unique: 0, value: 0 };
    let both = Builder::new(30).insert(row(a), 30).insert(row(b), 30).build();
    scheduler.push(both, 1);
    scheduler.push(one(40, c), 1);
    scheduler.push(one(50, b), 1);
    let handed = scheduler.poll();
    let scns = |shard: u16| -> Vec<Scn> {
        let of_shard = handed.iter().filter(|assignment| assignment.shard == ShardId(shard));
        of_shard.flat_map(|assignment| &assignment.units).map(|unit| unit.scn).collect()
    };
    assert_eq!(scns(0), [scn(10), scn(40)], "40 passes 30");
    assert_eq!(scns(1), [scn(20)], "50 waits behind 30");
    let first_of_0 = handed.iter().find(|assignment| assignment.shard == ShardId(0)).expect("there");
    scheduler.acked(ShardId(0), &first_of_0.units[..1]);
    let handed = scheduler.poll();
    assert_eq!(handed.len(), 1);
    assert_eq!(handed[0].shard, ShardId(1));
    assert_eq!(handed[0].units.iter().map(|unit| unit.scn).collect::<Vec<_>>(), [scn(30), scn(50)]);
}

#[test]
fn a_delivery_that_comes_again_is_not_scheduled_again() {
    let mut scheduler = scheduler(config(Consistency::Transaction, 1), Vec::new());
    assert_eq!(scheduler.push(one(10, 1), 7), Pushed::Taken);
    assert_eq!(scheduler.push(one(10, 1), 7), Pushed::Repeated);
    assert_eq!(scheduler.take_freed_bytes(), 7);
    assert_eq!(scheduler.poll()[0].units.len(), 1);
}

#[test]
fn a_part_without_those_before_it_is_refused() {
    let mut scheduler = scheduler(config(Consistency::Transaction, 1), Vec::new());
    let mut part =
        Builder::new(10).change(Change::of(None, Some(Row { id: 1, unique: 0, value: 1 }), version(1), None));
    part.scn.row = 5;
    part.part = Some(Part { index: 1, last: true });
    assert_eq!(scheduler.push(part.build(), 7), Pushed::Broken);
}

#[test]
fn scheduling_a_row_costs_little() {
    // A guard against quadratic work, not a benchmark: unoptimised, on a busy machine.
    let mut config = config(Consistency::Transaction, 8);
    (config.window_units_max, config.window_rows_max, config.above_watermark_max) = (4096, 8192, 16_384);
    let mut scheduler = scheduler(config, Vec::new());
    let deliveries: Vec<_> = (1..=20_000).map(|n| one(n, n % 5_000)).collect();
    let begun = std::time::Instant::now();
    let mut done = 0;
    for delivery in deliveries {
        scheduler.push(delivery, 1);
    }
    while !scheduler.idle() {
        for assignment in scheduler.poll() {
            done += assignment.units.len();
            scheduler.acked(assignment.shard, &assignment.units);
        }
    }
    let per_row = begun.elapsed() / 20_000;
    println!("{per_row:?} a row");
    assert_eq!(done, 20_000);
    assert!(per_row < std::time::Duration::from_micros(200), "{per_row:?} a row");
}

use proptest::prelude::*;

use super::*;
use crate::mark::{Eviction, Mark, Named};
use crate::scn::Scn;
use crate::transaction::{RowStamp, Span};

const HERE: InstanceId = InstanceId(1);
const THERE: InstanceId = InstanceId(2);

fn row(number: u32, kind: RowKind, key: u128, old_key: Option<u128>) -> RowStamp {
    RowStamp {
        row: number,
        table: 0,
        kind,
        key: KeyHash(key),
        old_key: old_key.map(KeyHash),
        version: Version::new(Micros::ZERO, InstanceId(0)),
        base: None,
        old_base: None,
        before: Span::NONE,
        after: Span::NONE,
    }
}

fn rows(rows: impl IntoIterator<Item = RowStamp>) -> Rows {
    Rows { rows: rows.into_iter().collect(), ..Rows::default() }
}

fn here(time: u64) -> Version {
    Version::new(Micros(time), HERE)
}

fn there(time: u64) -> Version {
    Version::new(Micros(time), THERE)
}

/// A mark at the head of a transaction.
fn mark(named: &[(Version, &[u128])], evictions: &[(u128, Version)]) -> PlacedMark {
    let keys = |keys: &[u128]| keys.iter().map(|key| KeyHash(*key)).collect();
    let mark = Mark {
        source: THERE,
        watermark: Scn::ZERO,
        watermark_time: Micros::ZERO,
        runs: vec![],
        named: named.iter().map(|(version, these)| Named { version: *version, keys: keys(these) }).collect(),
        evictions: evictions
            .iter()
            .map(|(key, version)| Eviction { key: KeyHash(*key), version: *version, events: vec![] })
            .collect(),
    };
    PlacedMark { rows_before: 0, mark }
}

#[test]
fn all_local_rows_get_one_time_above_everything_known_of_their_keys() {
    let mut ledger = Ledger::default();
    ledger.record(KeyHash(2), there(500));
    let mut both = rows([row(1, RowKind::Insert, 1, None), row(2, RowKind::Update, 2, None)]);
    let time = stamp(&mut both, &[], &mut ledger, HERE, Micros(100));
    assert_eq!(time, StampTime { time: Micros(501), bumped: true, jump_us: 0 });
    assert_eq!((both.rows[0].version, both.rows[0].base), (here(501), None));
    assert_eq!((both.rows[1].version, both.rows[1].base), (here(501), Some(there(500))));
    assert_eq!(ledger.newest(&KeyHash(1)), Some(here(501)));
}

#[test]
fn the_second_change_of_a_key_in_a_transaction_has_the_first_as_its_base() {
    let mut ledger = Ledger::default();
    let mut twice = rows([row(1, RowKind::Insert, 1, None), row(2, RowKind::Update, 1, None)]);
    let time = stamp(&mut twice, &[], &mut ledger, HERE, Micros(100));
    assert!(!time.bumped);
    assert_eq!((twice.rows[1].version, twice.rows[1].base), (here(100), Some(here(100))));
}

#[test]
fn a_row_that_moves_leaves_a_tombstone_of_its_own_version() {
    let mut ledger = Ledger::default();
    ledger.record(KeyHash(1), there(700));
    let mut moved = rows([row(1, RowKind::Update, 2, Some(1))]);
    stamp(&mut moved, &[], &mut ledger, HERE, Micros(100));
    let moved = moved.rows[0];
    assert_eq!((moved.version, moved.base, moved.old_base), (here(701), None, Some(there(700))));
    assert_eq!(ledger.newest(&KeyHash(1)), Some(here(701)));
    assert_eq!(ledger.newest(&KeyHash(2)), Some(here(701)));
}

#[test]
fn rows_that_the_mark_names_keep_their_versions_and_the_others_are_local() {
    let mut ledger = Ledger::default();
    ledger.record(KeyHash(1), here(50));
    let mut mixed = rows([row(1, RowKind::Update, 1, None), row(2, RowKind::Insert, 9, None)]);
    let marks = [mark(&[(there(90), &[1]), (there(80), &[3])], &[])];
    let time = stamp(&mut mixed, &marks, &mut ledger, HERE, Micros(60));
    assert_eq!(time.time, Micros(60));
    assert_eq!((mixed.rows[0].version, mixed.rows[0].base), (there(90), Some(here(50))));
    assert_eq!(mixed.rows[1].version, here(60));
    // Key 3 left no row event: its change made no difference, its version counts all the same.
    assert_eq!(ledger.newest(&KeyHash(3)), Some(there(80)));
}

#[test]
fn a_native_delete_of_an_evicted_row_becomes_an_eviction() {
    let mut ledger = Ledger::default();
    let mut deletes = rows([row(1, RowKind::Delete, 1, None), row(2, RowKind::Delete, 2, None)]);
    let marks = [mark(&[(there(90), &[2])], &[(1, here(40).evicted()), (2, there(80).evicted())])];
    stamp(&mut deletes, &marks, &mut ledger, HERE, Micros(60));
    assert_eq!((deletes.rows[0].kind, deletes.rows[0].version), (RowKind::Evict, here(40).evicted()));
    // Key 2 was deleted by a change newer than its eviction.
    assert_eq!((deletes.rows[1].kind, deletes.rows[1].version), (RowKind::Delete, there(90)));
    assert_eq!(ledger.newest(&KeyHash(1)), Some(here(40).evicted()));
}

#[test]
fn a_commit_time_far_ahead_of_the_heartbeat_is_cut_and_reported() {
    let mut ledger = Ledger::default();
    ledger.note_heartbeat(Micros(1000));
    let one = || rows([row(1, RowKind::Insert, 1, None)]);
    let commit = Micros(1000 + JUMP_MAX_US + 7);
    let time = stamp(&mut one(), &[], &mut ledger, HERE, commit);
    assert_eq!(time, StampTime { time: Micros(1000 + JUMP_MAX_US), bumped: true, jump_us: 7 });
    let next = stamp(&mut one(), &[], &mut ledger, HERE, commit);
    assert_eq!(next.time, Micros(1001 + JUMP_MAX_US));
}

/// A session that had set its clock years back changed a row, and the other site refused the change as
/// older than its horizon.
#[test]
fn a_commit_time_far_behind_the_heartbeat_is_raised() {
    let mut ledger = Ledger::default();
    ledger.note_heartbeat(Micros(5 * JUMP_MAX_US));
    let mut one = rows([row(1, RowKind::Insert, 1, None)]);
    let time = stamp(&mut one, &[], &mut ledger, HERE, Micros(1000));
    assert_eq!(time, StampTime { time: Micros(4 * JUMP_MAX_US), bumped: true, jump_us: 0 });
}

#[test]
fn a_change_of_a_key_that_expired_is_not_stamped_below_the_horizon() {
    let mut ledger = Ledger::default();
    ledger.record(KeyHash(1), there(900));
    ledger.expire(Micros(1000));
    let mut one = rows([row(1, RowKind::Update, 1, None)]);
    assert_eq!(stamp(&mut one, &[], &mut ledger, HERE, Micros(500)).time, Micros(1000));
}

#[test]
fn a_transaction_in_chunks_is_stamped_as_in_one_piece() {
    let make = || {
        [row(1, RowKind::Insert, 1, None), row(2, RowKind::Update, 2, None), row(3, RowKind::Update, 1, None)]
    };
    let known = |ledger: &mut Ledger| ledger.record(KeyHash(2), there(500));
    let (mut whole_ledger, mut chunk_ledger) = (Ledger::default(), Ledger::default());
    known(&mut whole_ledger);
    known(&mut chunk_ledger);
    let mut whole = rows(make());
    stamp(&mut whole, &[], &mut whole_ledger, HERE, Micros(100));
    let mut chunks: Vec<Rows> = make().into_iter().map(|one| rows([one])).collect();
    stamp_chunks(&mut chunks, &[], &mut chunk_ledger, Micros(100));
    assert!(chunks.iter().flat_map(|chunk| &chunk.rows).eq(&whole.rows));
}

/// As a large transaction passes: each chunk twice, with the marks that are found in it.
fn stamp_chunks(chunks: &mut [Rows], marks: &[Vec<PlacedMark>], ledger: &mut Ledger, commit: Micros) {
    let of = |index: usize| marks.get(index).map_or(&[][..], |marks| &marks[..]);
    let mut naming = Naming::default();
    let chunk_known = |(index, chunk): (usize, &Rows)| max_known(chunk, of(index), &mut naming, ledger);
    let greatest = chunks.iter().enumerate().filter_map(chunk_known).max();
    let local = Version::new(stamp_time(commit, greatest, ledger).time, HERE);
    let mut naming = Naming::default();
    for (index, chunk) in chunks.iter_mut().enumerate() {
        stamp_rows(chunk, of(index), &mut naming, ledger, local);
    }
    finish(chunks.last_mut().expect("at least one chunk"), &mut naming, ledger);
}

/// A transaction that was applied in two parts: what the first named says nothing of the second's rows.
/// It used to be remembered for the whole transaction, at 80 bytes a row.
#[test]
fn a_mark_names_the_rows_up_to_the_next_mark() {
    let mut ledger = Ledger::default();
    let mut parts = rows([
        row(1, RowKind::Insert, 1, None),
        row(2, RowKind::Insert, 2, None),
        row(3, RowKind::Update, 1, None),
    ]);
    let second = PlacedMark { rows_before: 1, ..mark(&[(there(90), &[2, 4])], &[]) };
    let marks = [mark(&[(there(90), &[1, 3])], &[]), second];
    let time = stamp(&mut parts, &marks, &mut ledger, HERE, Micros(60));
    assert_eq!((parts.rows[0].version, parts.rows[1].version), (there(90), there(90)));
    // A change of key 1 that nobody named, such as a trigger's: above what the first part brought.
    assert_eq!((time.time, parts.rows[2].version), (Micros(91), here(91)));
    assert_eq!(parts.rows[2].base, Some(there(90)));
    let mut silent: Vec<_> = parts.silent.iter().map(|silent| (silent.key.0, silent.version)).collect();
    silent.sort();
    assert_eq!(silent, [(3, there(90)), (4, there(90))]);
    assert_eq!(ledger.newest(&KeyHash(3)), Some(there(90)));
}

/// A part meets a duplicate key, goes back to its savepoint and writes its mark anew: both name its rows.
#[test]
fn marks_with_no_row_between_them_name_the_same_rows() {
    let mut ledger = Ledger::default();
    let mut once = rows([row(1, RowKind::Delete, 1, None), row(2, RowKind::Insert, 2, None)]);
    let first = mark(&[(there(90), &[1, 2])], &[]);
    let again = mark(&[(there(90), &[2])], &[(1, there(90).evicted())]);
    stamp(&mut once, &[first, again], &mut ledger, HERE, Micros(60));
    assert_eq!((once.rows[0].kind, once.rows[0].version), (RowKind::Evict, there(90).evicted()));
    assert_eq!((once.rows[1].version, once.silent.len()), (there(90), 0));
}

proptest! {
    /// Where a reader cuts a large transaction into chunks shows in nothing.
    #[test]
    fn any_chunks_of_a_transaction_are_stamped_as_the_whole(
        events in prop::collection::vec(
            prop_oneof![
                3 => (1..6_u128).prop_map(Ok),
                1 => prop::collection::vec(1..6_u128, 0..4).prop_map(Err),
            ],
            1..25,
        ),
        known in prop::collection::vec((1..6_u128, 1..200_u64), 0..4),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let mut whole = Rows::default();
        let (mut marks, mut times) = (Vec::new(), 90);
        for event in &events {
            let rows_before = whole.rows.len();
            match event {
                Ok(key) => whole.rows.push(row(rows_before as u32 + 1, RowKind::Update, *key, None)),
                Err(keys) => {
                    times += 1;
                    marks.push(PlacedMark { rows_before, ..mark(&[(there(times), keys)], &[]) });
                }
            }
        }
        let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(events.len())).collect();
        places.extend([0, events.len()]);
        places.sort_unstable();
        let rows_in = |events: &[Result<u128, Vec<u128>>]| events.iter().filter(|event| event.is_ok()).count();
        let (mut chunks, mut chunk_marks) = (Vec::new(), Vec::new());
        let mut rest = marks.iter();
        for ends in places.windows(2) {
            let before = rows_in(&events[..ends[0]]);
            let inside = &events[ends[0]..ends[1]];
            chunks.push(rows(whole.rows[before..before + rows_in(inside)].iter().copied()));
            let here = rest.by_ref().take(inside.len() - rows_in(inside)).cloned();
            let place = |placed: PlacedMark| PlacedMark { rows_before: placed.rows_before - before, ..placed };
            chunk_marks.push(here.map(place).collect());
        }
        let (mut whole_ledger, mut chunk_ledger) = (Ledger::default(), Ledger::default());
        for (key, time) in known {
            whole_ledger.record(KeyHash(key), there(time));
            chunk_ledger.record(KeyHash(key), there(time));
        }
        stamp(&mut whole, &marks, &mut whole_ledger, HERE, Micros(100));
        stamp_chunks(&mut chunks, &chunk_marks, &mut chunk_ledger, Micros(100));
        prop_assert!(chunks.iter().flat_map(|chunk| &chunk.rows).eq(&whole.rows));
        let sorted = |rows: &[Rows]| {
            let mut silent: Vec<_> = rows.iter().flat_map(|rows| &rows.silent).map(|key| (key.key, key.version)).collect();
            silent.sort();
            silent
        };
        prop_assert_eq!(sorted(&chunks), sorted(&[whole]));
        for key in (1..6).map(KeyHash) {
            prop_assert_eq!(chunk_ledger.newest(&key), whole_ledger.newest(&key));
        }
    }
}

#[test]
fn rows_without_a_primary_key_do_not_touch_the_ledger() {
    let mut ledger = Ledger::default();
    let mut keyless = rows([row(1, RowKind::Insert, 0, None), row(2, RowKind::Insert, 0, None)]);
    assert_eq!(stamp(&mut keyless, &[], &mut ledger, HERE, Micros(5)).time, Micros(5));
    assert_eq!((keyless.rows[1].version, keyless.rows[1].base), (here(5), None));
    assert!(ledger.is_empty());
}

//! Both engines of a pull together, without any connection.

use bytes::Bytes;
use proptest::prelude::*;

use super::incoming::{Incoming, IncomingError};
use super::message::RowFilter;
use super::outgoing::{Outgoing, bytes_behind};
use crate::buffer::frame;
use crate::catalog::{CatalogEntry, CatalogId, CatalogItem, TableVersion, UniqueKey};
use crate::instance::InstanceId;
use crate::key::KeyHash;
use crate::scn::Scn;
use crate::tables::{TableFilter, TableName};
use crate::time::Micros;
use crate::transaction::{
    Body, Part, RowKind, RowStamp, Rows, Span, TableUse, Transaction, TransactionHeader,
};
use crate::version::Version;

fn scn(n: u64) -> Scn {
    Scn::of_transaction(1, 1, 100 * n)
}

/// A frame of one row of `shop.a`, or of `shop.b` if it is not wanted.
fn one_row(at: Scn, part: Option<Part>, wanted: bool) -> Bytes {
    let table = if wanted { "a" } else { "b" };
    let row = RowStamp {
        row: at.row + 1,
        table: 0,
        kind: RowKind::Insert,
        key: KeyHash(1),
        old_key: None,
        version: Version::new(Micros(1), InstanceId(1)),
        base: None,
        old_base: None,
        before: Span::NONE,
        after: Span { at: 0, len: 4 },
    };
    let used = TableUse { name: TableName::new("shop", table), version: CatalogId(1), table_map: Span::NONE };
    let header = TransactionHeader {
        scn: at,
        server_id: 1,
        gtid: None,
        commit_time: Micros(at.log_pos),
        format: CatalogId(0),
        body: Body::Rows(Rows { tables: vec![used], rows: vec![row], part, ..Rows::default() }),
    };
    let transaction = Transaction { header, raw: Bytes::from_static(b"rows") };
    frame::encode(&transaction).expect("a sound transaction").into()
}

/// The parts of the `n`-th transaction, wanted or not.
fn parts(n: u64, wanted: &[bool]) -> Vec<Bytes> {
    let last = wanted.len() - 1;
    let part = |index: usize| (last > 0).then_some(Part { index: index as u32, last: index == last });
    wanted
        .iter()
        .enumerate()
        .map(|(index, wanted)| one_row(scn(n).with_row(index as u32), part(index), *wanted))
        .collect()
}

fn outgoing(after: Scn) -> Outgoing {
    let tables = TableFilter::new(["shop.a"]);
    Outgoing::new(RowFilter { tables, target: InstanceId(9), direct: Vec::new() }, after)
}

fn catalog() -> Vec<CatalogEntry> {
    let table = TableVersion {
        name: TableName::new("shop", "a"),
        columns: Vec::new(),
        primary_key: Vec::new(),
        unique_keys: Vec::new(),
        exact: true,
    };
    let entry = |id, what| CatalogEntry { id: CatalogId(id), began: Scn::ZERO, what };
    vec![entry(0, CatalogItem::Format(vec![15])), entry(1, CatalogItem::Table(table))]
}

fn begun(after: Scn) -> Incoming {
    let mut incoming = Incoming::new(Some(after));
    incoming.begins(after).expect("as asked");
    incoming.catalog(catalog()).expect("few");
    incoming
}

proptest! {
    /// Whatever is wanted of large transactions, the parts that go out count up from 0 and end, and
    /// the other side takes them all.
    #[test]
    fn what_goes_out_is_what_may_come_in(
        transactions in proptest::collection::vec(proptest::collection::vec(any::<bool>(), 1..6), 1..20),
    ) {
        let (mut out, mut into) = (outgoing(Scn::ZERO), begun(Scn::ZERO));
        let (mut sent, mut wanted) = (0, 0);
        for (n, choice) in (1..).zip(&transactions) {
            for frame in parts(n, choice) {
                let passed = out.pass(&frame).expect("sound");
                if let Some(frame) = passed.frame {
                    let delivery = into.frame(frame).expect("in order");
                    sent += delivery.transaction.rows().map_or(0, |rows| rows.rows.len());
                }
                into.progress(out.completed()).expect("never ahead of what was sent");
            }
            wanted += choice.iter().filter(|wanted| **wanted).count();
            prop_assert!(!out.is_midway());
            prop_assert_eq!(into.position(), Some(scn(n)));
        }
        prop_assert_eq!(sent, wanted);
    }

    #[test]
    fn no_bytes_are_taken_for_a_frame(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let refused = begun(Scn::ZERO).frame(bytes.into());
        prop_assert!(matches!(refused, Err(IncomingError::Frame(_))), "{:?}", refused);
    }
}

#[test]
fn a_large_transaction_of_which_nothing_is_wanted_sends_nothing() {
    let mut out = outgoing(Scn::ZERO);
    for frame in parts(1, &[false, false, false]) {
        let passed = out.pass(&frame).expect("sound");
        assert_eq!((passed.frame, passed.rows_filtered), (None, 1));
    }
    assert_eq!((out.completed(), out.is_midway()), (scn(1), false));
}

#[test]
fn later_parts_of_what_was_passed_before_do_not_go_out_again() {
    let mut out = outgoing(scn(1));
    let frames = parts(1, &[true, true, true]);
    assert_eq!(out.pass(&frames[1]).expect("sound").frame, None);
    assert_eq!(out.pass(&frames[2]).expect("sound").frame, None);
    assert!(!out.is_midway());
}

#[test]
fn catalog_entries_are_named_once() {
    let mut out = outgoing(Scn::ZERO);
    assert_eq!(out.pass(&parts(1, &[true])[0]).expect("sound").catalog, [CatalogId(0), CatalogId(1)]);
    assert_eq!(out.pass(&parts(2, &[true])[0]).expect("sound").catalog, []);
}

#[test]
fn a_connection_lost_inside_a_large_transaction_starts_it_again() {
    let mut into = begun(scn(1));
    let frames = parts(2, &[true, true, true]);
    into.frame(frames[0].clone()).expect("in order");
    into.frame(frames[1].clone()).expect("in order");
    assert_eq!(into.position(), Some(scn(1)));
    assert_eq!(into.disconnected(), Some(scn(1)));
    assert_eq!(into.disconnected(), None);
    into.begins(scn(1)).expect("as asked");
    into.catalog(catalog()).expect("few");
    for frame in frames {
        into.frame(frame).expect("from its beginning");
    }
    assert_eq!((into.position(), into.disconnected()), (Some(scn(2)), None));
}

#[test]
fn a_frame_out_of_order_without_its_tables_or_its_first_part_is_refused() {
    let mut into = begun(scn(5));
    let old = into.frame(parts(5, &[true])[0].clone()).map(|_| ());
    assert_eq!(old, Err(IncomingError::NotRising { scn: scn(5), last: scn(5) }));
    let torn = into.frame(parts(6, &[true, true])[1].clone()).map(|_| ());
    assert_eq!(torn, Err(IncomingError::TornTransaction { scn: scn(6).with_row(1) }));
    into.frame(parts(7, &[true, true])[0].clone()).expect("in order");
    let other = into.frame(parts(8, &[true])[0].clone()).map(|_| ());
    assert_eq!(other, Err(IncomingError::TornTransaction { scn: scn(8) }));
    into.disconnected();
    let early = into.frame(parts(9, &[true])[0].clone()).map(|_| ());
    assert_eq!(early, Err(IncomingError::NotBegun));
    into.begins(scn(5)).expect("as asked");
    let unknown = into.frame(parts(9, &[true])[0].clone()).map(|_| ());
    assert_eq!(unknown, Err(IncomingError::UnknownEntry { scn: scn(9), id: 0 }));
}

#[test]
fn a_table_with_a_key_over_columns_that_it_does_not_have_is_refused() {
    let unsound = |keys: fn(&mut TableVersion)| {
        let mut entries = catalog();
        let CatalogItem::Table(version) = &mut entries[1].what else { panic!("a table") };
        keys(version);
        Incoming::new(None).catalog(entries)
    };
    let refused = Err(IncomingError::UnsoundEntry { id: 1 });
    assert_eq!(unsound(|version| version.primary_key = vec![0]), refused);
    assert_eq!(
        unsound(|version| version.unique_keys = vec![UniqueKey { name: "u".into(), columns: vec![7] }]),
        refused
    );
}

#[test]
fn a_beginning_elsewhere_than_asked_is_refused() {
    let refused = Incoming::new(Some(scn(3))).begins(scn(4));
    assert_eq!(refused, Err(IncomingError::WrongBeginning { wanted: scn(3), offered: scn(4) }));
}

#[test]
fn bytes_behind_are_exact_within_a_file_and_bounded_across_files() {
    assert_eq!(bytes_behind(scn(3), scn(3), 1000), 0);
    assert_eq!(bytes_behind(scn(3), scn(5), 1000), 200);
    let later = Scn::of_transaction(1, 9, 4000);
    assert_eq!(bytes_behind(scn(3), later, 10_000), 10_000);
    assert_eq!(bytes_behind(later, scn(3), 10_000), 0);
    let next_epoch = Scn::of_transaction(2, 1, 4000);
    assert_eq!(bytes_behind(later, next_epoch, 10_000), 4000);
}

#[test]
fn a_delivery_that_waits_holds_its_rows_and_not_the_frame_that_brought_them() {
    let mut incoming = begun(Scn::ZERO);
    let frame = one_row(scn(1), None, true);
    let delivery = incoming.frame(frame.clone()).expect("in order");
    assert_eq!(delivery.transaction.raw, "rows");
    assert!(frame.is_unique(), "what came over the link is let go once it is read");
}

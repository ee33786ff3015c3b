use proptest::prelude::*;

use super::*;
use crate::binlog::format::tests::mariadb;
use crate::catalog::{Column, UniqueKey};
use crate::ledger::{Ledger, LedgerView};
use crate::mark::{Mark, Named};
use crate::scn::Scn;
use crate::stamp;

const HERE: InstanceId = InstanceId(1);
const THERE: InstanceId = InstanceId(2);

fn event(kind: EventType, body: &[u8]) -> Vec<u8> {
    let event_size = (HEADER_BYTES + body.len()) as u32;
    let header = EventHeader { timestamp: 1, kind, server_id: 1, event_size, log_pos: 0, flags: 0 };
    [&header.to_bytes()[..], body].concat()
}

fn table_map(id: u8, schema: &str, table: &str, types: &[u8], meta: &[u8]) -> Vec<u8> {
    let mut body = vec![id, 0, 0, 0, 0, 0, 1, 0];
    for name in [schema, table] {
        body.push(name.len() as u8);
        body.extend(name.bytes());
        body.push(0);
    }
    body.push(types.len() as u8);
    body.extend(types);
    body.push(meta.len() as u8);
    body.extend(meta);
    body.push(0xff);
    event(EventType::TableMap, &body)
}

fn rows(id: u8, kind: EventType, columns: u8, images: &[Vec<u8>]) -> Vec<u8> {
    let mut body = vec![id, 0, 0, 0, 0, 0, 1, 0, columns];
    body.push(0xff);
    if kind == EventType::UpdateRowsV1 {
        body.push(0xff);
    }
    images.iter().for_each(|image| body.extend(image));
    event(kind, &body)
}

/// `shop.t (id INT PRIMARY KEY, name VARCHAR(20) UNIQUE)`.
fn shop() -> Vec<u8> {
    table_map(9, "shop", "t", &[3, 15], &[20, 0])
}

fn image(id: i32, name: Option<&str>) -> Vec<u8> {
    let mut image = vec![if name.is_some() { 0 } else { 2 }];
    image.extend(id.to_le_bytes());
    if let Some(name) = name {
        image.push(name.len() as u8);
        image.extend(name.bytes());
    }
    image
}

fn mark_events(mark: &Mark) -> Vec<u8> {
    let mut image = vec![0];
    for text in ["orders", "bj.main"] {
        image.extend([text.len() as u8, 0]);
        image.extend(text.bytes());
    }
    image.extend([0; 2]);
    image.extend([0; 8]);
    let body = mark.encode();
    image.extend((body.len() as u32).to_le_bytes());
    image.extend(body);
    let map = table_map(7, "weft", "mark", &[15, 15, 2, 8, 252], &[0, 1, 8, 2, 4]);
    [map, rows(7, EventType::UpdateRowsV1, 5, &[image.clone(), image])].concat()
}

fn heartbeat_events(instance: &str, written: u64) -> Vec<u8> {
    let mut image = vec![0, instance.len() as u8, 0];
    image.extend(instance.bytes());
    image.extend(written.to_le_bytes());
    image.extend([1, 0, b'n']);
    let map = table_map(8, "weft", "heartbeat", &[15, 8, 15], &[8, 2, 0, 1]);
    [map, rows(8, EventType::WriteRowsV1, 3, &[image])].concat()
}

fn version() -> Arc<TableVersion> {
    let column = |name: &str, type_code, meta, collation| Column {
        name: name.into(),
        type_code,
        meta,
        nullable: true,
        unsigned: false,
        collation,
        column_type: None,
        default: None,
        generated: false,
        labels: vec![],
    };
    Arc::new(TableVersion {
        name: TableName::new("shop", "t"),
        columns: vec![column("id", 3, 0, 0), column("name", 15, 20, 45)],
        primary_key: vec![0],
        unique_keys: vec![UniqueKey { name: "name".into(), columns: vec![1] }],
        exact: true,
    })
}

fn scan(events: Vec<u8>) -> Result<Scanned, ScanError> {
    let mut resolve = |map: &TableMap<'_>| {
        if map.name() == TableName::new("shop", "t") {
            Resolved::Wanted(CatalogId(4), version())
        } else {
            Resolved::Unknown
        }
    };
    Scanner::new("sh.main").scan(&Bytes::from(events), &mariadb(), 0, &mut resolve)
}

fn mark(named: Vec<Named>, evictions: Vec<Eviction>) -> Mark {
    let watermark = Scn::of_transaction(1, 1, 1);
    Mark { source: THERE, watermark, watermark_time: Micros(3), runs: vec![], named, evictions }
}

/// The key of the row with this id, as the scan hashes it.
fn key(id: i32) -> KeyHash {
    let events = [shop(), rows(9, EventType::WriteRowsV1, 2, &[image(id, None)])].concat();
    scan(events).expect("readable").rows.rows[0].key
}

#[test]
fn rows_are_found_with_their_keys_and_images() {
    let update = rows(9, EventType::UpdateRowsV1, 2, &[image(1, Some("a")), image(2, Some("B"))]);
    let more = rows(9, EventType::DeleteRowsV1, 2, &[image(3, Some("c")), image(4, None)]);
    let scanned = scan([shop(), update, more].concat()).expect("readable");
    let Rows { tables, rows, unique, .. } = &scanned.rows;
    assert_eq!((tables.len(), tables[0].version, tables[0].table_map.at), (1, CatalogId(4), 0));
    assert_eq!(&scanned.raw[tables[0].table_map.range()], &shop()[..]);
    let kinds: Vec<_> = rows.iter().map(|row| (row.row, row.kind)).collect();
    assert_eq!(kinds, [(1, RowKind::Update), (2, RowKind::Delete), (3, RowKind::Delete)]);
    assert_eq!((rows[0].key, rows[0].old_key), (key(2), Some(key(1))));
    assert_eq!((rows[1].key, rows[1].old_key, rows[1].after), (key(3), None, Span::NONE));
    assert_eq!(&scanned.raw[rows[0].before.range()], &image(1, Some("a"))[..]);
    assert_eq!(&scanned.raw[rows[0].after.range()], &image(2, Some("B"))[..]);
    let stamps: Vec<_> = unique.iter().map(|stamp| (stamp.row, stamp.after, stamp.changed)).collect();
    assert_eq!(stamps, [(0, false, true), (0, true, true), (1, false, true)]);
}

#[test]
fn a_unique_value_that_the_collation_calls_equal_is_not_changed() {
    let update = rows(9, EventType::UpdateRowsV1, 2, &[image(1, Some("a")), image(1, Some("A "))]);
    let scanned = scan([shop(), update].concat()).expect("readable");
    assert_eq!(scanned.rows.rows[0].old_key, None);
    let stamps: Vec<_> = scanned.rows.unique.iter().map(|stamp| (stamp.after, stamp.changed)).collect();
    assert_eq!(stamps, [(true, false)]);
}

#[test]
fn the_mark_and_the_heartbeat_are_heard_and_their_rows_left_out() {
    let there = Version::new(Micros(90), THERE);
    let said = mark(vec![Named { version: there, keys: vec![key(1)] }], vec![]);
    let insert = rows(9, EventType::WriteRowsV1, 2, &[image(1, None), image(2, None)]);
    let events = [mark_events(&said), heartbeat_events("sh.main", 50), shop(), insert].concat();
    let mut scanned = scan(events).expect("readable");
    let placed = PlacedMark { rows_before: 0, mark: said };
    assert_eq!((&scanned.marks[..], scanned.heartbeat), (&[placed][..], Some(Micros(50))));
    assert_eq!(scanned.rows.tables.len(), 1);
    let mut ledger = Ledger::default();
    stamp::stamp(&mut scanned.rows, &scanned.marks, &mut ledger, HERE, Micros(60));
    let versions: Vec<_> = scanned.rows.rows.iter().map(|row| row.version).collect();
    assert_eq!(versions, [there, Version::new(Micros(60), HERE)]);
    let other = scan(heartbeat_events("bj.main", 50)).expect("readable");
    assert_eq!(other.heartbeat, None);
}

#[test]
fn an_evicted_row_that_was_never_there_is_appended_as_a_row() {
    let there = Version::new(Micros(90), THERE);
    let events = [shop(), rows(9, EventType::DeleteRowsV1, 2, &[image(5, Some("x"))])].concat();
    let eviction = Eviction { key: key(5), version: there.evicted(), events };
    let said = mark(vec![], vec![eviction.clone()]);
    let insert = rows(9, EventType::WriteRowsV1, 2, &[image(1, None)]);
    let mut scanned = scan([mark_events(&said), shop(), insert].concat()).expect("readable");
    let mut ledger = Ledger::default();
    stamp::stamp(&mut scanned.rows, &scanned.marks, &mut ledger, HERE, Micros(60));
    let evicted = scanned.rows.rows[1];
    assert_eq!((evicted.row, evicted.kind, evicted.version), (2, RowKind::Evict, there.evicted()));
    assert_eq!(&scanned.raw[evicted.before.range()], &image(5, Some("x"))[..]);
    assert_eq!(ledger.newest(&key(5)), Some(there.evicted()));
    let wrong = mark(vec![], vec![Eviction { key: key(6), ..eviction.clone() }]);
    assert_eq!(scan(mark_events(&wrong)), Err(ScanError::WrongEviction));
    // A change of the row after the eviction, in the same transaction, makes it void.
    let later = Named { version: Version::new(Micros(91), THERE), keys: vec![key(5)] };
    let void = scan(mark_events(&mark(vec![later], vec![eviction]))).expect("readable");
    assert!(void.rows.rows.is_empty());
}

#[test]
fn what_is_not_known_or_not_expected_is_named() {
    let unknown = table_map(1, "shop", "other", &[3], &[]);
    let name = TableName::new("shop", "other");
    let error = ScanError::UnknownTable { name, table_map: unknown.clone() };
    assert_eq!(scan(unknown.clone()), Err(error.clone()));
    // Also where only the mark has it: the evicted row was never there.
    let eviction =
        Eviction { key: key(5), version: Version::new(Micros(90), THERE).evicted(), events: unknown };
    assert_eq!(scan(mark_events(&mark(vec![], vec![eviction]))), Err(error));
    assert_eq!(scan(event(EventType::Xid, &[0; 8])), Err(ScanError::Unexpected(16)));
    let lost = rows(3, EventType::WriteRowsV1, 2, &[image(1, None)]);
    assert_eq!(scan(lost), Err(ScanError::NoTableMap(3)));
    let mut internal = table_map(1, "mysql", "user", &[3], &[]);
    internal.extend(rows(1, EventType::WriteRowsV1, 1, &[vec![0, 1, 0, 0, 0]]));
    assert!(scan(internal).expect("readable").rows.rows.is_empty());
}

proptest! {
    #[test]
    fn no_events_make_the_scan_panic(
        at in any::<prop::sample::Index>(), byte: u8, cut in any::<prop::sample::Index>(), kind in 0..4_usize,
    ) {
        let said = mark(vec![], vec![Eviction { key: key(5), version: UNSTAMPED, events: shop() }]);
        let kinds = [EventType::WriteRowsV1, EventType::UpdateRowsV1, EventType::DeleteRowsV1, EventType::WriteRowsV2];
        let changes = rows(9, kinds[kind], 2, &[image(1, Some("a")), image(2, None)]);
        let mut events = [mark_events(&said), shop(), changes].concat();
        let at = at.index(events.len());
        events[at] = byte;
        let _ = scan(events.clone());
        events.truncate(cut.index(events.len()));
        let _ = scan(events);
    }
}

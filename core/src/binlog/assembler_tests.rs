use proptest::prelude::*;

use super::super::event::{FLAG_ARTIFICIAL, set_event_size};
use super::super::format::tests::mariadb_fde;
use super::super::payload::tests::payload;
use super::super::rows::STATEMENT_END;
use super::super::testing::{event, gtid, image, query, rows, table_map};
use super::*;
use crate::gtid::Gtid;
use crate::tables::TableName;
use crate::transaction::DdlKind;

#[path = "assembler/xa_tests.rs"]
mod xa;

const STANDALONE: u8 = 1;

fn assembler(spill_bytes: usize) -> Assembler {
    let mut assembler = Assembler::new(AssemblerConfig { spill_bytes });
    assembler.place(1, 4);
    assembler.push(&mariadb_fde(1, false), &mut Vec::new()).expect("a format");
    assembler
}

fn all(assembler: &mut Assembler, events: &[Vec<u8>]) -> Result<Vec<Assembled>, AssembleError> {
    let mut out = Vec::new();
    for event in events {
        assembler.push(event, &mut out)?;
        while assembler.unpack(&mut out)? {}
    }
    Ok(out)
}

fn write(log_pos: u32, flags: u16, id: u32) -> Vec<u8> {
    rows(EventType::WriteRowsV1, log_pos, flags, &[image(id, Some("x"))])
}

fn xid(log_pos: u32) -> Vec<u8> {
    event(EventType::Xid, log_pos, &9u64.to_le_bytes())
}

fn rotate(log_pos: u32, to: u64, file: &str) -> Vec<u8> {
    let mut body = to.to_le_bytes().to_vec();
    body.extend(file.as_bytes());
    event(EventType::Rotate, log_pos, &body)
}

fn artificial(mut event: Vec<u8>) -> Vec<u8> {
    event[0..4].fill(0);
    event[17] |= FLAG_ARTIFICIAL as u8;
    event
}

fn transaction(out: &[Assembled]) -> &RawTransaction {
    match out.last() {
        Some(Assembled::Transaction(transaction)) => transaction,
        other => panic!("not a transaction: {other:?}"),
    }
}

#[test]
fn a_transaction_has_its_events_gtid_time_and_end() {
    let events = [gtid(300, 42, 0), table_map(340, 9), write(380, STATEMENT_END, 1), xid(411)];
    let out = all(&mut assembler(1 << 20), &events).expect("understood");
    assert_eq!(out.len(), 1);
    let found = transaction(&out);
    assert_eq!((found.log_index, found.log_pos, found.server_id), (1, 411, 7));
    assert_eq!(found.gtid, Some(Gtid::mariadb(0, 7, 42)));
    assert_eq!(found.commit_time, Micros::from_secs(1000));
    assert_eq!(found.events, [events[1].clone(), events[2].clone()].concat());
    assert_eq!((found.chunks, found.ends), (0, Ending::Xid));
}

#[test]
fn a_large_transaction_comes_in_chunks_that_each_begin_with_their_table_map() {
    let map = table_map(340, 9);
    let row = write(380, 0, 1);
    let mut assembler = assembler(map.len() + 3 * row.len());
    let mut events = vec![gtid(300, 1, 0), map.clone()];
    events.extend(vec![row.clone(); 7]);
    events.extend([write(400, STATEMENT_END, 8), xid(420)]);
    let mut out = Vec::new();
    for event in &events {
        assembler.push(event, &mut out).expect("understood");
        assert!(assembler.held_bytes() <= map.len() + 3 * row.len());
    }
    let full = [map.clone(), row.clone(), row.clone(), row.clone()].concat();
    let chunk = |index| {
        let gtid = Some(Gtid::mariadb(0, 7, 1));
        Assembled::Chunk(TxChunk { index, gtid, events: full.clone().into() })
    };
    assert_eq!(out[..2], [chunk(0), chunk(1)]);
    let last = transaction(&out);
    assert_eq!(last.chunks, 2);
    assert_eq!(last.events, [map, row, write(400, STATEMENT_END, 8)].concat());
}

#[test]
fn a_rolled_back_transaction_has_no_rows_and_voids_its_chunks() {
    let events = [
        gtid(300, 1, 0),
        table_map(1, 9),
        write(2, 0, 1),
        write(3, STATEMENT_END, 2),
        query(4, "d", "ROLLBACK"),
    ];
    let out = all(&mut assembler(1 << 20), &events).expect("understood");
    assert_eq!((transaction(&out).events.len(), transaction(&out).ends), (0, Ending::Rollback));
    let out = all(&mut assembler(10), &events).expect("understood");
    assert!(matches!(out[0], Assembled::Chunk(_)));
    assert!(matches!(out[1], Assembled::Abandoned { gtid: Some(_) }));
    assert_eq!((transaction(&out).events.len(), transaction(&out).chunks), (0, 0));
}

#[test]
fn rows_behind_a_savepoint_that_is_rolled_back_to_are_dropped() {
    let (map, first, last) = (table_map(340, 9), write(380, STATEMENT_END, 1), write(500, STATEMENT_END, 3));
    let events = [
        gtid(300, 1, 0),
        map.clone(),
        first.clone(),
        query(400, "d", "SAVEPOINT `A`"),
        table_map(420, 9),
        write(440, STATEMENT_END, 2),
        query(460, "d", "ROLLBACK TO `a`"),
        map.clone(),
        last.clone(),
        xid(520),
    ];
    let out = all(&mut assembler(1 << 20), &events).expect("understood");
    assert_eq!(transaction(&out).events, [map.clone(), first, map, last].concat());
    let refused = all(&mut assembler(10), &events);
    assert_eq!(refused, Err(AssembleError::Savepoint("a".into())));
}

#[test]
fn standalone_statements_are_ddl_with_their_position() {
    let events = [gtid(300, 5, STANDALONE), query(350, "d", "DROP TABLE t")];
    let out = all(&mut assembler(1 << 20), &events).expect("understood");
    let [Assembled::Ddl(raw)] = &out[..] else { panic!("{out:?}") };
    assert_eq!((raw.log_pos, raw.gtid.clone()), (350, Some(Gtid::mariadb(0, 7, 5))));
    assert_eq!(raw.ddl.tables, [TableName::new("d", "t")]);
    let without_gtid = all(&mut assembler(1 << 20), &[query(350, "d", "CREATE TABLE t (x INT)")]);
    assert!(matches!(without_gtid.as_deref(), Ok([Assembled::Ddl(_)])));
}

#[test]
fn the_phases_of_an_alter_are_one_ddl() {
    let phase = |log_pos, sequence, extra: u8, tail: &[u8]| {
        let mut event = gtid(log_pos, sequence, STANDALONE);
        event.truncate(19 + 13);
        event.push(extra);
        event.extend_from_slice(tail);
        event
    };
    let alter = |log_pos| query(log_pos, "d", "ALTER TABLE t ADD w INT");
    let events = [phase(300, 1, 2, &[]), alter(320), phase(340, 2, 4, &[1, 0, 0, 0, 0, 0, 0, 0]), alter(360)];
    let out = all(&mut assembler(1 << 20), &events).expect("understood");
    assert!(matches!(&out[0], Assembled::Transaction(empty) if empty.ends == Ending::Statement));
    assert!(matches!(&out[1], Assembled::Ddl(raw) if raw.log_pos == 360));
    assert_eq!(out.len(), 2);
}

#[test]
fn changes_of_rows_as_statements_stop_the_stream_but_for_internal_schemas() {
    for statement in ["INSERT INTO t VALUES (1)", "update x.t set a = 1", "LOAD DATA INFILE 'f' INTO TABLE t"]
    {
        let events = [gtid(300, 1, 0), query(350, "d", statement)];
        let refused = all(&mut assembler(1 << 20), &events);
        assert_eq!(refused, Err(AssembleError::StatementFormat { statement: statement.to_owned() }));
    }
    let events = [gtid(300, 1, STANDALONE), query(350, "d", "DELETE FROM mysql.help_topic")];
    let out = all(&mut assembler(1 << 20), &events).expect("understood");
    assert_eq!(transaction(&out).ends, Ending::Statement);
}

#[test]
fn unknown_events_stop_the_stream_unless_they_may_be_ignored() {
    let unknown = event(EventType::Unknown(99), 300, b"??");
    let refused = all(&mut assembler(1 << 20), std::slice::from_ref(&unknown));
    assert_eq!(refused, Err(AssembleError::UnknownEvent { code: 99 }));
    let mut ignorable = unknown;
    ignorable[17] |= 0x80;
    assert!(matches!(all(&mut assembler(1 << 20), &[ignorable]).as_deref(), Ok([Assembled::Moved { .. }])));
    let incident = all(&mut assembler(1 << 20), &[event(EventType::Incident, 300, &[])]);
    assert_eq!(incident, Err(AssembleError::Incident));
}

#[test]
fn rotations_and_heartbeats_move_the_position() {
    let mut assembler = assembler(1 << 20);
    let moved = |log_index, log_pos, time: Option<u64>| Assembled::Moved {
        log_index,
        log_pos,
        time: time.map(Micros::from_secs),
    };
    let real = rotate(500, 4, "binlog.000002");
    let out = all(&mut assembler, &[real, artificial(rotate(0, 4, "binlog.000002"))]).expect("understood");
    let name = Assembled::FileName("binlog.000002".into());
    assert_eq!(out, [name, moved(2, 4, Some(1000)), moved(2, 4, None)]);
    let mut heartbeat = event(EventType::Heartbeat, 900, b"binlog.000002");
    heartbeat[0..4].fill(0);
    let out = all(&mut assembler, std::slice::from_ref(&heartbeat)).expect("understood");
    assert_eq!(out, [moved(2, 900, None)]);
    let mut long = 5_000_000_000u64.to_le_bytes().to_vec();
    long.extend(b"binlog.000002");
    let out = all(&mut assembler, &[event(EventType::Heartbeat, 0, &long), heartbeat]).expect("understood");
    assert_eq!(out, [moved(2, 5_000_000_000, Some(1000))]);
}

#[test]
fn positions_are_counted_past_four_gib_and_where_headers_have_none() {
    let mut assembler = assembler(1 << 20);
    assembler.place(1, 0xffff_ff00);
    let map = table_map(0, 9);
    let row = write(0, STATEMENT_END, 1);
    all(&mut assembler, &[gtid(0xffff_fff0, 1, 0), map.clone(), row.clone()]).expect("understood");
    let counted = 0xffff_fff0 + (map.len() + row.len()) as u64 + 2 * 4;
    assert_eq!(assembler.position(), (1, counted));
    let out = all(&mut assembler, &[xid(0x200)]).expect("understood");
    assert_eq!(transaction(&out).log_pos, 0x1_0000_0200);
    // A format event of the file's start, repeated by the dump, does not move it.
    all(&mut assembler, &[mariadb_fde(1, false)]).expect("understood");
    assert_eq!(assembler.position(), (1, 0x1_0000_0200));
}

#[test]
fn a_transaction_cut_off_by_a_crash_of_the_server_is_dropped() {
    let open = [gtid(300, 1, 0), table_map(340, 9), write(380, 0, 1), write(381, 0, 2)];
    let mut assembler = assembler(10);
    let mut out = all(&mut assembler, &open).expect("understood");
    assembler.push(&artificial(rotate(0, 4, "binlog.000002")), &mut out).expect("understood");
    assert!(out.contains(&Assembled::Abandoned { gtid: Some(Gtid::mariadb(0, 7, 1)) }));
    let next = all(&mut assembler, &[gtid(300, 1, 0), xid(310)]).expect("understood");
    assert_eq!(transaction(&next).log_index, 2);
    let doubled = all(&mut assembler, &[gtid(320, 2, 0), gtid(340, 3, 0)]);
    assert_eq!(doubled, Err(AssembleError::NotEnded));
}

#[test]
fn the_same_format_is_said_once() {
    let mut assembler = Assembler::new(AssemblerConfig { spill_bytes: 10 });
    let formats = all(&mut assembler, &[mariadb_fde(1, false), mariadb_fde(1, true)]).expect("understood");
    let formats = formats.iter().filter(|item| matches!(item, Assembled::Format(_)));
    assert_eq!(formats.count(), 1);
}

fn mysql_gtid(log_pos: u32, number: u64) -> Vec<u8> {
    let mut body = vec![0; 17];
    body.extend(number.to_le_bytes());
    body.push(2);
    body.extend([0; 16]);
    body.extend([7, 0, 0, 0, 0, 0, 0]);
    event(EventType::MysqlGtid, log_pos, &body)
}

/// A version 2 rows event with some extra data, as for a partition.
fn write_v2(log_pos: u32, id: u32) -> Vec<u8> {
    let mut v2 = write(log_pos, STATEMENT_END, id);
    v2.splice(27..27, [5, 0, 1, 9, 0]);
    v2[4] = EventType::WriteRowsV2.code();
    set_event_size(&mut v2);
    v2
}

const MYSQL_GTID: &str = "00000000-0000-0000-0000-000000000000:5";

#[test]
fn a_mysql_transaction_has_the_gtid_and_the_microseconds_of_its_head() {
    let rows = [table_map(340, 9), write_v2(380, 1)];
    let events = [&[mysql_gtid(300, 5), query(320, "d", "BEGIN")], &rows[..], &[xid(411)]].concat();
    let out = all(&mut assembler(1 << 20), &events).expect("understood");
    let found = transaction(&out);
    assert_eq!(found.gtid.as_ref().map(ToString::to_string).as_deref(), Some(MYSQL_GTID));
    assert_eq!((found.commit_time, found.log_pos, &found.events[..]), (Micros(7), 411, &rows.concat()[..]));
}

#[test]
fn a_mysql_statement_stands_alone_without_begin_and_a_created_table_comes_with_its_rows() {
    let alone = [mysql_gtid(300, 5), query(350, "d", "DROP TABLE t")];
    let out = all(&mut assembler(1 << 20), &alone).expect("understood");
    let Some(Assembled::Ddl(raw)) = out.last() else { panic!("a statement") };
    assert_eq!((raw.commit_time, raw.ddl.kind), (Micros(7), DdlKind::Destructive));
    let create = "CREATE TABLE `u` (`id` int NOT NULL) START TRANSACTION";
    let head = [mysql_gtid(300, 5), query(320, "d", "BEGIN"), query(330, "d", create)];
    let events = [&head[..], &[table_map(340, 9), write_v2(380, 1), xid(411)]].concat();
    let out = all(&mut assembler(1 << 20), &events).expect("understood");
    assert_eq!(transaction(&out).statements[0].tables, [TableName::new("d", "u")]);
}

/// No server writes such a thing: the rows would go with the statement, or into the next transaction.
#[test]
fn a_statement_that_stands_alone_behind_rows_stops_the_stream() {
    let rows = [table_map(340, 9), write_v2(380, 1), table_map(400, 9), write_v2(410, 2)];
    let events = [&[mysql_gtid(300, 5)], &rows[..], &[query(450, "d", "DROP TABLE t")]].concat();
    for spill_bytes in [1, 1 << 20] {
        assert!(matches!(all(&mut assembler(spill_bytes), &events), Err(AssembleError::NotEnded)));
    }
}

#[test]
fn a_compressed_transaction_is_what_it_would_be_uncompressed() {
    let inside = [query(0, "d", "BEGIN"), table_map(0, 9), write_v2(0, 1), xid(0)];
    let plain: Vec<_> = [&[mysql_gtid(300, 5)], &inside[..]].concat();
    let packed = [mysql_gtid(300, 5), payload(411, &inside)];
    let plain = all(&mut assembler(1 << 20), &plain).expect("understood");
    let packed = all(&mut assembler(1 << 20), &packed).expect("understood");
    let found = transaction(&packed);
    assert_eq!(found.log_pos, 411);
    assert_eq!(*found, RawTransaction { log_pos: 411, ..transaction(&plain).clone() });
}

#[test]
fn a_large_compressed_transaction_is_unpacked_one_chunk_at_a_time() {
    let mut inside = vec![query(0, "d", "BEGIN")];
    inside.extend((0..1000).flat_map(|id| [table_map(0, 9), write_v2(0, id)]));
    inside.push(xid(0));
    let mut assembler = assembler(500);
    let mut out = Vec::new();
    assembler.push(&mysql_gtid(300, 5), &mut out).expect("understood");
    assembler.push(&payload(999, &inside), &mut out).expect("understood");
    assert!(out.is_empty());
    assert_eq!(
        assembler.push(&xid(1010), &mut out),
        Err(AssembleError::NotEnded),
        "not before it is unpacked"
    );
    let mut pieces = 0;
    while assembler.unpack(&mut out).expect("understood") {
        assert!(out.len() == 1 && assembler.held_bytes() <= 500);
        pieces += 1;
        if let Some(Assembled::Transaction(whole)) = out.pop() {
            assert_eq!((whole.chunks, whole.log_pos), (pieces - 1, 999));
        }
    }
    assert!(pieces > 100, "{pieces}");
    // A compressed transaction that was cut off is forgotten with the place.
    assembler.push(&mysql_gtid(1100, 6), &mut out).expect("understood");
    assembler.push(&payload(1200, &inside), &mut out).expect("understood");
    assembler.place(1, 300);
    assert_eq!(all(&mut assembler, &[mysql_gtid(300, 5), xid(310)]).map(|out| out.len()), Ok(1));
}

#[test]
fn a_payload_holds_the_events_of_one_transaction_only() {
    for stranger in [rotate(0, 4, "b.2"), mysql_gtid(0, 6), payload(0, &[])] {
        let kind = EventType::from_code(stranger[4]);
        let refused = all(&mut assembler(1 << 20), &[mysql_gtid(300, 5), payload(400, &[stranger])]);
        assert_eq!(refused, Err(AssembleError::InPayload { kind }));
    }
    let kind = EventType::TransactionPayload;
    let alone = all(&mut assembler(1 << 20), &[payload(400, &[xid(0)])]);
    assert_eq!(alone, Err(AssembleError::OutsideTransaction { kind }));
}

#[test]
fn a_partial_update_needs_the_table_map_of_its_table() {
    let partial = event(EventType::PartialUpdateRows, 380, &[9, 0, 0, 0, 0, 0, 1, 0, 2, 0, 2, 3, 3]);
    let head = [mysql_gtid(300, 5), query(320, "d", "BEGIN")];
    let without = all(&mut assembler(1 << 20), &[&head[..], std::slice::from_ref(&partial)].concat());
    assert_eq!(without, Err(AssembleError::NoTableMap { table_id: 9 }));
    let events = [&head[..], &[table_map(340, 9), partial, xid(400)]].concat();
    let out = all(&mut assembler(1 << 20), &events).expect("understood");
    let map_bytes = table_map(340, 9).len();
    assert_eq!(transaction(&out).events[map_bytes + 4], EventType::UpdateRowsV2.code());
}

fn any_event() -> impl Strategy<Value = Vec<u8>> {
    let statements =
        ["BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT a", "ROLLBACK TO a", "DROP TABLE t", "XA START 'x'"];
    prop_oneof![
        (any::<u32>(), any::<u8>()).prop_map(|(at, flags)| gtid(at, 1, flags & 0x3f)),
        any::<u32>().prop_map(|at| mysql_gtid(at, 1)),
        (any::<u32>(), 0usize..4).prop_map(|(at, count)| payload(at, &vec![write_v2(0, 1); count])),
        any::<u32>().prop_map(|at| table_map(at, 9)),
        (any::<u32>(), any::<u16>()).prop_map(|(at, flags)| write(at, flags, 1)),
        any::<u32>().prop_map(xid),
        (any::<u32>(), prop::sample::select(statements.to_vec())).prop_map(|(at, text)| query(at, "d", text)),
        (any::<u64>(), 0u32..9).prop_map(|(at, n)| rotate(9, at, &format!("b.{n}"))),
        (any::<u8>(), any::<u32>(), proptest::collection::vec(any::<u8>(), 0..60))
            .prop_map(|(kind, at, body)| event(EventType::from_code(kind), at, &body)),
    ]
}

proptest! {
    #[test]
    fn no_events_make_it_panic_or_go_back(
        events in proptest::collection::vec(any_event(), 0..40), spill_bytes in 0usize..300,
    ) {
        let mut assembler = assembler(spill_bytes);
        let mut out = Vec::new();
        for event in events {
            let before = assembler.position();
            let result = assembler.push(&event, &mut out);
            while let Ok(true) = assembler.unpack(&mut out) {}
            if result.is_ok() && assembler.position().0 == before.0 && event[4] != EventType::Rotate.code() {
                prop_assert!(assembler.position().1 >= before.1);
            }
        }
    }
}

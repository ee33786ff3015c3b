//! XA transactions, as MariaDB and MySQL write them.

use super::*;
use crate::binlog::xa::Xid;

fn xa_prepare(log_pos: u32, one_phase: bool, global: &[u8]) -> Vec<u8> {
    let mut body = vec![u8::from(one_phase)];
    body.extend(1u32.to_le_bytes());
    body.extend((global.len() as u32).to_le_bytes());
    body.extend(0u32.to_le_bytes());
    body.extend(global);
    event(EventType::XaPrepare, log_pos, &body)
}

fn name(global: &[u8]) -> Xid {
    Xid::new(1, global, b"").expect("short")
}

/// MariaDB's GTID event with the flag and the name of an XA transaction `a`.
fn xa_gtid(log_pos: u32, sequence: u64, flag: u8) -> Vec<u8> {
    let mut body = sequence.to_le_bytes().to_vec();
    body.extend(0u32.to_le_bytes());
    body.push(flag);
    body.extend(1u32.to_le_bytes());
    body.extend([1, 0, b'a', 0]);
    event(EventType::Gtid, log_pos, &body)
}

fn mysql_gtid(log_pos: u32, sequence: u64) -> Vec<u8> {
    let mut body = vec![0];
    body.extend([7; 16]);
    body.extend(sequence.to_le_bytes());
    event(EventType::MysqlGtid, log_pos, &body)
}

const PREPARED: u8 = 64;
const COMPLETED: u8 = 128;

fn described(out: &[Assembled]) -> Vec<String> {
    let text = |raw: &RawTransaction| format!("{} {:?} {}", raw.log_pos, raw.ends, !raw.events.is_empty());
    out.iter()
        .map(|one| match one {
            Assembled::Transaction(raw) => text(raw),
            Assembled::Prepared { xid, transaction } => format!("{xid} prepared {}", text(transaction)),
            Assembled::Decided { xid, committed, transaction } => {
                format!("{xid} committed {committed} {}", text(transaction))
            }
            other => format!("{other:?}"),
        })
        .collect()
}

#[test]
fn rows_come_with_prepare_and_the_commit_behind_others_has_the_name_alone() {
    let events = [
        xa_gtid(300, 1, PREPARED),
        table_map(340, 9),
        write(380, STATEMENT_END, 1),
        query(400, "d", "XA END X'61',X'',1"),
        xa_prepare(440, false, b"a"),
        gtid(500, 2, 0),
        table_map(540, 9),
        write(580, STATEMENT_END, 2),
        xid(600),
        rotate(640, 4, "binlog.000002"),
        xa_gtid(300, 3, COMPLETED),
        query(350, "d", "XA COMMIT X'61',X'',1"),
    ];
    let out = all(&mut assembler(1 << 20), &events).expect("understood");
    let Assembled::Prepared { xid, transaction } = &out[0] else { panic!("{out:?}") };
    assert_eq!((xid, transaction.gtid.clone()), (&name(b"a"), Some(Gtid::mariadb(0, 7, 1))));
    assert_eq!(transaction.events, [events[1].clone(), events[2].clone()].concat());
    assert_eq!(transaction.ends, Ending::Prepare);
    assert_eq!(described(&out[1..2]), ["600 Xid true"]);
    let Some(Assembled::Decided { xid, committed: true, transaction }) = out.last() else {
        panic!("{out:?}")
    };
    assert_eq!((xid, transaction.log_index, transaction.log_pos), (&name(b"a"), 2, 350));
    assert_eq!((transaction.gtid.clone(), transaction.events.len()), (Some(Gtid::mariadb(0, 7, 3)), 0));
}

#[test]
fn mysqls_transactions_begin_with_a_statement_and_may_commit_in_one_phase() {
    let group = |at: u32, sequence, one_phase| {
        [
            mysql_gtid(at, sequence),
            query(at + 10, "d", "XA START X'61',X'',1"),
            table_map(at + 20, 9),
            write(at + 30, STATEMENT_END, 1),
            query(at + 40, "d", "XA END X'61',X'',1"),
            xa_prepare(at + 50, one_phase, b"a"),
        ]
    };
    let mut events = group(300, 1, false).to_vec();
    events.extend([mysql_gtid(400, 2), query(450, "", "XA ROLLBACK X'61',X'',1")]);
    events.extend(group(500, 3, true));
    let out = all(&mut assembler(1 << 20), &events).expect("understood");
    assert_eq!(
        described(&out),
        [
            "X'61',X'',1 prepared 350 Prepare true",
            "X'61',X'',1 committed false 450 Rollback false",
            "550 Commit true"
        ]
    );
}

#[test]
fn a_large_prepared_transaction_comes_in_chunks_before_its_name() {
    let events = [
        xa_gtid(300, 1, PREPARED),
        table_map(1, 9),
        write(2, 0, 1),
        write(3, STATEMENT_END, 2),
        xa_prepare(440, false, b"a"),
    ];
    let out = all(&mut assembler(10), &events).expect("understood");
    assert!(matches!(out[0], Assembled::Chunk(_)), "{out:?}");
    let Some(Assembled::Prepared { transaction, .. }) = out.last() else { panic!("{out:?}") };
    assert_eq!(transaction.chunks as usize, out.len() - 1);
}

#[test]
fn a_statement_on_xa_that_is_not_understood_stops_the_stream() {
    let events = [gtid(300, 1, 0), query(350, "d", "XA SUSPEND X'61',X'',1")];
    let stopped = all(&mut assembler(1 << 20), &events);
    assert_eq!(stopped, Err(AssembleError::Xa { statement: "XA SUSPEND X'61',X'',1".into() }));
    let cut = all(&mut assembler(1 << 20), &[gtid(300, 1, 0), event(EventType::XaPrepare, 350, &[0, 1])]);
    assert!(matches!(cut, Err(AssembleError::Malformed(_))), "{cut:?}");
}

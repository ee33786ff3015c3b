//! Every step of a session, each way of writing rows by the same tests.

use weft_core::sink::step::{
    ConflictRecord, Found, Isolation, LockBy, Outcome, RowWrite, Step, Verdict, WriteOp,
};
use weft_core::{instance::InstanceId, key::KeyHash, scn::Scn, time::Micros, version::Version};

use weft::mysql::target::ServerTarget;
use weft_actors::ports::Target;

use crate::support::{Pair, Way, apply, begin, execute, mark, ok, options, requests, writes};

const TYPES: &str = "CREATE TABLE t (id INT PRIMARY KEY, big BIGINT UNSIGNED, med MEDIUMINT, d DECIMAL(20,6), f FLOAT, \
    g DOUBLE, v VARCHAR(300) CHARACTER SET utf8mb4, l VARCHAR(20) CHARACTER SET latin1, c CHAR(9) CHARACTER SET \
    utf8mb4 COLLATE utf8mb4_unicode_ci, b BINARY(6), vb VARBINARY(9), x LONGTEXT, y BLOB, dt DATETIME(3), ts \
    TIMESTAMP(6) NULL, da DATE, ti TIME(2), ye YEAR, e ENUM('p','q','r'), s SET('m','n','o'), bi BIT(12), j JSON)";
const ROWS: &str = "INSERT INTO t VALUES \
    (1, 18446744073709551615, -8388608, -12345.678901, 1.1, 2.2e-300, 'grüß ✓', 'é', 'Ab', X'610000', X'00ff', \
     'long', X'00010203', '2024-02-29 23:59:59.123', '2024-01-01 00:00:01.123456', '1000-01-01', '-01:02:03.45', 1999, \
     'q', 'm,o', b'101010101010', '{\"a\": 1}'), \
    (2, 0, 8388607, 0, 0, -0.5, '', '', '', '', '', '', '', '0000-00-00 00:00:00', '1970-01-01 00:00:01', '0000-00-00', \
     '838:59:59', 0, 'p', '', 0, 'null'), \
    (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, \
     NULL, NULL, NULL)";

async fn assert_equal(pair: &Pair, table: &str) {
    let query = format!("SELECT * FROM s.{table} ORDER BY 1");
    assert_eq!(pair.target.text(&query).await, pair.source.text(&query).await);
    let checksum = format!("CHECKSUM TABLE s.{table}");
    assert_eq!(pair.target.text(&checksum).await, pair.source.text(&checksum).await);
}

async fn every_type_and_kind_of_change_arrives(way: Way) {
    let pair = Pair::start(TYPES).await;
    let mut session = pair.session(way).await;
    for statements in [
        format!("SET SESSION sql_mode = ''; {ROWS}"),
        "UPDATE t SET v = CONCAT(IFNULL(v, ''), '!'), e = 'r', bi = 5, ti = '-00:00:00.01' WHERE id IN (1, 3)".into(),
        "UPDATE t SET id = id + 10".into(),
        "DELETE FROM t WHERE id = 12; INSERT INTO t (id) VALUES (0), (-4)".into(),
    ] {
        let delivery = pair.capture(&statements).await;
        let outcome = apply(&mut session, &delivery).await;
        assert!(matches!(outcome, Outcome::Ok), "{way:?}: {outcome:?} from {statements}");
        assert_equal(&pair, "t").await;
    }
    let stored: Vec<Vec<u8>> = pair.target.query("SELECT body FROM weft.mark").await;
    assert_eq!(stored, [mark(7).encode()]);
}

#[tokio::test]
async fn every_type_and_kind_of_change_arrives_by_replay() {
    every_type_and_kind_of_change_arrives(Way::Replay).await;
}

#[tokio::test]
async fn every_type_and_kind_of_change_arrives_by_sql() {
    every_type_and_kind_of_change_arrives(Way::Sql).await;
}

/// The table has a trigger that only SQL fires: tells the two ways apart.
#[tokio::test]
async fn rows_that_fit_are_replayed_and_fire_no_trigger() {
    for (way, fired) in [(Way::Replay, 0u64), (Way::Sql, 1)] {
        let pair =
            Pair::start("CREATE TABLE t (id INT PRIMARY KEY, v TEXT); CREATE TABLE fired (n INT)").await;
        pair.target
            .execute("CREATE TRIGGER s.f AFTER INSERT ON s.t FOR EACH ROW INSERT INTO s.fired VALUES (1)")
            .await;
        let mut session = pair.session(way).await;
        let delivery = pair.capture("INSERT INTO t VALUES (1, 'a')").await;
        assert!(matches!(apply(&mut session, &delivery).await, Outcome::Ok));
        assert_eq!(pair.target.query::<u64>("SELECT COUNT(*) FROM s.fired").await, [fired], "{way:?}");
    }
}

#[tokio::test]
async fn duplicate_and_missing_rows_are_told_and_nothing_is_overwritten() {
    for way in [Way::Replay, Way::Sql] {
        let pair = Pair::start("CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(9) UNIQUE)").await;
        pair.target.execute("INSERT INTO s.t VALUES (1, 'theirs')").await;
        let mut session = pair.session(way).await;
        let insert = pair.capture("INSERT INTO t VALUES (1, 'a')").await;
        let outcome = apply(&mut session, &insert).await;
        assert!(matches!(outcome, Outcome::DuplicateKey), "{way:?}: {outcome:?}");
        let by_unique = pair.capture("INSERT INTO t VALUES (2, 'theirs')").await;
        let outcome = apply(&mut session, &by_unique).await;
        assert!(matches!(outcome, Outcome::DuplicateKey), "{way:?}: {outcome:?}");
        for gone in ["UPDATE t SET v = 'b' WHERE id = 2", "DELETE FROM t WHERE id = 2"] {
            let delivery = pair.capture(gone).await;
            let outcome = apply(&mut session, &delivery).await;
            assert!(matches!(outcome, Outcome::MissingRow), "{way:?}: {outcome:?} from {gone}");
        }
        assert_eq!(pair.target.text("SELECT * FROM s.t").await, ["1|theirs"]);
    }
}

/// Updates by SQL go to the server in one text, and it answers for each of them.
#[tokio::test]
async fn refusal_of_a_later_statement_of_a_text_is_told_at_once_and_the_session_goes_on() {
    for way in [Way::Replay, Way::Sql] {
        let pair = Pair::start("CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(9) UNIQUE)").await;
        let rows = "INSERT INTO t VALUES (1, 'a'), (2, 'b')";
        pair.source.execute(&format!("USE s; {rows}")).await;
        pair.target.execute(&format!("USE s; {rows}, (3, 'theirs')")).await;
        let mut session = pair.session(way).await;
        let updates =
            pair.capture("UPDATE t SET v = 'c' WHERE id = 1; UPDATE t SET v = 'theirs' WHERE id = 2").await;
        let outcome = apply(&mut session, &updates).await;
        assert!(matches!(outcome, Outcome::DuplicateKey), "{way:?}: {outcome:?}");
        assert_eq!(pair.target.text("SELECT * FROM s.t ORDER BY id").await, ["1|a", "2|b", "3|theirs"]);
        pair.target.execute("DELETE FROM s.t WHERE id = 3").await;
        assert!(matches!(apply(&mut session, &updates).await, Outcome::Ok), "{way:?}");
    }
}

#[tokio::test]
async fn savepoint_undoes_the_rows_and_keeps_the_mark() {
    let pair = Pair::start("CREATE TABLE t (id INT PRIMARY KEY, v INT)").await;
    let mut session = pair.session(Way::Replay).await;
    let delivery = pair.capture("INSERT INTO t VALUES (1, 1), (2, 2)").await;
    begin(&mut session).await;
    ok(&mut session, Step::WriteMark(Box::new(mark(9)))).await;
    ok(&mut session, Step::Savepoint).await;
    ok(&mut session, Step::Write(writes(&delivery))).await;
    ok(&mut session, Step::RollBackToSavepoint).await;
    ok(&mut session, Step::Write(writes(&delivery)[..1].to_vec())).await;
    ok(&mut session, Step::Commit).await;
    assert_eq!(pair.target.text("SELECT * FROM s.t").await, ["1|1"]);
    let body: Vec<Vec<u8>> = pair.target.query("SELECT body FROM weft.mark").await;
    assert_eq!(body, [mark(9).encode()]);
}

const KEYS: [(&str, &str); 20] = [
    ("INT", "3"),
    ("BIGINT UNSIGNED", "18446744073709551615"),
    ("VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci", "'ß3'"),
    ("VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", "'A3'"),
    ("CHAR(20) CHARACTER SET latin1", "'é3'"),
    ("VARBINARY(9)", "X'0003'"),
    ("BINARY(9)", "X'0300'"),
    ("DECIMAL(12,3)", "-3.5"),
    ("DATETIME(3)", "'2024-01-01 00:00:03.123'"),
    ("DATETIME(3)", "'2024-02-30 00:00:03.123'"),
    ("DATE", "'2024-01-03'"),
    ("DATE", "'2023-02-31'"),
    ("TIMESTAMP", "'2024-01-01 00:00:03'"),
    ("ENUM('a','b','c')", "'c'"),
    ("SET('a','b','c')", "'a,c'"),
    ("BIT(9)", "b'101010101'"),
    ("YEAR", "2024"),
    ("TIME(2)", "'-00:00:03.5'"),
    ("DOUBLE", "1.1"),
    ("UUID", "'123e4567-e89b-12d3-a456-426655440000'"),
];

#[tokio::test]
async fn rows_are_locked_by_keys_of_every_type_and_only_they() {
    let tables = KEYS.iter().zip(0..).map(|((kind, _), number)| {
        format!("CREATE TABLE t{number} (k {kind} NOT NULL, n INT NOT NULL, v INT, PRIMARY KEY (k, n))")
    });
    let pair = Pair::start(&tables.collect::<Vec<String>>().join(";")).await;
    let mut session = pair.session(Way::Replay).await;
    for ((kind, value), number) in KEYS.into_iter().zip(0..) {
        let table = format!("s.t{number}");
        let mode = "SET sql_mode = 'ALLOW_INVALID_DATES'";
        pair.target
            .execute(&format!("{mode}; INSERT INTO {table} VALUES ({value}, 1, 1), ({value}, 3, 3)"))
            .await;
        let delivery = pair
            .capture(&format!("{mode}; INSERT INTO {table} VALUES ({value}, 1, 0), ({value}, 2, 0)"))
            .await;
        begin(&mut session).await;
        let outcome = session.run(Step::Lock(requests(&delivery, LockBy::PrimaryKey))).await;
        let Outcome::Locked(found) = outcome else { panic!("{kind}: {outcome:?}") };
        assert_eq!(found, [Found::Yes, Found::No], "{kind}");
        let mut other = pair.target.conn().await;
        execute(&mut other, "SET innodb_lock_wait_timeout = 1, sql_mode = 'ALLOW_INVALID_DATES'").await;
        execute(
            &mut other,
            &format!("UPDATE {table} SET v = 4 WHERE n = 3 AND k IS NOT NULL AND v = 3 LIMIT 0"),
        )
        .await;
        execute(&mut other, &format!("UPDATE {table} SET v = 4 WHERE k = {value} AND n = 3")).await;
        let blocked = {
            use mysql_async::prelude::Queryable;
            other.query_drop(format!("UPDATE {table} SET v = 4 WHERE k = {value} AND n = 1")).await
        };
        assert!(blocked.is_err_and(|error| error.to_string().contains("1205")), "{kind}");
        ok(&mut session, Step::RollBack).await;
    }
}

/// What the target's own replicator will read: one transaction, the mark at its head.
#[tokio::test]
async fn replayed_transaction_has_the_mark_first_and_no_text_of_statements() {
    let pair =
        Pair::start("CREATE TABLE t (id INT PRIMARY KEY, v TEXT); CREATE TABLE u (id INT PRIMARY KEY)").await;
    let mut session = pair.session(Way::Replay).await;
    let delivery = pair
        .capture(
            "INSERT INTO t VALUES (1, 'a'), (2, 'b'); INSERT INTO u VALUES (1); DELETE FROM t WHERE id = 1",
        )
        .await;
    let (file, position) = pair.target.binlog_position().await;
    assert!(matches!(apply(&mut session, &delivery).await, Outcome::Ok));
    let events: Vec<(String, u64, String, u64, u64, String)> =
        pair.target.query(&format!("SHOW BINLOG EVENTS IN '{file}' FROM {position}")).await;
    let kinds: Vec<&str> = events.iter().map(|event| event.2.as_str()).collect();
    let maps: Vec<&str> =
        events.iter().filter(|event| event.2 == "Table_map").map(|event| event.5.as_str()).collect();
    assert_eq!((kinds[0], kinds[kinds.len() - 1]), ("Gtid", "Xid"), "{kinds:?}");
    assert_eq!(kinds.iter().filter(|kind| **kind == "Gtid").count(), 1, "{kinds:?}");
    assert!(!kinds.contains(&"Annotate_rows") && !kinds.contains(&"Query"), "{kinds:?}");
    assert!(
        maps[0].contains("(weft.mark)") && maps[1].contains("(s.t)") && maps[2].contains("(s.u)"),
        "{maps:?}"
    );
}

/// More than one statement's worth, in both ways.
#[tokio::test]
async fn large_batches_are_cut_into_statements_that_the_server_takes() {
    for way in [Way::Replay, Way::Sql] {
        let pair = Pair::start("CREATE TABLE t (id INT PRIMARY KEY, v LONGBLOB)").await;
        pair.target.execute("SET GLOBAL max_allowed_packet = 1048576").await;
        let mut session = pair.session(way).await;
        for statements in [
            "INSERT INTO t SELECT seq, REPEAT(CHAR(seq), 2000) FROM seq_1_to_3000",
            "UPDATE t SET v = CONCAT(v, 'x')",
            "DELETE FROM t WHERE id > 10",
        ] {
            let delivery = pair.capture(statements).await;
            let outcome = apply(&mut session, &delivery).await;
            assert!(matches!(outcome, Outcome::Ok), "{way:?}: {outcome:?} from {statements}");
            assert_equal(&pair, "t").await;
        }
        let delivery = pair.capture("INSERT INTO t VALUES (5000, REPEAT('x', 2000000))").await;
        let Outcome::Refused(stop) = apply(&mut session, &delivery).await else { panic!("it is too long") };
        assert!(stop.reason.contains("max_allowed_packet"), "{}", stop.reason);
    }
}

#[tokio::test]
async fn holder_of_a_unique_value_is_named_by_its_key_and_deleted() {
    for way in [Way::Replay, Way::Sql] {
        let pair = Pair::start(
            "CREATE TABLE t (d DECIMAL(14,4), at DATETIME(3), v VARCHAR(20), n INT, ti TIME(3), UNIQUE KEY u (v, n), PRIMARY \
             KEY (d, at))",
        )
        .await;
        pair.target
            .execute("INSERT INTO s.t VALUES (-12.5, '2024-01-02 03:04:05.678', 'x', 1, '-01:00:00.5')")
            .await;
        let own = pair
            .capture("INSERT INTO t VALUES (-12.5, '2024-01-02 03:04:05.678', 'y', 1, '-01:00:00.5')")
            .await;
        let delivery = pair
            .capture("INSERT INTO t VALUES (1, '2024-01-01', 'x', 1, NULL), (2, '2024-01-01', NULL, 1, NULL)")
            .await;
        let mut session = pair.session(way).await;
        begin(&mut session).await;
        let outcome = session.run(Step::Lock(requests(&delivery, LockBy::UniqueKey(0)))).await;
        let Outcome::Locked(found) = outcome else { panic!("{outcome:?}") };
        let [Found::Holder { key, delete_events }, Found::No] = &found[..] else { panic!("{found:?}") };
        let mut keys = weft_core::key::TableKeys::new(&own.tables[0]);
        let rows = own.transaction.rows().expect("rows were captured");
        let image = own.transaction.bytes(rows.rows[0].after);
        let values: Vec<_> = weft_core::binlog::image::Values::new(&own.tables[0].columns, image)
            .collect::<Result<_, _>>()
            .expect("the image is whole");
        assert_eq!(*key, keys.primary(&own.tables[0].columns, &values));
        assert!(!delete_events.is_empty());
        ok(&mut session, Step::WriteMark(Box::new(mark(1)))).await;
        let mut all = writes(&delivery);
        let WriteOp::Insert { after } = all[0].op else { panic!("it was inserted") };
        let op = WriteOp::DeleteHolder { image: after, unique: 0 };
        all.insert(0, RowWrite { op, ..all[0].clone() });
        ok(&mut session, Step::Write(all)).await;
        ok(&mut session, Step::Commit).await;
        assert_eq!(pair.target.text("SELECT d, v FROM s.t ORDER BY d").await, ["1.0000|x", "2.0000|NULL"]);
    }
}

type Recorded = (String, String, u64, String);

/// Records 600 conflicts where ten are kept; what is left, and the local row as it was read.
async fn record_600(decides: bool) -> (Vec<Recorded>, Option<String>) {
    let pair = Pair::start(
        "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(9), d DECIMAL(6,2), b VARBINARY(4), at DATETIME)",
    )
    .await;
    pair.target.execute("INSERT INTO s.t VALUES (1, 'local', 1.5, X'00ff', '2024-01-02 03:04:05')").await;
    let mut options = options(&pair.target);
    (options.conflicts_max, options.decides) = (10, decides);
    let target = ServerTarget::new(options);
    let epoch = target.recover(1, Some(Scn::ZERO)).await.expect("the target is free").epoch;
    let mut session = target.session(0, epoch).await.expect("the epoch is ours");
    let delivery =
        pair.capture("INSERT INTO t VALUES (1, 'source', 1.5, X'00ff', '2024-01-02 03:04:05')").await;
    ok(&mut session, Step::Begin(Isolation::RepeatableRead)).await;
    let request = requests(&delivery, LockBy::PrimaryKey);
    assert!(matches!(session.run(Step::Lock(request.clone())).await, Outcome::Locked(_)));
    let Outcome::RowsRead(rows) = session.run(Step::ReadRows(request)).await else { panic!("rows are read") };
    let version = |time, origin| Version::new(Micros(time), InstanceId::of(origin));
    let record = ConflictRecord {
        delivery: delivery.clone(),
        table: 0,
        scn: Scn::of_transaction(1, 2, 3),
        key: KeyHash(0xabc),
        image: delivery.transaction.rows().expect("rows were captured").rows[0].after,
        incoming: Some(delivery.transaction.rows().expect("rows were captured").rows[0].after),
        local: Some(0),
        incoming_version: version(5, "bj.main"),
        base: None,
        local_version: Some(version(4, "sh.main")),
        verdict: Verdict::IncomingWon,
    };
    ok(&mut session, Step::RecordConflicts(vec![record; 600])).await;
    ok(&mut session, Step::Commit).await;
    let seen = pair.target.query("SELECT incoming, local, incoming_time, verdict FROM weft.conflict").await;
    (seen, rows[0].clone())
}

#[tokio::test]
async fn conflicts_are_recorded_with_both_rows_and_the_oldest_go() {
    let (seen, local_row) = record_600(false).await;
    assert_eq!(seen.len(), 10, "the newest are kept");
    let (incoming, local, time, verdict) = &seen[0];
    assert_eq!((*time, verdict.as_str()), (5, "incoming-won"));
    assert_eq!(local_row.as_ref(), Some(local));
    let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
    assert_eq!(parse(&local.replace("\"local\"", "\"source\"")), parse(incoming));
}

#[tokio::test]
async fn conflicts_that_a_rule_has_not_decided_are_kept_however_many() {
    assert_eq!(record_600(true).await.0.len(), 600);
}

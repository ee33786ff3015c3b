//! MySQL's own parts of the stream, read from a live server's binlog.

use cluster_tests::servers::{Flavour, Server, ServerOptions, has_mysql};
use weft_core::binlog::assembler::{Assembled, RawTransaction};
use weft_core::binlog::event::{EventType, body};
use weft_core::binlog::format::Format;
use weft_core::binlog::image::Values;
use weft_core::binlog::json;
use weft_core::binlog::rows::RowsKind;
use weft_core::binlog::value::Value;
use weft_core::flavour::Flavour as Writer;
use weft_core::gtid::{GtidPosition, GtidSet};

use crate::server::{assembled_from, events_of};
use crate::{changes, literals};

async fn start() -> Server {
    let server = Server::start(ServerOptions::of(Flavour::MySql, 7)).await;
    server.execute("CREATE DATABASE s DEFAULT CHARACTER SET utf8mb4").await;
    server
}

/// Everything in the binlog file that is being written, which is closed for it.
async fn assembled(server: &Server, spill_bytes: usize) -> (Vec<Assembled>, Format, Vec<Vec<u8>>) {
    let (file, _) = server.binlog_position().await;
    server.execute("FLUSH BINARY LOGS").await;
    let path = server.data_directory().join(&file);
    let (out, format) = assembled_from(&path, 1, spill_bytes).expect("understood events");
    assert_eq!(format.flavour, Writer::MySql);
    (out, format, events_of(&path))
}

async fn new_file(server: &Server) {
    server.execute("FLUSH BINARY LOGS").await;
}

fn transactions(assembled: &[Assembled]) -> impl Iterator<Item = &RawTransaction> {
    assembled.iter().filter_map(|item| match item {
        Assembled::Transaction(transaction) => Some(transaction),
        _ => None,
    })
}

fn has(events: &[Vec<u8>], kind: EventType) -> bool {
    events.iter().any(|event| event[4] == kind.code())
}

#[tokio::test]
async fn gtids_with_and_without_tags_add_up_to_what_the_server_executed() {
    if !has_mysql("gtids_with_and_without_tags_add_up_to_what_the_server_executed") {
        return;
    }
    let server = start().await;
    server.execute("CREATE TABLE s.t (id INT PRIMARY KEY)").await;
    let executed = async || -> GtidPosition {
        let text: Vec<String> = server.query("SELECT @@GLOBAL.gtid_executed").await;
        text[0].parse().expect("a GTID set")
    };
    let mut position = executed().await;
    new_file(&server).await;
    let before: Vec<u64> = server.query("SELECT CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS UNSIGNED)").await;
    server
        .execute(
            "INSERT INTO s.t VALUES (1); SET gtid_next = 'AUTOMATIC:monthly'; INSERT INTO s.t VALUES (2);
             SET gtid_next = 'aaaaaaaa-0000-0000-0000-0000000000ff:big:9876543210'; INSERT INTO s.t VALUES (3);
             SET gtid_next = 'AUTOMATIC'; SET timestamp = 86400; INSERT INTO s.t VALUES (4); ALTER TABLE s.t ADD v INT",
        )
        .await;
    let (assembled, _, _) = assembled(&server, 1 << 20).await;
    let mut times = before;
    for item in &assembled {
        let (gtid, time) = match item {
            Assembled::Transaction(raw) => (&raw.gtid, raw.commit_time),
            Assembled::Ddl(raw) => (&raw.gtid, raw.commit_time),
            _ => continue,
        };
        position.advance(gtid.as_ref().expect("GTIDs are on"));
        times.push(time.0);
    }
    assert_eq!((times.len(), position.clone()), (6, executed().await));
    assert!(
        times.is_sorted() && times[5] - times[0] < 600_000_000,
        "{times:?}: SET timestamp does not count"
    );
    // The next file begins with the set, in the server's own encoding.
    let (file, _) = server.binlog_position().await;
    let events = events_of(&server.data_directory().join(file));
    let previous =
        events.iter().find(|event| event[4] == EventType::PreviousGtids.code()).expect("it is there");
    let encoded = &body(previous)[..previous.len() - 19 - 4];
    assert_eq!(GtidSet::decode(encoded).as_ref(), Ok(position.set()));
    assert_eq!(position.set().encode(), encoded);
}

#[tokio::test]
async fn compressed_transactions_hold_the_same_rows_at_once_and_in_chunks() {
    if !has_mysql("compressed_transactions_hold_the_same_rows_at_once_and_in_chunks") {
        return;
    }
    let server = start().await;
    server
        .execute(
            "CREATE TABLE s.t (id INT PRIMARY KEY, v VARCHAR(2000)); CREATE TABLE s.u LIKE s.t;
             SET SESSION cte_max_recursion_depth = 5000;
             INSERT INTO s.t WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
             SELECT i, REPEAT(CHAR(97 + i % 26), 1000) FROM n",
        )
        .await;
    new_file(&server).await;
    server
        .execute("BEGIN; INSERT INTO s.u SELECT * FROM s.t; UPDATE s.u SET v = 'x' WHERE id < 9; COMMIT")
        .await;
    let (plain, format, _) = assembled(&server, 1 << 30).await;
    server.execute("TRUNCATE s.u").await;
    new_file(&server).await;
    let packed = "SET SESSION binlog_transaction_compression = ON; BEGIN; INSERT INTO s.u SELECT * FROM s.t;
                  UPDATE s.u SET v = 'x' WHERE id < 9; COMMIT";
    server.execute(packed).await;
    let (file, _) = server.binlog_position().await;
    let (whole, _, events) = assembled(&server, 1 << 30).await;
    assert!(has(&events, EventType::TransactionPayload) && !has(&events, EventType::TableMap));
    let images = |items: &[Assembled]| -> Vec<Vec<u8>> {
        changes(items, &format, None).into_iter().flat_map(|change| change.images).collect()
    };
    assert_eq!(images(&plain).len(), 3000 + 2 * 8);
    assert_eq!(images(&whole), images(&plain));
    // A few hundred bytes of payload, three megabytes of rows.
    let path = server.data_directory().join(file);
    let (chunked, _) = assembled_from(&path, 1, 50_000).expect("understood events");
    let chunks = chunked.iter().filter(|item| matches!(item, Assembled::Chunk(_))).count();
    assert!(chunks > 50, "{chunks}");
    let last = transactions(&chunked).last().expect("the transaction");
    assert_eq!((last.chunks as usize, &last.gtid), (chunks, &transactions(&whole).last().expect("it").gtid));
}

/// The documents of the last images, by id, as we print them.
fn documents(assembled: &[Assembled], format: &Format) -> std::collections::BTreeMap<i64, Option<String>> {
    let mut found = std::collections::BTreeMap::new();
    for change in changes(assembled, format, None) {
        let step = if change.kind == RowsKind::Update { 2 } else { 1 };
        for image in change.images.iter().skip(step - 1).step_by(step) {
            let mut values = Values::new(&change.version.columns, image);
            let (Some(Ok(Value::Int(id))), Some(Ok(document))) = (values.next(), values.next()) else {
                panic!("an id and a document")
            };
            let text = match document {
                Value::Bytes(bytes) => Some(json::text(bytes).expect("a document")),
                _ => None,
            };
            found.insert(id, text);
        }
    }
    found
}

async fn selected(server: &Server) -> std::collections::BTreeMap<i64, Option<String>> {
    server.query::<(i64, Option<String>)>("SELECT id, j FROM s.j").await.into_iter().collect()
}

#[tokio::test]
async fn json_is_printed_as_the_server_prints_it() {
    if !has_mysql("json_is_printed_as_the_server_prints_it") {
        return;
    }
    let server = start().await;
    server.execute("CREATE TABLE s.j (id INT PRIMARY KEY AUTO_INCREMENT, j JSON)").await;
    new_file(&server).await;
    let mut values: Vec<String> = [
        "'null'", "NULL", "'true'", "'[]'", "'{}'", "'[[[]], {\"a\": {\"b\": [1, -1, 32767, -32768, 32768]}}]'",
        "'[65535, 65536, 2147483647, -2147483648, 2147483648, 4294967295, 9223372036854775807, -9223372036854775808, 18446744073709551615]'",
        "'{\"bb\": 1, \"a\": 2, \"\": 3, \"ab\": 4, \"ä\": \"ö 🎉\"}'", r#"'"\\u0001\\"\\\\/\\b\\f\\n\\r\\t\\u001f\\u007f"'"#,
        "JSON_ARRAY(1.50, CAST('-0.000000001' AS DECIMAL(20,9)), CAST(12345678901234567890123456789.5 AS DECIMAL(40,10)))",
        "JSON_ARRAY(CAST('2024-02-29' AS DATE), CAST('2024-02-29 23:59:58.000007' AS DATETIME(6)), CAST('-838:59:59' AS TIME), CAST('01:02:03.5' AS TIME(1)), CAST('0000-00-00' AS DATE))",
        "JSON_ARRAY(b'101', X'00FF', ST_GeomFromText('POINT(1 2)'))",
        "JSON_ARRAY(0.1e0, -0e0, 1e0, 1e14, 1e15, 1e16, 123456789012345e0, 1234567890123456e0, 1e-4, 1e-5, 1e-14, 1e-15, 1e-16, 1.5e-15, 1.7976931348623157e308, 2.2250738585072014e-308, 5e-324, 0.1e0 + 0.2e0)",
        "JSON_ARRAY(REPEAT('x', 127), REPEAT('y', 128), REPEAT('z', 70000), -5, 100000, JSON_OBJECT('k', REPEAT('w', 20000)))",
    ].map(str::to_owned).to_vec();
    // Doubles of every size: bits from a fixed sequence.
    let mut bits = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..300 {
        bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let exponent = (bits >> 3) % 50;
        let number = (bits >> 11) as f64 * 10f64.powi(exponent as i32 - 40);
        values.push(format!("JSON_ARRAY({number:e}, {:e})", -number / 3.0));
    }
    // A statement each: in one, rows share their charset.
    let insert: Vec<String> =
        values.iter().map(|value| format!("INSERT INTO s.j (j) VALUES ({value});")).collect();
    server.execute(&format!("SET sql_mode = ''; {}", insert.concat())).await;
    let (assembled, format, _) = assembled(&server, 1 << 30).await;
    let (ours, theirs) = (documents(&assembled, &format), selected(&server).await);
    assert_eq!(ours.len(), values.len());
    for (id, text) in &theirs {
        assert_eq!(&ours[id], text, "{}", values[*id as usize - 1]);
    }
}

#[tokio::test]
async fn partial_json_updates_become_whole_documents() {
    if !has_mysql("partial_json_updates_become_whole_documents") {
        return;
    }
    let server = start().await;
    server
        .execute(
            "CREATE TABLE s.j (id INT PRIMARY KEY, j JSON, n JSON, d DOUBLE, k JSON);
             INSERT INTO s.j VALUES
             (1, '{\"a\": [1, 2, 3], \"b\": {\"c\": \"dddddddddd\"}, \"long\": \"looooooooooooooooooong\"}', NULL, 1, '[1]'),
             (2, '[[1, 2], {\"x y\": 1, \"q\\\\\"\": 2}, \"looooooooooooooooooooooong\"]', '{}', 2, NULL),
             (3, '{\"a\": 1}', '{}', 2, NULL)",
        )
        .await;
    new_file(&server).await;
    server
        .execute(
            "SET binlog_row_value_options = 'PARTIAL_JSON';
             UPDATE s.j SET j = JSON_SET(j, '$.a[1]', 'two', '$.b.c', 5), d = 3, k = JSON_SET(k, '$[0]', 9) WHERE id = 1;
             UPDATE s.j SET j = JSON_REMOVE(j, '$.a[0]', '$.b'), n = '[]' WHERE id = 1;
             UPDATE s.j SET j = JSON_SET(j, '$[0][2]', 3, '$[1].\"x y\"', JSON_ARRAY(), '$[1].\"q\\\\\"\"', CAST(1.5 AS DECIMAL(3,1))) WHERE id = 2;
             UPDATE s.j SET j = JSON_ARRAY_INSERT(j, '$[1]', 'between') WHERE id = 2;
             UPDATE s.j SET j = JSON_SET(j, '$.new', JSON_OBJECT('k', REPEAT('v', 70000))) WHERE id IN (1, 3);
             UPDATE s.j SET j = JSON_REPLACE(j, '$.new.k', 'short') WHERE id IN (1, 3)",
        )
        .await;
    let (assembled, format, events) = assembled(&server, 1 << 30).await;
    assert!(has(&events, EventType::PartialUpdateRows));
    assert_eq!(documents(&assembled, &format), selected(&server).await);
}

#[tokio::test]
async fn three_hundred_columns_of_mysql_come_back() {
    if !has_mysql("three_hundred_columns_of_mysql_come_back") {
        return;
    }
    let server = start().await;
    let columns: Vec<String> = (0..300)
        .map(|n| {
            format!(
                "c{n} {} NULL",
                ["INT UNSIGNED", "VARCHAR(30)", "DECIMAL(9,3)", "JSON", "DATETIME(3)"][n % 5]
            )
        })
        .collect();
    let names: Vec<String> = (0..300).map(|n| format!("c{n}")).collect();
    let value = |n: usize| {
        ["4294967295", "'ä it''s'", "-123456.789", "'{\"a\": [1]}'", "'2024-02-29 01:02:03.004'"][n % 5]
    };
    let values: Vec<&str> = (0..300).map(|n| if n % 7 == 0 { "NULL" } else { value(n) }).collect();
    let create = format!("(id INT PRIMARY KEY, {})", columns.join(","));
    server.execute(&format!("CREATE TABLE s.a {create}; CREATE TABLE s.b {create}")).await;
    new_file(&server).await;
    server.execute(&format!("INSERT INTO s.a VALUES (1, {})", values.join(","))).await;
    let (assembled, format, _) = assembled(&server, 1 << 30).await;
    let change = changes(&assembled, &format, None).pop().expect("a row");
    assert_eq!((change.version.columns.len(), change.version.exact), (301, true));
    let row = literals(&change.version.columns, &change.images[0]);
    server.execute(&format!("INSERT INTO s.b (id, {}) VALUES ({row})", names.join(","))).await;
    assert_eq!(server.text("SELECT * FROM s.a").await, server.text("SELECT * FROM s.b").await);
}

#[tokio::test]
async fn xa_transactions_are_prepared_decided_or_committed_in_one_phase() {
    if !has_mysql("xa_transactions_are_prepared_decided_or_committed_in_one_phase") {
        return;
    }
    let server = start().await;
    server.execute("CREATE TABLE s.t (id INT PRIMARY KEY)").await;
    new_file(&server).await;
    for compression in ["OFF", "ON"] {
        server
            .execute(&format!(
                "USE s; SET SESSION binlog_transaction_compression = {compression};
                 XA START 'a', 'b', 7; INSERT INTO t VALUES (1); XA END 'a', 'b', 7; XA PREPARE 'a', 'b', 7"
            ))
            .await;
        server.execute("INSERT INTO s.t VALUES (2); XA COMMIT 'a', 'b', 7").await;
        server
            .execute(
                "USE s; XA START 'c'; INSERT INTO t VALUES (3); XA END 'c'; XA PREPARE 'c'; XA ROLLBACK 'c'",
            )
            .await;
        server
            .execute("USE s; XA START 'd'; INSERT INTO t VALUES (4); XA END 'd'; XA COMMIT 'd' ONE PHASE")
            .await;
        let (assembled, _, events) = assembled(&server, 1 << 20).await;
        assert!(has(&events, EventType::XaPrepare));
        assert_eq!(has(&events, EventType::TransactionPayload), compression == "ON");
        let seen: Vec<String> = assembled
            .iter()
            .filter_map(|item| match item {
                Assembled::Prepared { xid, transaction } => {
                    Some(format!("{xid} prepared, rows {}", !transaction.events.is_empty()))
                }
                Assembled::Decided { xid, committed, .. } => Some(format!("{xid} committed {committed}")),
                Assembled::Transaction(raw) => {
                    Some(format!("{:?}, rows {}", raw.ends, !raw.events.is_empty()))
                }
                _ => None,
            })
            .collect();
        let expected = [
            "X'61',X'62',7 prepared, rows true",
            "Xid, rows true",
            "X'61',X'62',7 committed true",
            "X'63',X'',1 prepared, rows true",
            "X'63',X'',1 committed false",
            "Commit, rows true",
        ];
        assert_eq!(seen, expected, "compression {compression}");
        server.execute("DELETE FROM s.t").await;
        new_file(&server).await;
    }
}

//! `weft verify` against real servers.

use std::time::{Duration, Instant};

use cluster_tests::on_both_flavours;
use cluster_tests::servers::{Flavour, Server, ServerOptions};
use mysql_async::prelude::Queryable;
use weft::mysql::connect::Endpoint;
use weft::verify::report::Report;
use weft::verify::{PairToCompare, Verdict, compare};
use weft_core::filter::transform::Transforms;
use weft_core::tables::TableFilter;
use weft_core::verify::settle::Patience;

const PATIENCE: Patience = Patience { quiet_us: 1_500_000, busy_us: 3_000_000, give_up_us: 20_000_000 };

const TABLES: &str = "CREATE DATABASE s; USE s; \
    CREATE TABLE n (id INT PRIMARY KEY, v VARCHAR(40), f FLOAT, b VARBINARY(9)); \
    INSERT INTO n SELECT seq, CONCAT('v', seq), seq / 3, UNHEX(HEX(seq)) FROM seq_1_to_3500; \
    CREATE TABLE c (a VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci, at DATETIME(3), e ENUM('x','y'), v \
    TEXT, w BLOB, PRIMARY KEY (a, at, e)); \
    INSERT INTO c SELECT CONCAT('ä', seq MOD 700), '2024-01-01' + INTERVAL seq SECOND, 1 + seq MOD 2, NULL, seq FROM \
    seq_1_to_2500; \
    CREATE TABLE `empty` (id BINARY(4) PRIMARY KEY); CREATE TABLE left_out (id INT)";

on_both_flavours! {
    every_kind_of_planted_difference_is_named_and_nothing_else
    tables_and_columns_of_one_side_are_differences_and_keyless_tables_are_not_compared
}

/// MySQL has no tables of numbers.
const NUMBERS: &str = "CREATE DATABASE s; USE s; SET cte_max_recursion_depth = 4000; \
    CREATE TABLE seq_1_to_3500 (seq INT PRIMARY KEY) AS WITH RECURSIVE n (seq) AS (SELECT 1 UNION ALL SELECT seq + 1 \
    FROM n WHERE seq < 3500) SELECT seq FROM n; \
    CREATE TABLE seq_1_to_2500 (seq INT PRIMARY KEY) AS SELECT seq FROM seq_1_to_3500 WHERE seq <= 2500";

fn tables(flavour: Flavour) -> String {
    match flavour {
        Flavour::MariaDb => TABLES.to_owned(),
        Flavour::MySql => {
            let rest = TABLES.trim_start_matches("CREATE DATABASE s; USE s; ");
            format!("{NUMBERS}; {rest}; DROP TABLE seq_1_to_3500, seq_1_to_2500")
        }
    }
}

fn endpoint(server: &Server) -> Endpoint {
    server.endpoint()
}

fn pair(left: &Server, right: &Server) -> PairToCompare {
    PairToCompare {
        channel: "orders".into(),
        left: ("sh.main".into(), endpoint(left)),
        right: ("bj.main".into(), endpoint(right)),
        left_tables: TableFilter::new(["s.*", "!s.left_out"]),
        right_tables: TableFilter::new(["s.*", "!s.left_out"]),
        transforms: Transforms::default(),
    }
}

async fn two_servers(flavour: Flavour) -> (Server, Server) {
    let start = |id| Server::start(ServerOptions::of(flavour, id));
    let (left, right) = tokio::join!(start(1), start(2));
    let tables = tables(flavour);
    tokio::join!(left.execute(&tables), right.execute(&tables));
    (left, right)
}

async fn verify(left: &Server, right: &Server) -> (Report, Vec<String>) {
    let mut lines = Vec::new();
    let report = compare(vec![pair(left, right)], PATIENCE, &mut |line| lines.push(line)).await;
    (report, lines)
}

async fn every_kind_of_planted_difference_is_named_and_nothing_else(flavour: Flavour) {
    let (left, right) = two_servers(flavour).await;
    let (report, lines) = verify(&left, &right).await;
    assert_eq!(report.verdict(), Verdict::Identical, "{lines:#?}");
    let rows: Vec<u64> = report.channels[0].tables.iter().map(|table| table.rows).collect();
    assert_eq!(rows, [2500, 0, 3500], "{lines:#?}");

    right
        .execute("DELETE FROM s.n WHERE id = 17; UPDATE s.n SET v = 'V1000', f = 0.3333333 WHERE id = 1000")
        .await;
    right
        .execute(
            "UPDATE s.c SET v = '' WHERE at = '2024-01-01 00:00:05'; UPDATE s.n SET v = NULL WHERE id = 3500",
        )
        .await;
    left.execute("DELETE FROM s.n WHERE id = 3001; DELETE FROM s.c WHERE at = '2024-01-01 00:00:07'").await;
    left.execute("INSERT INTO s.empty VALUES (X'00')").await;
    let (report, lines) = verify(&left, &right).await;
    assert_eq!(report.verdict(), Verdict::Different);
    let mut named: Vec<&String> = lines.iter().filter(|line| line.contains(": key (")).collect();
    named.sort();
    println!(
        "LOG {:#?}",
        right.text("SELECT argument FROM mysql.general_log WHERE argument LIKE '%`c`%'").await
    );
    println!(
        "{lines:#?} {:?} {:?}",
        right.text("SELECT * FROM s.c ORDER BY at LIMIT 8").await,
        left.text("SELECT * FROM s.c ORDER BY at LIMIT 8").await
    );
    assert_eq!(
        named,
        [
            "s.c: key (a = ä5, at = 2024-01-01 00:00:05.000, e = 2) differs in v",
            "s.c: key (a = ä7, at = 2024-01-01 00:00:07.000, e = 2) is missing at sh.main",
            "s.empty: key (id = 00000000) is missing at bj.main",
            "s.n: key (id = 1000) differs in v, f",
            "s.n: key (id = 17) is missing at bj.main",
            "s.n: key (id = 3001) is missing at sh.main",
            "s.n: key (id = 3500) differs in v",
        ]
    );
    let json = report.to_json();
    assert_eq!(json["identical"], false);
    assert_eq!(json["channels"][0]["tables"][1]["differences"][0]["missing_at"], "bj.main");
}

const KEYS: [(&str, &str); 12] = [
    ("BIGINT UNSIGNED", "18446744073709551615"),
    ("VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", "'A''ß'"),
    ("CHAR(20) CHARACTER SET latin1", "'é3'"),
    ("VARBINARY(9)", "X'0003'"),
    ("BINARY(9)", "X'0300'"),
    ("DECIMAL(12,3)", "-3.5"),
    ("DATETIME(3)", "'2024-01-01 00:00:03.123'"),
    ("DATE", "'2024-01-03'"),
    ("TIMESTAMP", "'2024-01-01 00:00:03'"),
    ("TIME(2)", "'-00:00:03.5'"),
    ("UUID", "'123e4567-e89b-12d3-a456-426655440000'"),
    ("BIT(9)", "b'101010101'"),
];

/// A key that could be listed but not found again would pass for a row that was deleted meanwhile.
#[tokio::test]
async fn rows_with_keys_of_every_type_are_found_again() {
    let (left, right) = two_servers(Flavour::MariaDb).await;
    let mut expected = 0;
    for (number, (kind, value)) in KEYS.iter().enumerate() {
        let table = format!("CREATE TABLE s.k{number} (k {kind} NOT NULL PRIMARY KEY, v INT)");
        tokio::join!(left.execute(&table), right.execute(&table));
        left.execute(&format!("INSERT INTO s.k{number} VALUES ({value}, 1)")).await;
        expected += 1;
    }
    let (_, lines) = verify(&left, &right).await;
    let named = lines.iter().filter(|line| line.ends_with("is missing at bj.main")).count();
    assert_eq!(named, expected, "{lines:#?}");
}

async fn tables_and_columns_of_one_side_are_differences_and_keyless_tables_are_not_compared(
    flavour: Flavour,
) {
    let (left, right) = two_servers(flavour).await;
    left.execute("CREATE TABLE s.only_here (id INT PRIMARY KEY); ALTER TABLE s.n ADD COLUMN extra INT").await;
    let (report, lines) = verify(&left, &right).await;
    assert_eq!(report.verdict().exit_status(), 1);
    assert!(lines.contains(&String::from("s.only_here: the table is missing at bj.main")), "{lines:#?}");
    assert!(lines.contains(&String::from("s.n: column extra is missing at bj.main")), "{lines:#?}");

    left.execute("DROP TABLE s.only_here; ALTER TABLE s.n DROP COLUMN extra").await;
    tokio::join!(
        left.execute("CREATE TABLE s.keyless (a INT)"),
        right.execute("CREATE TABLE s.keyless (a INT)")
    );
    let (report, lines) = verify(&left, &right).await;
    assert_eq!(report.verdict().exit_status(), 3, "{lines:#?}");
    assert!(lines.iter().any(|line| line.contains("s.keyless: it has no primary key")), "{lines:#?}");
}

#[tokio::test]
async fn side_that_does_not_answer_cannot_be_compared() {
    let (left, mut right) = two_servers(Flavour::MariaDb).await;
    right.kill9();
    let (report, lines) = verify(&left, &right).await;
    assert_eq!(report.verdict().exit_status(), 3, "{lines:#?}");
    assert_eq!(lines.len(), 2, "{lines:#?}");
}

/// A writer on the left, and a follower that brings every change to the right half a second later.
/// How long a change is on its way in the test below: well under what makes a difference one.
const IN_FLIGHT: Duration = Duration::from_millis(500);

#[tokio::test]
async fn changes_in_flight_are_tolerated_and_a_lost_one_among_them_is_found() {
    let (left, right) = two_servers(Flavour::MariaDb).await;
    right.execute("UPDATE s.n SET v = 'lost' WHERE id = 2222").await;
    let (mut here, mut there) = (left.conn().await, right.conn().await);
    let writer = tokio::spawn(async move {
        let mut in_flight = std::collections::VecDeque::new();
        for round in 0u32.. {
            let id = round * 37 % 4_000;
            let id = if id == 2222 { 1 } else { id };
            let statement = match round % 3 {
                0 => format!("DELETE FROM s.n WHERE id = {id}"),
                1 => format!("REPLACE INTO s.n VALUES ({id}, 'w{round}', {round}, NULL)"),
                _ => format!(
                    "UPDATE s.n SET v = 'u{round}' WHERE id BETWEEN {id} AND {id} + 20 AND id <> 2222"
                ),
            };
            here.query_drop(&statement).await.expect("the left takes writes");
            in_flight.push_back((Instant::now(), statement));
            // By time, not by number: on a busy machine a number of them may be many seconds.
            while in_flight.front().is_some_and(|(at, _)| at.elapsed() > IN_FLIGHT) {
                let (_, statement) = in_flight.pop_front().expect("just seen");
                there.query_drop(statement).await.expect("the right takes writes");
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let (report, lines) = verify(&left, &right).await;
    writer.abort();
    let named: Vec<&String> = lines.iter().filter(|line| line.contains(": key (")).collect();
    assert_eq!(named, ["s.n: key (id = 2222) differs in v"], "{lines:#?}");
    assert_eq!(report.verdict(), Verdict::Different);
}

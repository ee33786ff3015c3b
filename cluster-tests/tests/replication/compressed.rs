//! What MySQL may be set to for smaller binlogs: whole transactions compressed, and updates of documents as
//! differences.

use cluster_tests::nodes::{PATIENCE, run_program};
use cluster_tests::servers::{Flavour, has_mysql};
use cluster_tests::wait::wait_until;

use crate::large::{memory_kib, wait_half_way};
use crate::pair::{BJ, BOTH_WAYS, ONE_WAY, Pair, SH, wait_rows};

/// MariaDB does not know them.
const SETTINGS: [&str; 2] =
    ["--loose-binlog-transaction-compression=ON", "--loose-binlog-row-value-options=PARTIAL_JSON"];

async fn documents(flavours: [Flavour; 2], channels: &str, at_bj: &str) {
    let mut pair = Pair::with_of(flavours, &SETTINGS, "", channels).await;
    for server in [&pair.sh, &pair.bj] {
        server
            .execute("CREATE DATABASE shop; CREATE TABLE shop.d (id INT PRIMARY KEY, doc JSON, n INT)")
            .await;
    }
    if !at_bj.is_empty() {
        pair.bj.execute(at_bj).await;
    }
    pair.deployment.start_all().await;
    pair.sh
        .execute(
            "USE shop; INSERT INTO d VALUES (1, JSON_OBJECT('a', REPEAT('x', 5000), 'b', JSON_ARRAY(1, 2, 3)), \
             0), (2, '[]', 0); START TRANSACTION; UPDATE d SET doc = JSON_SET(doc, '$.b[1]', 'two'); UPDATE d SET \
             doc = JSON_REMOVE(doc, '$.b[0]'), n = 7 WHERE id = 1; COMMIT; UPDATE d SET doc = JSON_REPLACE(doc, \
             '$.a', 'short') WHERE id = 1",
        )
        .await;
    let rows = "SELECT id, doc, n FROM shop.d ORDER BY id";
    wait_rows(&pair.bj, rows, &["1|{\"a\": \"short\", \"b\": [\"two\", 3]}|7", "2|[]|0"]).await;
    if channels == BOTH_WAYS {
        pair.bj.execute("UPDATE shop.d SET doc = '{\"back\": 1}' WHERE id = 2").await;
        wait_rows(&pair.sh, "SELECT doc FROM shop.d WHERE id = 2", &["{\"back\": 1}"]).await;
    }
}

#[tokio::test]
async fn compressed_transactions_and_partial_documents_arrive_whole() {
    if has_mysql("compressed_transactions_and_partial_documents_arrive_whole") {
        documents([Flavour::MySql; 2], BOTH_WAYS, "").await;
    }
}

#[tokio::test]
async fn compressed_transactions_and_partial_documents_arrive_by_sql() {
    if has_mysql("compressed_transactions_and_partial_documents_arrive_by_sql") {
        let other_shape = "ALTER TABLE shop.d ADD COLUMN own INT DEFAULT 9 FIRST";
        documents([Flavour::MySql; 2], ONE_WAY, other_shape).await;
        documents([Flavour::MySql, Flavour::MariaDb], BOTH_WAYS, "").await;
    }
}

/// Rows of the large transaction, and what one of them holds.
const ROWS: u64 = 16_000;
const ROW_BYTES: usize = 5_000;
/// Memory of the node that captures it, without the pages of its event buffer: less than what it unpacks to.
const MEMORY_MAX_KIB: u64 = 64 * 1024;

/// The nodes of both sites are killed while it is on its way.
async fn passes_through_kills(flavours: [Flavour; 2], channels: &str) {
    let mut pair = Pair::with_of(flavours, &SETTINGS, "", channels).await;
    for server in [&pair.sh, &pair.bj] {
        server.execute("CREATE DATABASE shop; CREATE TABLE shop.t (id INT PRIMARY KEY, v TEXT)").await;
    }
    pair.deployment.start_all().await;
    let insert = format!(
        "SET SESSION cte_max_recursion_depth = {ROWS}; INSERT INTO shop.t WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL \
         SELECT n + 1 FROM s WHERE n < {ROWS}) SELECT n, RPAD(n, {ROW_BYTES}, 'wide ') FROM s"
    );
    let (_, before) = pair.sh.binlog_position().await;
    pair.sh.execute(&insert).await;
    let (_, after) = pair.sh.binlog_position().await;
    assert!(after - before < 10 << 20, "{} bytes are not compressed", after - before);
    pair.deployment.kill9(SH);
    pair.deployment.start(SH);
    wait_half_way(&pair.bj, ROWS / 4).await;
    pair.deployment.kill9(BJ);
    pair.deployment.start(BJ);
    pair.sh.execute("UPDATE shop.t SET v = 'last' WHERE id = 1").await;
    let sum = "SELECT COUNT(*), SUM(id), SUM(LENGTH(v)), MIN(v) FROM shop.t";
    let all = pair.sh.text(sum).await;
    wait_until(PATIENCE, "the large transaction", async || {
        let seen = pair.bj.text(sum).await;
        if seen == all { Ok(()) } else { Err(format!("{seen:?} instead of {all:?}")) }
    })
    .await;
    let held = memory_kib(&pair, SH);
    assert!(held < MEMORY_MAX_KIB, "{held} KiB");
    let config = pair.deployment.config().display().to_string();
    let (status, out, err) = run_program(&["verify", "--config", &config]);
    assert_eq!(status, Some(0), "{out}{err}");
}

#[tokio::test]
async fn a_large_compressed_transaction_survives_kills_two_ways_between_mysql_servers() {
    if has_mysql("a_large_compressed_transaction_survives_kills_two_ways_between_mysql_servers") {
        passes_through_kills([Flavour::MySql; 2], BOTH_WAYS).await;
    }
}

#[tokio::test]
async fn a_large_compressed_transaction_survives_kills_from_mysql_to_mariadb() {
    if has_mysql("a_large_compressed_transaction_survives_kills_from_mysql_to_mariadb") {
        passes_through_kills([Flavour::MySql, Flavour::MariaDb], ONE_WAY).await;
    }
}

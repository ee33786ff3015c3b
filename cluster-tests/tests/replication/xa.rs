//! XA transactions: their rows are in the binlog at XA PREPARE, and count from XA COMMIT on, which may come
//! much later, from another session, and after everything has died in between.

use cluster_tests::nodes::{run_program, wait_equal};
use cluster_tests::servers::{Flavour, Server, has_mysql};
use mysql_async::prelude::Queryable;
use weft_actors::status::ChannelState;

use crate::pair::{BJ, BOTH_WAYS, ONE_WAY, Pair, SH, wait_rows};
use crate::refill::purge;

const TABLE: &str = "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20))";

/// Leaves a prepared transaction behind; the session that began it has ended: until then no other
/// session can end the transaction (`XAER_NOTA`), and a server goes on closing a session after its client.
async fn prepare(server: &Server, xid: &str, change: &str) {
    let mut conn = server.conn().await;
    let session = conn.id();
    let sql = format!("USE shop; XA START {xid}; {change}; XA END {xid}; XA PREPARE {xid}");
    for statement in sql.split("; ") {
        conn.query_drop(statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
    conn.disconnect().await.expect("the connection that just answered closes");
    let sessions = format!("SELECT COUNT(*) FROM information_schema.processlist WHERE id = {session}");
    wait_rows(server, &sessions, &["0"]).await;
}

/// Waits until what is written now has arrived: everything before it has passed too.
async fn passed(from: &Server, to: &Server, id: u32) {
    from.execute(&format!("INSERT INTO shop.t VALUES ({id}, 'behind')")).await;
    wait_rows(to, &format!("SELECT v FROM shop.t WHERE id = {id}"), &["behind"]).await;
}

async fn rows(server: &Server) -> Vec<String> {
    server.text("SELECT * FROM shop.t ORDER BY id").await
}

#[tokio::test]
async fn xa_transactions_arrive_with_their_commit_among_others_and_both_ways() {
    among_others([Flavour::MariaDb; 2]).await;
}

#[tokio::test]
async fn mysqls_xa_transactions_arrive_with_their_commit_among_others_and_both_ways() {
    if has_mysql("mysqls_xa_transactions_arrive_with_their_commit_among_others_and_both_ways") {
        among_others([Flavour::MySql; 2]).await;
    }
}

async fn among_others(flavours: [Flavour; 2]) {
    let pair = Pair::of(flavours, TABLE, BOTH_WAYS).await;
    prepare(&pair.sh, "'a'", "INSERT INTO t VALUES (1, 'a')").await;
    prepare(&pair.sh, "'b','branch',5", "INSERT INTO t VALUES (2, 'b')").await;
    prepare(&pair.sh, "'c'", "INSERT INTO t VALUES (3, 'c')").await;
    passed(&pair.sh, &pair.bj, 10).await;
    assert_eq!(rows(&pair.bj).await, ["10|behind"], "nothing prepared is seen");
    pair.sh.execute("XA ROLLBACK 'b','branch',5; FLUSH BINARY LOGS; XA COMMIT 'c'").await;
    passed(&pair.sh, &pair.bj, 11).await;
    assert_eq!(rows(&pair.bj).await, ["3|c", "10|behind", "11|behind"]);
    // The name is free again.
    prepare(&pair.sh, "'c'", "UPDATE t SET v = 'again' WHERE id = 3").await;
    pair.sh.execute("XA COMMIT 'c'; XA COMMIT 'a'").await;
    pair.sh
        .execute("USE shop; XA START 'd'; INSERT INTO t VALUES (4, 'd'); XA END 'd'; XA COMMIT 'd' ONE PHASE")
        .await;
    wait_equal(&[&pair.sh, &pair.bj], &["shop.t"]).await;
    // What came is changed by an XA transaction of the other site.
    prepare(&pair.bj, "'a'", "UPDATE t SET v = 'bj' WHERE id < 4; DELETE FROM t WHERE id = 4").await;
    pair.bj.execute("XA COMMIT 'a'").await;
    passed(&pair.bj, &pair.sh, 12).await;
    let expected = ["1|bj", "3|bj", "10|behind", "11|behind", "12|behind"];
    assert_eq!(
        (rows(&pair.sh).await, rows(&pair.bj).await),
        (expected.map(String::from).into(), expected.map(String::from).into())
    );
    for (at, from) in [(BJ, "sh.main"), (SH, "bj.main")] {
        let direction = pair.deployment.direction(at, "orders", from).await.expect("it runs");
        assert_eq!(direction.conflicts, 0, "{direction:?}");
    }
}

/// The row is written at the other site while the transaction is prepared: by the time of its commit it
/// is the later one, though its rows are older.
#[tokio::test]
async fn an_xa_transaction_is_as_late_as_its_commit() {
    let pair = Pair::start(TABLE, BOTH_WAYS).await;
    passed(&pair.sh, &pair.bj, 1).await;
    wait_equal(&[&pair.sh, &pair.bj], &["shop.t"]).await;
    prepare(&pair.sh, "'a'", "UPDATE t SET v = 'prepared' WHERE id = 1").await;
    pair.bj.execute("UPDATE shop.t SET v = 'between' WHERE id = 1").await;
    // Whole seconds decide.
    tokio::time::sleep(std::time::Duration::from_millis(2_100)).await;
    pair.sh.execute("XA COMMIT 'a'").await;
    wait_equal(&[&pair.sh, &pair.bj], &["shop.t"]).await;
    passed(&pair.bj, &pair.sh, 2).await;
    passed(&pair.sh, &pair.bj, 3).await;
    wait_equal(&[&pair.sh, &pair.bj], &["shop.t"]).await;
    assert_eq!(rows(&pair.bj).await[0], "1|prepared");
}

#[tokio::test]
async fn what_was_prepared_before_the_node_died_commits_after_it_or_while_it_is_down() {
    though_the_node_died([Flavour::MariaDb; 2]).await;
}

#[tokio::test]
async fn what_mysql_prepared_before_the_node_died_commits_after_it_or_while_it_is_down() {
    if has_mysql("what_mysql_prepared_before_the_node_died_commits_after_it_or_while_it_is_down") {
        though_the_node_died([Flavour::MySql; 2]).await;
    }
}

async fn though_the_node_died(flavours: [Flavour; 2]) {
    let mut pair = Pair::of(flavours, TABLE, ONE_WAY).await;
    prepare(&pair.sh, "'early'", "INSERT INTO t VALUES (1, 'early')").await;
    pair.sh.execute("FLUSH BINARY LOGS; FLUSH BINARY LOGS").await;
    prepare(&pair.sh, "'late'", "INSERT INTO t VALUES (2, 'late')").await;
    prepare(&pair.sh, "'void'", "INSERT INTO t VALUES (3, 'void')").await;
    passed(&pair.sh, &pair.bj, 10).await;
    pair.sh.execute("FLUSH BINARY LOGS").await;
    passed(&pair.sh, &pair.bj, 11).await;
    pair.deployment.kill9(SH);
    pair.sh.execute("XA COMMIT 'late'").await;
    pair.deployment.start(SH);
    passed(&pair.sh, &pair.bj, 12).await;
    assert_eq!(rows(&pair.bj).await, ["2|late", "10|behind", "11|behind", "12|behind"]);
    pair.deployment.kill9(SH);
    pair.deployment.start(SH);
    passed(&pair.sh, &pair.bj, 13).await;
    pair.sh.execute("XA ROLLBACK 'void'; XA COMMIT 'early'").await;
    wait_equal(&[&pair.sh, &pair.bj], &["shop.t"]).await;
    assert_eq!(rows(&pair.bj).await[..2], ["1|early", "2|late"]);
    let direction = pair.deployment.direction(BJ, "orders", "sh.main").await.expect("it runs");
    assert_eq!((direction.transactions_applied, direction.conflicts), (6, 0), "{direction:?}");
}

#[tokio::test]
async fn what_was_prepared_before_the_server_died_commits_after_it() {
    let mut pair = Pair::servers(TABLE, "", BOTH_WAYS).await;
    pair.sh.execute("SET GLOBAL sync_binlog = 1, innodb_flush_log_at_trx_commit = 1").await;
    pair.deployment.start_all().await;
    prepare(&pair.sh, "'a'", "INSERT INTO t VALUES (1, 'a')").await;
    prepare(&pair.sh, "'b'", "INSERT INTO t VALUES (2, 'b')").await;
    passed(&pair.sh, &pair.bj, 10).await;
    pair.sh.kill9();
    pair.sh.restart().await;
    pair.sh.execute("XA COMMIT 'a'; XA ROLLBACK 'b'").await;
    passed(&pair.sh, &pair.bj, 11).await;
    wait_equal(&[&pair.sh, &pair.bj], &["shop.t"]).await;
    assert_eq!(rows(&pair.bj).await, ["1|a", "10|behind", "11|behind"]);
}

#[tokio::test]
async fn what_was_prepared_before_weft_came_arrives_though_other_formats_were_logged_before() {
    let mut pair = Pair::servers(TABLE, "", ONE_WAY).await;
    pair.sh
        .execute("SET binlog_format = STATEMENT; INSERT INTO shop.t VALUES (9, 'text'); DELETE FROM shop.t")
        .await;
    prepare(&pair.sh, "'a'", "INSERT INTO t VALUES (1, 'a')").await;
    pair.sh.execute("SET binlog_format = STATEMENT; INSERT INTO shop.t VALUES (9, 'text'); DELETE FROM shop.t WHERE id = 9").await;
    pair.deployment.start_all().await;
    passed(&pair.sh, &pair.bj, 10).await;
    pair.sh.execute("XA COMMIT 'a'").await;
    wait_equal(&[&pair.sh, &pair.bj], &["shop.t"]).await;
    assert_eq!(rows(&pair.bj).await, ["1|a", "10|behind"]);
}

#[tokio::test]
async fn rows_that_were_purged_before_their_commit_stop_the_direction_with_the_name() {
    let mut pair = Pair::start(TABLE, ONE_WAY).await;
    prepare(&pair.sh, "'gone'", "INSERT INTO t VALUES (1, 'gone')").await;
    pair.sh.execute("FLUSH BINARY LOGS").await;
    passed(&pair.sh, &pair.bj, 10).await;
    assert_eq!(pair.deployment.terminate(SH), Some(0));
    purge(&pair.sh).await;
    pair.deployment.start(SH);
    passed(&pair.sh, &pair.bj, 11).await;
    pair.sh.execute("XA COMMIT 'gone'").await;
    let reason = pair.stopped().await;
    assert!(reason.contains("XA COMMIT X'676f6e65',X'',1 at binlog.000002:"), "{reason}");
    assert!(reason.contains("empty data directory") && !reason.contains('\n'), "{reason}");
    let direction = pair.deployment.direction(BJ, "orders", "sh.main").await.expect("it answers");
    assert_eq!(direction.state, ChannelState::Stopped);
}

#[tokio::test]
async fn a_large_xa_transaction_arrives_whole_though_the_node_died_before_its_commit() {
    let mut pair = Pair::start("CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(400))", BOTH_WAYS).await;
    prepare(&pair.sh, "'large'", "INSERT INTO t SELECT seq, REPEAT('x', 400) FROM seq_1_to_20000").await;
    passed(&pair.sh, &pair.bj, 100_000).await;
    assert_eq!(pair.bj.query::<u64>("SELECT COUNT(*) FROM shop.t").await, [1]);
    pair.deployment.kill9(SH);
    pair.deployment.start(SH);
    passed(&pair.sh, &pair.bj, 100_001).await;
    pair.sh.execute("XA COMMIT 'large'").await;
    wait_equal(&[&pair.sh, &pair.bj], &["shop.t"]).await;
    assert_eq!(pair.bj.query::<u64>("SELECT COUNT(*) FROM shop.t").await, [20_002]);
    let config = pair.deployment.config();
    let (status, out, err) = run_program(&["verify", "--config", &config.display().to_string()]);
    assert_eq!(status, Some(0), "{out}{err}");
}

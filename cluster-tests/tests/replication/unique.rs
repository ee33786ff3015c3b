//! Unique secondary keys and keys that move.

use cluster_tests::nodes::{PATIENCE, wait_equal};
use cluster_tests::on_both_flavours;
use cluster_tests::servers::{Flavour, Server, has_mysql};
use cluster_tests::wait::wait_until;

use crate::pair::{BJ, BOTH_WAYS, Pair, SH, wait_rows};

on_both_flavours! {
    one_unique_value_taken_on_both_sides_goes_to_the_greater_version_and_the_other_row_is_evicted
    swaps_moves_and_nulls_of_keys_go_through_both_ways
    unique_values_fought_over_from_both_sides_at_once_end_equal
}

const TABLE: &str = "CREATE TABLE u (id INT PRIMARY KEY, mail VARCHAR(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci UNIQUE, n INT)";

async fn one_unique_value_taken_on_both_sides_goes_to_the_greater_version_and_the_other_row_is_evicted(
    flavour: Flavour,
) {
    let mut pair = Pair::of([flavour; 2], TABLE, BOTH_WAYS).await;
    pair.sh.execute("INSERT INTO shop.u VALUES (1, 'base@x', 0)").await;
    wait_equal(&[&pair.sh, &pair.bj], &["shop.u"]).await;
    // Neither side sees the other's change before it makes its own.
    pair.deployment.kill9(SH);
    pair.deployment.kill9(BJ);
    pair.sh.execute("INSERT INTO shop.u VALUES (10, 'a@x', 1), (11, 'only-sh@x', 1)").await;
    // Whole seconds decide.
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    pair.bj.execute("INSERT INTO shop.u VALUES (20, 'A@X', 2), (21, NULL, 2)").await;
    pair.bj.execute("UPDATE shop.u SET mail = 'bj@x' WHERE id = 1").await;
    pair.deployment.start_all().await;
    wait_equal(&[&pair.sh, &pair.bj], &["shop.u"]).await;
    let rows = pair.sh.text("SELECT id, mail FROM shop.u ORDER BY id").await;
    assert_eq!(rows, ["1|bj@x", "11|only-sh@x", "20|A@X", "21|NULL"]);

    let log = "SELECT verdict, JSON_VALUE(incoming, '$.id'), JSON_VALUE(local, '$.id'), incoming_time > 0 FROM \
               weft.conflict WHERE verdict LIKE '%evicted' ORDER BY id";
    wait_until(PATIENCE, "both sites keep the eviction", async || {
        let seen = (pair.sh.text(log).await, pair.bj.text(log).await);
        let sh = seen.0.iter().any(|row| row == "local-evicted|20|10|1");
        let bj = seen.1.iter().any(|row| row == "incoming-evicted|10|20|1");
        if sh && bj { Ok(()) } else { Err(format!("{seen:?}")) }
    })
    .await;
}

/// The mark at bj carries the evicted row in sh's layout, which is in no other event of bj's binlog.
async fn an_arriving_row_is_evicted_where_columns_have_another_order(flavour: Flavour, more: &str) {
    let table = TABLE.replace("n INT)", &format!("n INT, {more})"));
    let mut pair = Pair::servers_of([flavour; 2], &table, "", BOTH_WAYS).await;
    pair.bj.execute("ALTER TABLE shop.u MODIFY COLUMN n INT FIRST").await;
    pair.deployment.start_all().await;
    let rows = "SELECT id, mail, n FROM shop.u ORDER BY id";
    pair.sh.execute("INSERT INTO shop.u (id, mail, n) VALUES (1, 'base@x', 0)").await;
    wait_rows(&pair.bj, rows, &["1|base@x|0"]).await;
    pair.deployment.kill9(SH);
    pair.deployment.kill9(BJ);
    pair.sh.execute("INSERT INTO shop.u (id, mail, n) VALUES (10, 'a@x', 1)").await;
    // Whole seconds decide.
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    pair.bj.execute("INSERT INTO shop.u (id, mail, n) VALUES (20, 'A@X', 2)").await;
    pair.deployment.start_all().await;
    wait_rows(&pair.sh, rows, &["1|base@x|0", "20|A@X|2"]).await;
    wait_rows(&pair.bj, rows, &["1|base@x|0", "20|A@X|2"]).await;
    // Behind the eviction bj's binlog is read on.
    pair.bj.execute("UPDATE shop.u SET n = 3").await;
    wait_rows(&pair.sh, rows, &["1|base@x|3", "20|A@X|3"]).await;
}

/// Values that no text can be had of are not in the way.
#[tokio::test]
async fn a_row_that_is_evicted_on_arrival_is_named_to_all_though_the_columns_have_another_order() {
    let shape = "g GEOMETRYCOLLECTION";
    an_arriving_row_is_evicted_where_columns_have_another_order(Flavour::MariaDb, shape).await;
    if has_mysql("a_row_that_is_evicted_on_arrival_is_named_to_all_though_the_columns_have_another_order") {
        let shapes = "g GEOMETRYCOLLECTION, v VECTOR(2), j JSON";
        an_arriving_row_is_evicted_where_columns_have_another_order(Flavour::MySql, shapes).await;
    }
}

async fn swaps_moves_and_nulls_of_keys_go_through_both_ways(flavour: Flavour) {
    let pair = Pair::of([flavour; 2], TABLE, BOTH_WAYS).await;
    let (sh, bj) = (&pair.sh, &pair.bj);
    sh.execute("INSERT INTO shop.u VALUES (1, 'a', 0), (2, 'b', 0), (3, NULL, 0), (4, NULL, 0), (5, 'e', 0)")
        .await;
    wait_equal(&[sh, bj], &["shop.u"]).await;
    // The values change hands within one transaction, through a third.
    let swap = "START TRANSACTION; UPDATE shop.u SET mail = 'tmp' WHERE id = 1; UPDATE shop.u SET mail = 'a' WHERE id \
                = 2; UPDATE shop.u SET mail = 'b' WHERE id = 1; COMMIT";
    sh.execute(swap).await;
    wait_equal(&[sh, bj], &["shop.u"]).await;
    assert_eq!(bj.text("SELECT mail FROM shop.u WHERE id < 3 ORDER BY id").await, ["b", "a"]);
    // A row moves to another key and back, one takes the key that another left, deletes and inserts
    // hand a value over.
    bj.execute(
        "START TRANSACTION; UPDATE shop.u SET id = 100 WHERE id = 1; UPDATE shop.u SET id = 1 WHERE id = 2; UPDATE \
         shop.u SET id = 2 WHERE id = 100; COMMIT; DELETE FROM shop.u WHERE id = 5; INSERT INTO shop.u VALUES (6, \
         'e', 1); UPDATE shop.u SET mail = NULL WHERE id = 6; INSERT INTO shop.u VALUES (5, 'e', 2); UPDATE shop.u \
         SET id = id + 1000 WHERE mail IS NULL",
    )
    .await;
    wait_equal(&[sh, bj], &["shop.u"]).await;
    let rows = "SELECT id, IFNULL(mail, '-') FROM shop.u ORDER BY id";
    assert_eq!(sh.text(rows).await, ["1|a", "2|b", "5|e", "1003|-", "1004|-", "1006|-"]);
    assert_eq!(conflicts(sh).await + conflicts(bj).await, 0);
}

async fn unique_values_fought_over_from_both_sides_at_once_end_equal(flavour: Flavour) {
    let pair = Pair::of([flavour; 2], TABLE, BOTH_WAYS).await;
    let fight = async |server: &Server, side: u64| {
        let mut conn = server.conn().await;
        for i in 0..250_u64 {
            let (id, value) = (mix(i * 2 + side) % 12, mix(i * 2 + side + 7_000) % 8);
            let sql = match i % 5 {
                0 => format!("DELETE FROM shop.u WHERE id = {id}"),
                1 => format!("UPDATE IGNORE shop.u SET mail = 'm{value}' WHERE id = {id}"),
                2 => format!("UPDATE IGNORE shop.u SET id = {} WHERE id = {id}", mix(i) % 12),
                3 => format!("UPDATE shop.u SET mail = NULL, n = {i} WHERE id = {id}"),
                _ => format!("REPLACE INTO shop.u VALUES ({id}, 'm{value}', {i})"),
            };
            run_through_deadlocks(&mut conn, &sql).await;
        }
    };
    futures::join!(fight(&pair.sh, 0), fight(&pair.bj, 1));
    wait_equal(&[&pair.sh, &pair.bj], &["shop.u"]).await;
}

/// An application tries again after a deadlock; so does the test.
async fn run_through_deadlocks(conn: &mut mysql_async::Conn, sql: &str) {
    use mysql_async::prelude::Queryable;
    loop {
        match conn.query_drop(sql).await {
            Ok(()) => return,
            Err(mysql_async::Error::Server(error)) if matches!(error.code, 1205 | 1213) => {}
            Err(error) => panic!("{sql}: {error}"),
        }
    }
}

async fn conflicts(server: &Server) -> u64 {
    let counts: Vec<u64> = server.query("SELECT COUNT(*) FROM weft.conflict").await;
    counts[0]
}

/// Scatters numbers, always alike.
fn mix(n: u64) -> u64 {
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

//! Pairs of flavours: MySQL with MySQL by replay, MariaDB with MySQL by SQL.

use cluster_tests::nodes::{PATIENCE, run_program};
use cluster_tests::servers::{Flavour, Server, has_mysql};
use cluster_tests::wait::wait_until;

use super::pair::{BJ, BOTH_WAYS, Pair, wait_rows};

/// Makes a test of each function on each pair of flavours with MySQL in it.
macro_rules! on_pairs_with_mysql {
    ($($body:ident)*) => {
        mod mysql_and_mysql {
            $(#[tokio::test]
            async fn $body() {
                if super::has_mysql(stringify!($body)) {
                    super::$body([super::Flavour::MySql, super::Flavour::MySql]).await;
                }
            })*
        }
        mod mariadb_and_mysql {
            $(#[tokio::test]
            async fn $body() {
                if super::has_mysql(stringify!($body)) {
                    super::$body([super::Flavour::MariaDb, super::Flavour::MySql]).await;
                }
            })*
        }
    };
}

on_pairs_with_mysql! {
    two_ways_with_conflicts_end_identical
    two_ways_survive_kills_of_a_node_and_of_a_server
    quiet_binlogs_grow_by_heartbeats_alone
    rows_are_replayed_within_a_flavour_and_go_by_sql_across
}

const TABLE: &str =
    "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(60) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin)";
const ROWS: &str = "SELECT id, v FROM shop.t ORDER BY id";

/// Waits until both sites have the same rows, by their texts: checksums of tables differ between the
/// flavours.
async fn wait_alike(pair: &Pair) -> Vec<String> {
    wait_until(PATIENCE, "both sites are alike", async || {
        let (sh, bj) = (pair.sh.text(ROWS).await, pair.bj.text(ROWS).await);
        if sh == bj { Ok(sh) } else { Err(format!("{} and {} rows", sh.len(), bj.len())) }
    })
    .await
}

fn verify(pair: &Pair) {
    let config = pair.deployment.config();
    let (status, out, err) = run_program(&["verify", "--config", &config.display().to_string()]);
    assert_eq!(status, Some(0), "{out}{err}");
}

/// Writes the same keys at both sites.
async fn collide(sh: &Server, bj: &Server, round: u32) {
    for i in 0..40 {
        let write = |site: &str| format!("REPLACE INTO shop.t VALUES ({i}, '{site} {round} é{i}')");
        let (sh_writes, bj_writes) = (write("sh"), write("bj"));
        tokio::join!(sh.execute(&sh_writes), bj.execute(&bj_writes));
    }
}

async fn two_ways_with_conflicts_end_identical(flavours: [Flavour; 2]) {
    let pair = Pair::of(flavours, TABLE, BOTH_WAYS).await;
    collide(&pair.sh, &pair.bj, 0).await;
    pair.sh.execute("DELETE FROM shop.t WHERE id < 5; UPDATE shop.t SET v = NULL WHERE id = 7").await;
    pair.bj.execute("UPDATE shop.t SET id = 1000, v = 'moved' WHERE id = 9").await;
    pair.sh.execute("INSERT INTO shop.t VALUES (500, 'last of sh')").await;
    pair.bj.execute("INSERT INTO shop.t VALUES (501, 'last of bj')").await;
    let last = "SELECT COUNT(*) FROM shop.t WHERE id IN (500, 501, 1000)";
    wait_rows(&pair.sh, last, &["3"]).await;
    wait_rows(&pair.bj, last, &["3"]).await;
    wait_alike(&pair).await;
    verify(&pair);
}

async fn two_ways_survive_kills_of_a_node_and_of_a_server(flavours: [Flavour; 2]) {
    let mut pair = Pair::of(flavours, TABLE, BOTH_WAYS).await;
    for round in 0..3 {
        collide(&pair.sh, &pair.bj, round).await;
        match round {
            0 => {
                pair.deployment.kill9(BJ);
                pair.deployment.start(BJ);
            }
            1 => pair.bj.restart().await,
            _ => pair.sh.restart().await,
        }
    }
    pair.sh.execute("INSERT INTO shop.t VALUES (500, 'last of sh')").await;
    pair.bj.execute("INSERT INTO shop.t VALUES (501, 'last of bj')").await;
    let last = "SELECT COUNT(*) FROM shop.t WHERE id IN (500, 501)";
    wait_rows(&pair.sh, last, &["2"]).await;
    wait_rows(&pair.bj, last, &["2"]).await;
    wait_alike(&pair).await;
    verify(&pair);
}

/// What arrived from the other site is not sent back: nothing but heartbeats is written any more.
async fn quiet_binlogs_grow_by_heartbeats_alone(flavours: [Flavour; 2]) {
    let pair = Pair::of(flavours, TABLE, BOTH_WAYS).await;
    collide(&pair.sh, &pair.bj, 0).await;
    wait_alike(&pair).await;
    let marks = async || {
        let marks =
            "SELECT GROUP_CONCAT(LEFT(SHA2(body, 256), 16) ORDER BY channel, source, shard) FROM weft.mark";
        (pair.sh.text(marks).await, pair.bj.text(marks).await)
    };
    let mut before = marks().await;
    let beat = "SELECT written FROM weft.heartbeat";
    let mut beats = (pair.sh.text(beat).await, pair.bj.text(beat).await);
    // The marks stay while heartbeats of both sites move twice.
    let mut still = 0;
    wait_until(PATIENCE, "the sites are quiet", async || {
        let (now, moved) = (marks().await, (pair.sh.text(beat).await, pair.bj.text(beat).await));
        still = if now == before { still } else { 0 };
        before = now;
        if moved.0 != beats.0 && moved.1 != beats.1 {
            beats = moved;
            still += 1;
        }
        if still > 3 { Ok(()) } else { Err(format!("the marks moved within {still} heartbeats")) }
    })
    .await;
    verify(&pair);
}

/// A trigger tells the ways apart: it fires for rows that come by SQL.
async fn rows_are_replayed_within_a_flavour_and_go_by_sql_across(flavours: [Flavour; 2]) {
    let create = format!(
        "{TABLE}; CREATE DATABASE seen; CREATE TABLE seen.rows_written (id INT PRIMARY KEY); \
         CREATE TRIGGER written AFTER INSERT ON t FOR EACH ROW INSERT INTO seen.rows_written VALUES (NEW.id)"
    );
    let pair = Pair::of(flavours, &create, BOTH_WAYS).await;
    pair.sh.execute("INSERT INTO shop.t VALUES (1, 'of sh')").await;
    pair.bj.execute("INSERT INTO shop.t VALUES (2, 'of bj')").await;
    let both = ["1|of sh", "2|of bj"];
    wait_rows(&pair.sh, ROWS, &both).await;
    wait_rows(&pair.bj, ROWS, &both).await;
    let seen = "SELECT id FROM seen.rows_written ORDER BY id";
    let fired = (pair.sh.text(seen).await.join(" "), pair.bj.text(seen).await.join(" "));
    let expected = if flavours[0] == flavours[1] { ("1", "2") } else { ("1 2", "1 2") };
    assert_eq!((fired.0.as_str(), fired.1.as_str()), expected);
}

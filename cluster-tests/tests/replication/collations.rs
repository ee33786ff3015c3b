//! Keys that Weft cannot compare as the server does, and keys that two servers compare differently.

use cluster_tests::nodes::wait_equal;
use cluster_tests::servers::Server;
use weft_actors::status::ChannelState;

use crate::pair::{BOTH_WAYS, ONE_WAY, Pair, wait_rows};

/// A table whose key is a text of this collation.
fn table(collation: &str) -> String {
    format!("CREATE TABLE k (name VARCHAR(20) CHARACTER SET utf8mb4 COLLATE {collation} PRIMARY KEY, n INT)")
}

/// Gives the key another collation.
fn alter(collation: &str) -> String {
    format!("ALTER TABLE shop.k MODIFY name VARCHAR(20) CHARACTER SET utf8mb4 COLLATE {collation}")
}

/// One that is not weighed.
const STRANGE: &str = "utf8mb4_german2_ci";

async fn at_both(pair: &Pair, sql: &str) {
    futures::join!(pair.sh.execute(sql), pair.bj.execute(sql));
}

/// What the direction says when it stops at such a key.
async fn stops_at_the_key(pair: &Pair) {
    let reason = pair.stopped().await;
    for word in ["shop.k", "column name", "key PRIMARY", "ALTER", "\"!shop.k\""] {
        assert!(reason.contains(word), "{word} in {reason}");
    }
    assert!(!reason.contains('\n'), "{reason}");
}

#[tokio::test]
async fn a_two_way_key_that_cannot_be_weighed_stops_the_direction_until_it_is_altered_and_the_change_skipped()
{
    let pair = Pair::start(&table(STRANGE), BOTH_WAYS).await;
    pair.sh.execute("INSERT INTO shop.k VALUES ('Ärger', 1)").await;
    stops_at_the_key(&pair).await;
    assert!(pair.bj.text("SELECT * FROM shop.k").await.is_empty(), "nothing of it is written");
    at_both(&pair, &alter("utf8mb4_bin")).await;
    pair.bj.execute("SET SESSION sql_log_bin = 0; INSERT INTO shop.k VALUES ('Ärger', 1)").await;
    pair.channel("skip");
    pair.sh.execute("INSERT INTO shop.k VALUES ('Öl', 2)").await;
    wait_rows(&pair.bj, "SELECT n FROM shop.k ORDER BY n", &["1", "2"]).await;
    pair.state(ChannelState::Running).await;

    // A statement brings such a key to a table that went both ways.
    at_both(&pair, &alter(STRANGE)).await;
    pair.sh.execute("UPDATE shop.k SET n = 3 WHERE n = 2").await;
    stops_at_the_key(&pair).await;
}

/// The same row had two hashes: each site decided it without the other's versions.
#[tokio::test]
async fn a_two_way_key_that_is_compared_otherwise_at_the_target_stops_until_both_are_alike() {
    let pair = Pair::start(&table("utf8mb4_bin"), BOTH_WAYS).await;
    pair.bj.execute(&alter("utf8mb4_general_ci")).await;
    pair.sh.execute("INSERT INTO shop.k VALUES ('a', 1), ('b', 2)").await;
    let reason = pair.stopped().await;
    for word in ["bj.main", "shop.k", "column name", "collation 45", "46 at the source"] {
        assert!(reason.contains(word), "{word} in {reason}");
    }
    pair.bj.execute(&alter("utf8mb4_bin")).await;
    pair.state(ChannelState::Running).await;
    wait_equal(&[&pair.sh, &pair.bj], &["shop.k"]).await;
    assert_eq!(pair.bj.text("SELECT COUNT(*) FROM shop.k").await, ["2"]);
}

/// Deletes and inserts of one row, each time spelled otherwise. In shards of their own an insert met the
/// row that its delete had not taken away yet, and became the update of a row that then went.
#[tokio::test]
async fn one_way_a_row_under_two_spellings_arrives_in_order_though_its_key_is_not_weighed() {
    let rows = format!("{ONE_WAY}shards = 8\nconsistency = \"row\"\n");
    let mut pair = Pair::servers(&table(STRANGE), "", &rows).await;
    pair.deployment.start_all().await;
    let write = async |server: &Server| {
        let mut conn = server.conn().await;
        for round in 0..60 {
            let mut sql = String::new();
            for letter in 'a'..='l' {
                let [old, new] = if round % 2 == 0 {
                    [letter, letter.to_ascii_uppercase()]
                } else {
                    [letter.to_ascii_uppercase(), letter]
                };
                sql += &format!(
                    "DELETE FROM shop.k WHERE name = '{old}'; INSERT INTO shop.k VALUES ('{new}', {round});"
                );
            }
            mysql_async::prelude::Queryable::query_drop(&mut conn, sql).await.expect("written");
        }
    };
    write(&pair.sh).await;
    wait_equal(&[&pair.sh, &pair.bj], &["shop.k"]).await;
    assert_eq!(pair.bj.text("SELECT COUNT(*) FROM shop.k").await, ["12"]);
}

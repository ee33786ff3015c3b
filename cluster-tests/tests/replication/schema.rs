//! Tables that change while they are replicated.

use cluster_tests::nodes::wait_equal;
use weft_actors::status::ChannelState;

use crate::pair::{BOTH_WAYS, ONE_WAY, Pair, SH, wait_rows};

#[tokio::test]
async fn rows_flow_on_by_name_while_columns_come_and_go_on_one_side_and_then_the_other() {
    let pair = Pair::start("CREATE TABLE t (id INT PRIMARY KEY, a VARCHAR(20))", BOTH_WAYS).await;
    let (sh, bj) = (&pair.sh, &pair.bj);
    sh.execute("INSERT INTO shop.t VALUES (1, 'one')").await;
    wait_equal(&[sh, bj], &["shop.t"]).await;

    // A column that only the source has: its default may stay away, a value may not.
    sh.execute("ALTER TABLE shop.t ADD COLUMN b INT DEFAULT 5; INSERT INTO shop.t (id, a) VALUES (2, 'two')")
        .await;
    wait_rows(bj, "SELECT * FROM shop.t ORDER BY id", &["1|one", "2|two"]).await;
    bj.execute("INSERT INTO shop.t VALUES (3, 'three')").await;
    wait_rows(sh, "SELECT * FROM shop.t WHERE id = 3", &["3|three|5"]).await;
    sh.execute("UPDATE shop.t SET b = 7 WHERE id = 1").await;
    let reason = pair.stopped().await;
    assert!(reason.contains("ALTER TABLE `shop`.`t` ADD COLUMN `b` int"), "{reason}");
    assert!(!reason.contains('\n'), "{reason}");

    // Nobody resumes it: that the target fits now is seen.
    bj.execute("ALTER TABLE shop.t ADD COLUMN b INT DEFAULT 5").await;
    pair.state(ChannelState::Running).await;
    wait_equal(&[sh, bj], &["shop.t"]).await;

    // A column that only the target has gets its default there.
    sh.execute("ALTER TABLE shop.t DROP COLUMN a; INSERT INTO shop.t VALUES (4, 8)").await;
    wait_rows(bj, "SELECT * FROM shop.t WHERE id IN (1, 4) ORDER BY id", &["1|one|7", "4|NULL|8"]).await;
    bj.execute("ALTER TABLE shop.t DROP COLUMN a; UPDATE shop.t SET b = b + 1").await;
    wait_rows(sh, "SELECT * FROM shop.t ORDER BY id", &["1|8", "2|6", "3|6", "4|9"]).await;
    wait_equal(&[sh, bj], &["shop.t"]).await;

    let catalog = pair.deployment.sites[SH].data.join("buffer/sh.main/catalog");
    let history = std::fs::read(catalog).expect("the schema history is there");
    for statement in ["ALTER TABLE shop.t ADD COLUMN b INT DEFAULT 5", "ALTER TABLE shop.t DROP COLUMN a"] {
        let recorded = history.windows(statement.len()).any(|window| window == statement.as_bytes());
        assert!(recorded, "the schema history has {statement}");
    }
}

#[tokio::test]
async fn statements_that_take_rows_away_stop_the_channel_until_it_is_resumed_or_they_are_skipped() {
    let tables = "CREATE TABLE t (id INT PRIMARY KEY); CREATE TABLE gone (id INT PRIMARY KEY); \
                  CREATE TABLE old (id INT PRIMARY KEY); CREATE TABLE single (id INT PRIMARY KEY); \
                  CREATE TABLE parts (id INT PRIMARY KEY) PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN \
                  (10), PARTITION p1 VALUES LESS THAN MAXVALUE)";
    let pair = Pair::start(tables, ONE_WAY).await;
    let (sh, bj) = (&pair.sh, &pair.bj);
    sh.execute("INSERT INTO shop.t VALUES (1), (2); INSERT INTO shop.parts VALUES (1), (20); INSERT INTO shop.single VALUES (3)").await;
    wait_equal(&[sh, bj], &["shop.t", "shop.parts", "shop.single"]).await;

    // What is behind the statement waits; what is before it is applied.
    sh.execute("INSERT INTO shop.t VALUES (3); TRUNCATE TABLE shop.t; INSERT INTO shop.t VALUES (4)").await;
    let reason = pair.stopped().await;
    assert!(reason.contains("TRUNCATE") && reason.contains("shop.t"), "{reason}");
    wait_rows(bj, "SELECT * FROM shop.t ORDER BY id", &["1", "2", "3"]).await;
    bj.execute("TRUNCATE TABLE shop.t").await;
    pair.channel("resume");
    wait_rows(bj, "SELECT * FROM shop.t", &["4"]).await;

    sh.execute("DROP TABLE shop.gone; INSERT INTO shop.t VALUES (5)").await;
    let reason = pair.stopped().await;
    assert!(reason.contains("DROP TABLE") && reason.contains("`gone`"), "{reason}");
    pair.channel("skip");
    wait_rows(bj, "SELECT COUNT(*) FROM shop.t WHERE id = 5", &["1"]).await;
    wait_rows(bj, "SELECT COUNT(*) FROM shop.gone", &["0"]).await;

    sh.execute("RENAME TABLE shop.old TO shop.new; INSERT INTO shop.new VALUES (6)").await;
    let reason = pair.stopped().await;
    assert!(reason.contains("RENAME") && reason.contains("shop.old"), "{reason}");
    bj.execute("RENAME TABLE shop.old TO shop.new").await;
    pair.channel("resume");
    wait_rows(bj, "SELECT * FROM shop.new", &["6"]).await;

    let exchange = "ALTER TABLE shop.parts EXCHANGE PARTITION p0 WITH TABLE shop.single";
    sh.execute(&format!("{exchange}; INSERT INTO shop.parts VALUES (7)")).await;
    let reason = pair.stopped().await;
    assert!(reason.contains("EXCHANGE PARTITION") && reason.contains("shop.parts"), "{reason}");
    bj.execute(exchange).await;
    pair.channel("resume");
    wait_equal(&[sh, bj], &["shop.parts", "shop.single", "shop.t", "shop.new"]).await;
    pair.state(ChannelState::Running).await;
    let skips = bj.text("SELECT verdict FROM weft.conflict ORDER BY id").await;
    assert_eq!(skips, ["skipped"; 4]);
}

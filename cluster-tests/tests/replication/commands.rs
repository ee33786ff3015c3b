//! What an operator says, and what goes on by itself.

use std::time::{Duration, Instant};

use cluster_tests::nodes::{run_program, wait_equal};
use cluster_tests::wait::wait_until;
use mysql_async::prelude::Queryable;
use weft_actors::status::{ChannelState, ChannelStatus};

use crate::support::{BOTH_WAYS, Pair};

/// Runs `weft channel VERB orders --to bj.main` at the target's node.
fn channel(pair: &Pair, verb: &str) {
    let admin = pair.deployment.admin_url(1);
    let (status, out, err) = run_program(&["channel", verb, "orders", "--to", "bj.main", "--admin", &admin]);
    assert_eq!(status, Some(0), "{out}{err}");
}

/// Waits until the direction into bj stopped for a reason with `text` in it.
async fn wait_stopped(pair: &Pair, text: &str) -> ChannelStatus {
    let look = async || {
        let now = pair.deployment.direction(1, "orders", "sh.main").await?;
        let right = now.state == ChannelState::Stopped
            && now.reason.as_ref().is_some_and(|reason| reason.contains(text));
        if right { Ok(now) } else { Err(format!("{now:?}")) }
    };
    wait_until(Duration::from_secs(30), &format!("stopped for '{text}'"), look).await
}

async fn count_at_bj(pair: &Pair, table: &str) -> u64 {
    let rows: Vec<u64> = pair.bj.query(&format!("SELECT COUNT(*) FROM {table}")).await;
    rows[0]
}

#[tokio::test]
async fn a_paused_direction_applies_nothing_until_it_is_resumed() {
    let pair = Pair::start(BOTH_WAYS, false).await;
    channel(&pair, "pause");
    pair.deployment.wait_state(1, "orders", "sh.main", ChannelState::Paused).await;
    pair.sh.execute("INSERT INTO shop.log VALUES (1, 'while paused')").await;
    let lagging = async || {
        let now = pair.deployment.direction(1, "orders", "sh.main").await?;
        if now.lag_ms.is_some_and(|lag| lag > 4_000) { Ok(now) } else { Err(format!("{now:?}")) }
    };
    let paused = wait_until(Duration::from_secs(20), "the lag grows", lagging).await;
    assert_eq!(paused.state, ChannelState::Paused);
    assert_eq!(count_at_bj(&pair, "shop.log").await, 0);
    // The other direction does not care.
    pair.bj.execute("INSERT INTO shop.log VALUES (2, 'the other way')").await;
    wait_until(Duration::from_secs(20), "the other direction goes on", async || {
        let rows: Vec<u64> = pair.sh.query("SELECT COUNT(*) FROM shop.log").await;
        if rows == [2] { Ok(()) } else { Err(format!("{rows:?}")) }
    })
    .await;
    channel(&pair, "resume");
    wait_equal(&[&pair.sh, &pair.bj], &["shop.log"]).await;
    let calm = async || {
        let now = pair.deployment.direction(1, "orders", "sh.main").await?;
        let right = now.state == ChannelState::Running && now.lag_ms.is_some_and(|lag| lag < 2_500);
        if right { Ok(()) } else { Err(format!("{now:?}")) }
    };
    wait_until(Duration::from_secs(20), "the lag is small again", calm).await;
}

#[tokio::test]
async fn a_missing_table_stops_the_direction_until_it_is_created_or_its_change_is_skipped() {
    let pair = Pair::start(BOTH_WAYS, false).await;
    pair.sh.execute("CREATE TABLE shop.later (id INT PRIMARY KEY); INSERT INTO shop.later VALUES (1)").await;
    let stopped = wait_stopped(&pair, "create the table there").await;
    assert!(stopped.reason.is_some_and(|reason| reason.contains("shop.later")));
    pair.bj.execute("CREATE TABLE shop.later (id INT PRIMARY KEY)").await;
    pair.deployment.wait_state(1, "orders", "sh.main", ChannelState::Running).await;
    wait_equal(&[&pair.sh, &pair.bj], &["shop.later"]).await;
    assert_eq!(count_at_bj(&pair, "shop.later").await, 1);

    pair.sh.execute("CREATE TABLE shop.never (id INT PRIMARY KEY); INSERT INTO shop.never VALUES (1)").await;
    pair.sh.execute("INSERT INTO shop.log VALUES (1, 'behind it')").await;
    wait_stopped(&pair, "shop.never").await;
    channel(&pair, "skip");
    pair.deployment.wait_state(1, "orders", "sh.main", ChannelState::Running).await;
    wait_equal(&[&pair.sh, &pair.bj], &["shop.log"]).await;
    let skipped: Vec<u64> =
        pair.bj.query("SELECT COUNT(*) FROM weft.conflict WHERE verdict = 'skipped'").await;
    assert_eq!(skipped, [1], "it is on the record");
}

/// A client holds rows for longer than the target's lock wait timeout.
#[tokio::test]
async fn a_batch_that_waits_for_a_lock_is_tried_again_and_nothing_is_skipped() {
    let pair = Pair::start(BOTH_WAYS, false).await;
    pair.sh.execute("INSERT INTO shop.t VALUES (1, 'a', 0), (2, 'a', 0)").await;
    wait_equal(&[&pair.sh, &pair.bj], &["shop.t"]).await;
    let mut holder = pair.bj.conn().await;
    holder.query_drop("BEGIN").await.expect("the server answers");
    holder.query_drop("SELECT * FROM shop.t FOR UPDATE").await.expect("the server answers");
    let began = Instant::now();
    for n in 0..50 {
        pair.sh.execute(&format!("UPDATE shop.t SET v = 'b{n}' WHERE id = {}", n % 2 + 1)).await;
        pair.sh.execute(&format!("INSERT INTO shop.log VALUES ({n}, 'beside')")).await;
    }
    tokio::time::sleep(Duration::from_secs(8).saturating_sub(began.elapsed())).await;
    let held: Vec<u64> = pair.bj.query("SELECT COUNT(*) FROM shop.t WHERE v <> 'a'").await;
    assert_eq!(held, [0], "the rows are locked");
    let now = pair.deployment.direction(1, "orders", "sh.main").await.expect("it answers");
    assert_eq!(now.state, ChannelState::Running, "{now:?}");
    holder.query_drop("COMMIT").await.expect("the server answers");
    wait_equal(&[&pair.sh, &pair.bj], &["shop.t", "shop.log"]).await;
    let last = pair.bj.text("SELECT v FROM shop.t ORDER BY id").await;
    assert_eq!(last, ["b48", "b49"]);
    let now = pair.deployment.direction(1, "orders", "sh.main").await.expect("it answers");
    assert_eq!((now.rows_skipped, now.conflicts), (0, 0), "{now:?}");
}

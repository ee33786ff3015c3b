//! Two processes that both believe to own a direction, and a node that lost what it kept.

use std::time::{Duration, Instant};

use cluster_tests::nodes::{PATIENCE, tail};
use cluster_tests::wait::wait_until;
use weft_actors::status::ChannelState;

use crate::support::{BOTH_WAYS, Pair, finish};

/// The node freezes; another takes its place; the frozen one wakes with open connections, queued
/// work and the old epoch.
#[tokio::test]
async fn a_node_that_wakes_after_another_took_its_place_leaves_it_the_direction() {
    let mut pair = Pair::start(BOTH_WAYS, false).await;
    let writers = pair.write_both();
    pair.wait_ms(1_000, 2_000).await;
    pair.deployment.process(1).freeze();
    pair.wait_ms(200, 600).await;
    let mut other = pair.deployment.substitute(1, &[&pair.sh, &pair.bj], "", BOTH_WAYS);
    other.start(1);
    other.wait_state(1, "orders", "sh.main", ChannelState::Running).await;
    pair.wait_ms(500, 1_500).await;
    let epoch = epoch(&pair).await;
    pair.deployment.process(1).thaw();
    let shut_out = async || {
        let now = pair.deployment.direction(1, "orders", "sh.main").await?;
        let says = now.reason.clone().unwrap_or_default();
        let right = now.state == ChannelState::Stopped && says.contains("another node runs this direction");
        if right { Ok(()) } else { Err(format!("{now:?}\n{}", tail(&pair.deployment.log(1)))) }
    };
    wait_until(PATIENCE, "the old owner knows that it is not any more", shut_out).await;
    // Longer than two of its tries.
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(7) {
        let now = other.direction(1, "orders", "sh.main").await.expect("it answers");
        assert_eq!(now.state, ChannelState::Running, "{now:?}\n{}", tail(&other.log(1)));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(self::epoch(&pair).await, epoch, "nobody took the direction back");
    let journals = finish(writers).await;
    pair.assert_equal(&journals).await;
    // The new owner dies: the old one, still there, goes on.
    other.kill9(1);
    pair.deployment.wait_state(1, "orders", "sh.main", ChannelState::Running).await;
    pair.sh.execute("INSERT INTO shop.log VALUES (1, 'after')").await;
    pair.assert_equal(&journals).await;
}

/// Epoch of the direction into bj.
async fn epoch(pair: &Pair) -> u64 {
    let epochs: Vec<u64> = pair.bj.query("SELECT MAX(epoch) FROM weft.mark WHERE source = 'sh.main'").await;
    epochs[0]
}

#[tokio::test]
async fn a_node_without_its_data_directory_reads_its_history_again_from_the_instance() {
    let mut pair = Pair::start(BOTH_WAYS, false).await;
    let writers = pair.write_both();
    for victim in [1, 0] {
        pair.wait_ms(1_500, 3_000).await;
        // Two files of history, one of them closed.
        let server = if victim == 1 { &pair.bj } else { &pair.sh };
        server.execute("FLUSH BINARY LOGS").await;
        pair.wait_ms(300, 1_000).await;
        pair.deployment.kill9(victim);
        std::fs::remove_dir_all(&pair.deployment.sites[victim].data).expect("nobody has it open");
        pair.wait_ms(0, 1_000).await;
        pair.deployment.start(victim);
        pair.deployment.wait_ready(victim).await;
    }
    let before = pair.deployment.direction(1, "orders", "sh.main").await.expect("it answers");
    let moved = async || {
        let now = pair.deployment.direction(1, "orders", "sh.main").await?;
        if now.rows_applied > before.rows_applied { Ok(()) } else { Err(format!("{now:?}")) }
    };
    wait_until(Duration::from_secs(30), "rows flow again", moved).await;
    let journals = finish(writers).await;
    pair.assert_equal(&journals).await;
}

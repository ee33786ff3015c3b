//! Nodes and servers that die at any moment, under load.

use std::time::Duration;

use cluster_tests::nodes::wait_equal;
use cluster_tests::oracle;
use cluster_tests::workload::{TABLES, Writer};
use weft_actors::status::ChannelState;

use crate::support::{BOTH_WAYS, ONE_WAY, Pair, finish};

#[tokio::test]
async fn one_way_every_change_is_applied_exactly_once_though_nodes_are_killed() {
    let mut pair = Pair::start(ONE_WAY, false).await;
    let writers = vec![Writer::start(&pair.sh, 1, 1), Writer::start(&pair.sh, 2, 2)];
    for round in 0..8 {
        pair.wait_ms(300, 2_500).await;
        let victim = round % 2;
        pair.deployment.kill9(victim);
        pair.wait_ms(0, 300).await;
        pair.deployment.start(victim);
    }
    finish(writers).await;
    wait_equal(&[&pair.sh, &pair.bj], &TABLES).await;
    let (source, target) = (oracle::changes(&pair.sh).await, oracle::changes(&pair.bj).await);
    assert!(source.len() > 300, "too little was written to show anything: {}", source.len());
    oracle::assert_applied_once(&source, &target);
}

#[tokio::test]
async fn two_ways_nothing_is_lost_though_nodes_are_killed() {
    let mut pair = Pair::start(BOTH_WAYS, false).await;
    let writers = pair.write_both();
    for round in 0..8 {
        pair.wait_ms(300, 2_500).await;
        let victim = round % 2;
        pair.deployment.kill9(victim);
        pair.wait_ms(0, 300).await;
        pair.deployment.start(victim);
    }
    let journals = finish(writers).await;
    pair.assert_equal(&journals).await;
}

#[tokio::test]
async fn two_ways_nothing_is_lost_though_servers_are_killed() {
    let mut pair = Pair::start(BOTH_WAYS, true).await;
    let writers = pair.write_both();
    for round in 0..4 {
        pair.wait_ms(500, 3_000).await;
        let victim = if round % 2 == 0 { &mut pair.sh } else { &mut pair.bj };
        victim.restart().await;
    }
    pair.wait_ms(500, 1_000).await;
    let journals = finish(writers).await;
    pair.assert_equal(&journals).await;
}

#[tokio::test]
async fn one_way_every_change_is_applied_exactly_once_though_servers_are_killed() {
    let mut pair = Pair::start(ONE_WAY, true).await;
    let writers = vec![Writer::start(&pair.sh, 1, 1), Writer::start(&pair.sh, 2, 2)];
    for round in 0..4 {
        pair.wait_ms(500, 3_000).await;
        let victim = if round % 2 == 0 { &mut pair.bj } else { &mut pair.sh };
        victim.restart().await;
    }
    pair.wait_ms(500, 1_000).await;
    finish(writers).await;
    wait_equal(&[&pair.sh, &pair.bj], &TABLES).await;
    oracle::assert_applied_once(&oracle::changes(&pair.sh).await, &oracle::changes(&pair.bj).await);
}

#[tokio::test]
async fn a_node_told_to_stop_under_load_drains_and_exits_with_zero() {
    let mut pair = Pair::start(BOTH_WAYS, false).await;
    let writers = pair.write_both();
    pair.wait_ms(1_500, 2_500).await;
    for victim in [1, 0] {
        let began = std::time::Instant::now();
        assert_eq!(pair.deployment.terminate(victim), Some(0), "{}", pair.deployment.log(victim));
        assert!(began.elapsed() < Duration::from_secs(10), "took {:?}", began.elapsed());
        pair.wait_ms(0, 1_000).await;
        pair.deployment.start(victim);
        pair.deployment.wait_ready(victim).await;
    }
    let journals = finish(writers).await;
    pair.assert_equal(&journals).await;
    assert_eq!(pair.deployment.wait_state(1, "orders", "sh.main", ChannelState::Running).await.reason, None);
}

/// The transaction is larger than what a node holds in memory, so it goes through every stage in
/// parts; each kill finds it in another one.
#[tokio::test]
async fn a_large_transaction_arrives_whole_and_once_though_nodes_are_killed_amid_it() {
    let mut pair = Pair::start(BOTH_WAYS, false).await;
    let filler = "REPEAT('x', 400)";
    pair.sh.execute("CREATE TABLE shop.large (id INT PRIMARY KEY, v VARCHAR(400))").await;
    pair.bj.execute("CREATE TABLE shop.large (id INT PRIMARY KEY, v VARCHAR(400))").await;
    let insert = format!("USE shop; INSERT INTO shop.large SELECT seq, {filler} FROM seq_1_to_60000");
    pair.sh.execute(&insert).await;
    for round in 0..5 {
        pair.wait_ms(100, 1_500).await;
        let seen: Vec<u64> = pair.bj.query("SELECT COUNT(*) FROM shop.large").await;
        assert!(seen == [0] || seen == [60_000], "a part of it is seen: {seen:?}");
        let victim = (round + 1) % 2;
        pair.deployment.kill9(victim);
        pair.deployment.start(victim);
    }
    wait_equal(&[&pair.sh, &pair.bj], &["shop.large"]).await;
    let seen: Vec<u64> = pair.bj.query("SELECT COUNT(*) FROM shop.large").await;
    assert_eq!(seen, [60_000]);
    let changes = oracle::changes(&pair.bj).await;
    let more: Vec<_> = changes.iter().filter(|(_, changes)| changes.len() != 1).take(3).collect();
    assert!(more.is_empty(), "applied more than once: {more:?}");
}

#[tokio::test]
async fn nothing_is_lost_though_all_nodes_and_servers_die_at_once() {
    let mut pair = Pair::start(BOTH_WAYS, true).await;
    let writers = pair.write_both();
    for _ in 0..3 {
        pair.wait_ms(500, 2_500).await;
        pair.sh.kill9();
        pair.deployment.kill9(0);
        pair.bj.kill9();
        pair.deployment.kill9(1);
        // The nodes come first and find no server.
        pair.deployment.start(0);
        pair.deployment.start(1);
        pair.sh.restart().await;
        pair.bj.restart().await;
    }
    pair.deployment.wait_ready(0).await;
    pair.deployment.wait_ready(1).await;
    pair.wait_ms(500, 1_000).await;
    let journals = finish(writers).await;
    pair.assert_equal(&journals).await;
}

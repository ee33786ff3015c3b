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

//! Sites that cannot hear each other for a while.

use std::time::Duration;

use cluster_tests::proxy::Proxy;
use cluster_tests::wait::wait_until;
use weft_actors::status::ChannelState;

use crate::support::{BOTH_WAYS, Pair, finish};

/// A node that freezes is a cut link for the other: connections stay open and nothing comes.
#[tokio::test]
async fn both_sites_write_on_while_the_link_is_cut_and_are_equal_after_it_heals() {
    let mut pair = Pair::start(BOTH_WAYS, false).await;
    let writers = pair.write_both();
    pair.wait_ms(1_000, 2_000).await;
    pair.deployment.process(0).freeze();
    let noticed = async || {
        let now = pair.deployment.direction(1, "orders", "sh.main").await?;
        let lag_ms = now.lag_ms.unwrap_or(0);
        if lag_ms > 5_000 { Ok(()) } else { Err(format!("{now:?}")) }
    };
    wait_until(Duration::from_secs(20), "the lag grows with the clock", noticed).await;
    pair.deployment.process(0).thaw();
    pair.wait_ms(500, 1_500).await;
    let journals = finish(writers).await;
    pair.assert_equal(&journals).await;
    pair.wait_running().await;
}

#[tokio::test]
async fn a_site_whose_node_is_away_keeps_its_writes_until_it_is_back() {
    let mut pair = Pair::start(BOTH_WAYS, false).await;
    let writers = pair.write_both();
    pair.wait_ms(500, 1_000).await;
    pair.deployment.kill9(1);
    pair.wait_ms(3_000, 5_000).await;
    let away = pair.deployment.direction(0, "orders", "bj.main").await.expect("it answers");
    assert_eq!(away.state, ChannelState::Running, "the other site is waited for: {away:?}");
    assert!(away.reason.is_some(), "and it says that: {away:?}");
    assert!(away.lag_ms.is_some_and(|lag| lag > 2_000), "{away:?}");
    pair.deployment.start(1);
    pair.deployment.wait_ready(1).await;
    pair.wait_ms(500, 1_000).await;
    let journals = finish(writers).await;
    pair.assert_equal(&journals).await;
}

/// Both nodes live and neither reaches the other; connections break at any byte, again and again.
#[tokio::test]
async fn a_line_that_breaks_again_and_again_loses_nothing() {
    let mut pair = Pair::start(BOTH_WAYS, false).await;
    let mut lines = Vec::new();
    for (index, other) in [(0, 1), (1, 0)] {
        let proxy = Proxy::to(pair.deployment.peer_port(other)).await;
        pair.deployment.reach_through(index, other, proxy.port());
        pair.deployment.kill9(index);
        pair.deployment.start(index);
        lines.push(proxy);
    }
    pair.deployment.wait_ready(0).await;
    pair.deployment.wait_ready(1).await;
    let writers = pair.write_both();
    for round in 0..10 {
        pair.wait_ms(100, 900).await;
        lines.iter().for_each(Proxy::cut);
        // Once for long, so that both sides build up what the other does not know.
        if round == 5 {
            pair.wait_ms(3_000, 4_000).await
        } else {
            pair.wait_ms(0, 200).await
        }
        lines.iter().for_each(Proxy::heal);
    }
    let journals = finish(writers).await;
    pair.assert_equal(&journals).await;
    pair.wait_running().await;
}

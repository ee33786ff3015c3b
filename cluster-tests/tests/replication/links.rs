//! Sites that cannot hear each other for a while.

use std::time::Duration;

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

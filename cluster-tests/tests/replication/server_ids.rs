//! Two servers that answer with one server id.

use std::time::Duration;

use cluster_tests::nodes::wait_equal;
use weft_actors::status::{ChannelState, ChannelStatus};

use crate::pair::{BJ, BOTH_WAYS, ONE_WAY, Pair, SH, wait_rows};

const TABLE: &str = "CREATE TABLE t (id INT PRIMARY KEY)";

/// The direction stands still and says in one line why.
fn assert_says_why(direction: &ChannelStatus) {
    let reason = direction.reason.as_deref().unwrap_or_default();
    let says = reason.contains("both have server_id 12") && reason.contains("SET GLOBAL server_id");
    assert!(says && !reason.contains('\n'), "{direction:?}");
}

#[tokio::test]
async fn nodes_that_start_over_servers_with_one_id_replicate_nothing_until_one_has_another() {
    let mut pair = Pair::servers(TABLE, "", BOTH_WAYS).await;
    pair.sh.execute("SET GLOBAL server_id = 12").await;
    pair.deployment.start(SH);
    pair.deployment.start(BJ);
    for (site, from) in [(BJ, "sh.main"), (SH, "bj.main")] {
        let stopped = pair.deployment.wait_state(site, "orders", from, ChannelState::Stopped).await;
        assert_says_why(&stopped);
    }
    pair.sh.execute("INSERT INTO shop.t VALUES (1)").await;
    pair.bj.execute("INSERT INTO shop.t VALUES (2)").await;
    // Longer than two of its tries: it neither applies anything nor seems to run meanwhile.
    for _ in 0..70 {
        let now = pair.deployment.direction(BJ, "orders", "sh.main").await.expect("it answers");
        assert_eq!((now.state, now.transactions_applied), (ChannelState::Stopped, 0), "{now:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(pair.bj.text("SELECT id FROM shop.t").await, ["2"]);
    let told = pair.deployment.log(BJ).lines().filter(|line| line.contains("both have server_id")).count();
    assert_eq!(told, 1, "told once:\n{}", pair.deployment.log(BJ));

    pair.sh.execute("SET GLOBAL server_id = 11").await;
    wait_equal(&[&pair.sh, &pair.bj], &["shop.t"]).await;
    wait_rows(&pair.bj, "SELECT id FROM shop.t ORDER BY id", &["1", "2"]).await;
    pair.state(ChannelState::Running).await;
    pair.deployment.wait_state(SH, "orders", "bj.main", ChannelState::Running).await;
}

#[tokio::test]
async fn a_source_that_takes_the_targets_id_while_it_runs_is_noticed() {
    let pair = Pair::start(TABLE, ONE_WAY).await;
    pair.sh.execute("INSERT INTO shop.t VALUES (1)").await;
    wait_equal(&[&pair.sh, &pair.bj], &["shop.t"]).await;
    pair.sh.execute("SET GLOBAL server_id = 12").await;
    assert_says_why(&pair.state(ChannelState::Stopped).await);
    pair.sh.execute("INSERT INTO shop.t VALUES (2)").await;
    // The target may as well be the one that gets another id.
    pair.bj.execute("SET GLOBAL server_id = 13").await;
    wait_equal(&[&pair.sh, &pair.bj], &["shop.t"]).await;
    pair.state(ChannelState::Running).await;
}

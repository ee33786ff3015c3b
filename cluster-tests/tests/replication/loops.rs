//! What must not happen while nobody writes.

use std::time::Duration;

use cluster_tests::nodes::wait_equal;
use cluster_tests::oracle;
use cluster_tests::wait::wait_until;
use cluster_tests::workload::TABLES;
use weft_actors::status::StatusReport;

use crate::support::{BOTH_WAYS, Pair, finish};

#[tokio::test]
async fn after_quiet_both_binlogs_grow_by_heartbeats_alone() {
    let mut pair = Pair::start(BOTH_WAYS, false).await;
    let writers = pair.write_both();
    pair.wait_ms(2_000, 3_000).await;
    finish(writers).await;
    wait_equal(&[&pair.sh, &pair.bj], &TABLES).await;
    let only_heartbeats = ["weft.heartbeat".to_owned()].into();
    let quiet = async || {
        let from = (pair.sh.binlog_position().await, pair.bj.binlog_position().await);
        tokio::time::sleep(Duration::from_secs(5)).await;
        let seen =
            [oracle::tables_since(&pair.sh, from.0).await, oracle::tables_since(&pair.bj, from.1).await];
        if seen.iter().all(|tables| *tables == only_heartbeats) { Ok(()) } else { Err(format!("{seen:?}")) }
    };
    wait_until(Duration::from_secs(20), "only heartbeats are written", quiet).await;
    for index in 0..2 {
        let report: StatusReport = pair.deployment.status(index).await.expect("it answers");
        for channel in &report.channels {
            let lag_ms = channel.lag_ms.expect("it is known");
            assert!(lag_ms < 3_000, "idle, and {lag_ms} ms behind: {channel:?}");
        }
        let lines = pair.deployment.log(index).lines().count();
        assert!(lines < 60, "{lines} lines of log:\n{}", pair.deployment.log(index));
    }
}

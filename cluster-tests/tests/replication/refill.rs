//! Readers that are older than what the source's node holds.

use cluster_tests::nodes::{Deployment, wait_equal};
use cluster_tests::servers::Server;
use weft_actors::status::ChannelState;

use crate::pair::{BJ, ONE_WAY, Pair, SH, wait_metric};

#[tokio::test]
async fn history_that_left_the_buffer_is_read_from_the_source_again() {
    let create = "CREATE TABLE t (id INT PRIMARY KEY, v LONGBLOB)";
    let small = "buffer = \"256MiB\"\nsegment = \"16MiB\"";
    let mut pair = Pair::servers(create, small, ONE_WAY).await;
    pair.deployment.start_all().await;
    pair.sh.execute("INSERT INTO shop.t VALUES (1, 'seen')").await;
    wait_equal(&[&pair.sh, &pair.bj], &["shop.t"]).await;

    pair.deployment.kill9(BJ);
    let mut conn = pair.sh.conn().await;
    for id in 0..160 {
        use mysql_async::prelude::Queryable;
        let sql = format!("REPLACE INTO shop.t VALUES ({}, REPEAT('{}', 2000000))", id % 20 + 2, id % 7);
        // Twenty rows in all, so that the target has not much to do in the end.
        conn.query_drop(sql).await.expect("written");
    }
    let newest = wait_captured(&pair.deployment, &pair.sh).await;
    let oldest = source(&pair.deployment).await.oldest_scn.expect("it holds something");
    assert!(oldest < newest && oldest.as_str() > "00001-0000000001-000000010000000", "{oldest} {newest}");

    pair.deployment.start(BJ);
    wait_equal(&[&pair.sh, &pair.bj], &["shop.t"]).await;
    wait_metric(&pair.deployment, SH, "weft_link_refills_total{channel=\"orders\"}", |value| value >= 1.0)
        .await;
    // From the buffer again, and live.
    pair.sh.execute("INSERT INTO shop.t VALUES (100, 'live')").await;
    wait_equal(&[&pair.sh, &pair.bj], &["shop.t"]).await;
}

#[tokio::test]
async fn a_binlog_that_was_purged_before_it_was_captured_stops_the_channel() {
    let mut pair = Pair::start("CREATE TABLE t (id INT PRIMARY KEY)", ONE_WAY).await;
    pair.sh.execute("INSERT INTO shop.t VALUES (1)").await;
    wait_equal(&[&pair.sh, &pair.bj], &["shop.t"]).await;
    assert_eq!(pair.deployment.terminate(SH), Some(0));
    pair.sh.execute("INSERT INTO shop.t VALUES (2); FLUSH BINARY LOGS; INSERT INTO shop.t VALUES (3)").await;
    let last = pair.sh.binlog_position().await.0;
    pair.sh.execute(&format!("PURGE BINARY LOGS TO '{last}'")).await;
    pair.deployment.start(SH);
    let reason = pair.stopped().await;
    assert!(reason.contains("purged") && reason.contains("copy"), "{reason}");
    assert!(!reason.contains('\n'), "{reason}");
    let rows: Vec<u64> = pair.bj.query("SELECT id FROM shop.t").await;
    assert_eq!(rows, [1], "nothing behind the gap was applied");
    assert_eq!(
        pair.deployment.direction(BJ, "orders", "sh.main").await.map(|one| one.state),
        Ok(ChannelState::Stopped)
    );
}

async fn source(deployment: &Deployment) -> weft_actors::status::SourceStatus {
    let report = deployment.status(SH).await.expect("the node answers");
    report.sources.into_iter().find(|source| source.instance == "sh.main").expect("it captures sh.main")
}

/// Waits until the node of sh has everything that is in the server's binlog now; its newest SCN.
async fn wait_captured(deployment: &Deployment, server: &Server) -> String {
    let (_, position) = server.binlog_position().await;
    cluster_tests::wait::wait_until(cluster_tests::nodes::PATIENCE, "capture has caught up", async || {
        let source = source(deployment).await;
        let file = source.file.unwrap_or_default();
        let read: u64 = file.rsplit(':').next().and_then(|text| text.parse().ok()).unwrap_or(0);
        if read >= position {
            Ok(source.scn.unwrap_or_default())
        } else {
            Err(format!("{read} of {position}"))
        }
    })
    .await
}

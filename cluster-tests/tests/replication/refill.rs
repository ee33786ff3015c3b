//! Readers that are older than what the source's node holds.

use cluster_tests::nodes::{Deployment, PATIENCE, wait_equal};
use cluster_tests::servers::{Server, ServerOptions};
use cluster_tests::wait::wait_until;
use weft_actors::status::ChannelState;

use crate::pair::{BJ, ONE_WAY, Pair, SH, wait_metric};

/// A pair whose direction stands still while the buffer of its source's node lets go what it has not
/// seen yet.
async fn left_behind() -> Pair {
    let create = "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20)); CREATE DATABASE bulk; CREATE TABLE bulk.b (id INT \
                  PRIMARY KEY, v LONGBLOB)";
    let small = "buffer = \"256MiB\"\nsegment = \"16MiB\"";
    // What fills the buffer goes to a site whose node never runs.
    let bulk =
        "[channels.bulk]\nfrom = \"sh.main\"\nto = \"gz.main\"\nconflict = \"none\"\ntables = [\"bulk.*\"]\n";
    let Pair { sh, bj, .. } = Pair::servers(create, "", ONE_WAY).await;
    let gz = Server::start(ServerOptions::new(13)).await;
    let channels = format!("{ONE_WAY}{bulk}");
    let deployment = Deployment::new(&["sh", "bj", "gz"], &[&sh, &bj, &gz], small, &channels);
    let mut pair = Pair { sh, bj, deployment };
    pair.deployment.start(SH);
    pair.deployment.start(BJ);
    pair.deployment.wait_ready(SH).await;
    pair.deployment.wait_ready(BJ).await;
    pair.sh.execute("INSERT INTO shop.t VALUES (1, 'seen')").await;
    wait_equal(&[&pair.sh, &pair.bj], &["shop.t"]).await;

    pair.deployment.kill9(BJ);
    pair.sh.execute("INSERT INTO shop.t VALUES (2, 'while it is down')").await;
    for id in 0..17 {
        pair.sh.execute(&format!("INSERT INTO bulk.b VALUES ({id}, REPEAT('{}', 16000000))", id % 7)).await;
    }
    pair.sh.execute("UPDATE shop.t SET v = 'changed' WHERE id = 2").await;
    let newest = wait_captured(&pair.deployment, &pair.sh).await;
    let oldest = source(&pair.deployment).await.oldest_scn.expect("it holds something");
    assert!(oldest < newest && oldest.as_str() > "00001-0000000001-000000010000000", "{oldest} {newest}");
    pair
}

/// Purges all binlog files but the one being written.
pub async fn purge(server: &Server) {
    let last = server.binlog_position().await.0;
    // The server keeps a file while somebody reads it, or went without its notice.
    wait_until(PATIENCE, "the binlog is purged", async || {
        server.execute(&format!("PURGE BINARY LOGS TO '{last}'")).await;
        let files = server.binlog_files().await;
        if files == [last.clone()] { Ok(()) } else { Err(format!("{files:?}")) }
    })
    .await;
}

#[tokio::test]
async fn history_that_left_the_buffer_is_read_from_the_source_again() {
    let mut pair = left_behind().await;
    pair.deployment.start(BJ);
    wait_equal(&[&pair.sh, &pair.bj], &["shop.t"]).await;
    wait_metric(&pair.deployment, SH, "weft_link_refills_total{channel=\"orders\"}", |value| value >= 1.0)
        .await;
    // From the buffer again, and live.
    pair.sh.execute("INSERT INTO shop.t VALUES (100, 'live')").await;
    wait_equal(&[&pair.sh, &pair.bj], &["shop.t"]).await;
}

#[tokio::test]
async fn history_that_left_both_buffer_and_binlog_stops_the_channel() {
    let mut pair = left_behind().await;
    pair.sh.execute("FLUSH BINARY LOGS; INSERT INTO shop.t VALUES (3, 'behind the gap')").await;
    wait_captured(&pair.deployment, &pair.sh).await;
    purge(&pair.sh).await;
    pair.deployment.start(BJ);
    let reason = pair.stopped().await;
    assert!(reason.contains("older than the event buffer") && reason.contains("purged"), "{reason}");
    assert!(reason.contains("copy") && !reason.contains('\n'), "{reason}");
    assert_eq!(pair.bj.text("SELECT * FROM shop.t").await, ["1|seen"], "nothing behind the gap was applied");
}

#[tokio::test]
async fn a_binlog_that_was_purged_before_it_was_captured_stops_the_channel() {
    let mut pair = Pair::start("CREATE TABLE t (id INT PRIMARY KEY)", ONE_WAY).await;
    pair.sh.execute("INSERT INTO shop.t VALUES (1)").await;
    wait_equal(&[&pair.sh, &pair.bj], &["shop.t"]).await;
    assert_eq!(pair.deployment.terminate(SH), Some(0));
    pair.sh.execute("INSERT INTO shop.t VALUES (2); FLUSH BINARY LOGS; INSERT INTO shop.t VALUES (3)").await;
    purge(&pair.sh).await;
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
    // What the alert WeftChannelStopped looks at.
    let stopped =
        "weft_channel_state{channel=\"orders\",source=\"sh.main\",target=\"bj.main\",state=\"stopped\"}";
    wait_metric(&pair.deployment, BJ, stopped, |value| value == 1.0).await;
}

async fn source(deployment: &Deployment) -> weft_actors::status::SourceStatus {
    let report = deployment.status(SH).await.expect("the node answers");
    report.sources.into_iter().find(|source| source.instance == "sh.main").expect("it captures sh.main")
}

/// Waits until the node of sh has everything that is in the server's binlog now; its newest SCN.
async fn wait_captured(deployment: &Deployment, server: &Server) -> String {
    let (name, position) = server.binlog_position().await;
    wait_until(PATIENCE, "capture has caught up", async || {
        let source = source(deployment).await;
        let file = source.file.unwrap_or_default();
        let read: u64 = file.rsplit(':').next().and_then(|text| text.parse().ok()).unwrap_or(0);
        if file.starts_with(&name) && read >= position {
            Ok(source.scn.unwrap_or_default())
        } else {
            Err(format!("{read} of {position}"))
        }
    })
    .await
}

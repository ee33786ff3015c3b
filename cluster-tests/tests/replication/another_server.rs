//! Another server behind the source's address.

use cluster_tests::nodes::{PATIENCE, wait_equal};
use cluster_tests::oracle;
use cluster_tests::servers::{Server, ServerOptions};
use cluster_tests::wait::wait_until;
use weft_actors::status::ChannelState;

use crate::pair::{BJ, ONE_WAY, Pair, SH, wait_rows};

/// A native replica of the pair's source, in the source's GTID domain.
async fn replica_of(source: &Server) -> Server {
    let replica = Server::start(ServerOptions::new(99).gtid_domain(11)).await;
    let port = source.port();
    replica
        .execute(&format!(
            "CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {port}, MASTER_USER = 'root', \
             MASTER_USE_GTID = slave_pos; START SLAVE"
        ))
        .await;
    replica
}

/// The replica takes the source's place: its data, under its own server id, at the source's address.
async fn take_over(source: &mut Server, mut replica: Server) {
    replica.execute("STOP SLAVE; RESET SLAVE ALL").await;
    futures::join!(source.stop(), replica.stop());
    let place = source.data_directory();
    std::fs::remove_dir_all(&place).expect("the source's data can go");
    let copied =
        std::process::Command::new("cp").arg("-a").arg(replica.data_directory()).arg(&place).status();
    assert!(copied.expect("cp runs").success());
    source.restart_with(ServerOptions::new(99).gtid_domain(11)).await;
}

#[tokio::test]
async fn a_replica_that_has_everything_takes_the_sources_place_and_nothing_is_lost_or_repeated() {
    let mut pair = Pair::start("CREATE TABLE t (id INT PRIMARY KEY, n INT)", ONE_WAY).await;
    let replica = replica_of(&pair.sh).await;
    let mut written = 0;
    let mut write = async |server: &Server, rows: u64| {
        for _ in 0..rows {
            written += 1;
            server.execute(&format!("INSERT INTO shop.t VALUES ({written}, 0)")).await;
        }
        written
    };
    write(&pair.sh, 20).await;
    wait_equal(&[&pair.sh, &pair.bj], &["shop.t"]).await;
    // Some changes are on both servers but not captured yet.
    assert_eq!(pair.deployment.terminate(SH), Some(0));
    let count = write(&pair.sh, 20).await;
    wait_rows(&replica, "SELECT COUNT(*) FROM shop.t", &[&count.to_string()]).await;
    take_over(&mut pair.sh, replica).await;
    pair.deployment.start(SH);
    pair.deployment.wait_ready(SH).await;
    let count = write(&pair.sh, 20).await;
    wait_equal(&[&pair.sh, &pair.bj], &["shop.t"]).await;
    let direction = wait_until(PATIENCE, "all is counted", async || {
        let direction = pair.deployment.direction(BJ, "orders", "sh.main").await?;
        if direction.transactions_applied >= count { Ok(direction) } else { Err(format!("{direction:?}")) }
    })
    .await;
    assert_eq!((direction.transactions_applied, direction.state), (count, ChannelState::Running));
    assert!(direction.watermark.as_ref().is_some_and(|scn| scn.starts_with("00002-")), "{direction:?}");

    // The target's node begins anew: what was applied under both epochs is not applied again.
    pair.deployment.kill9(BJ);
    pair.deployment.start(BJ);
    pair.sh.execute("UPDATE shop.t SET n = 1 WHERE id = 1").await;
    wait_rows(&pair.bj, "SELECT n FROM shop.t WHERE id = 1", &["1"]).await;
    // What is committed is counted a moment later.
    let direction = wait_until(PATIENCE, "a transaction was applied", async || {
        let direction = pair.deployment.direction(BJ, "orders", "sh.main").await?;
        if direction.transactions_applied > 0 { Ok(direction) } else { Err(format!("{direction:?}")) }
    })
    .await;
    assert_eq!(direction.transactions_applied, 1, "{direction:?}");
    // Nor did a row change twice, whatever was counted.
    let changes = oracle::changes(&pair.bj).await;
    let repeated =
        changes.iter().find(|(key, of_key)| of_key.len() != if *key == "shop.t @1=1" { 2 } else { 1 });
    assert!(changes.len() == count as usize && repeated.is_none(), "{} rows, {repeated:?}", changes.len());
}

#[tokio::test]
async fn a_replica_that_lacks_transactions_stops_the_channel() {
    let mut pair = Pair::start("CREATE TABLE t (id INT PRIMARY KEY)", ONE_WAY).await;
    let replica = replica_of(&pair.sh).await;
    wait_rows(&replica, "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_NAME = 't'", &["1"])
        .await;
    replica.execute("STOP SLAVE").await;
    pair.sh.execute("INSERT INTO shop.t VALUES (1)").await;
    wait_equal(&[&pair.sh, &pair.bj], &["shop.t"]).await;
    take_over(&mut pair.sh, replica).await;
    let reason = pair.stopped().await;
    assert!(
        reason.contains("(server 99) took the place of server 11") && reason.contains("lost"),
        "{reason}"
    );
}

#[tokio::test]
async fn a_binlog_that_was_reset_stops_the_channel_even_when_it_has_grown_past_its_old_end() {
    let pair = Pair::start("CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(1000))", ONE_WAY).await;
    for id in 1..=60 {
        pair.sh.execute(&format!("INSERT INTO shop.t VALUES ({id}, 'a')")).await;
    }
    wait_equal(&[&pair.sh, &pair.bj], &["shop.t"]).await;
    // The node waits while the server is down, and sees it only when the binlog is long again.
    let before = pair.sh.binlog_position().await.1;
    pair.deployment.process(SH).freeze();
    pair.sh.execute("RESET MASTER").await;
    let mut id = 60;
    wait_until(PATIENCE, "the binlog is longer than before", async || {
        id += 1;
        pair.sh.execute(&format!("INSERT INTO shop.t VALUES ({id}, REPEAT('x', 1000))")).await;
        let now = pair.sh.binlog_position().await.1;
        if now > before + 1_000 { Ok(()) } else { Err(format!("{now} after {before}")) }
    })
    .await;
    pair.deployment.process(SH).thaw();
    // The dump breaks off first; whoever begins a new one sees what the server is now.
    wait_until(PATIENCE, "the channel says that the binlog was reset", async || {
        let reason = pair.stopped().await;
        if reason.contains("was reset") { Ok(()) } else { Err(reason) }
    })
    .await;
}

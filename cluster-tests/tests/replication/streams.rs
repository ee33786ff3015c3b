//! Binlogs as servers may be set to write them: several domains, compressed, without checksums, and cut into
//! files that go while they are read.

use std::time::Duration;

use cluster_tests::nodes::{PATIENCE, wait_equal};
use cluster_tests::on_both_flavours;
use cluster_tests::servers::{Flavour, Server, has_mysql};
use cluster_tests::wait::wait_until;
use mysql_async::prelude::Queryable;

use crate::pair::{BJ, BOTH_WAYS, ONE_WAY, Pair, SH, wait_rows};

on_both_flavours! {
    binlogs_without_checksums_go_both_ways_and_change_while_they_are_read
    binlogs_are_rotated_and_purged_under_load
}

const TABLE: &str = "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(200))";

async fn binlogs_without_checksums_go_both_ways_and_change_while_they_are_read(flavour: Flavour) {
    let mut pair = Pair::with_of([flavour; 2], &["--binlog-checksum=NONE"], "", BOTH_WAYS).await;
    for server in [&pair.sh, &pair.bj] {
        server.execute(&format!("CREATE DATABASE shop; USE shop; {TABLE}")).await;
    }
    pair.deployment.start_all().await;
    for (id, checksum) in [(1, "NONE"), (2, "CRC32"), (3, "NONE"), (4, "CRC32")] {
        let set = format!("SET GLOBAL binlog_checksum = {checksum}");
        pair.sh.execute(&format!("{set}; INSERT INTO shop.t VALUES ({id}, 'of sh')")).await;
        pair.bj.execute(&format!("{set}; INSERT INTO shop.t VALUES ({}, 'of bj')", id + 10)).await;
        if id == 3 {
            // The next dump begins in a file without checksums of a server that writes them again.
            pair.sh.execute("SET GLOBAL binlog_checksum = CRC32").await;
            pair.deployment.kill9(SH);
            pair.deployment.start(SH);
        }
        let rows = format!("SELECT COUNT(*) FROM shop.t WHERE id IN ({id}, {})", id + 10);
        wait_rows(&pair.sh, &rows, &["2"]).await;
        wait_rows(&pair.bj, &rows, &["2"]).await;
    }
    wait_equal(&[&pair.sh, &pair.bj], &["shop.t"]).await;
}

/// Everything but the newest file goes, as often as the servers let it: what is read, they keep.
async fn rotate_and_purge(server: &Server) {
    server.execute("FLUSH BINARY LOGS").await;
    let newest = server.binlog_files().await.pop().expect("there is a file");
    server.execute(&format!("PURGE BINARY LOGS TO '{newest}'")).await;
}

async fn binlogs_are_rotated_and_purged_under_load(flavour: Flavour) {
    const ROUNDS: u32 = 25;
    let pair = Pair::of([flavour; 2], TABLE, BOTH_WAYS).await;
    let write = async |server: &Server, first: u32| {
        let mut conn = server.conn().await;
        for id in 0..ROUNDS * 20 {
            let sql = format!("INSERT INTO shop.t VALUES ({}, REPEAT('v', 150))", first + id);
            conn.query_drop(sql).await.expect("keys are the site's own");
        }
    };
    let cut = async |server: &Server| {
        for _ in 0..ROUNDS {
            rotate_and_purge(server).await;
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
    };
    tokio::join!(write(&pair.sh, 0), write(&pair.bj, 1_000_000), cut(&pair.sh), cut(&pair.bj));
    for server in [&pair.sh, &pair.bj] {
        let rows = format!("{}", ROUNDS * 20 * 2);
        wait_rows(server, "SELECT COUNT(*) FROM shop.t", &[&rows]).await;
        let files = server.binlog_files().await;
        assert!(files.last().is_some_and(|newest| newest > &format!("binlog.{ROUNDS:06}")), "{files:?}");
    }
    wait_equal(&[&pair.sh, &pair.bj], &["shop.t"]).await;
    // What is purged now was read: the next start needs nothing of it.
    wait_until(PATIENCE, "only the newest file is left", async || {
        rotate_and_purge(&pair.sh).await;
        let files = pair.sh.binlog_files().await;
        if files.len() == 1 { Ok(()) } else { Err(format!("{files:?}")) }
    })
    .await;
}

/// Sessions may write into domains of their own: each has its own sequence of numbers, which a dump by GTID
/// must begin behind.
#[tokio::test]
async fn sessions_of_several_domains_arrive_once_each_though_the_node_and_the_server_stop_in_between() {
    let mut pair = Pair::of([Flavour::MariaDb; 2], TABLE, ONE_WAY).await;
    let mut domains = [100, 7, 200].map(|domain| (domain, 0));
    let mut id = 0;
    for round in 0..4 {
        for step in 0..60 {
            let (domain, written) = &mut domains[(step * 7 + round) % 3];
            (*written, id) = (*written + 1, id + 1);
            pair.sh
                .execute(&format!(
                    "SET gtid_domain_id = {domain}; INSERT INTO shop.t VALUES ({id}, 'of {domain}')"
                ))
                .await;
        }
        match round {
            0 => {
                pair.deployment.kill9(SH);
                pair.sh.execute("FLUSH BINARY LOGS; SET gtid_domain_id = 300; INSERT INTO shop.t VALUES (1000, 'late')").await;
                pair.deployment.start(SH);
            }
            1 => pair.sh.restart().await,
            // Both at once: the file begins with the GTIDs of all domains.
            2 => {
                pair.deployment.kill9(SH);
                pair.sh.restart().await;
                pair.deployment.start(SH);
            }
            _ => {}
        }
    }
    let rows = format!("{}", id + 1);
    wait_rows(&pair.bj, "SELECT COUNT(*) FROM shop.t", &[&rows]).await;
    wait_equal(&[&pair.sh, &pair.bj], &["shop.t"]).await;
    let direction = pair.deployment.direction(BJ, "orders", "sh.main").await.expect("it runs");
    assert_eq!((direction.transactions_applied, direction.conflicts), (id + 1, 0), "{direction:?}");
}

/// MariaDB's own compression, of events.
#[tokio::test]
async fn compressed_events_of_mariadb_go_both_ways_and_across() {
    let settings = ["--loose-log-bin-compress=ON", "--loose-log-bin-compress-min-len=10"];
    for flavours in [[Flavour::MariaDb; 2], [Flavour::MariaDb, Flavour::MySql]] {
        if flavours[1] == Flavour::MySql && !has_mysql("compressed_events_of_mariadb_go_both_ways_and_across")
        {
            continue;
        }
        let mut pair = Pair::with_of(flavours, &settings, "", BOTH_WAYS).await;
        for server in [&pair.sh, &pair.bj] {
            server.execute(&format!("CREATE DATABASE shop; USE shop; {TABLE}")).await;
        }
        pair.deployment.start_all().await;
        pair.sh
            .execute(
                "USE shop; INSERT INTO t VALUES (1, REPEAT('x', 190)), (2, REPEAT('y', 190)), (3, 'gone'); UPDATE t SET \
                 v = REPEAT('z', 180) WHERE id = 2; DELETE FROM t WHERE id = 3",
            )
            .await;
        pair.bj.execute("INSERT INTO shop.t VALUES (10, REPEAT('b', 200))").await;
        let rows = "SELECT id, LEFT(v, 2), LENGTH(v) FROM shop.t ORDER BY id";
        for server in [&pair.sh, &pair.bj] {
            wait_rows(server, rows, &["1|xx|190", "2|zz|180", "10|bb|200"]).await;
        }
        pair.bj.execute("UPDATE shop.t SET v = REPEAT('c', 170) WHERE id = 1").await;
        wait_rows(&pair.sh, "SELECT LEFT(v, 2) FROM shop.t WHERE id = 1", &["cc"]).await;
    }
}

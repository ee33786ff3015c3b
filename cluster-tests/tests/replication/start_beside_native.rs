//! Native replication is ended, and Weft goes on from where it was: the commands that the README gives.

use std::time::Duration;

use cluster_tests::nodes::wait_equal;
use cluster_tests::on_both_flavours;
use cluster_tests::oracle;
use cluster_tests::servers::{Flavour, Server};
use cluster_tests::workload::{TABLES, TABLES_SQL, Writer};
use weft_actors::status::ChannelState;

use super::pair::{BJ, BOTH_WAYS, ONE_WAY, Pair};
use super::start_over_dump::{assert_once, begin_at, check};

on_both_flavours! {
    native_replication_is_followed_one_way_without_a_gap
    native_replication_is_followed_two_ways_and_nothing_flows_back
}

async fn replicate(replica: &Server, source: &Server) {
    let port = source.port();
    let sql = match source.flavour() {
        Flavour::MariaDb => format!(
            "CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {port}, MASTER_USER = 'root', \
             MASTER_USE_GTID = slave_pos; START SLAVE"
        ),
        Flavour::MySql => format!(
            "CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = {port}, SOURCE_USER = 'root', \
             SOURCE_AUTO_POSITION = 1, GET_SOURCE_PUBLIC_KEY = 1; START REPLICA"
        ),
    };
    replica.execute(&sql).await;
}

/// What ends native replication, in three steps: the second tells where it was, and where the replica's own
/// binlog ends if that is something else.
pub fn words(flavour: Flavour) -> [&'static str; 3] {
    match flavour {
        Flavour::MariaDb => {
            ["STOP ALL SLAVES", "SELECT @@GLOBAL.gtid_slave_pos, @@GLOBAL.gtid_binlog_pos", "RESET SLAVE ALL"]
        }
        Flavour::MySql => ["STOP REPLICA", "SELECT @@GLOBAL.gtid_executed", "RESET REPLICA ALL"],
    }
}

/// A site that replicates natively from the other, which is written to the whole time, has just ceased.
/// Gives the places of both.
async fn ceased(flavour: Flavour, channels: &str) -> (Pair, Writer, [String; 2]) {
    let pair = Pair::bare([flavour; 2], channels).await;
    replicate(&pair.bj, &pair.sh).await;
    pair.sh.execute(TABLES_SQL).await;
    let writer = Writer::start(&pair.sh, 1, 1);
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let [stop, positions, reset] = words(flavour);
    pair.bj.execute(stop).await;
    let said = pair.bj.text(positions).await[0].replace('\n', "");
    let (position, end) = said.split_once('|').unwrap_or((&said, &said));
    let places = [position.to_owned(), end.to_owned()];
    pair.bj.execute(reset).await;
    (pair, writer, places)
}

async fn native_replication_is_followed_one_way_without_a_gap(flavour: Flavour) {
    let (mut pair, writer, [position, _]) = ceased(flavour, ONE_WAY).await;
    begin_at(&pair, &format!("{{ \"sh.main\" = \"gtid:{position}\" }}"));
    assert_eq!(check(&pair), (Some(0), String::new()));
    pair.deployment.start_all().await;
    let journal = writer.finish().await;
    wait_equal(&[&pair.sh, &pair.bj], &TABLES).await;
    oracle::assert_holds(&pair.bj, &[journal]).await;
    assert_once(&pair.bj).await;
    let direction = pair.state(ChannelState::Running).await;
    assert_eq!((direction.rows_skipped, direction.conflicts), (0, 0), "{direction:?}");
    assert!(direction.transactions_applied > 0, "{direction:?}");
}

async fn native_replication_is_followed_two_ways_and_nothing_flows_back(flavour: Flavour) {
    let (mut pair, here, [position, end]) = ceased(flavour, BOTH_WAYS).await;
    // Before any node runs: what the replica takes now is not lost either.
    let there = Writer::start(&pair.bj, 2, 2);
    begin_at(&pair, &format!("{{ \"sh.main\" = \"gtid:{position}\", \"bj.main\" = \"gtid:{end}\" }}"));
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(check(&pair), (Some(0), String::new()));
    pair.deployment.start_all().await;
    let journals = [here.finish().await, there.finish().await];
    wait_equal(&[&pair.sh, &pair.bj], &TABLES).await;
    for server in [&pair.sh, &pair.bj] {
        oracle::assert_holds(server, &journals).await;
        assert_once(server).await;
    }
    let direction = pair.deployment.direction(BJ, "orders", "sh.main").await.expect("it runs");
    assert!(direction.transactions_applied > 0, "{direction:?}");
}

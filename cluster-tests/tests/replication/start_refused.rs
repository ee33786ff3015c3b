//! Places at which a channel cannot begin.

use cluster_tests::nodes::wait_equal;
use cluster_tests::on_both_flavours;
use cluster_tests::servers::{Flavour, Server};

use super::pair::{ONE_WAY, Pair, SH, wait_rows};
use super::start_over_dump::{begin_at, check};

on_both_flavours! {
    places_that_are_not_there_are_told_by_check_and_node_alike_until_they_are_corrected
    a_channel_that_has_begun_passes_over_another_start_and_says_so
}

const TABLE: &str = "CREATE DATABASE shop; CREATE TABLE shop.t (id INT PRIMARY KEY)";

async fn gtids(server: &Server) -> String {
    let query = match server.flavour() {
        Flavour::MariaDb => "SELECT @@GLOBAL.gtid_binlog_pos",
        Flavour::MySql => "SELECT @@GLOBAL.gtid_executed",
    };
    server.text(query).await[0].replace('\n', "")
}

/// The same GTIDs with the last number raised by one.
fn next(gtids: &str) -> String {
    let (rest, last) = gtids.rsplit_once('-').expect("several transactions");
    format!("{rest}-{}", last.parse::<u64>().expect("a number") + 1)
}

fn start(place: &str) -> String {
    format!("{{ \"sh.main\" = \"{place}\" }}")
}

async fn places_that_are_not_there_are_told_by_check_and_node_alike_until_they_are_corrected(
    flavour: Flavour,
) {
    let mut pair = Pair::bare([flavour; 2], ONE_WAY).await;
    for server in [&pair.sh, &pair.bj] {
        server.execute(TABLE).await;
    }
    let (old_file, old) = pair.sh.binlog_position().await;
    pair.sh.execute("INSERT INTO shop.t VALUES (1)").await;
    let before = gtids(&pair.sh).await;
    pair.sh.execute("INSERT INTO shop.t VALUES (2); FLUSH BINARY LOGS; INSERT INTO shop.t VALUES (3)").await;
    let (file, end) = pair.sh.binlog_position().await;
    let events: Vec<u64> = pair
        .sh
        .query::<mysql_async::Row>(&format!("SHOW BINLOG EVENTS IN '{file}'"))
        .await
        .iter()
        .filter(|row| row.get::<String, _>("Event_type").as_deref() == Some("Xid"))
        .filter_map(|row| row.get("Pos"))
        .collect();
    let last_event = *events.last().expect("the insert is there");
    let beyond = next(&gtids(&pair.sh).await);
    let foreign = match flavour {
        Flavour::MariaDb => "77-77-7".to_owned(),
        Flavour::MySql => "77777777-7777-7777-7777-777777777777:1-7".to_owned(),
    };
    super::refill::purge(&pair.sh).await;
    for (place, why) in [
        (format!("file:{old_file}:{old}"), "is purged"),
        (format!("gtid:{before}"), "is purged"),
        (format!("file:{file}:{}", end - 5), "no event ends at"),
        (format!("file:{file}:{last_event}"), "is in the middle of a transaction"),
        (format!("file:{file}:{}", end + 1_000), "beyond the end"),
        ("file:binlog.000099:4".to_owned(), "no binlog file binlog.000099"),
        (format!("gtid:{beyond}"), "are not in the server's binlog"),
        (format!("gtid:{foreign}"), "none of these GTIDs"),
    ] {
        begin_at(&pair, &start(&place));
        let (status, said) = check(&pair);
        assert_eq!(status, Some(1), "{place}: {said}");
        assert!(said.contains(why) && said.lines().count() == 1, "{place}: {said}");
    }

    // The node says the same, and goes on once the file is corrected and it is started again.
    begin_at(&pair, &start(&format!("gtid:{beyond}")));
    pair.deployment.start(SH);
    pair.deployment.start(super::pair::BJ);
    let reason = pair.stopped().await;
    assert!(
        reason.contains("channels.orders.start") && reason.contains("are not in the server's"),
        "{reason}"
    );
    assert_eq!(pair.sh.text("SHOW DATABASES LIKE 'weft'").await, [""; 0], "nothing was written");
    pair.deployment.kill9(SH);
    begin_at(&pair, &start(&format!("file:{file}:4")));
    pair.deployment.start(SH);
    wait_rows(&pair.bj, "SELECT id FROM shop.t", &["3"]).await;
}

async fn a_channel_that_has_begun_passes_over_another_start_and_says_so(flavour: Flavour) {
    let mut pair = Pair::bare([flavour; 2], ONE_WAY).await;
    for server in [&pair.sh, &pair.bj] {
        server.execute(TABLE).await;
    }
    let first = gtids(&pair.sh).await;
    pair.sh.execute("INSERT INTO shop.t VALUES (1)").await;
    begin_at(&pair, &start(&format!("gtid:{first}")));
    pair.deployment.start_all().await;
    wait_equal(&[&pair.sh, &pair.bj], &["shop.t"]).await;
    assert_eq!(check(&pair), (Some(0), String::new()), "the same start is nothing to tell");

    let later = gtids(&pair.sh).await;
    pair.deployment.kill9(SH);
    pair.sh.execute("INSERT INTO shop.t VALUES (2)").await;
    begin_at(&pair, &start(&format!("gtid:{later}")));
    let (status, said) = check(&pair);
    assert!(status == Some(0) && said.contains("has begun already"), "{status:?} {said}");
    pair.deployment.start(SH);
    pair.sh.execute("INSERT INTO shop.t VALUES (3)").await;
    wait_equal(&[&pair.sh, &pair.bj], &["shop.t"]).await;
    assert!(pair.deployment.log(SH).contains("has begun already"));
}

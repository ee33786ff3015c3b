//! Three sites, each joined with both others; one of them decides for all.

use cluster_tests::nodes::{Deployment, PATIENCE, wait_equal};
use cluster_tests::servers::{Server, ServerOptions};
use cluster_tests::wait::wait_until;

use crate::support::wait_closed;

const SITES: [&str; 3] = ["sh", "bj", "gz"];
const CHANNELS: [(&str, &str, &str); 3] = [("one", "sh", "bj"), ("two", "bj", "gz"), ("three", "gz", "sh")];

/// bj and gz wrote while gz decides nothing and sh, the last in rank, decides: the verdict between two
/// other sites' rows is written at sh and holds at both.
#[tokio::test]
async fn conflicts_of_two_other_sites_are_decided_at_the_one_that_decides() {
    let servers = futures::join!(
        Server::start(ServerOptions::new(11).gtid_domain(11)),
        Server::start(ServerOptions::new(12).gtid_domain(12)),
        Server::start(ServerOptions::new(13).gtid_domain(13)),
    );
    let servers = [&servers.0, &servers.1, &servers.2];
    for server in servers {
        server
            .execute(
                "CREATE DATABASE shop; USE shop; CREATE TABLE shop.t (id INT PRIMARY KEY, v VARCHAR(20)); \
                 INSERT INTO shop.t SELECT seq, 'first' FROM seq_1_to_5",
            )
            .await;
    }
    let channels: String = CHANNELS
        .iter()
        .map(|(name, a, b)| {
            format!(
                "[channels.{name}]\nbetween = [\"{a}.main\", \"{b}.main\"]\ntables = [\"shop.*\"]\ndecides = \"sh\"\n\
                 conflict = \"site-priority\"\nsite_priority = [\"gz\", \"bj\", \"sh\"]\n"
            )
        })
        .collect();
    let mut deployment = Deployment::new(&SITES, &servers, "", &channels);
    deployment.start_all().await;
    (0..3).for_each(|index| deployment.kill9(index));
    let now: Vec<u64> = servers[0].query("SELECT UNIX_TIMESTAMP()").await;
    // Rows 1 to 4: gz wrote first, then bj, then sh; row 5 was not touched by gz.
    for (server, (site, second)) in servers.iter().zip([("sh", 30), ("bj", 20), ("gz", 10)]) {
        let ids = if site == "gz" { "id < 5" } else { "id > 1" };
        let at = now[0] - 100 + second;
        server.execute(&format!("SET timestamp = {at}; UPDATE shop.t SET v = '{site}' WHERE {ids}")).await;
    }
    deployment.start_all().await;
    wait_closed(servers[0]).await;
    let rows = "SELECT CONCAT(id, ' ', v) FROM shop.t ORDER BY id";
    let expected = ["1 gz", "2 gz", "3 gz", "4 gz", "5 bj"];
    for server in servers {
        wait_until(PATIENCE, "the verdicts are everywhere", async || {
            let seen = server.text(rows).await;
            if seen == expected { Ok(()) } else { Err(format!("{seen:?}")) }
        })
        .await;
    }
    wait_closed(servers[0]).await;
    wait_equal(&servers, &["shop.t"]).await;
    for server in &servers[1..] {
        let ruled: Vec<u64> = server.query("SELECT COUNT(ruling) FROM weft.conflict").await;
        assert_eq!(ruled, [0], "only one site decides");
    }
}

//! More than one channel: three sites that reach each other directly, and two sites with two channels.

use std::time::Duration;

use cluster_tests::nodes::{Deployment, run_program, wait_equal};
use cluster_tests::oracle;
use cluster_tests::servers::{Server, ServerOptions};
use cluster_tests::workload::{Journal, TABLES, TABLES_SQL, Writer};

use crate::pair::{BJ, Pair, wait_rows};
use crate::support::finish;

const SITES: [&str; 3] = ["sh", "bj", "gz"];

/// A channel for each two of the sites.
fn mesh() -> String {
    let channel = |a: &str, b: &str| {
        format!("[channels.{a}-{b}]\nbetween = [\"{a}.main\", \"{b}.main\"]\ntables = [\"shop.*\"]\n")
    };
    [channel("sh", "bj"), channel("bj", "gz"), channel("sh", "gz")].concat()
}

async fn assert_alike(deployment: &Deployment, servers: &[&Server], journals: &[Journal]) {
    let written: usize = journals.iter().map(|journal| journal.logged.len()).sum();
    assert!(written > 100, "too little was written to show anything");
    wait_equal(servers, &TABLES).await;
    for server in servers {
        oracle::assert_holds(server, journals).await;
    }
    let config = deployment.config();
    let (status, out, err) = run_program(&["verify", "--config", &config.display().to_string()]);
    assert_eq!(status, Some(0), "{out}{err}");
}

#[tokio::test]
async fn three_sites_in_a_mesh_end_identical_though_their_nodes_are_killed() {
    let (sh, bj, gz) = tokio::join!(
        Server::start(ServerOptions::new(11)),
        Server::start(ServerOptions::new(12)),
        Server::start(ServerOptions::new(13))
    );
    let servers = [&sh, &bj, &gz];
    for server in servers {
        server.execute(TABLES_SQL).await;
    }
    let mut deployment = Deployment::new(&SITES, &servers, "", &mesh());
    deployment.start_all().await;
    let writers = servers.iter().zip(1..).map(|(server, n)| Writer::start(server, n, u64::from(n))).collect();
    for victim in [0, 1, 2, 1] {
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        deployment.kill9(victim);
        tokio::time::sleep(Duration::from_millis(200)).await;
        deployment.start(victim);
    }
    let journals = finish(writers).await;
    assert_alike(&deployment, &servers, &journals).await;
    // All three wrote the same keys.
    let sql = "SELECT COUNT(*) > 0 FROM weft.conflict";
    for server in servers {
        assert_eq!(server.text(sql).await, ["1"], "no conflict was met");
    }
}

/// One channel takes the orders both ways, the other the journal one way: what one of them leaves alone
/// is not touched for the other's sake.
#[tokio::test]
async fn two_channels_between_the_same_instances_each_take_their_own_tables() {
    let create = "CREATE TABLE orders (id INT PRIMARY KEY, v INT); \
                  CREATE TABLE journal (id INT PRIMARY KEY, v INT)";
    let channels = "[channels.orders]\nbetween = [\"sh.main\", \"bj.main\"]\ntables = [\"shop.orders\"]\n\
                    [channels.journal]\nfrom = \"sh.main\"\nto = \"bj.main\"\ntables = [\"shop.journal\"]\n";
    let pair = Pair::start(create, channels).await;
    // A transaction of both tables goes in two halves.
    let both = "USE shop; BEGIN; INSERT INTO orders VALUES (1, 1); INSERT INTO journal VALUES (1, 1); COMMIT";
    pair.sh.execute(both).await;
    wait_rows(&pair.bj, "SELECT * FROM shop.orders", &["1|1"]).await;
    wait_rows(&pair.bj, "SELECT * FROM shop.journal", &["1|1"]).await;
    // Back, the journal's rows stay where they are, and the orders' go.
    let back = "USE shop; BEGIN; UPDATE journal SET v = 9; UPDATE orders SET v = 2; COMMIT";
    pair.bj.execute(back).await;
    wait_rows(&pair.sh, "SELECT * FROM shop.orders", &["1|2"]).await;
    assert_eq!(pair.sh.text("SELECT * FROM shop.journal").await, ["1|1"]);
    // Without a rule the source's row counts, whatever was written at the target.
    pair.sh.execute("UPDATE shop.journal SET v = 3").await;
    wait_rows(&pair.bj, "SELECT * FROM shop.journal", &["1|3"]).await;
    for channel in ["orders", "journal"] {
        let direction = pair.deployment.direction(BJ, channel, "sh.main").await.expect("it runs");
        assert!(direction.transactions_applied > 0, "{direction:?}");
    }
}

//! The primary of an instance goes, and its native replica is promoted: writes go on at both sites the
//! whole time, and nobody touches Weft.

use cluster_tests::nodes::{Deployment, PATIENCE, run_program, wait_equal};
use cluster_tests::on_both_flavours;
use cluster_tests::oracle;
use cluster_tests::proxy::Proxy;
use cluster_tests::servers::{Flavour, Server, ServerOptions, has_mysql};
use cluster_tests::wait::wait_until;
use cluster_tests::workload::{Journal, TABLES, TABLES_SQL, Writer};
use mysql_async::{Opts, OptsBuilder};
use weft_actors::status::ChannelState;

use crate::pair::{BJ, BOTH_WAYS, SH, wait_metric, wait_rows};

on_both_flavours! {
    a_planned_switch_to_the_replica_loses_and_repeats_nothing
    a_killed_primary_whose_replica_had_everything_costs_nothing
    a_promoted_replica_that_lacks_what_was_captured_stops_both_directions_until_the_old_one_is_back
}

/// As the README has them: neither account may write to a read-only server.
fn accounts(flavour: Flavour) -> String {
    let rights = match flavour {
        Flavour::MariaDb => "REPLICATION SLAVE, BINLOG MONITOR, BINLOG REPLAY, BINLOG ADMIN, SLAVE MONITOR",
        Flavour::MySql => "REPLICATION SLAVE, REPLICATION CLIENT, BINLOG_ADMIN, SESSION_VARIABLES_ADMIN",
    };
    format!(
        "CREATE USER weft@'%'; GRANT {rights} ON *.* TO weft@'%'; GRANT ALL ON weft.* TO weft@'%'; GRANT SELECT, \
         INSERT, UPDATE, DELETE ON shop.* TO weft@'%'; CREATE USER app@'%'; GRANT SELECT, INSERT, UPDATE, DELETE ON \
         shop.* TO app@'%'"
    )
}

/// A site with a primary and its native replica, and a second site.
struct Sites {
    /// Before the servers, so that the nodes go first.
    deployment: Deployment,
    primary: Server,
    replica: Server,
    bj: Server,
    /// What the clients did that have ended.
    journals: Vec<Journal>,
}

impl Sites {
    /// `urls` gives the value of `urls` of the first site from its two ports.
    async fn start(flavour: Flavour, urls: impl FnOnce(u16, u16) -> String) -> Sites {
        let options = |id| ServerOptions::of(flavour, id).gtid_domain(11);
        let (primary, replica, bj) = tokio::join!(
            Server::start(options(11)),
            Server::start(options(13).arg("--read-only=ON")),
            Server::start(ServerOptions::of(flavour, 12))
        );
        replicate(&replica, &primary).await;
        for server in [&primary, &bj] {
            server.execute(&format!("{TABLES_SQL}; {}", accounts(flavour))).await;
        }
        let mut deployment = Deployment::new(&["sh", "bj"], &[&primary, &bj], "", BOTH_WAYS);
        let text = std::fs::read_to_string(deployment.config()).expect("readable");
        let one = format!("url = \"{}\"", primary.url());
        assert!(text.contains(&one), "{text}");
        let text = text.replace(&one, &format!("urls = [{}]", urls(primary.port(), replica.port())));
        let text = text.replace("mysql://root@", "mysql://weft@");
        std::fs::write(deployment.config(), text).expect("writable");
        deployment.start_all().await;
        Sites { deployment, primary, replica, bj, journals: Vec::new() }
    }

    async fn end(&mut self, writer: Writer) {
        self.journals.push(writer.finish().await);
    }

    /// By hand, as an operator does it.
    async fn promote(&self) {
        let leave = match self.replica.flavour() {
            Flavour::MariaDb => "STOP SLAVE; RESET SLAVE ALL",
            Flavour::MySql => "STOP REPLICA; RESET REPLICA ALL",
        };
        self.replica.execute(&format!("{leave}; SET GLOBAL read_only = OFF")).await;
    }

    /// Waits until the replica has everything that the primary logged, and nothing more comes.
    async fn wait_replicated(&self) {
        let [logged, replicated] = match self.primary.flavour() {
            Flavour::MariaDb => ["SELECT @@gtid_binlog_pos", "SELECT @@gtid_slave_pos"],
            Flavour::MySql => ["SELECT @@GLOBAL.gtid_executed"; 2],
        };
        let look = async || {
            let before = self.primary.text(logged).await;
            let there = self.replica.text(replicated).await;
            tokio::time::sleep(std::time::Duration::from_millis(500)).await;
            let now = self.primary.text(logged).await;
            if before == now && now == there { Ok(()) } else { Err(format!("{before:?} {now:?} {there:?}")) }
        };
        wait_until(PATIENCE, "the replica has everything", look).await;
    }

    /// Waits until capture goes on in the second epoch and both directions run; then everything that was
    /// ever written is at both sites, each once.
    async fn assert_switched(&mut self, writers: Vec<Writer>) {
        wait_metric(&self.deployment, SH, "weft_binlog_source_switches_total", |count| count == 1.0).await;
        wait_until(PATIENCE, "changes of the new epoch arrive", async || {
            let direction = self.deployment.direction(BJ, "orders", "sh.main").await?;
            let watermark = direction.watermark.clone().unwrap_or_default();
            if watermark.starts_with("00002-") { Ok(()) } else { Err(format!("{direction:?}")) }
        })
        .await;
        self.deployment.wait_state(SH, "orders", "bj.main", ChannelState::Running).await;
        for writer in writers {
            self.end(writer).await;
        }
        let written: usize = self.journals.iter().map(|journal| journal.logged.len()).sum();
        assert!(written > 100, "too little was written to show anything");
        wait_equal(&[&self.replica, &self.bj], &TABLES).await;
        for server in [&self.replica, &self.bj] {
            oracle::assert_holds(server, &self.journals).await;
            let changes = oracle::changes(server).await;
            let repeated = changes.iter().find(|(key, of_key)| key.contains("log") && of_key.len() != 1);
            assert!(repeated.is_none(), "at {}: {repeated:?}", server.server_id());
        }
        let config = self.deployment.config();
        let (status, out, err) = run_program(&["verify", "--config", &config.display().to_string()]);
        assert_eq!(status, Some(0), "{out}{err}");
    }
}

async fn replicate(replica: &Server, primary: &Server) {
    let port = primary.port();
    let sql = match replica.flavour() {
        Flavour::MariaDb => format!(
            "CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {port}, MASTER_USER = 'root', MASTER_USE_GTID = \
             slave_pos; START SLAVE"
        ),
        Flavour::MySql => format!(
            "CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = {port}, SOURCE_USER = 'root', \
             SOURCE_AUTO_POSITION = 1; START REPLICA"
        ),
    };
    replica.execute(&sql).await;
}

fn both(first: u16, second: u16) -> String {
    format!("\"mysql://weft@127.0.0.1:{first}\", \"mysql://weft@127.0.0.1:{second}\"")
}

/// A client of this server that may not write where it is read-only.
fn app(server: &Server) -> Opts {
    OptsBuilder::from_opts(server.opts()).user(Some("app")).into()
}

async fn moment() {
    tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
}

async fn a_planned_switch_to_the_replica_loses_and_repeats_nothing(flavour: Flavour) {
    // The primary need not be the first.
    let mut sites = Sites::start(flavour, |primary, replica| both(replica, primary)).await;
    let (here, there) = (Writer::start_as(app(&sites.primary), 1, 1), Writer::start(&sites.bj, 2, 2));
    moment().await;
    sites.primary.execute("SET GLOBAL read_only = ON").await;
    sites.wait_replicated().await;
    sites.end(here).await;
    sites.promote().await;
    let here = Writer::start_as(app(&sites.replica), 3, 3);
    moment().await;
    sites.assert_switched(vec![here, there]).await;
    // What was demoted comes back as the replica, and nothing was written there but what it replicates.
    replicate(&sites.primary, &sites.replica).await;
    wait_equal(&[&sites.primary, &sites.replica], &TABLES).await;
}

async fn a_killed_primary_whose_replica_had_everything_costs_nothing(flavour: Flavour) {
    let mut sites = Sites::start(flavour, both).await;
    let (here, there) = (Writer::start_as(app(&sites.primary), 1, 1), Writer::start(&sites.bj, 2, 2));
    moment().await;
    // Neither site writes there any more while the replica catches up.
    sites.deployment.process(SH).freeze();
    sites.end(here).await;
    sites.wait_replicated().await;
    sites.primary.kill9();
    sites.deployment.process(SH).thaw();
    moment().await;
    sites.promote().await;
    let here = Writer::start_as(app(&sites.replica), 3, 3);
    moment().await;
    // A node that begins anew finds the same epoch.
    sites.deployment.kill9(SH);
    sites.deployment.start(SH);
    sites.deployment.wait_ready(SH).await;
    wait_until(PATIENCE, "the epoch is the second", async || {
        let epoch = sites.replica.text("SELECT epoch FROM weft.capture").await;
        if epoch == ["2"] { Ok(()) } else { Err(format!("{epoch:?}")) }
    })
    .await;
    for writer in [here, there] {
        sites.end(writer).await;
    }
    wait_equal(&[&sites.replica, &sites.bj], &TABLES).await;
    oracle::assert_holds(&sites.bj, &sites.journals).await;
}

async fn a_promoted_replica_that_lacks_what_was_captured_stops_both_directions_until_the_old_one_is_back(
    flavour: Flavour,
) {
    let mut sites = Sites::start(flavour, both).await;
    sites.primary.execute("INSERT INTO shop.log VALUES (1, 'everywhere')").await;
    wait_equal(&[&sites.primary, &sites.replica, &sites.bj], &["shop.log"]).await;
    sites.replica.execute(if flavour == Flavour::MySql { "STOP REPLICA" } else { "STOP SLAVE" }).await;
    sites.primary.execute("INSERT INTO shop.log VALUES (2, 'not at the replica')").await;
    wait_rows(&sites.bj, "SELECT id FROM shop.log ORDER BY id", &["1", "2"]).await;
    let uuid = match flavour {
        Flavour::MariaDb => String::new(),
        Flavour::MySql => sites.primary.text("SELECT @@server_uuid").await.remove(0),
    };
    sites.primary.kill9();
    sites.promote().await;
    // Its own numbers soon pass those that were lost.
    for id in 3..30 {
        sites.replica.execute(&format!("INSERT INTO shop.log VALUES ({id}, 'of the replica')")).await;
    }
    let outward = sites.deployment.wait_state(BJ, "orders", "sh.main", ChannelState::Stopped).await;
    let reason = outward.reason.unwrap_or_default();
    let lost = match flavour {
        Flavour::MariaDb => "11-11-".to_owned(),
        Flavour::MySql => uuid,
    };
    assert!(reason.contains("do not contain") && reason.contains(&lost), "{reason}");
    sites.bj.execute("INSERT INTO shop.log VALUES (99, 'of bj')").await;
    moment().await;
    wait_rows(&sites.bj, "SELECT id FROM shop.log ORDER BY id", &["1", "2", "99"]).await;
    wait_rows(&sites.replica, "SELECT COUNT(*) FROM shop.log WHERE id IN (2, 99)", &["0"]).await;

    sites.replica.execute("SET GLOBAL read_only = ON").await;
    sites.primary.restart().await;
    wait_rows(&sites.primary, "SELECT id FROM shop.log ORDER BY id", &["1", "2", "99"]).await;
    sites.primary.execute("INSERT INTO shop.log VALUES (100, 'after all')").await;
    wait_rows(&sites.bj, "SELECT id FROM shop.log ORDER BY id", &["1", "2", "99", "100"]).await;
}

/// Other threads than that of the test, which waits for programs, pass on what goes through the proxy.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_moved_to_the_promoted_replica_is_a_switch_like_any_other() {
    an_address_moves(Flavour::MariaDb).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_moved_to_mysqls_promoted_replica_is_a_switch_like_any_other() {
    if has_mysql("an_address_that_moved_to_mysqls_promoted_replica_is_a_switch_like_any_other") {
        an_address_moves(Flavour::MySql).await;
    }
}

async fn an_address_moves(flavour: Flavour) {
    let proxy = Proxy::to(0).await;
    let mut moves_to = 0;
    let mut sites = Sites::start(flavour, |primary, replica| {
        proxy.lead_to(primary);
        moves_to = replica;
        format!("\"mysql://weft@127.0.0.1:{}\"", proxy.port())
    })
    .await;
    let (here, there) = (Writer::start_as(app(&sites.primary), 1, 1), Writer::start(&sites.bj, 2, 2));
    moment().await;
    sites.primary.execute("SET GLOBAL read_only = ON").await;
    sites.wait_replicated().await;
    sites.end(here).await;
    sites.promote().await;
    proxy.lead_to(moves_to);
    let here = Writer::start_as(app(&sites.replica), 3, 3);
    moment().await;
    sites.assert_switched(vec![here, there]).await;
}

//! `weft check` against real servers: what it finds, and that what it says fixes it.

mod mysql;

use std::path::Path;

use cluster_tests::servers::{Server, ServerOptions};
use weft::check::{self, Finding, Level};
use weft::config::Deployment;

/// Two servers and the deployment that joins their schema `shop` both ways.
struct Pair {
    sh: Server,
    bj: Server,
    login: String,
}

impl Pair {
    async fn start(sh: ServerOptions, bj: ServerOptions) -> Pair {
        let (sh, bj) = futures::join!(Server::start(sh), Server::start(bj));
        for server in [&sh, &bj] {
            server.execute("CREATE DATABASE shop; CREATE TABLE shop.t (id INT PRIMARY KEY, a INT)").await;
        }
        Pair { sh, bj, login: "root".to_owned() }
    }

    async fn good() -> Pair {
        let durable = |id| ServerOptions::new(id).durable().arg("--secure-timestamp=SUPER");
        Pair::start(durable(1), durable(2)).await
    }

    fn deployment(&self) -> Deployment {
        let site = |name: &str, server: &Server, port: u16| {
            format!(
                "[sites.{name}.instances.main]\nurl = \"mysql://{}@127.0.0.1:{}\"\n\
                 [sites.{name}.nodes.{name}-1]\npeer = \"127.0.0.1:{port}\"\n\
                 admin = \"127.0.0.1:{}\"\ndata = \"{name}\"\n",
                self.login,
                server.port(),
                port + 1
            )
        };
        let text = format!(
            "cluster = \"shop\"\n{}{}[channels.orders]\nbetween = [\"sh.main\", \"bj.main\"]\ntables = [\"shop.*\"]\n",
            site("sh", &self.sh, 10),
            site("bj", &self.bj, 20)
        );
        Deployment::parse(Path::new("weft.toml"), &text).expect("a good configuration")
    }

    async fn check(&self) -> Vec<Finding> {
        check::run(&self.deployment(), None).await.expect("nothing to resolve")
    }

    /// Codes of what is found at one instance.
    async fn codes(&self, instance: &str) -> Vec<&'static str> {
        let findings = self.check().await;
        findings.iter().filter(|f| f.instance.as_deref() == Some(instance)).map(|f| f.code).collect()
    }
}

/// The statement at the head of a fix.
fn statement(fix: &str) -> &str {
    fix.split(", and the same").next().and_then(|head| head.split("; or,").next()).expect("there is a head")
}

#[tokio::test]
async fn good_servers_are_ready_and_each_bad_setting_is_found_and_fixed_by_its_statement() {
    let pair = Pair::good().await;
    assert_eq!(pair.check().await, []);
    for (setting, code) in [
        ("binlog_format = STATEMENT", "binlog-format"),
        ("binlog_format = MIXED", "binlog-format"),
        ("binlog_row_image = MINIMAL", "row-image"),
        ("binlog_row_metadata = NO_LOG", "row-metadata"),
        ("server_id = 2", "server-id"),
        ("read_only = ON", "read-only"),
        ("slave_exec_mode = IDEMPOTENT", "slave-exec-mode"),
        ("slave_run_triggers_for_rbr = YES", "slave-triggers"),
        ("sync_binlog = 0", "durability"),
        ("binlog_expire_logs_seconds = 60", "retention"),
    ] {
        pair.sh.execute(&format!("SET GLOBAL {setting}")).await;
        let findings = pair.check().await;
        assert_eq!(findings.len(), 1, "{setting}: {findings:?}");
        assert_eq!((findings[0].code, findings[0].instance.as_deref()), (code, Some("sh.main")));
        pair.sh.execute(statement(&findings[0].fix)).await;
        assert_eq!(pair.check().await, [], "after {}", findings[0].fix);
    }
}

#[tokio::test]
async fn small_packets_are_found_at_the_target_that_has_them() {
    let pair = Pair::good().await;
    pair.bj.execute("SET GLOBAL max_allowed_packet = 8388608").await;
    let findings = pair.check().await;
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!((findings[0].code, findings[0].instance.as_deref()), ("max-allowed-packet", Some("bj.main")));
    pair.bj.execute(statement(&findings[0].fix)).await;
    assert_eq!(pair.check().await, []);
}

#[tokio::test]
async fn a_user_without_rights_is_told_the_grants_that_make_it_ready() {
    let mut pair = Pair::good().await;
    let create = "CREATE USER weft@'127.0.0.1' IDENTIFIED BY 'p w'";
    futures::join!(pair.sh.execute(create), pair.bj.execute(create));
    pair.login = "weft:wrong".to_owned();
    assert_eq!(pair.codes("sh.main").await, ["access-denied"]);
    pair.login = "weft:p%20w".to_owned();
    let codes = pair.codes("sh.main").await;
    assert_eq!(codes, ["grant-binlog", "grant-schema", "grant-replay", "grant-sql", "grant-slave-monitor"]);
    let fatal = check::fatal(&pair.deployment(), "sh.main").await.expect("nothing to resolve");
    assert_eq!(
        fatal.iter().map(|f| f.code).collect::<Vec<_>>(),
        ["grant-binlog", "grant-schema", "grant-sql"]
    );
    for finding in pair.check().await {
        let server = if finding.instance.as_deref() == Some("sh.main") { &pair.sh } else { &pair.bj };
        server.execute(statement(&finding.fix)).await;
    }
    assert_eq!(pair.check().await, []);
}

#[tokio::test]
async fn without_the_right_to_create_the_schema_its_statements_are_printed_and_work() {
    let mut pair = Pair::good().await;
    let rights = "CREATE USER weft@'127.0.0.1'; \
                  GRANT REPLICATION SLAVE, BINLOG MONITOR, BINLOG REPLAY, BINLOG ADMIN, SLAVE MONITOR, SELECT, INSERT, \
                  UPDATE, DELETE ON *.* TO weft@'127.0.0.1'";
    futures::join!(pair.sh.execute(rights), pair.bj.execute(rights));
    pair.login = "weft".to_owned();
    let findings = pair.check().await;
    assert_eq!(findings.iter().map(|f| f.code).collect::<Vec<_>>(), ["grant-schema", "grant-schema"]);
    let statements = findings[0].fix.split("run: ").nth(1).expect("the statements");
    pair.sh.execute(statements).await;
    assert_eq!(pair.sh.text("SELECT COUNT(*) FROM weft.mark").await, ["0"]);
}

#[tokio::test]
async fn a_binlog_that_is_off_or_filtered_and_a_server_that_is_gone_are_errors() {
    let filtered =
        ServerOptions::new(2).durable().arg("--secure-timestamp=SUPER").arg("--binlog-ignore-db=weft");
    let off = ServerOptions::new(1).durable().arg("--secure-timestamp=SUPER").arg("--skip-log-bin");
    let mut pair = Pair::start(off, filtered).await;
    assert_eq!(pair.codes("sh.main").await, ["binlog-off"]);
    assert_eq!(pair.codes("bj.main").await, ["binlog-filter"]);
    pair.bj.kill9();
    let findings = pair.check().await;
    assert_eq!(findings.iter().map(|f| f.code).collect::<Vec<_>>(), ["unreachable", "binlog-off"]);
    assert_eq!(findings[0].instance.as_deref(), Some("bj.main"));
    let fatal = check::fatal(&pair.deployment(), "bj.main").await.expect("nothing to resolve");
    assert_eq!(fatal, []);
    let of_site = check::run(&pair.deployment(), Some("sh")).await.expect("nothing to resolve");
    assert_eq!(of_site.iter().map(|f| f.code).collect::<Vec<_>>(), ["binlog-off"]);
}

#[tokio::test]
async fn tables_that_cannot_go_both_ways_are_named_at_their_instance() {
    let pair = Pair::good().await;
    let parent = "CREATE TABLE shop.parent (id INT PRIMARY KEY)";
    for (create, table, level, code) in [
        ("CREATE TABLE shop.x (a INT)", "shop.x", Level::Error, "no-primary-key"),
        (
            "CREATE TABLE shop.x (id INT PRIMARY KEY) ENGINE = MyISAM",
            "shop.x",
            Level::Error,
            "not-transactional",
        ),
        (
            "CREATE TABLE shop.x (id INT PRIMARY KEY) ENGINE = Aria",
            "shop.x",
            Level::Error,
            "not-transactional",
        ),
        (
            "CREATE TABLE shop.x (a VARCHAR(9) COLLATE utf8mb4_uca1400_ai_ci PRIMARY KEY)",
            "shop.x",
            Level::Error,
            "collation",
        ),
        (
            "CREATE TABLE shop.x (id INT PRIMARY KEY, a VARCHAR(9) COLLATE latin1_german2_ci UNIQUE)",
            "shop.x",
            Level::Error,
            "collation",
        ),
        (
            "CREATE TABLE shop.x (id INT PRIMARY KEY, FOREIGN KEY (id) REFERENCES shop.parent (id) ON DELETE CASCADE)",
            "shop.x",
            Level::Error,
            "cascade",
        ),
        (
            "CREATE TABLE shop.x (id INT PRIMARY KEY, a VARCHAR(9) COLLATE utf8mb4_bin, UNIQUE (a(3)))",
            "shop.x",
            Level::Error,
            "prefix-key",
        ),
        (
            "CREATE TABLE shop.x (id INT PRIMARY KEY); CREATE TRIGGER shop.fire BEFORE INSERT ON shop.x FOR EACH ROW \
             SET NEW.id = NEW.id",
            "shop.x",
            Level::Warning,
            "triggers",
        ),
        (
            "CREATE TABLE shop.x (id INT AUTO_INCREMENT PRIMARY KEY)",
            "shop.x",
            Level::Warning,
            "auto-increment",
        ),
    ] {
        for server in [&pair.sh, &pair.bj] {
            server.execute(&format!("DROP TABLE IF EXISTS shop.x, shop.parent; {parent}; {create}")).await;
        }
        let findings = pair.check().await;
        let at_sh: Vec<&Finding> =
            findings.iter().filter(|f| f.instance.as_deref() == Some("sh.main")).collect();
        assert_eq!(at_sh.len(), 1, "{create}: {findings:?}");
        assert_eq!(
            (at_sh[0].level, at_sh[0].code, at_sh[0].channel.as_deref()),
            (level, code, Some("orders"))
        );
        assert!(at_sh[0].what.contains(table), "{}", at_sh[0].what);
    }
    pair.bj.execute("DROP TABLE shop.x; ALTER TABLE shop.t ADD b INT").await;
    assert_eq!(pair.codes("bj.main").await, ["table-differs", "no-table"]);
}

#[tokio::test]
async fn native_replication_in_a_circle_is_found_and_its_statement_ends_it() {
    let pair = Pair::good().await;
    let change = format!(
        "CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {}, MASTER_USER = 'root', MASTER_USE_GTID = no",
        pair.sh.port()
    );
    pair.bj.execute(&change).await;
    let findings = pair.check().await;
    assert_eq!(findings.iter().map(|f| f.code).collect::<Vec<_>>(), ["native-circle"], "{findings:?}");
    assert_eq!(findings[0].instance.as_deref(), Some("bj.main"));
    pair.bj.execute(statement(&findings[0].fix)).await;
    assert_eq!(pair.check().await, []);
}

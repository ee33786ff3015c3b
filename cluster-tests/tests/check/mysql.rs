//! The same on MySQL, where it has other words.

use cluster_tests::servers::{Flavour, ServerOptions, has_mysql};
use weft::check::{Finding, Level};

use super::{Pair, statement};

async fn good() -> Pair {
    let durable = |id| ServerOptions::of(Flavour::MySql, id).durable();
    Pair::start(durable(1), durable(2)).await
}

fn codes(findings: &[Finding]) -> Vec<&'static str> {
    findings.iter().map(|finding| finding.code).collect()
}

#[tokio::test]
async fn good_mysql_servers_are_ready_and_each_bad_setting_is_found_and_fixed_by_its_statement() {
    if !has_mysql("good_mysql_servers_are_ready_and_each_bad_setting_is_found_and_fixed_by_its_statement") {
        return;
    }
    let pair = good().await;
    assert_eq!(pair.check().await, []);
    for (setting, code) in [
        ("binlog_format = STATEMENT", "binlog-format"),
        ("binlog_row_image = MINIMAL", "row-image"),
        ("binlog_row_metadata = MINIMAL", "row-metadata"),
        ("server_id = 2", "server-id"),
        ("read_only = ON", "read-only"),
        ("replica_exec_mode = IDEMPOTENT", "slave-exec-mode"),
        ("sync_binlog = 0", "durability"),
        ("binlog_expire_logs_seconds = 60", "retention"),
    ] {
        pair.sh.execute(&format!("SET GLOBAL {setting}")).await;
        let findings = pair.check().await;
        assert_eq!(codes(&findings), [code], "{setting}: {findings:?}");
        assert_eq!(findings[0].instance.as_deref(), Some("sh.main"));
        pair.sh.execute(statement(&findings[0].fix)).await;
        assert_eq!(pair.check().await, [], "after {}", findings[0].fix);
    }
    pair.bj.execute("SET GLOBAL max_allowed_packet = 8388608").await;
    let findings = pair.check().await;
    assert_eq!(codes(&findings), ["max-allowed-packet"], "{findings:?}");
    pair.bj.execute(statement(&findings[0].fix)).await;
    assert_eq!(pair.check().await, []);
    let circle = format!(
        "CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = {}, SOURCE_USER = 'root', \
         SOURCE_AUTO_POSITION = 1",
        pair.sh.port()
    );
    pair.bj.execute(&circle).await;
    let findings = pair.check().await;
    assert_eq!(codes(&findings), ["native-circle"], "{findings:?}");
    pair.bj.execute(statement(&findings[0].fix)).await;
    assert_eq!(pair.check().await, []);
}

#[tokio::test]
async fn a_mysql_user_without_rights_is_told_the_grants_that_make_it_ready() {
    if !has_mysql("a_mysql_user_without_rights_is_told_the_grants_that_make_it_ready") {
        return;
    }
    let mut pair = good().await;
    for (user, rights) in [("weft", ""), ("applier", "GRANT REPLICATION_APPLIER ON *.* TO applier@'%'")] {
        let create = format!("CREATE USER {user}@'%' IDENTIFIED BY 'p w'; {rights}");
        futures::join!(pair.sh.execute(&create), pair.bj.execute(&create));
        pair.login = format!("{user}:wrong");
        assert_eq!(pair.codes("sh.main").await, ["access-denied"]);
        pair.login = format!("{user}:p%20w");
        let findings = pair.check().await;
        let replay: Vec<&Finding> =
            findings.iter().filter(|finding| finding.code == "grant-replay").collect();
        assert_eq!(replay.len(), 2, "{findings:?}");
        let asks_for_more = replay[0].fix.contains("BINLOG_ADMIN");
        assert_eq!(asks_for_more, user == "weft", "{}", replay[0].fix);
        for finding in findings {
            let server = if finding.instance.as_deref() == Some("sh.main") { &pair.sh } else { &pair.bj };
            server.execute(statement(&finding.fix)).await;
        }
        assert_eq!(pair.check().await, []);
    }
}

#[tokio::test]
async fn tables_of_mysql_that_cannot_go_both_ways_are_named_at_their_instance() {
    if !has_mysql("tables_of_mysql_that_cannot_go_both_ways_are_named_at_their_instance") {
        return;
    }
    let pair = good().await;
    let parent = "CREATE TABLE shop.parent (id INT PRIMARY KEY)";
    for (columns, level, code) in [
        ("(a INT)", Level::Error, "no-primary-key"),
        ("(id INT PRIMARY KEY) ENGINE = MyISAM", Level::Error, "not-transactional"),
        ("(a VARCHAR(9) COLLATE utf8mb4_sv_0900_ai_ci PRIMARY KEY)", Level::Error, "collation"),
        ("(id INT PRIMARY KEY, a VARCHAR(9) COLLATE latin1_german2_ci UNIQUE)", Level::Error, "collation"),
        (
            "(id INT PRIMARY KEY, FOREIGN KEY (id) REFERENCES shop.parent (id) ON DELETE CASCADE)",
            Level::Error,
            "cascade",
        ),
        ("(id INT PRIMARY KEY, a VARCHAR(9) COLLATE utf8mb4_bin, UNIQUE (a(3)))", Level::Error, "prefix-key"),
        (
            "(id INT PRIMARY KEY); CREATE TRIGGER shop.fire BEFORE INSERT ON shop.x FOR EACH ROW SET NEW.id = NEW.id",
            Level::Warning,
            "triggers",
        ),
        ("(id INT AUTO_INCREMENT PRIMARY KEY)", Level::Warning, "auto-increment"),
    ] {
        for server in [&pair.sh, &pair.bj] {
            let create = format!("CREATE TABLE shop.x {columns}");
            server.execute(&format!("DROP TABLE IF EXISTS shop.x, shop.parent; {parent}; {create}")).await;
        }
        let findings = pair.check().await;
        let at_sh: Vec<&Finding> =
            findings.iter().filter(|finding| finding.instance.as_deref() == Some("sh.main")).collect();
        assert_eq!(at_sh.len(), 1, "{columns}: {findings:?}");
        assert_eq!((at_sh[0].level, at_sh[0].code), (level, code));
        assert!(at_sh[0].what.contains("shop.x"), "{}", at_sh[0].what);
    }
    pair.bj.execute("DROP TABLE shop.x; ALTER TABLE shop.t ADD b INT").await;
    assert_eq!(pair.codes("bj.main").await, ["table-differs", "no-table"]);
}

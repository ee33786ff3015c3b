//! The writer's two ways in, row-event replay and multi-row SQL, end alike.

use cluster_tests::nodes::PATIENCE;
use cluster_tests::servers::{Flavour, Server, has_mysql};
use cluster_tests::wait::wait_until;

use crate::pair::{BOTH_WAYS, ONE_WAY, Pair};

const TABLE: &str = "CREATE TABLE t (id INT, part VARCHAR(10) COLLATE utf8mb4_general_ci, big BIGINT UNSIGNED, amount \
     DECIMAL(20,6), at DATETIME(6), span TIME(3), day DATE, b VARBINARY(40), l LONGBLOB, txt TEXT, bits BIT(12), e \
     ENUM('x','y','z'), s SET('p','q','r'), f FLOAT, d DOUBLE, u VARCHAR(30), PRIMARY KEY (id, part), UNIQUE KEY (u)) \
     DEFAULT CHARSET utf8mb4 COLLATE utf8mb4_general_ci";
/// Another order and a column more: no replay fits it.
const OTHER_SHAPE: &str =
    "ALTER TABLE shop.t ADD COLUMN own INT DEFAULT 9 FIRST, MODIFY COLUMN u VARCHAR(30) AFTER big";
const ROWS: &str = "SELECT id, part, big, amount, at, span, day, HEX(b), SHA2(l, 256), txt, HEX(bits), e, s, f, d, u FROM shop.t \
                    ORDER BY id, part";
/// Fires where rows are written by SQL, and not where they are replayed.
const TRIGGER: &str = "CREATE DATABASE seen; CREATE TABLE seen.n (n INT AUTO_INCREMENT PRIMARY KEY); \
                       CREATE TRIGGER shop.fired BEFORE INSERT ON shop.t FOR EACH ROW INSERT INTO seen.n VALUES (NULL)";

async fn write(source: &Server) {
    source
        .execute(
            "USE shop; SET sql_mode = ''; \
             INSERT INTO t VALUES (1, 'a', 18446744073709551615, -12345678901234.000001, '2024-02-29 23:59:59.999999', \
             '-838:59:58.999', '0000-00-00', x'00ff00', REPEAT('long', 30000), 'naïve 漢字 🦀', b'101010101010', 'y', \
             'p,r', 1.5, -2.25e300, 'u1'), (2, 'a', 0, 0.5, NULL, '00:00:00.001', '1000-01-01', '', '', '', 0, 'x', '', \
             -0.25, 0, 'u2'), (3, 'b', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL); \
             START TRANSACTION; UPDATE t SET u = 'tmp' WHERE id = 1; UPDATE t SET u = 'u1' WHERE id = 2; UPDATE t SET u = \
             'u2' WHERE id = 1; COMMIT; \
             UPDATE t SET id = 30, txt = 'moved' WHERE id = 3; \
             UPDATE t SET part = 'A' WHERE id = 2; \
             INSERT INTO t (id, part) VALUES (4, 'x'), (5, 'x'), (6, 'x'); DELETE FROM t WHERE id IN (4, 6); \
             START TRANSACTION; INSERT INTO t (id, part, u) VALUES (7, 'x', 'u7'); DELETE FROM t WHERE id = 7; INSERT INTO t \
             (id, part, u) VALUES (8, 'x', 'u7'); UPDATE t SET big = id, txt = CONCAT('row ', id); COMMIT",
        )
        .await;
    let many = |from: u32| -> String {
        let rows: Vec<String> = (from..from + 400).map(|id| format!("({id}, 'm', {id})")).collect();
        format!("INSERT INTO shop.t (id, part, big) VALUES {}", rows.join(","))
    };
    source.execute(&many(1_000)).await;
    source.execute("UPDATE shop.t SET big = big * 2, u = CONCAT('u', id) WHERE id >= 1000; DELETE FROM shop.t WHERE id % 7 = 1 AND id > 1000").await;
}

/// The account that the README has created, with these global rights of its own.
fn account(rights: &str) -> String {
    format!(
        "CREATE USER weft@'%' IDENTIFIED BY 'p'; GRANT {rights} ON *.* TO weft@'%'; GRANT ALL ON weft.* TO weft@'%'; \
         GRANT SELECT, INSERT, UPDATE, DELETE ON shop.* TO weft@'%'"
    )
}

/// The same test for both ways; gives how often the target's trigger fired. `rights`: not root applies,
/// but an account with these.
async fn write_and_compare(channels: &str, at_target: &[&str], rights: Option<&str>) -> u64 {
    write_and_compare_on(Flavour::MariaDb, channels, at_target, rights).await
}

/// The same on servers of this flavour.
async fn write_and_compare_on(
    flavour: Flavour,
    channels: &str,
    at_target: &[&str],
    rights: Option<&str>,
) -> u64 {
    let pair = Pair::bare([flavour; 2], channels).await;
    for server in [&pair.sh, &pair.bj] {
        server.execute("CREATE DATABASE shop").await;
    }
    if let Some(rights) = rights {
        for server in [&pair.sh, &pair.bj] {
            server.execute(&account(rights)).await;
        }
        let config = pair.deployment.config();
        let text = std::fs::read_to_string(&config).expect("written");
        std::fs::write(&config, text.replace("//root@", "//weft:p@")).expect("writable");
    }
    for server in [&pair.sh, &pair.bj] {
        server.execute(&format!("SET sql_mode = ''; USE shop; {TABLE}")).await;
    }
    for sql in at_target {
        pair.bj.execute(sql).await;
    }
    let Pair { sh, bj, mut deployment } = pair;
    deployment.start_all().await;
    write(&sh).await;
    let expected = sh.text(ROWS).await;
    wait_until(PATIENCE, "the target has the same rows", async || {
        let seen = bj.text(ROWS).await;
        let differing = expected.iter().zip(&seen).find(|(a, b)| a != b);
        if seen == expected {
            Ok(())
        } else {
            Err(format!("{} of {}: {differing:?}", seen.len(), expected.len()))
        }
    })
    .await;
    let fired: Vec<u64> = bj.query("SELECT COUNT(*) FROM seen.n").await;
    fired[0]
}

#[tokio::test]
async fn one_way_both_ways_in_end_alike() {
    assert_eq!(write_and_compare(ONE_WAY, &[TRIGGER], None).await, 0, "a replay fires no trigger");
    assert!(write_and_compare(ONE_WAY, &[TRIGGER, OTHER_SHAPE], None).await > 0, "SQL does");
}

#[tokio::test]
async fn two_ways_both_ways_in_end_alike() {
    assert_eq!(write_and_compare(BOTH_WAYS, &[TRIGGER], None).await, 0, "a replay fires no trigger");
    assert!(write_and_compare(BOTH_WAYS, &[TRIGGER, OTHER_SHAPE], None).await > 0, "SQL does");
}

/// The README's account replays; without either of the two rights that a replay needs it writes by SQL,
/// and nothing stops.
#[tokio::test]
async fn an_account_without_the_rights_to_replay_ends_alike_by_sql() {
    let readme = "REPLICATION SLAVE, BINLOG MONITOR, BINLOG REPLAY, BINLOG ADMIN, SLAVE MONITOR";
    let text = include_str!("../../../README.md").split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains(&format!("GRANT {readme} ON *.*")), "the README has the same account");
    assert_eq!(write_and_compare(BOTH_WAYS, &[TRIGGER], Some(readme)).await, 0, "a replay fires no trigger");
    for missing in [", BINLOG REPLAY, BINLOG ADMIN", ", BINLOG REPLAY", ", BINLOG ADMIN"] {
        let rights = readme.replace(missing, "");
        let fired = write_and_compare(BOTH_WAYS, &[TRIGGER], Some(&rights)).await;
        assert!(fired > 0, "without{missing} rows are written by SQL");
    }
}

/// The README's account is that of the tests of a switch.
#[tokio::test]
async fn mysqls_appliers_replay_too_and_an_account_without_the_right_ends_alike_by_sql() {
    if !has_mysql("mysqls_appliers_replay_too_and_an_account_without_the_right_ends_alike_by_sql") {
        return;
    }
    let readme = "REPLICATION SLAVE, REPLICATION CLIENT, BINLOG_ADMIN, SESSION_VARIABLES_ADMIN";
    let text = include_str!("../../../README.md").split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains(&format!("GRANT {readme} ON *.*")), "the README has the same account");
    for (rights, replays) in [
        (readme.replace("BINLOG_ADMIN", "REPLICATION_APPLIER"), true),
        (readme.replace(", BINLOG_ADMIN", ""), false),
    ] {
        let fired = write_and_compare_on(Flavour::MySql, BOTH_WAYS, &[TRIGGER], Some(&rights)).await;
        assert_eq!(fired == 0, replays, "{rights}: the trigger fired {fired} times");
    }
}

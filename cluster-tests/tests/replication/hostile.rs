//! Servers whose settings for all sessions would change what a statement does: the writer's sessions
//! set everything themselves.

use cluster_tests::servers::Server;

use crate::pair::{BOTH_WAYS, Pair, wait_rows};

const SETTINGS: &str = "SET GLOBAL autocommit = 0, completion_type = 'CHAIN', foreign_key_checks = 1, \
     innodb_lock_wait_timeout = 1, lock_wait_timeout = 1, time_zone = '+05:30', sql_safe_updates = 1, \
     sql_select_limit = 1, character_set_client = latin1, character_set_connection = latin1, character_set_results \
     = latin1, collation_connection = latin1_german2_ci, character_set_server = cp1251, explicit_defaults_for_timestamp \
     = 0, max_statement_time = 30, tx_isolation = 'SERIALIZABLE', unique_checks = 1, sql_mode = \
     'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PAD_CHAR_TO_FULL_LENGTH,\
      PIPES_AS_CONCAT,ONLY_FULL_GROUP_BY,HIGH_NOT_PRECEDENCE,IGNORE_SPACE,NO_UNSIGNED_SUBTRACTION'";
/// What an application's own session has.
const OURS: &str = "SET sql_mode = 'ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO', autocommit = 1, time_zone = '+00:00', \
                    sql_safe_updates = 0, sql_select_limit = DEFAULT, completion_type = 'NO_CHAIN'; SET NAMES utf8mb4";
const COLUMNS: &str = "id INT AUTO_INCREMENT PRIMARY KEY, at TIMESTAMP NULL, d DATE, s VARCHAR(20) COLLATE \
                       utf8mb4_general_ci, c CHAR(9), l VARCHAR(20) CHARACTER SET latin1, p INT, KEY (p)";

async fn write(server: &Server, from: u32, parent: u32) {
    for table in ["r", "s"] {
        server
            .execute(&format!(
                "{OURS}; INSERT INTO shop.{table} (id, at, d, s, c, l) VALUES ({from}, '2024-06-01 12:00:00', '2023-02-31', \
                 'a\\\\b\"''ü', 'x', 'é€'), ({from} + 1, '0000-00-00', '2024-00-00', '漢字', '', ''), ({from} + 2, \
                 NULL, '0000-00-00', NULL, NULL, NULL); UPDATE shop.{table} SET p = {parent}, s = 'moved' WHERE id = {from} + 2; \
                 INSERT INTO shop.{table} (id, p) VALUES ({from} + 3, {parent}); DELETE FROM shop.{table} WHERE id = {from} + 3"
            ))
            .await;
    }
}

#[tokio::test]
async fn hostile_settings_of_all_sessions_change_nothing_by_replay_nor_by_sql() {
    let create = format!("CREATE TABLE r ({COLUMNS}); CREATE TABLE s ({COLUMNS})");
    let mut pair = Pair::servers(&create, "", BOTH_WAYS).await;
    // The parent of sh's rows is not there: what the other side checked is not checked again.
    let parents = "CREATE DATABASE other; CREATE TABLE other.parent (id INT PRIMARY KEY); ALTER TABLE shop.r ADD FOREIGN \
                   KEY (p) REFERENCES other.parent (id); ALTER TABLE shop.s ADD FOREIGN KEY (p) REFERENCES other.parent (id)";
    pair.bj.execute(&format!("{parents}; ALTER TABLE shop.s ADD COLUMN own INT DEFAULT 9 FIRST")).await;
    for server in [&pair.sh, &pair.bj] {
        server.execute(SETTINGS).await;
    }
    pair.bj
        .execute("SET autocommit = 1, sql_safe_updates = 0; INSERT INTO other.parent VALUES (7); COMMIT")
        .await;
    pair.deployment.start_all().await;
    write(&pair.bj, 100, 7).await;
    write(&pair.sh, 0, 77).await;
    for table in ["r", "s"] {
        let text = |from: u32, parent: u32| {
            [
                format!("{from}|1717243200.000000|2023-02-31|615C6222C3BC|78|E980|NULL")
                    .replace("6222C3", "622227C3"),
                format!("{}|0.000000|2024-00-00|E6BCA2E5AD97|||NULL", from + 1),
                format!("{}|NULL|0000-00-00|6D6F766564|NULL|NULL|{parent}", from + 2),
            ]
        };
        let rows: Vec<String> = text(0, 77).into_iter().chain(text(100, 7)).collect();
        let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
        let sql = format!(
            "SELECT SQL_NO_CACHE id, CAST(UNIX_TIMESTAMP(at) + 0.000000 AS CHAR), CAST(d AS CHAR), HEX(s), HEX(TRIM(c)), \
             HEX(l), p FROM shop.{table} ORDER BY id LIMIT 100"
        );
        wait_rows(&pair.sh, &sql, &rows).await;
        wait_rows(&pair.bj, &sql, &rows).await;
    }
}

//! Every column type goes there and back: by replay and by SQL, both directions at once, as a value
//! and as a key. The README's table says the same.

use cluster_tests::nodes::{PATIENCE, run_program};
use cluster_tests::servers::{Flavour, Server, has_mysql};
use cluster_tests::types::{Column, Key, columns};
use cluster_tests::wait::wait_until;
use mysql_async::prelude::Queryable;
use weft_actors::status::ChannelState;

use crate::pair::{BJ, BOTH_WAYS, Pair, SH};

/// How a table's rows get to the other side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// The same table on both sides.
    Replay,
    /// bj has a column more, in front: no replay fits it.
    Sql,
}

/// A table around one column.
struct Table {
    name: String,
    column: &'static Column,
    way: Way,
    in_key: bool,
}

/// Across flavours nothing is replayed.
fn tables(flavours: [Flavour; 2]) -> Vec<Table> {
    let ways: &[_] = &[(Way::Sql, 's'), (Way::Replay, 'r')];
    let ways = if flavours[0] == flavours[1] { ways } else { &ways[..1] };
    let mut tables = Vec::new();
    for (number, column) in columns(flavours) {
        for &(way, letter) in ways {
            tables.push(Table { name: format!("v{letter}{number}"), column, way, in_key: false });
            if column.key == Key::Whole {
                tables.push(Table { name: format!("k{letter}{number}"), column, way, in_key: true });
            }
        }
    }
    tables
}

impl Table {
    /// Its definition; a replay that fires a trigger is none, so the trigger refuses foreign rows.
    fn create(&self, at_bj: bool) -> String {
        let Table { name, column, .. } = self;
        let own = if at_bj && self.way == Way::Sql { "own INT DEFAULT 9, " } else { "" };
        // A key is never NULL; a generated column is not either, and may not say so.
        let not_null = if column.definition.contains(" AS (") { "" } else { "NOT NULL" };
        let definition = column.definition.replace("NULL DEFAULT NULL", "");
        let mut sql = match self.in_key {
            false => format!("CREATE TABLE {name} ({own}id INT PRIMARY KEY, n INT, v {})", column.definition),
            true => format!(
                "CREATE TABLE {name} ({own}id INT, n INT, v {definition} {not_null}, PRIMARY KEY (id, v))"
            ),
        };
        if self.way == Way::Replay {
            let foreign = if at_bj { "< 1000" } else { ">= 1000" };
            sql.push_str(&format!(
                "; CREATE TRIGGER {name} BEFORE INSERT ON {name} FOR EACH ROW IF NEW.id {foreign} THEN SIGNAL SQLSTATE \
                 '45000' SET MESSAGE_TEXT = 'not replayed'; END IF"
            ));
        }
        sql
    }

    /// Inserts, updates from every value to the next, moves and deletes. `base`: of the side's ids.
    fn writes(&self, base: u32) -> Vec<String> {
        let Table { name, column, .. } = self;
        if self.in_key {
            let rows: Vec<String> =
                column.values.iter().map(|value| format!("({base}, 0, {value})")).collect();
            return vec![
                format!("INSERT INTO {name} (id, n, v) VALUES {}", rows.join(",")),
                format!("UPDATE {name} SET n = n + 1 WHERE id = {base}"),
                format!("UPDATE {name} SET id = id + 1 WHERE id = {base} ORDER BY v LIMIT 1"),
                format!("DELETE FROM {name} WHERE id = {base} ORDER BY v DESC LIMIT 1"),
            ];
        }
        let fixed = column.definition.contains("NOT NULL") || column.values[0] == "DEFAULT";
        let values: Vec<&str> = column.values.iter().copied().chain((!fixed).then_some("NULL")).collect();
        let rows: Vec<String> =
            values.iter().zip(base..).map(|(value, id)| format!("({id}, 0, {value})")).collect();
        let mut writes = vec![format!("INSERT INTO {name} (id, n, v) VALUES {}", rows.join(","))];
        let next = values.iter().cycle().skip(1);
        writes.extend(values.iter().zip(next).zip(base..).map(|((_, next), id)| match *next {
            // Left alone, so that what the server fills in by itself is seen.
            "DEFAULT" => format!("UPDATE {name} SET n = n + 1 WHERE id = {id}"),
            next => format!("UPDATE {name} SET n = n + 1, v = {next} WHERE id = {id}"),
        }));
        writes.push(format!("INSERT INTO {name} (id, n, v) VALUES ({}, 0, {})", base + 500, values[0]));
        writes.push(format!("DELETE FROM {name} WHERE id = {}", base + 500));
        writes
    }

    fn rows(&self) -> String {
        let shown = self.column.shown("v");
        format!("SELECT id, n, {shown} FROM shop.{} ORDER BY id, {shown}", self.name)
    }
}

async fn write_all(server: &Server, tables: &[Table], base: u32) {
    let settings = "USE shop; SET NAMES utf8mb4; SET sql_mode = 'ALLOW_INVALID_DATES', time_zone = '+00:00'";
    run_all(server, settings, tables.iter().flat_map(|table| table.writes(base))).await;
}

async fn create_all(server: &Server, tables: &[Table], at_bj: bool) {
    let settings = "CREATE DATABASE shop CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci; USE shop; SET NAMES \
                    utf8mb4; SET sql_mode = ''";
    run_all(server, settings, tables.iter().map(|table| table.create(at_bj))).await;
}

/// Runs all statements on one connection and names those that failed.
async fn run_all(server: &Server, settings: &str, statements: impl Iterator<Item = String>) {
    let mut conn = server.conn().await;
    conn.query_drop(settings).await.expect("the session is set up");
    let mut failed = Vec::new();
    for sql in statements {
        if let Err(error) = conn.query_drop(&sql).await {
            failed.push(format!("{}: {error}", sql.chars().take(300).collect::<String>()));
        }
    }
    assert!(failed.is_empty(), "{:?}: {failed:#?}", server.flavour());
}

/// Waits until both sides have the same rows of every table, to the byte.
async fn wait_same(pair: &Pair, tables: &[Table]) {
    let mut left: Vec<&Table> = tables.iter().collect();
    wait_until(PATIENCE * 2, "every table is the same", async || {
        let mut differing = Vec::new();
        for table in std::mem::take(&mut left) {
            let sql = table.rows();
            let (sh, bj) = (pair.sh.text(&sql).await, pair.bj.text(&sql).await);
            if sh != bj || sh.len() < 2 {
                let rows = sh.iter().zip(&bj).find(|(a, b)| a != b);
                let counts = (sh.len(), bj.len());
                let what = (&table.name, table.column.definition, table.way);
                differing.push(format!("{what:?}: {counts:?} rows, {rows:.400?}"));
                left.push(table);
            }
        }
        for (site, from) in [(BJ, "sh.main"), (SH, "bj.main")] {
            let status = pair.deployment.direction(site, "orders", from).await?;
            differing.extend(status.reason);
        }
        if differing.is_empty() { Ok(()) } else { Err(format!("{differing:#?}")) }
    })
    .await;
}

#[tokio::test]
async fn every_type_goes_there_and_back_between_mariadb_servers_by_replay_and_by_sql() {
    every_type_goes_there_and_back([Flavour::MariaDb; 2]).await;
}

#[tokio::test]
async fn every_type_goes_there_and_back_between_mysql_servers_by_replay_and_by_sql() {
    if has_mysql("every_type_goes_there_and_back_between_mysql_servers_by_replay_and_by_sql") {
        every_type_goes_there_and_back([Flavour::MySql; 2]).await;
    }
}

#[tokio::test]
async fn every_type_that_both_have_goes_there_and_back_between_mariadb_and_mysql_by_sql() {
    if has_mysql("every_type_that_both_have_goes_there_and_back_between_mariadb_and_mysql_by_sql") {
        every_type_goes_there_and_back([Flavour::MariaDb, Flavour::MySql]).await;
    }
}

async fn every_type_goes_there_and_back(flavours: [Flavour; 2]) {
    let tables = tables(flavours);
    let mut pair = Pair::bare(flavours, BOTH_WAYS).await;
    futures::join!(create_all(&pair.sh, &tables, false), create_all(&pair.bj, &tables, true));
    pair.deployment.start_all().await;
    futures::join!(write_all(&pair.sh, &tables, 1), write_all(&pair.bj, &tables, 1001));
    wait_same(&pair, &tables).await;
    pair.state(ChannelState::Running).await;
    let config = pair.deployment.config().display().to_string();
    let (status, out, err) = run_program(&["verify", "--config", &config]);
    assert_eq!(status, Some(1), "the columns differ: {err}");
    let strange =
        |line: &&str| !line.contains(": identical") && !line.contains("column own is missing at sh");
    let differing: Vec<&str> = out.lines().filter(strange).filter(|line| line.starts_with("shop.")).collect();
    assert!(differing.is_empty() && out.contains("shop.ks0: identical"), "{differing:#?}{err}");
    let conflicts = pair.sh.text("SELECT table_name, verdict FROM weft.conflict").await;
    assert!(conflicts.is_empty(), "{conflicts:?}");
}

#[test]
fn the_readme_has_the_table_of_types_that_these_tests_try() {
    let readme = include_str!("../../../README.md");
    let table = cluster_tests::types::markdown();
    assert!(readme.contains(&table), "the README's table of types is to be:\n{table}");
}

/// Server arguments and values at the protocol's classic limit of 16 MiB.
const LARGE: &str = "CREATE TABLE r (id INT PRIMARY KEY, b LONGBLOB, t LONGTEXT COLLATE utf8mb4_general_ci); \
                     CREATE TABLE s (id INT PRIMARY KEY, b LONGBLOB, t LONGTEXT COLLATE utf8mb4_general_ci)";

#[tokio::test]
async fn values_of_16_mib_pass_by_replay_and_by_sql() {
    let mut pair = Pair::with(&["--max-allowed-packet=64M"], "", BOTH_WAYS).await;
    for server in [&pair.sh, &pair.bj] {
        server.execute(&format!("CREATE DATABASE shop; USE shop; {LARGE}")).await;
    }
    pair.bj.execute("ALTER TABLE shop.s ADD COLUMN own INT DEFAULT 9 FIRST").await;
    pair.deployment.start_all().await;
    for table in ["r", "s"] {
        pair.sh
            .execute(&format!(
                "INSERT INTO shop.{table} VALUES (1, REPEAT(X'00FF1A27', 4194304), NULL); \
                 INSERT INTO shop.{table} VALUES (2, NULL, REPEAT('é', 8388608)); \
                 UPDATE shop.{table} SET t = 'small' WHERE id = 1"
            ))
            .await;
        pair.bj.execute(&format!("INSERT INTO shop.{table} (id, b) VALUES (3, REPEAT('x', 16777217))")).await;
    }
    for table in ["r", "s"] {
        let sql = format!("SELECT id, LENGTH(b), MD5(b), LENGTH(t), MD5(t) FROM shop.{table} ORDER BY id");
        wait_until(PATIENCE, &sql, async || {
            let (sh, bj) = (pair.sh.text(&sql).await, pair.bj.text(&sql).await);
            if sh == bj && sh.len() == 3 { Ok(()) } else { Err(format!("{sh:?} and {bj:?}")) }
        })
        .await;
    }
}

#[tokio::test]
async fn tables_of_300_columns_pass_by_replay_and_by_sql() {
    let kinds =
        ["INT", "VARCHAR(20) COLLATE utf8mb4_general_ci", "DATETIME(3)", "DECIMAL(9,2)", "VARBINARY(9)"];
    let values = ["-7", "'zwölf'", "'2024-02-29 12:34:56.789'", "'-1234567.89'", "X'00FF'"];
    let columns: Vec<String> = (0..300).map(|n| format!("c{n} {}", kinds[n % 5])).collect();
    let create = |name| format!("CREATE TABLE {name} (id INT PRIMARY KEY, {})", columns.join(", "));
    let pair = Pair::servers(&format!("{}; {}", create("r"), create("s")), "", BOTH_WAYS).await;
    pair.bj.execute("ALTER TABLE shop.s MODIFY COLUMN c299 VARBINARY(9) FIRST").await;
    let Pair { sh, bj, mut deployment } = pair;
    deployment.start_all().await;
    for table in ["r", "s"] {
        for (from, server) in [(0, &sh), (10, &bj)] {
            let all: Vec<&str> = (0..300).map(|n| if n % 7 == 3 { "NULL" } else { values[n % 5] }).collect();
            let names: Vec<String> = (0..300).map(|n| format!("c{n}")).collect();
            server
                .execute(&format!(
                    "INSERT INTO shop.{table} (id, {}) VALUES ({from}, {}); INSERT INTO shop.{table} (id) VALUES \
                     ({from} + 1); UPDATE shop.{table} SET c0 = 5, c298 = NULL, c299 = 'end' WHERE id = {from} + 1",
                    names.join(","),
                    all.join(",")
                ))
                .await;
        }
        let names: Vec<String> = (0..300).map(|n| format!("IFNULL(HEX(c{n}), '-')")).collect();
        let sql = format!("SELECT id, CONCAT_WS(' ', {}) FROM shop.{table} ORDER BY id", names.join(","));
        wait_until(PATIENCE, table, async || {
            let (here, there) = (sh.text(&sql).await, bj.text(&sql).await);
            if here == there && here.len() == 4 {
                Ok(())
            } else {
                Err(format!("{here:.900?} and {there:.900?}"))
            }
        })
        .await;
    }
}

//! Rows that are renamed, chosen and masked on their way.

use cluster_tests::nodes::{PATIENCE, run_program};
use cluster_tests::servers::Server;
use cluster_tests::wait::wait_until;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use weft_actors::status::ChannelState;

use crate::pair::{BJ, Pair, SH, wait_rows};

const EVERYTHING: &str = "[channels.orders]\nfrom = \"sh.main\"\nto = \"bj.main\"\ntables = [\"shop.*\"]\n\
    [[channels.orders.transform]]\ntable = \"shop.users\"\nrename_table = \"crm.members\"\n\
    rename_columns = { tel = \"phone\", id = \"member\" }\nwhere = \"region IN ('east', 'north') AND NOT score < -2.5\"\n\
    mask = { phone = \"sha256\", note = \"redact\", born = \"null\", salary = \"sha256\" }\n";
const SOURCE: &str = "CREATE TABLE users (id INT PRIMARY KEY, region VARCHAR(10) COLLATE utf8mb4_general_ci, score \
    DECIMAL(8,3), tel VARCHAR(30), note TEXT, born DATE, salary BIGINT UNSIGNED, v INT)";
const TARGET: &str = "CREATE DATABASE crm; CREATE TABLE crm.members (member INT PRIMARY KEY, region VARCHAR(10), score \
    DECIMAL(8,3), phone CHAR(64), note VARCHAR(3), born DATE, salary VARCHAR(64), v INT) DEFAULT CHARSET utf8mb4";
/// What the target is to have, asked of the source.
const EXPECTED: &str = "SELECT CONCAT_WS('|', id, region, score, IFNULL(SHA2(tel, 256), '-'), IF(note IS NULL, '-', \
    '***'), '-', IFNULL(SHA2(salary, 256), '-'), IFNULL(v, '-')) FROM shop.users WHERE region IN ('east', 'north') AND \
    NOT score < -2.5 ORDER BY id";
const SEEN: &str = "SELECT CONCAT_WS('|', member, region, score, IFNULL(phone, '-'), IFNULL(note, '-'), IFNULL(born, \
    '-'), IFNULL(salary, '-'), IFNULL(v, '-')) FROM crm.members ORDER BY member";

/// Waits until the target has what the source says that it is to have.
async fn wait_transformed(pair: &Pair) -> usize {
    let expected = pair.sh.text(EXPECTED).await;
    wait_until(PATIENCE, "the target has the transformed rows", async || {
        let seen = pair.bj.text(SEEN).await;
        let differing = expected.iter().zip(&seen).find(|(a, b)| a != b);
        if seen == expected {
            Ok(())
        } else {
            Err(format!("{} of {}: {differing:?}", seen.len(), expected.len()))
        }
    })
    .await;
    expected.len()
}

fn verify(pair: &Pair) -> (Option<i32>, String) {
    let config = pair.deployment.config();
    let (status, out, err) = run_program(&["verify", "--config", &config.display().to_string()]);
    (status, out + &err)
}

/// Inserts, updates that move rows in and out and change their keys, and deletes.
async fn churn(source: &Server, random: &mut StdRng, rounds: u32) {
    for _ in 0..rounds {
        let id = random.random_range(0..40);
        let region = ["'east'", "'EAST '", "'north'", "'west'", "NULL"][random.random_range(0..5)];
        let score = ["-2.5", "-2.501", "7", "NULL"][random.random_range(0..4)];
        let values = format!(
            "{region}, {score}, CONCAT('tel ', {id}), IF({id} % 3, 'secret', NULL), '2000-01-01', {id}, 1"
        );
        let sql = match random.random_range(0..6) {
            0 => format!("DELETE FROM users WHERE id = {id}"),
            1 => format!("UPDATE users SET region = {region}, v = v + 1 WHERE id BETWEEN {id} AND {id} + 5"),
            2 => format!("UPDATE IGNORE users SET id = id + 1, region = {region} WHERE id = {id}"),
            3 => format!(
                "START TRANSACTION; REPLACE INTO users VALUES ({id}, {values}); UPDATE users SET region = 'west' WHERE id \
                 = {id}; UPDATE users SET region = 'east', tel = NULL WHERE id = {id}; COMMIT"
            ),
            _ => format!("REPLACE INTO users VALUES ({id}, {values})"),
        };
        source.execute(&format!("USE shop; {sql}")).await;
    }
}

#[tokio::test]
async fn rows_arrive_renamed_chosen_and_masked_though_nodes_and_the_target_are_killed() {
    let mut pair = Pair::servers("SELECT 1", "", EVERYTHING).await;
    pair.sh.execute(&format!("USE shop; {SOURCE}; CREATE TABLE plain (id INT PRIMARY KEY)")).await;
    pair.bj.execute(&format!("{TARGET}; CREATE TABLE shop.plain (id INT PRIMARY KEY)")).await;
    pair.deployment.start_all().await;
    let mut random = StdRng::seed_from_u64(7);
    for round in 0..6 {
        churn(&pair.sh, &mut random, 60).await;
        pair.sh.execute(&format!("INSERT INTO shop.plain VALUES ({round})")).await;
        let victim = if round % 2 == 0 { BJ } else { SH };
        pair.deployment.kill9(victim);
        churn(&pair.sh, &mut random, 20).await;
        if round == 3 {
            pair.bj.kill9();
            pair.bj.restart().await;
        }
        pair.deployment.start(victim);
    }
    assert!(wait_transformed(&pair).await > 5, "too few rows to show anything");
    wait_rows(&pair.bj, "SELECT COUNT(*) FROM shop.plain", &["6"]).await;
    let (status, out) = verify(&pair);
    assert_eq!(status, Some(0), "{out}");

    pair.bj.execute("UPDATE crm.members SET phone = 'tampered' LIMIT 1").await;
    let (status, out) = verify(&pair);
    assert_eq!(status, Some(1), "{out}");
    assert!(out.contains("crm.members") && out.contains("differs in phone"), "{out}");
}

#[tokio::test]
async fn a_transform_that_does_not_fit_stops_the_direction_in_one_line_and_is_found_by_check() {
    let wrong = EVERYTHING.replace("where = \"region", "where = \"regio");
    let pair = Pair::servers("SELECT 1", "", &wrong).await;
    pair.sh.execute(&format!("USE shop; {SOURCE}")).await;
    pair.bj.execute(&TARGET.replace("phone CHAR(64)", "phone CHAR(63)")).await;
    let config = pair.deployment.config();
    let (status, out, err) = run_program(&["check", "--config", &config.display().to_string()]);
    assert_eq!(status, Some(1), "{out}{err}");
    assert!(out.contains("where names column regio, which it does not have"), "{out}");
    assert!(out.contains("column phone of crm.members does not bear its mask"), "{out}");
    let mut pair = pair;
    pair.deployment.start_all().await;
    pair.sh.execute("INSERT INTO shop.users (id, region) VALUES (1, 'east')").await;
    let reason = pair.stopped().await;
    assert!(reason.contains("there is no column regio in it") && !reason.contains('\n'), "{reason}");
    pair.channel("skip");
    pair.state(ChannelState::Running).await;
}

#[tokio::test]
async fn a_mask_that_the_target_cannot_hold_stops_the_direction_until_it_can() {
    let mut pair = Pair::servers("SELECT 1", "", EVERYTHING).await;
    pair.sh.execute(&format!("USE shop; {SOURCE}")).await;
    pair.bj.execute(&TARGET.replace("phone CHAR(64)", "phone CHAR(63)")).await;
    pair.deployment.start_all().await;
    pair.sh.execute("INSERT INTO shop.users (id, region, score, tel) VALUES (1, 'east', 1, '555')").await;
    let reason = pair.stopped().await;
    assert!(reason.contains("column phone of crm.members does not bear the mask"), "{reason}");
    pair.bj.execute("ALTER TABLE crm.members MODIFY phone CHAR(64)").await;
    wait_transformed(&pair).await;
}

const TWO_NAMES: &str = "[channels.orders]\nbetween = [\"sh.main\", \"bj.main\"]\ntables = [\"shop.*\"]\n\
    [[channels.orders.transform]]\ntable = \"shop.users\"\nrename_table = \"shop.members\"\nrename_columns = { id = \
    \"member\", name = \"login\" }\n";

/// A write that may lose its unique value to another row.
async fn write(conn: &mut mysql_async::Conn, random: &mut StdRng, (table, id, name): (&str, &str, &str)) {
    use mysql_async::prelude::Queryable;
    let (key, value) = (random.random_range(0..20), random.random_range(0..12));
    let sql = match random.random_range(0..5) {
        0 => format!("DELETE FROM shop.{table} WHERE {id} = {key}"),
        1 => format!("UPDATE IGNORE shop.{table} SET {name} = 'n{value}', v = v + 1 WHERE {id} = {key}"),
        2 => format!("UPDATE IGNORE shop.{table} SET {id} = {id} + 1 WHERE {id} = {key}"),
        _ => format!("REPLACE INTO shop.{table} VALUES ({key}, 'n{value}', {value})"),
    };
    // A deadlock with the writer of the channel leaves the row as it was.
    let _ = conn.query_drop(sql).await;
}

#[tokio::test]
async fn a_table_of_two_names_takes_writes_at_both_ends_unique_keys_and_kills_included() {
    let mut pair = Pair::servers("SELECT 1", "", TWO_NAMES).await;
    pair.sh
        .execute("USE shop; CREATE TABLE users (id INT PRIMARY KEY, name VARCHAR(9) UNIQUE, v INT); CREATE TABLE members (x INT PRIMARY KEY)")
        .await;
    pair.bj
        .execute("USE shop; CREATE TABLE members (member INT PRIMARY KEY, login VARCHAR(9), v INT, UNIQUE name (login)); CREATE TABLE users (x INT PRIMARY KEY)")
        .await;
    pair.deployment.start_all().await;
    let mut random = StdRng::seed_from_u64(11);
    let (mut sh, mut bj) = (pair.sh.conn().await, pair.bj.conn().await);
    for round in 0..4 {
        for _ in 0..80 {
            write(&mut sh, &mut random, ("users", "id", "name")).await;
            write(&mut bj, &mut random, ("members", "member", "login")).await;
        }
        let victim = if round % 2 == 0 { BJ } else { SH };
        pair.deployment.kill9(victim);
        write(&mut sh, &mut random, ("users", "id", "name")).await;
        write(&mut bj, &mut random, ("members", "member", "login")).await;
        pair.deployment.start(victim);
    }
    // What is theirs alone stays at home.
    pair.sh.execute("INSERT INTO shop.members VALUES (1)").await;
    pair.bj.execute("INSERT INTO shop.users VALUES (2)").await;
    sh_and_bj_end_equal(&pair).await;
    assert_eq!(pair.sh.text("SELECT x FROM shop.members").await, ["1"]);
    assert_eq!(pair.bj.text("SELECT x FROM shop.users").await, ["2"]);
    let (status, out) = verify(&pair);
    assert_eq!(status, Some(0), "{out}");
}

async fn sh_and_bj_end_equal(pair: &Pair) {
    let mut same = 0;
    wait_until(PATIENCE, "both ends have the same rows, and go on having them", async || {
        let sh = pair.sh.text("SELECT CONCAT_WS('|', id, name, v) FROM shop.users ORDER BY id").await;
        let bj =
            pair.bj.text("SELECT CONCAT_WS('|', member, login, v) FROM shop.members ORDER BY member").await;
        same = if sh == bj && !sh.is_empty() { same + 1 } else { 0 };
        if same >= 20 { Ok(()) } else { Err(format!("{sh:?} {bj:?}")) }
    })
    .await;
}

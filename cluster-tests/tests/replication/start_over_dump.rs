//! A channel begins on top of a dump: the commands that the README gives, while the source takes writes.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use cluster_tests::nodes::{PATIENCE, run_program, wait_equal};
use cluster_tests::on_both_flavours;
use cluster_tests::oracle;
use cluster_tests::servers::{Flavour, Server};
use cluster_tests::wait::wait_until;
use cluster_tests::workload::{TABLES, TABLES_SQL, Writer};
use weft_actors::status::ChannelState;

use super::pair::{BJ, BOTH_WAYS, ONE_WAY, Pair, SH};

on_both_flavours! {
    one_way_over_a_dump_by_position_every_change_arrives_once
    two_ways_over_a_dump_by_gtid_nothing_is_lost_and_the_load_does_not_flow_back
}

fn dump_options(flavour: Flavour) -> &'static str {
    match flavour {
        Flavour::MariaDb => "--single-transaction --master-data=2 --gtid --databases shop",
        Flavour::MySql => "--single-transaction --source-data=2 --set-gtid-purged=COMMENTED --databases shop",
    }
}

#[test]
fn the_readme_gives_the_commands_that_are_tested() {
    const README: &str = include_str!("../../../README.md");
    for flavour in [Flavour::MariaDb, Flavour::MySql] {
        let words = super::start_beside_native::words(flavour);
        for command in [dump_options(flavour)].into_iter().chain(words) {
            assert!(README.contains(command), "{command}");
        }
    }
}

fn at(mut command: Command, server: &Server) -> Command {
    let port = format!("--port={}", server.port());
    command.args(["--no-defaults", "--host=127.0.0.1", "--protocol=tcp", "--user=root", &port]);
    if server.flavour() == Flavour::MySql {
        command.arg("--get-server-public-key");
    }
    command
}

async fn run(mut command: Command) {
    let ended = tokio::task::spawn_blocking(move || command.output().expect("it runs"));
    let ended = ended.await.expect("running a program does not panic");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}

async fn dump(server: &Server, file: &Path) {
    let mut command = at(server.flavour().dump_program(), server);
    command.args(dump_options(server.flavour()).split(' '));
    command.stdout(File::create(file).expect("writable"));
    run(command).await;
}

async fn load(server: &Server, file: &Path) {
    let mut command = at(server.flavour().client_program(), server);
    command.stdin(Stdio::from(File::open(file).expect("the dump is there")));
    run(command).await;
}

/// What stands between two texts of the dump's head.
fn between<'a>(dump: &'a str, before: &str, behind: &str) -> &'a str {
    let found = dump.split_once(before).and_then(|(_, rest)| rest.split_once(behind));
    let head: Vec<&str> = dump.lines().take(40).collect();
    found.unwrap_or_else(|| panic!("{before}…{behind} is not in {}", head.join("\n"))).0
}

/// The place of the dump as `start` takes it.
fn place(flavour: Flavour, dump: &str, by_gtid: bool) -> String {
    let gtids = match flavour {
        Flavour::MariaDb => ["gtid_slave_pos='", "'"],
        Flavour::MySql => ["GTID_PURGED='+", "'"],
    };
    let words = match flavour {
        Flavour::MariaDb => ["MASTER_LOG_FILE='", "MASTER_LOG_POS="],
        Flavour::MySql => ["SOURCE_LOG_FILE='", "SOURCE_LOG_POS="],
    };
    if by_gtid {
        return format!("gtid:{}", between(dump, gtids[0], gtids[1]).replace('\n', ""));
    }
    format!("file:{}:{}", between(dump, words[0], "'"), between(dump, words[1], ";"))
}

/// A server with writers at it, and one that has what a dump says of it; the channel's start is set.
async fn loaded(flavour: Flavour, channels: &str, by_gtid: bool) -> (Pair, Writer) {
    let pair = Pair::bare([flavour; 2], channels).await;
    pair.sh.execute(TABLES_SQL).await;
    let writer = Writer::start(&pair.sh, 1, 1);
    tokio::time::sleep(Duration::from_millis(700)).await;
    let file = pair.deployment.directory.path().join("shop.sql");
    dump(&pair.sh, &file).await;
    load(&pair.bj, &file).await;
    // Some more that is in neither the dump nor the future.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let text = std::fs::read_to_string(&file).expect("SQL is text here");
    begin_at(&pair, &format!("{{ \"sh.main\" = \"{}\" }}", place(flavour, &text, by_gtid)));
    (pair, writer)
}

/// Writes the channel's start into the configuration.
pub fn begin_at(pair: &Pair, start: &str) {
    let config = pair.deployment.config();
    let text = std::fs::read_to_string(&config).expect("readable");
    let lines = text.lines().filter(|line| !line.starts_with("start = "));
    let text = lines.collect::<Vec<_>>().join("\n");
    let text = text.replace("[channels.orders]", &format!("[channels.orders]\nstart = {start}"));
    std::fs::write(config, text + "\n").expect("writable");
}

/// Runs `weft check`; gives its status and what it says of starts.
pub fn check(pair: &Pair) -> (Option<i32>, String) {
    let config = pair.deployment.config();
    let (status, out, err) = run_program(&["check", "--config", &config.display().to_string()]);
    let said = out.lines().filter(|line| line.contains("begin") || line.contains("begun"));
    (status, said.collect::<Vec<_>>().join("\n") + &err)
}

/// No change of the users' tables is in the server's binlog twice.
pub async fn assert_once(server: &Server) {
    let changes = oracle::changes(server).await;
    let repeated = changes.iter().find(|(key, of_key)| key.contains("log") && of_key.len() > 1);
    assert!(repeated.is_none(), "at {}: {repeated:?}", server.server_id());
    assert!(changes.len() > 50, "{} keys at {}", changes.len(), server.server_id());
}

async fn one_way_over_a_dump_by_position_every_change_arrives_once(flavour: Flavour) {
    let (mut pair, writer) = loaded(flavour, ONE_WAY, false).await;
    assert_eq!(check(&pair), (Some(0), String::new()));
    pair.deployment.start_all().await;
    let journal = writer.finish().await;
    wait_equal(&[&pair.sh, &pair.bj], &TABLES).await;
    oracle::assert_holds(&pair.bj, &[journal]).await;
    assert_once(&pair.bj).await;
    let direction = pair.state(ChannelState::Running).await;
    assert_eq!((direction.rows_skipped, direction.conflicts), (0, 0), "{direction:?}");
    assert!(direction.transactions_applied > 0, "{direction:?}");
}

async fn two_ways_over_a_dump_by_gtid_nothing_is_lost_and_the_load_does_not_flow_back(flavour: Flavour) {
    let (mut pair, here) = loaded(flavour, BOTH_WAYS, true).await;
    assert_eq!(check(&pair), (Some(0), String::new()));
    pair.deployment.start_all().await;
    wait_until(PATIENCE, "the other direction has read what was loaded", async || {
        let back = pair.deployment.direction(SH, "orders", "bj.main").await?;
        let said = format!("{back:?}");
        let runs = back.state == ChannelState::Running && back.watermark.is_some();
        assert_eq!((back.rows_applied, back.rows_skipped), (0, 0), "{said}");
        if runs { Ok(()) } else { Err(said) }
    })
    .await;
    let there = Writer::start(&pair.bj, 2, 2);
    // The sites are on their own for a while, and a node begins anew.
    pair.deployment.kill9(SH);
    pair.deployment.start(SH);
    pair.deployment.wait_ready(SH).await;
    let journals = [here.finish().await, there.finish().await];
    wait_equal(&[&pair.sh, &pair.bj], &TABLES).await;
    for server in [&pair.sh, &pair.bj] {
        oracle::assert_holds(server, &journals).await;
        assert_once(server).await;
    }
    let direction = pair.deployment.direction(BJ, "orders", "sh.main").await.expect("it runs");
    assert!(direction.transactions_applied > 0, "{direction:?}");
}

//! A load generator of the field, on both sides at once, over the same rows.

use std::process::Command;
use std::time::Duration;

use cluster_tests::nodes::{Deployment, run_program, wait_equal};
use cluster_tests::servers::{Server, ServerOptions};

const CHANNEL: &str = "[channels.bench]\nbetween = [\"sh.main\", \"bj.main\"]\ntables = [\"sbtest.*\"]\n";
const TABLES: u32 = 4;
const ROWS: u32 = 1_000;

/// Seconds of load; `WEFT_LOAD_SECONDS` asks for more.
fn seconds() -> u64 {
    match std::env::var("WEFT_LOAD_SECONDS") {
        Ok(text) => text.parse().expect("WEFT_LOAD_SECONDS is a number"),
        Err(_) => 15,
    }
}

fn sysbench(port: u16, verb: &str, rows: u32) -> Command {
    let mut command = Command::new("sysbench");
    command.args(["oltp_write_only", "--db-driver=mysql", "--mysql-host=127.0.0.1", "--mysql-user=root"]);
    command.args([
        "--mysql-db=sbtest",
        "--rand-type=uniform",
        "--threads=2",
        "--mysql-ignore-errors=1062,1213,1020",
    ]);
    command.arg(format!("--mysql-port={port}")).arg(format!("--tables={TABLES}"));
    command.arg(format!("--table-size={rows}")).arg(format!("--time={}", seconds())).arg(verb);
    command
}

async fn run(port: u16, verb: &'static str, rows: u32) -> String {
    let output = tokio::task::spawn_blocking(move || sysbench(port, verb, rows).output())
        .await
        .expect("running a program does not panic")
        .expect("sysbench is installed");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

#[tokio::test]
async fn sysbench_on_both_sides_at_once_ends_identical() {
    let (sh, bj) = tokio::join!(Server::start(ServerOptions::new(11)), Server::start(ServerOptions::new(12)));
    sh.execute("CREATE DATABASE sbtest").await;
    bj.execute("CREATE DATABASE sbtest").await;
    let mut deployment = Deployment::new(&["sh", "bj"], &[&sh, &bj], "", CHANNEL);
    // One side is filled by replication too.
    run(bj.port(), "prepare", 0).await;
    deployment.start_all().await;
    run(sh.port(), "prepare", ROWS).await;
    let names: Vec<String> = (1..=TABLES).map(|n| format!("sbtest.sbtest{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    wait_equal(&[&sh, &bj], &names).await;
    let (one, two) = tokio::join!(run(sh.port(), "run", ROWS), run(bj.port(), "run", ROWS));
    for text in [one, two] {
        let rates = text.lines().filter(|line| line.contains("transactions:") || line.contains("95th"));
        eprintln!("{}", rates.collect::<Vec<_>>().join("\n"));
    }
    let began = std::time::Instant::now();
    wait_equal(&[&sh, &bj], &names).await;
    eprintln!("equal {:?} after the load", began.elapsed().saturating_sub(Duration::from_millis(500)));
    for index in 0..2 {
        for channel in deployment.status(index).await.expect("it answers").channels {
            eprintln!("{channel:?}");
        }
    }
    let config = deployment.config();
    let (status, out, err) = run_program(&["verify", "--config", &config.display().to_string()]);
    assert_eq!(status, Some(0), "{out}{err}");
}

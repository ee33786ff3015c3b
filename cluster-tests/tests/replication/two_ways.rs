//! Two sites that both take writes.

use cluster_tests::nodes::{Deployment, run_program, wait_equal};
use cluster_tests::servers::{Server, ServerOptions};

const BOTH_WAYS: &str = "[channels.orders]\nbetween = [\"sh.main\", \"bj.main\"]\ntables = [\"shop.*\"]\n";

#[tokio::test]
async fn both_sites_take_writes_and_end_identical() {
    let (sh, bj) = (Server::start(options(11)).await, Server::start(options(12)).await);
    for server in [&sh, &bj] {
        server.execute("CREATE DATABASE shop; CREATE TABLE shop.t (id INT PRIMARY KEY, v VARCHAR(40))").await;
    }
    let mut deployment = Deployment::new(&["sh", "bj"], &[&sh, &bj], "", BOTH_WAYS);
    deployment.start_all().await;
    for i in 0..200 {
        sh.execute(&format!("REPLACE INTO shop.t VALUES ({i}, 'sh {i}')")).await;
        bj.execute(&format!("REPLACE INTO shop.t VALUES ({}, 'bj {i}')", i + 100)).await;
    }
    wait_equal(&[&sh, &bj], &["shop.t"]).await;
    let rows: Vec<u64> = sh.query("SELECT COUNT(*) FROM shop.t").await;
    assert_eq!(rows, [300]);
    let config = deployment.config();
    let (status, out, err) = run_program(&["verify", "--config", &config.display().to_string()]);
    assert_eq!(status, Some(0), "{out}{err}");
    assert_eq!((deployment.terminate(0), deployment.terminate(1)), (Some(0), Some(0)));
}

/// A session had set its clock years back: the other site refused its change as older than all that can
/// be decided. And replaying it set the writer's clock back too: the conflict log spoke of years ago.
#[tokio::test]
async fn a_session_that_lives_in_the_past_replicates_and_the_conflict_log_stays_in_the_present() {
    let (sh, bj) = (Server::start(options(11)).await, Server::start(options(12)).await);
    for server in [&sh, &bj] {
        server.execute("CREATE DATABASE shop; CREATE TABLE shop.t (id INT PRIMARY KEY, v VARCHAR(40))").await;
    }
    let mut deployment = Deployment::new(&["sh", "bj"], &[&sh, &bj], "", BOTH_WAYS);
    deployment.start_all().await;
    sh.execute("SET timestamp = 1000000000; INSERT INTO shop.t VALUES (1, 'first')").await;
    wait_equal(&[&sh, &bj], &["shop.t"]).await;
    deployment.kill9(0);
    deployment.kill9(1);
    for (server, v) in [(&sh, "sh"), (&bj, "bj")] {
        server.execute(&format!("SET timestamp = 1000000100; UPDATE shop.t SET v = '{v}'")).await;
    }
    deployment.start_all().await;
    wait_equal(&[&sh, &bj], &["shop.t"]).await;
    let logged = "SELECT CONCAT(verdict, ' ', at > NOW() - INTERVAL 1 HOUR) FROM weft.conflict";
    let (at_sh, at_bj) = (sh.text(logged).await, bj.text(logged).await);
    let won = |log: &[String]| log == ["incoming-won 1"];
    let lost = |log: &[String]| log == ["local-won 1"];
    assert!((won(&at_sh) && lost(&at_bj)) || (lost(&at_sh) && won(&at_bj)), "{at_sh:?} {at_bj:?}");
}

fn options(id: u32) -> ServerOptions {
    ServerOptions::new(id).gtid_domain(id)
}

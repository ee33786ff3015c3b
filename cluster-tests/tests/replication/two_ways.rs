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

fn options(id: u32) -> ServerOptions {
    ServerOptions::new(id).gtid_domain(id)
}

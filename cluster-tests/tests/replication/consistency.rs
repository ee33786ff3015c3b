//! What a reader at the target may see, by the channel's consistency.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cluster_tests::nodes::{Deployment, wait_equal};
use cluster_tests::servers::{Server, ServerOptions};
use mysql_async::prelude::Queryable;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const ACCOUNTS: u32 = 60;

/// Moves money between accounts of the schema: each transaction leaves the sum as it was.
async fn transfer(server: &Server, schema: &str, seed: u64, rounds: u32) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut conn = server.conn().await;
    for _ in 0..rounds {
        let (from, to) = (random.random_range(0..ACCOUNTS), random.random_range(0..ACCOUNTS));
        let amount = random.random_range(1..100);
        let sql = format!(
            "START TRANSACTION; UPDATE {schema}.t SET n = n - {amount} WHERE id = {from}; \
             UPDATE {schema}.t SET n = n + {amount} WHERE id = {to}; COMMIT"
        );
        match conn.query_drop(&sql).await {
            Ok(()) => {}
            // Undone whole: an application would try again, here another transfer does as well.
            Err(mysql_async::Error::Server(error)) if matches!(error.code, 1205 | 1213) => {
                conn.query_drop("ROLLBACK").await.expect("rolled back");
            }
            Err(error) => panic!("{sql}: {error}"),
        }
    }
}

/// Reads the sum at the target until told to stop; how many of the reads saw half a transfer.
async fn watch(server: &Server, schema: &str, done: &AtomicBool) -> (u32, u32) {
    let (mut torn, mut reads) = (0, 0);
    let mut conn = server.conn().await;
    while !done.load(Ordering::Relaxed) {
        let sum: Option<i64> = conn
            .query_first(format!("SELECT CAST(SUM(n) AS SIGNED) FROM {schema}.t"))
            .await
            .expect("the target answers");
        reads += 1;
        torn += u32::from(sum != Some(0));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    (torn, reads)
}

#[tokio::test]
async fn eight_shards_end_equal_in_each_mode_and_only_rows_are_ever_torn_apart() {
    let modes = ["ordered", "transaction", "row"];
    let (sh, bj) =
        futures::join!(Server::start(ServerOptions::new(11)), Server::start(ServerOptions::new(12)));
    let mut channels = String::new();
    for mode in modes {
        let rows: Vec<String> = (0..ACCOUNTS).map(|id| format!("({id}, 0)")).collect();
        for server in [&sh, &bj] {
            server
                .execute(&format!(
                    "CREATE DATABASE m_{mode}; CREATE TABLE m_{mode}.t (id INT PRIMARY KEY, n INT); \
                     INSERT INTO m_{mode}.t VALUES {}",
                    rows.join(",")
                ))
                .await;
        }
        channels += &format!(
            "[channels.{mode}]\nbetween = [\"sh.main\", \"bj.main\"]\ntables = [\"m_{mode}.*\"]\nshards = 8\n\
             consistency = \"{mode}\"\n"
        );
    }
    let mut deployment = Deployment::new(&["sh", "bj"], &[&sh, &bj], "", &channels);
    deployment.start_all().await;

    let done = AtomicBool::new(false);
    let load = async {
        let schemas: Vec<String> = modes.iter().map(|mode| format!("m_{mode}")).collect();
        let source = &sh;
        let writers =
            schemas.iter().flat_map(|schema| (0..3).map(move |seed| transfer(source, schema, seed, 150)));
        futures::future::join_all(writers).await;
        wait_equal(&[&sh, &bj], &["m_ordered.t", "m_transaction.t", "m_row.t"]).await;
        done.store(true, Ordering::Relaxed);
    };
    let ((), ordered, transaction) =
        futures::join!(load, watch(&bj, "m_ordered", &done), watch(&bj, "m_transaction", &done));
    assert_eq!((ordered.0, transaction.0), (0, 0), "torn reads");
    assert!(ordered.1 > 20 && transaction.1 > 20, "{ordered:?} {transaction:?} reads");
    for server in [&sh, &bj] {
        let conflicts: Vec<u64> = server.query("SELECT COUNT(*) FROM weft.conflict").await;
        assert_eq!(conflicts, [0], "only one side wrote");
    }
}

//! Transactions that are too large for memory.

use cluster_tests::nodes::{PATIENCE, wait_equal};
use cluster_tests::servers::Server;
use cluster_tests::wait::wait_until;

use crate::pair::{BJ, BOTH_WAYS, ONE_WAY, Pair, SH};

const TABLE: &str = "CREATE TABLE big (id INT PRIMARY KEY, v VARCHAR(40), w BIGINT)";
const INSERT: &str = "INSERT INTO shop.big SELECT seq, CONCAT('value ', seq), seq * 7 FROM seq_1_to_200000";
/// The large transaction is many times what a node may hold of it at once.
const MEMORY_MAX_KIB: u64 = 500_000;

/// Most memory the node ever held, in KiB, without the mapped pages of its event buffer.
fn memory_kib(pair: &Pair, site: usize) -> u64 {
    let path = format!("/proc/{}/status", pair.deployment.process(site).id());
    let text = std::fs::read_to_string(path).expect("the node runs");
    let line = text.lines().find(|line| line.starts_with("RssAnon:")).expect("Linux says so");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
}

/// Waits until the large transaction is under way at the target.
async fn wait_half_way(target: &Server) {
    let open = "SELECT COALESCE(MAX(trx_rows_modified), 0) FROM information_schema.INNODB_TRX";
    wait_until(PATIENCE, "the target is amid the large transaction", async || {
        let rows: Vec<u64> = target.query(open).await;
        // The server answers from memory to whoever asks more often than ten times a second.
        tokio::time::sleep(std::time::Duration::from_millis(150)).await;
        if rows[0] > 50_000 { Ok(()) } else { Err(format!("{rows:?} rows")) }
    })
    .await;
}

async fn passes_through_a_kill(channels: &str) {
    let mut pair = Pair::start(&format!("{TABLE}; CREATE TABLE small (id INT PRIMARY KEY)"), channels).await;
    pair.sh.execute(&format!("USE shop; {INSERT}; INSERT INTO small VALUES (1)")).await;
    wait_half_way(&pair.bj).await;
    pair.deployment.kill9(BJ);
    pair.sh.execute("INSERT INTO shop.small VALUES (2)").await;
    pair.deployment.start(BJ);
    wait_equal(&[&pair.sh, &pair.bj], &["shop.big", "shop.small"]).await;
    let rows: Vec<u64> = pair.bj.query("SELECT COUNT(*) FROM shop.big").await;
    assert_eq!(rows, [200_000]);
    for site in [SH, BJ] {
        let held = memory_kib(&pair, site);
        assert!(held < MEMORY_MAX_KIB, "{held} KiB at site {site}");
    }
    let direction = pair.deployment.direction(BJ, "orders", "sh.main").await.expect("it runs");
    assert_eq!((direction.transactions_applied, direction.conflicts), (3, 0), "{direction:?}");
}

#[tokio::test]
async fn a_large_transaction_one_way_survives_a_kill_of_the_targets_node_half_way() {
    passes_through_a_kill(ONE_WAY).await;
}

#[tokio::test]
async fn a_large_transaction_two_ways_survives_a_kill_of_the_targets_node_half_way() {
    passes_through_a_kill(BOTH_WAYS).await;
}

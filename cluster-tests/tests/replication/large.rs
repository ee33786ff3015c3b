//! Transactions that are too large for memory.

use cluster_tests::nodes::{PATIENCE, run_program, wait_equal};
use cluster_tests::servers::Server;
use cluster_tests::wait::wait_until;
use mysql_async::prelude::Queryable;

use crate::pair::{BJ, BOTH_WAYS, ONE_WAY, Pair, SH};

const TABLE: &str = "CREATE TABLE big (id INT PRIMARY KEY, v VARCHAR(40), w BIGINT)";
const INSERT: &str = "INSERT INTO shop.big SELECT seq, CONCAT('value ', seq), seq * 7 FROM seq_1_to_200000";
/// Memory of a node, whatever passes through it, without the pages of its event buffer.
const MEMORY_MAX_KIB: u64 = 200 * 1024;

/// Most memory the node ever held, in KiB, without the mapped pages of its event buffer.
pub fn memory_kib(pair: &Pair, site: usize) -> u64 {
    let path = format!("/proc/{}/status", pair.deployment.process(site).id());
    let text = std::fs::read_to_string(path).expect("the node runs");
    let line = text.lines().find(|line| line.starts_with("RssAnon:")).expect("Linux says so");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
}

/// Waits until the large transaction is under way at the target, and has written more rows than this.
pub async fn wait_half_way(target: &Server, rows_min: u64) {
    let open = "SELECT COALESCE(MAX(trx_rows_modified), 0) FROM information_schema.INNODB_TRX";
    wait_until(PATIENCE, "the target is amid the large transaction", async || {
        // MySQL cannot tell while a statement runs whose text is no text: a replay's.
        let rows = target.conn().await.query_first(open).await.map_err(|error| error.to_string())?;
        let rows: u64 = rows.unwrap_or_default();
        // The server answers from memory to whoever asks more often than ten times a second.
        tokio::time::sleep(std::time::Duration::from_millis(150)).await;
        if rows > rows_min { Ok(()) } else { Err(format!("{rows} rows")) }
    })
    .await;
}

async fn passes_through_a_kill(channels: &str) {
    let mut pair = Pair::start(&format!("{TABLE}; CREATE TABLE small (id INT PRIMARY KEY)"), channels).await;
    pair.sh.execute(&format!("USE shop; {INSERT}; INSERT INTO small VALUES (1)")).await;
    wait_half_way(&pair.bj, 50_000).await;
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

/// Waits until no direction is behind and the table is the same at both sites.
async fn settle(pair: &Pair) {
    wait_equal(&[&pair.sh, &pair.bj], &["shop.big"]).await;
    let config = pair.deployment.config();
    let (status, out, err) = run_program(&["verify", "--config", &config.display().to_string()]);
    assert_eq!(status, Some(0), "{out}{err}");
}

/// The other site goes on with rows that the large transaction is about to bring: some before it gets
/// to them, some behind it, each of them newer than it.
#[tokio::test]
async fn the_other_site_writes_the_rows_of_a_large_transaction_while_it_is_applied() {
    let pair = Pair::start(TABLE, BOTH_WAYS).await;
    let rows = "USE shop; REPLACE INTO big SELECT seq, CONCAT('value ', seq), seq * 7 FROM seq_1_to_300000";
    let small = "USE shop; INSERT INTO big SELECT seq * 500, 'before', 0 FROM seq_1_to_600";
    futures::join!(pair.sh.execute(rows), pair.bj.execute(small));
    wait_half_way(&pair.bj, 50_000).await;
    let (mut sh, mut bj) = (pair.sh.conn().await, pair.bj.conn().await);
    bj.query_drop("SET innodb_lock_wait_timeout = 1").await.expect("MariaDB has it");
    for step in 0..60 {
        let id = 300_000 - step * 4_999;
        let change = match step % 3 {
            0 => format!("REPLACE INTO shop.big VALUES ({id}, 'bj', {step})"),
            1 => format!("DELETE FROM shop.big WHERE id = {id}"),
            _ => format!("UPDATE shop.big SET v = 'sh', w = {step} WHERE id = {id}"),
        };
        let (client, must_work) = if step % 3 == 2 { (&mut sh, true) } else { (&mut bj, false) };
        // What the large transaction has locked at bj waits for its end; the rest goes on.
        let done = client.query_drop(change).await;
        assert!(done.is_ok() || !must_work, "{done:?}");
    }
    settle(&pair).await;
    for site in [SH, BJ] {
        let held = memory_kib(&pair, site);
        assert!(held < MEMORY_MAX_KIB, "{held} KiB at site {site}");
    }
    let won: Vec<u64> = pair.bj.query("SELECT COUNT(*) FROM shop.big WHERE v = 'sh'").await;
    assert_eq!(won, [20], "what the source changed behind its large transaction is newest");
    let direction = pair.deployment.direction(BJ, "orders", "sh.main").await.expect("it runs");
    assert!(direction.conflicts > 0, "{direction:?}");
}

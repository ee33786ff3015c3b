//! A target that lost its last commits: an older copy of its data is put back, as after a crash with
//! relaxed durability or a restored backup. Its node remembers more than the server has.

use std::path::Path;
use std::time::{Duration, Instant};

use cluster_tests::nodes::{PATIENCE, wait_equal};
use cluster_tests::oracle;
use cluster_tests::servers::Server;
use cluster_tests::wait::wait_until;
use weft_actors::status::ChannelState;

use crate::pair::{BJ, BOTH_WAYS, ONE_WAY, Pair, SH, wait_rows};

const TABLES: &str = "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20)); CREATE DATABASE other; CREATE TABLE other.t (id INT PRIMARY KEY)";

/// Copies a data directory of a server that does not run.
fn copy(from: &Path, to: &Path) {
    let copied = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(copied.expect("cp runs").success());
}

/// Takes a copy of the server's data as it is now.
async fn keep(server: &mut Server) -> tempfile::TempDir {
    let place = tempfile::tempdir().expect("a temporary directory");
    server.stop().await;
    copy(&server.data_directory(), &place.path().join("data"));
    server.restart().await;
    place
}

/// The server goes on with the copy.
async fn put_back(server: &mut Server, place: &tempfile::TempDir) {
    server.kill9();
    std::fs::remove_dir_all(server.data_directory()).expect("the data can go");
    copy(&place.path().join("data"), &server.data_directory());
    server.restart().await;
}

async fn insert(server: &Server, ids: std::ops::RangeInclusive<u32>) {
    for id in ids {
        server.execute(&format!("INSERT INTO shop.t VALUES ({id}, 'v{id}')")).await;
    }
}

fn log_index(file: &str) -> u64 {
    file.rsplit('.').next().and_then(|number| number.parse().ok()).expect("a number")
}

/// Nothing is written that would show the node that its session is gone.
#[tokio::test]
async fn one_way_what_the_target_lost_is_applied_again_though_the_source_is_idle() {
    let mut pair = Pair::start(TABLES, ONE_WAY).await;
    insert(&pair.sh, 1..=10).await;
    wait_equal(&[&pair.sh, &pair.bj], &["shop.t"]).await;
    let older = keep(&mut pair.bj).await;
    insert(&pair.sh, 11..=20).await;
    wait_equal(&[&pair.sh, &pair.bj], &["shop.t"]).await;
    put_back(&mut pair.bj, &older).await;
    wait_equal(&[&pair.sh, &pair.bj], &["shop.t"]).await;
    oracle::assert_applied_once(&oracle::changes(&pair.sh).await, &oracle::changes(&pair.bj).await);
}

/// Binlog file and position of sh up to which the direction into bj is.
async fn watermark(pair: &Pair) -> Result<(u64, u64), String> {
    let now = pair.deployment.direction(BJ, "orders", "sh.main").await?;
    let watermark = now.watermark.clone().unwrap_or_default();
    let parts: Vec<u64> = watermark.split('-').filter_map(|part| part.parse().ok()).collect();
    if parts.len() == 4 { Ok((parts[1], parts[2])) } else { Err(format!("{now:?}")) }
}

/// The direction into bj has stored that it is past everything that sh has.
async fn wait_stored(pair: &Pair) {
    let (file, position) = pair.sh.binlog_position().await;
    wait_until(PATIENCE, "the watermark is past what no mark names", async || {
        let stored = watermark(pair).await?;
        let past = stored >= (log_index(&file), position);
        if past { Ok(()) } else { Err(format!("{stored:?}, {file}:{position}")) }
    })
    .await;
}

/// `restart`: the node is killed too, so that only what it stored is left of what it knew.
async fn lose_and_offer_again(restart: bool) {
    let mut pair = Pair::start(TABLES, ONE_WAY).await;
    insert(&pair.sh, 1..=20).await;
    wait_equal(&[&pair.sh, &pair.bj], &["shop.t"]).await;
    let older = keep(&mut pair.bj).await;
    insert(&pair.sh, 21..=40).await;
    pair.sh.execute("UPDATE shop.t SET v = 'changed' WHERE id <= 5; DELETE FROM shop.t WHERE id = 6").await;
    wait_equal(&[&pair.sh, &pair.bj], &["shop.t"]).await;
    // No mark is written for these: that they were passed is only in the node's memory and files.
    for id in 1..=20 {
        pair.sh.execute(&format!("INSERT INTO other.t VALUES ({id})")).await;
    }
    wait_stored(&pair).await;
    if restart {
        // Its last word on disk may be half a second old.
        assert_eq!(pair.deployment.terminate(BJ), Some(0));
    }
    put_back(&mut pair.bj, &older).await;
    if restart {
        pair.deployment.start(BJ);
    }
    insert(&pair.sh, 41..=50).await;
    wait_equal(&[&pair.sh, &pair.bj], &["shop.t"]).await;
    pair.state(ChannelState::Running).await;
    oracle::assert_applied_once(&oracle::changes(&pair.sh).await, &oracle::changes(&pair.bj).await);
}

#[tokio::test]
async fn one_way_what_the_target_lost_is_applied_again_though_the_node_had_passed_it() {
    lose_and_offer_again(false).await;
}

#[tokio::test]
async fn one_way_what_the_target_lost_is_applied_again_by_a_node_that_starts_anew() {
    lose_and_offer_again(true).await;
}

/// Kills sh's node when it has captured all that is in the binlog; where that ends.
async fn kill_at_the_end(pair: &mut Pair) -> u64 {
    let end = wait_until(PATIENCE, "nothing is written while the node freezes", async || {
        wait_stored(pair).await;
        pair.deployment.process(SH).freeze();
        let (file, end) = pair.sh.binlog_position().await;
        let stored = watermark(pair).await?;
        if stored == (log_index(&file), end) {
            return Ok(end);
        }
        pair.deployment.process(SH).thaw();
        Err(format!("{stored:?}, {file}:{end}"))
    })
    .await;
    pair.deployment.kill9(SH);
    end
}

/// Writes transactions until one ends just there.
async fn fill_to(server: &Server, end: u64) {
    let position = async || server.binlog_position().await.1;
    let mut bytes = 0;
    for id in 1_000_u32.. {
        let begin = position().await;
        let left = end - begin;
        if left == 0 {
            return;
        }
        assert!(left >= bytes, "{left} bytes are left, and a transaction takes {bytes}");
        // The text is in the binlog too.
        let last = bytes > 0 && left < 2 * bytes;
        let blanks = " ".repeat(if last { (left - bytes) as usize } else { 0 });
        server.execute(&format!("INSERT INTO shop.t VALUES ({blanks}{id}, 'other')")).await;
        bytes = position().await - begin;
    }
}

/// Its node looks only when the places are familiar again: files of the same names, longer, with the same
/// GTIDs and events of the same lengths.
#[tokio::test]
async fn a_source_that_lost_commits_and_made_up_for_them_before_its_node_looked_is_stopped() {
    let mut pair = Pair::start(TABLES, ONE_WAY).await;
    insert(&pair.sh, 11..=20).await;
    wait_equal(&[&pair.sh, &pair.bj], &["shop.t"]).await;
    let older = keep(&mut pair.sh).await;
    insert(&pair.sh, 21..=30).await;
    wait_equal(&[&pair.sh, &pair.bj], &["shop.t"]).await;
    let captured_to = kill_at_the_end(&mut pair).await;
    // Files that are made within one second are told apart by nothing but what is in them.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    put_back(&mut pair.sh, &older).await;
    fill_to(&pair.sh, captured_to).await;
    insert(&pair.sh, 31..=90).await;
    pair.deployment.start(SH);
    wait_until(PATIENCE, "the file's birth is looked at", async || {
        let now = pair.deployment.direction(BJ, "orders", "sh.main").await?;
        let reason = now.reason.clone().unwrap_or_default();
        let says = now.state == ChannelState::Stopped
            && reason.contains("binlog.")
            && reason.contains("lost its last transactions")
            && !reason.contains('\n');
        if says { Ok(()) } else { Err(format!("{now:?}")) }
    })
    .await;
    wait_rows(&pair.bj, "SELECT COUNT(*) FROM shop.t", &["20"]).await;
}

/// Two ways the target is a source as well: what it lost of its own may be at the other site already,
/// and its next changes would take the places of those in its history.
#[tokio::test]
async fn two_ways_a_server_that_lost_commits_stops_both_directions_and_says_so() {
    let mut pair = Pair::start(TABLES, BOTH_WAYS).await;
    insert(&pair.sh, 1..=10).await;
    insert(&pair.bj, 11..=20).await;
    wait_equal(&[&pair.sh, &pair.bj], &["shop.t"]).await;
    let older = keep(&mut pair.bj).await;
    insert(&pair.sh, 21..=30).await;
    insert(&pair.bj, 31..=40).await;
    wait_equal(&[&pair.sh, &pair.bj], &["shop.t"]).await;
    put_back(&mut pair.bj, &older).await;
    // A direction that has nothing to write looks at its target no sooner.
    insert(&pair.sh, 41..=41).await;
    for (site, from, words) in
        [(SH, "bj.main", "lost its last transactions"), (BJ, "sh.main", "did not come back in its binlog")]
    {
        wait_until(PATIENCE, words, async || {
            let now = pair.deployment.direction(site, "orders", from).await?;
            let reason = now.reason.clone().unwrap_or_default();
            let says = now.state == ChannelState::Stopped && reason.contains(words) && !reason.contains('\n');
            if says { Ok(()) } else { Err(format!("{now:?}")) }
        })
        .await;
    }
    // It writes past the end of the history that it lost: the places look familiar again.
    insert(&pair.bj, 101..=160).await;
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(10) {
        for (site, from) in [(SH, "bj.main"), (BJ, "sh.main")] {
            let now = pair.deployment.direction(site, "orders", from).await.expect("it answers");
            assert_eq!(now.state, ChannelState::Stopped, "{now:?}");
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    // What sh has from before is still there, and bj is not half mended.
    wait_rows(&pair.sh, "SELECT COUNT(*) FROM shop.t", &["41"]).await;
    wait_rows(&pair.bj, "SELECT COUNT(*) FROM shop.t WHERE id <= 100", &["20"]).await;
}

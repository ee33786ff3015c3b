//! What these tests share.

use std::time::Duration;

use cluster_tests::nodes::{Deployment, run_program, wait_equal};
use cluster_tests::oracle;
use cluster_tests::servers::{Server, ServerOptions};
use cluster_tests::workload::{Journal, TABLES, TABLES_SQL, Writer};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use weft_actors::status::ChannelState;

pub const BOTH_WAYS: &str =
    "[channels.orders]\nbetween = [\"sh.main\", \"bj.main\"]\ntables = [\"shop.*\"]\n";
pub const ONE_WAY: &str = "[channels.orders]\nfrom = \"sh.main\"\nto = \"bj.main\"\ntables = [\"shop.*\"]\n";

/// Two servers with the tables of the workload, and a node for each.
pub struct Pair {
    pub sh: Server,
    pub bj: Server,
    pub deployment: Deployment,
    /// Where the moments of this run come from: `WEFT_SEED` repeats one.
    pub random: StdRng,
    seed: u64,
}

impl Pair {
    /// Starts all. `durable`: servers that lose nothing even when the machine does.
    pub async fn start(channels: &str, durable: bool) -> Pair {
        let seed = match std::env::var("WEFT_SEED") {
            Ok(seed) => seed.parse().expect("WEFT_SEED is a number"),
            Err(_) => rand::random_range(0..1_000_000),
        };
        eprintln!("repeat these moments with WEFT_SEED={seed}");
        let options = |id| {
            let options = ServerOptions::new(id);
            if durable { options.durable() } else { options }
        };
        let (sh, bj) = tokio::join!(Server::start(options(11)), Server::start(options(12)));
        for server in [&sh, &bj] {
            server.execute(TABLES_SQL).await;
        }
        let mut deployment = Deployment::new(&["sh", "bj"], &[&sh, &bj], "", channels);
        deployment.start_all().await;
        Pair { sh, bj, deployment, random: StdRng::seed_from_u64(seed), seed }
    }

    /// A writer at each site.
    pub fn write_both(&self) -> Vec<Writer> {
        vec![Writer::start(&self.sh, 1, self.seed), Writer::start(&self.bj, 2, self.seed + 1)]
    }

    /// Waits between `from` and `to` milliseconds.
    pub async fn wait_ms(&mut self, from: u64, to: u64) {
        tokio::time::sleep(Duration::from_millis(self.random.random_range(from..to))).await;
    }

    /// Waits until both sites are equal, and holds them against the journals and `weft verify`.
    pub async fn assert_equal(&self, journals: &[Journal]) {
        let written: usize = journals.iter().map(|journal| journal.logged.len()).sum();
        let unknown: u64 = journals.iter().map(|journal| journal.unknown).sum();
        eprintln!("{written} transactions acknowledged, {unknown} unknown");
        assert!(written > 100, "too little was written to show anything");
        wait_equal(&[&self.sh, &self.bj], &TABLES).await;
        oracle::assert_holds(&self.sh, journals).await;
        oracle::assert_holds(&self.bj, journals).await;
        let config = self.deployment.config();
        let (status, out, err) = run_program(&["verify", "--config", &config.display().to_string()]);
        assert_eq!(status, Some(0), "{out}{err}");
    }

    /// Waits until both directions run.
    pub async fn wait_running(&self) {
        self.deployment.wait_state(1, "orders", "sh.main", ChannelState::Running).await;
        self.deployment.wait_state(0, "orders", "bj.main", ChannelState::Running).await;
    }
}

/// Ends the writers.
pub async fn finish(writers: Vec<Writer>) -> Vec<Journal> {
    let mut journals = Vec::new();
    for writer in writers {
        journals.push(writer.finish().await);
    }
    journals
}

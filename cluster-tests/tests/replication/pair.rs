//! Two sites with a server and a node each: what most tests begin with.

use cluster_tests::nodes::{Deployment, PATIENCE, run_program};
use cluster_tests::servers::{Flavour, Server, ServerOptions};
use cluster_tests::wait::wait_until;
use weft_actors::status::{ChannelState, ChannelStatus};

pub const BOTH_WAYS: &str =
    "[channels.orders]\nbetween = [\"sh.main\", \"bj.main\"]\ntables = [\"shop.*\"]\n";
pub const ONE_WAY: &str =
    "[channels.orders]\nfrom = \"sh.main\"\nto = \"bj.main\"\nconflict = \"none\"\ntables = [\"shop.*\"]\n";

/// Indexes of the sites in a deployment.
pub const SH: usize = 0;
pub const BJ: usize = 1;

pub struct Pair {
    pub sh: Server,
    pub bj: Server,
    pub deployment: Deployment,
}

impl Pair {
    /// Servers with a schema `shop` and the tables that `create` makes in it, and nodes that are
    /// ready.
    pub async fn start(create: &str, channels: &str) -> Pair {
        let mut pair = Pair::servers(create, "", channels).await;
        pair.deployment.start_all().await;
        pair
    }

    /// The same on servers of these flavours.
    pub async fn of(flavours: [Flavour; 2], create: &str, channels: &str) -> Pair {
        let mut pair = Pair::servers_of(flavours, create, "", channels).await;
        pair.deployment.start_all().await;
        pair
    }

    /// The same without the nodes; `instance` are further keys of both instances.
    pub async fn servers(create: &str, instance: &str, channels: &str) -> Pair {
        Pair::servers_of([Flavour::MariaDb; 2], create, instance, channels).await
    }

    /// The same on servers of these flavours.
    pub async fn servers_of(flavours: [Flavour; 2], create: &str, instance: &str, channels: &str) -> Pair {
        let pair = Pair::with_of(flavours, &[], instance, channels).await;
        for server in [&pair.sh, &pair.bj] {
            server.execute(&format!("CREATE DATABASE shop; USE shop; {create}")).await;
        }
        pair
    }

    /// Servers with nothing in them, and no nodes yet.
    pub async fn bare(flavours: [Flavour; 2], channels: &str) -> Pair {
        Pair::with_of(flavours, &[], "", channels).await
    }

    /// The same with further arguments for both servers.
    pub async fn with(arguments: &[&str], instance: &str, channels: &str) -> Pair {
        Pair::with_of([Flavour::MariaDb; 2], arguments, instance, channels).await
    }

    /// The same on servers of these flavours.
    pub async fn with_of(flavours: [Flavour; 2], arguments: &[&str], instance: &str, channels: &str) -> Pair {
        let [sh, bj] = flavours;
        let options = |flavour, id| {
            arguments.iter().fold(ServerOptions::of(flavour, id), |options, arg| options.arg(*arg))
        };
        let (sh, bj) = futures::join!(Server::start(options(sh, 11)), Server::start(options(bj, 12)));
        let deployment = Deployment::new(&["sh", "bj"], &[&sh, &bj], instance, channels);
        Pair { sh, bj, deployment }
    }

    /// Waits for a state of the direction from sh to bj.
    pub async fn state(&self, state: ChannelState) -> ChannelStatus {
        self.deployment.wait_state(BJ, "orders", "sh.main", state).await
    }

    /// Waits until the direction from sh to bj stands still, and gives the reason.
    pub async fn stopped(&self) -> String {
        self.state(ChannelState::Stopped).await.reason.expect("a stopped direction has a reason")
    }

    /// Runs `weft channel` for the direction into bj, which must do it.
    pub fn channel(&self, verb: &str) {
        let admin = self.deployment.admin_url(BJ);
        let (status, out, err) =
            run_program(&["channel", verb, "orders", "--to", "bj.main", "--admin", &admin]);
        assert_eq!(status, Some(0), "{out}{err}");
    }
}

/// Waits until the query answers these rows.
pub async fn wait_rows(server: &Server, sql: &str, rows: &[&str]) {
    wait_until(PATIENCE, sql, async || {
        let seen = server.text(sql).await;
        if seen == rows { Ok(()) } else { Err(format!("{seen:?} instead of {rows:?}")) }
    })
    .await;
}

/// The node's metrics, as Prometheus gets them.
pub async fn metrics(deployment: &Deployment, index: usize) -> String {
    let url = format!("{}/metrics", deployment.admin_url(index));
    let answer = deployment.client.get(url).send().await.expect("the node answers");
    answer.text().await.expect("metrics are text")
}

/// Waits until the metric with these labels, as it is printed, has such a value.
pub async fn wait_metric(deployment: &Deployment, index: usize, name: &str, is: impl Fn(f64) -> bool) {
    wait_until(PATIENCE, name, async || {
        let text = metrics(deployment, index).await;
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        let value = line.rsplit(' ').next().and_then(|value| value.parse().ok());
        if value.is_some_and(&is) { Ok(()) } else { Err(format!("{line:?}")) }
    })
    .await;
}

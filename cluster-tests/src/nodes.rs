//! Real nodes of `weft` as processes, and deployments of them over real servers.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use weft_actors::status::{ChannelState, ChannelStatus, StatusReport};

use crate::ports::Port;
use crate::process::Process;
use crate::servers::Server;
use crate::wait::wait_until;

/// How long anything may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// The program under test: built with the tests.
pub fn program() -> PathBuf {
    let tests = std::env::current_exe().expect("a test runs from a file");
    let target = tests.ancestors().nth(2).expect("tests are in target/<profile>/deps");
    let program = target.join("weft");
    assert!(program.exists(), "{} is not there: build it with cargo build --bin weft", program.display());
    program
}

/// One node's place: its ports stay its own while the deployment lives.
pub struct Site {
    pub name: String,
    pub node: String,
    peer: Arc<Port>,
    admin: Arc<Port>,
    process: Option<Process>,
    pub data: PathBuf,
}

/// Sites with one node each, over servers that the caller keeps.
pub struct Deployment {
    pub directory: tempfile::TempDir,
    pub sites: Vec<Site>,
    pub client: reqwest::Client,
}

impl Deployment {
    /// Writes the configuration: site `i` is named `names[i]` and has the instance `main` at
    /// `servers[i]`; `channels` is the TOML text of the channels, and `instance` further keys of every
    /// instance.
    pub fn new(names: &[&str], servers: &[&Server], instance: &str, channels: &str) -> Deployment {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let sites: Vec<Site> = names
            .iter()
            .map(|name| Site {
                name: (*name).to_owned(),
                node: format!("{name}-1"),
                peer: Arc::new(Port::take()),
                admin: Arc::new(Port::take()),
                process: None,
                data: directory.path().join(format!("data-{name}")),
            })
            .collect();
        Deployment::write(directory, sites, servers, instance, channels)
    }

    /// The same deployment with another process in the place of site `index`'s node: at other ports,
    /// with another data directory and another configuration file. Only that one is to be started.
    pub fn substitute(
        &self,
        index: usize,
        servers: &[&Server],
        instance: &str,
        channels: &str,
    ) -> Deployment {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let sites = self.sites.iter().enumerate().map(|(at, site)| Site {
            name: site.name.clone(),
            node: site.node.clone(),
            peer: if at == index { Arc::new(Port::take()) } else { site.peer.clone() },
            admin: if at == index { Arc::new(Port::take()) } else { site.admin.clone() },
            process: None,
            data: directory.path().join(format!("data-{}", site.name)),
        });
        let sites = sites.collect();
        Deployment::write(directory, sites, servers, instance, channels)
    }

    fn write(
        directory: tempfile::TempDir,
        sites: Vec<Site>,
        servers: &[&Server],
        instance: &str,
        channels: &str,
    ) -> Deployment {
        let mut text = "cluster = \"test\"\n".to_owned();
        for (site, server) in sites.iter().zip(servers) {
            let Site { name, node, data, .. } = site;
            text += &format!(
                "[sites.{name}.instances.main]\nurl = \"{}\"\n{instance}\n[sites.{name}.nodes.{node}]\n\
                 peer = \"127.0.0.1:{}\"\nadmin = \"127.0.0.1:{}\"\ndata = \"{}\"\n",
                server.url(),
                site.peer.number(),
                site.admin.number(),
                data.display()
            );
        }
        text += channels;
        let deployment = Deployment { directory, sites, client: reqwest::Client::new() };
        fs::write(deployment.config(), text).expect("writable");
        deployment
    }

    pub fn config(&self) -> PathBuf {
        self.directory.path().join("weft.toml")
    }

    /// Starts the node of site `index`; its log goes on in a file beside the configuration.
    pub fn start(&mut self, index: usize) {
        let own = self.directory.path().join(format!("{}.toml", self.sites[index].node));
        let config = if own.exists() { own } else { self.config() };
        let log = self.log_path(index);
        let site = &mut self.sites[index];
        assert!(site.process.is_none(), "{} runs already", site.node);
        site.process = Some(spawn_node(&config, &site.node, &log));
    }

    /// Starts all nodes and waits until they are ready.
    pub async fn start_all(&mut self) {
        (0..self.sites.len()).for_each(|index| self.start(index));
        for index in 0..self.sites.len() {
            self.wait_ready(index).await;
        }
    }

    fn log_path(&self, index: usize) -> PathBuf {
        self.directory.path().join(format!("{}.log", self.sites[index].node))
    }

    /// The node's log so far.
    pub fn log(&self, index: usize) -> String {
        fs::read_to_string(self.log_path(index)).unwrap_or_default()
    }

    /// The running node: to freeze and thaw it.
    pub fn process(&self, index: usize) -> &Process {
        self.sites[index].process.as_ref().expect("the node runs")
    }

    /// kill -9, and waits until the process is gone.
    pub fn kill9(&mut self, index: usize) {
        self.sites[index].process = None;
    }

    /// SIGTERM; gives the exit status.
    pub fn terminate(&mut self, index: usize) -> Option<i32> {
        let mut process = self.sites[index].process.take().expect("the node runs");
        process.terminate();
        process.wait().code()
    }

    /// Where the node listens for others.
    pub fn peer_port(&self, index: usize) -> u16 {
        self.sites[index].peer.number()
    }

    /// Gives the node of site `index` a configuration of its own, in which the node of site `other` is
    /// behind another port: a proxy's. For its next start.
    pub fn reach_through(&self, index: usize, other: usize, port: u16) {
        let text = fs::read_to_string(self.config()).expect("readable");
        let direct = format!("peer = \"127.0.0.1:{}\"", self.peer_port(other));
        assert!(text.contains(&direct), "{direct} is not in {text}");
        let text = text.replace(&direct, &format!("peer = \"127.0.0.1:{port}\""));
        let own = self.directory.path().join(format!("{}.toml", self.sites[index].node));
        fs::write(own, text).expect("writable");
    }

    pub fn admin_url(&self, index: usize) -> String {
        format!("http://127.0.0.1:{}", self.sites[index].admin.number())
    }

    /// `/v1/status` of the node.
    pub async fn status(&self, index: usize) -> Result<StatusReport, String> {
        let url = format!("{}/v1/status", self.admin_url(index));
        let answer = self.client.get(url).send().await.map_err(|error| error.to_string())?;
        answer.json().await.map_err(|error| error.to_string())
    }

    /// Waits until the node answers `/readyz` with 200.
    pub async fn wait_ready(&self, index: usize) {
        let url = format!("{}/readyz", self.admin_url(index));
        let ready = async || {
            let answer = self.client.get(&url).send().await.map_err(|error| error.to_string())?;
            let status = answer.status();
            let text = answer.text().await.unwrap_or_default();
            if status.is_success() { Ok(()) } else { Err(format!("{text}\n{}", tail(&self.log(index)))) }
        };
        wait_until(PATIENCE, &format!("{} is ready", self.sites[index].node), ready).await;
    }

    /// What the node at the target's site says of its direction of the channel.
    pub async fn direction(&self, index: usize, channel: &str, from: &str) -> Result<ChannelStatus, String> {
        let to = format!("{}.main", self.sites[index].name);
        let report = self.status(index).await?;
        let found =
            report.channels.into_iter().find(|one| one.name == channel && one.from == from && one.to == to);
        found.ok_or_else(|| format!("no direction {channel} {from} > {to}"))
    }

    /// Waits for a state of a direction, and gives it.
    pub async fn wait_state(
        &self,
        index: usize,
        channel: &str,
        from: &str,
        state: ChannelState,
    ) -> ChannelStatus {
        let look = async || {
            let now = self.direction(index, channel, from).await?;
            if now.state == state { Ok(now) } else { Err(format!("{now:?}\n{}", tail(&self.log(index)))) }
        };
        wait_until(PATIENCE, &format!("{channel} from {from} is {}", state.as_str()), look).await
    }
}

/// A failing test shows what its nodes said, and a node that panicked fails its test: it has a broken
/// invariant, however well it went on.
impl Drop for Deployment {
    fn drop(&mut self) {
        for (index, site) in self.sites.iter().enumerate() {
            let log = self.log(index);
            if std::thread::panicking() {
                eprintln!("--- the end of the log of {}:\n{}", site.node, tail(&log));
            } else if let Some(panic) = panic_in(&log) {
                panic!("{} panicked:\n{panic}", site.node);
            }
        }
    }
}

/// The lines of a log from its first panic on, some of them.
fn panic_in(log: &str) -> Option<String> {
    const LINES: usize = 30;
    let lines: Vec<&str> = log.lines().skip_while(|line| !line.contains("panicked at")).take(LINES).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

/// Runs the program; gives exit status, standard output and standard error.
pub fn run_program(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(program()).args(arguments).stdin(Stdio::null()).output().expect("it runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// Starts a node in a process of its own that dies with the test.
pub fn spawn_node(config: &Path, node: &str, log: &Path) -> Process {
    let log = fs::OpenOptions::new().create(true).append(true).open(log).expect("writable");
    let mut command = Command::new(program());
    command
        .args(["node", "--node", node, "--config"])
        .arg(config)
        .env("WEFT_LOG", "info,mysql_async=off,actix_server=warn");
    command.stdout(log.try_clone().expect("a file")).stderr(log);
    Process::spawn(command)
}

/// The end of a log, for messages.
pub fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(25)..].join("\n")
}

/// Waits until the tables are equal on all servers, by `CHECKSUM TABLE`, and stay so for a moment.
pub async fn wait_equal(servers: &[&Server], tables: &[&str]) {
    let sql = format!("CHECKSUM TABLE {}", tables.join(", "));
    let equal = async || {
        let mut seen: Vec<Vec<(String, Option<i64>)>> = Vec::new();
        for server in servers {
            seen.push(server.query::<(String, Option<i64>)>(&sql).await);
        }
        if seen.iter().all(|one| *one == seen[0]) { Ok(()) } else { Err(format!("{seen:?}")) }
    };
    wait_until(PATIENCE, "all sites are equal", equal).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    wait_until(PATIENCE, "all sites stay equal", equal).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panic_of_a_node_is_found_in_its_log() {
        let panic = "thread 'tokio-rt-worker' (7) panicked at core/src/a.rs:1:2:\nit cannot be";
        assert_eq!(panic_in(&format!("INFO running\n{panic}")), Some(panic.to_owned()));
        assert_eq!(panic_in("INFO running\nWARN stopped"), None);
    }
}

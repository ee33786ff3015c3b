//! The demo's two sites: one configuration file, one node each, as children that run this program.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use weft_actors::status::{ChannelStatus, SourceStatus, StatusReport};

use super::error::DemoError;
use super::servers::{log_end, log_file};
use crate::process::Process;

/// The sites; each has one instance `main` and one node `SITE-1`.
pub const SITES: [&str; 2] = ["sh", "bj"];
/// Both directions, as indexes into [`SITES`].
pub const DIRECTIONS: [(usize, usize); 2] = [(0, 1), (1, 0)];

const READY_WITHIN: Duration = Duration::from_secs(60);
/// What a node promises for its drain.
const DRAIN_WITHIN: Duration = Duration::from_secs(10);
const HTTP_TIMEOUT: Duration = Duration::from_secs(5);

/// Ports of one site on 127.0.0.1.
#[derive(Debug, Clone, Copy)]
pub struct SitePorts {
    pub server: u16,
    pub peer: u16,
    pub admin: u16,
}

/// Full name of a site's instance.
pub fn instance(site: usize) -> String {
    format!("{}.main", SITES[site])
}

/// The configuration file.
pub fn config(ports: &[SitePorts; 2]) -> String {
    let mut text = String::from("cluster = \"demo\"\n");
    for (site, ports) in SITES.iter().zip(ports) {
        text.push_str(&format!(
            "\n[sites.{site}.instances.main]\nurl = \"mysql://root@127.0.0.1:{}\"\nbuffer = \"256MiB\"\n\
             \n[sites.{site}.nodes.{site}-1]\npeer = \"127.0.0.1:{}\"\nadmin = \"127.0.0.1:{}\"\n\
             data = \"{site}/node\"\n",
            ports.server, ports.peer, ports.admin
        ));
    }
    text.push_str("\n[channels.orders]\nbetween = [\"sh.main\", \"bj.main\"]\ntables = [\"shop.*\"]\n");
    text
}

/// Writes the configuration to `directory` and says where.
pub fn write_config(directory: &Path, ports: &[SitePorts; 2]) -> Result<PathBuf, DemoError> {
    let path = directory.join("weft.toml");
    fs::write(&path, config(ports)).map_err(|cause| DemoError::Files { path: path.clone(), cause })?;
    Ok(path)
}

/// This program.
pub fn program() -> Result<PathBuf, DemoError> {
    std::env::current_exe().map_err(|cause| DemoError::Start { program: String::from("weft"), cause })
}

/// One running node.
#[derive(Debug)]
pub struct Node {
    process: Process,
    id: String,
    log: PathBuf,
    admin: AdminUrl,
}

/// Where a node answers.
#[derive(Debug, Clone)]
pub struct AdminUrl {
    http: reqwest::Client,
    base: String,
}

impl Node {
    /// Starts the node of this site.
    pub fn start(config: &Path, site: usize, ports: SitePorts) -> Result<Node, DemoError> {
        let id = format!("{}-1", SITES[site]);
        let directory = config.parent().unwrap_or(Path::new("."));
        let log = directory.join(SITES[site]).join("node.log");
        let output = log_file(&log)?;
        let errors = output.try_clone().map_err(|cause| DemoError::Files { path: log.clone(), cause })?;
        let mut command = Command::new(program()?);
        command.arg("node").arg("--config").arg(config).args(["--node", &id]);
        command.stdin(Stdio::null()).stdout(output).stderr(errors);
        let process =
            Process::spawn(command).map_err(|cause| DemoError::Start { program: id.clone(), cause })?;
        // Loopback: a proxy of the environment has no business there.
        let http = reqwest::Client::builder().no_proxy().timeout(HTTP_TIMEOUT).build()?;
        let admin = AdminUrl { http, base: format!("http://127.0.0.1:{}", ports.admin) };
        Ok(Node { process, id, log, admin })
    }

    /// Waits until the node says that all of it runs.
    pub async fn wait_until_ready(&mut self) -> Result<(), DemoError> {
        let began = Instant::now();
        loop {
            let seen = match self.admin.get("/readyz").await {
                Ok(answer) if answer.status().is_success() => return Ok(()),
                Ok(answer) => answer.text().await.unwrap_or_default(),
                Err(error) => error.to_string(),
            };
            self.check_alive()?;
            if began.elapsed() > READY_WITHIN {
                let (what, log) = (format!("node {}", self.id), log_end(&self.log));
                return Err(DemoError::NotReady { what, waited_s: READY_WITHIN.as_secs(), seen, log });
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// # Errors
    /// The node ended.
    pub fn check_alive(&mut self) -> Result<(), DemoError> {
        match self.process.exit_status() {
            Ok(Some(status)) => Err(DemoError::Ended {
                what: format!("node {}", self.id),
                status: status.to_string(),
                log: log_end(&self.log),
            }),
            _ => Ok(()),
        }
    }

    /// Where it answers.
    pub fn admin(&self) -> AdminUrl {
        self.admin.clone()
    }

    /// Id and the end of the log.
    pub fn log_end(&self) -> (String, String) {
        (self.id.clone(), log_end(&self.log))
    }

    /// Drains it (SIGTERM).
    ///
    /// # Errors
    /// It did not end in time, or not with status 0.
    pub async fn stop(mut self) -> Result<(), DemoError> {
        match self.process.terminate(DRAIN_WITHIN).await {
            Ok(Some(status)) if status.success() => Ok(()),
            Ok(Some(status)) => Err(DemoError::NotDrained(
                format!("node {}", self.id),
                format!("{status}; the end of its log: {}", log_end(&self.log)),
            )),
            Ok(None) => Err(DemoError::NotDrained(format!("node {}", self.id), String::from("it still ran"))),
            Err(cause) => Err(DemoError::NotDrained(format!("node {}", self.id), cause.to_string())),
        }
    }
}

impl AdminUrl {
    async fn get(&self, path: &str) -> Result<reqwest::Response, reqwest::Error> {
        self.http.get(format!("{}{path}", self.base)).send().await
    }

    /// `/v1/status`.
    pub async fn status(&self) -> Result<StatusReport, reqwest::Error> {
        self.get("/v1/status").await?.error_for_status()?.json().await
    }
}

/// The replicator of a site's instance, in the report of that site's node.
pub fn source_of(report: &StatusReport, site: usize) -> Option<&SourceStatus> {
    report.sources.iter().find(|source| source.instance == instance(site))
}

/// A direction of the channel, in the report of the target's node.
pub fn channel_of(report: &StatusReport, (from, to): (usize, usize)) -> Option<&ChannelStatus> {
    report.channels.iter().find(|channel| channel.from == instance(from) && channel.to == instance(to))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Deployment;

    #[test]
    fn the_configuration_is_one_that_nodes_take() {
        let ports = [1, 2].map(|site| SitePorts { server: 100 + site, peer: 200 + site, admin: 300 + site });
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = write_config(directory.path(), &ports).expect("it is ours to write to");
        let deployment = Deployment::load(&path).expect("it is valid");
        for site in SITES {
            assert!(deployment.node(&format!("{site}-1")).is_ok());
        }
        for site in 0..2 {
            assert!(deployment.instances.contains_key(&instance(site)));
        }
    }
}

//! The demo's MariaDB servers: plain processes on free loopback ports, each on its own data
//! directory.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use mysql_async::{Conn, OptsBuilder};

use super::error::DemoError;
use super::sites::SITES;
use crate::process::{self, Process};

/// Below the range from which kernels take ports for outgoing connections, so that none of those
/// holds one in the moment a server wants to listen.
const PORT_FIRST: u16 = 22_000;
const PORT_LAST: u16 = 31_999;

/// Crash recovery is not needed, but the machine may be busy.
const READY_WITHIN: Duration = Duration::from_secs(60);
const STOP_WITHIN: Duration = Duration::from_secs(30);

/// For a small data directory, quick to copy; the same when it is made and when a server runs.
const LAYOUT: [&str; 2] = ["--innodb-log-file-size=32M", "--innodb-data-file-path=ibdata1:4M:autoextend"];

/// One running server.
#[derive(Debug)]
pub struct Server {
    process: Process,
    site: &'static str,
    log: PathBuf,
    pub port: u16,
}

/// Free ports of 127.0.0.1, for TCP and UDP. They are free until somebody takes them: listen soon.
pub fn free_ports<const N: usize>() -> Result<[u16; N], DemoError> {
    let range = u32::from(PORT_LAST - PORT_FIRST) + 1;
    // Two demos at the same time seldom try the same ports.
    let begin = std::process::id().wrapping_mul(61) % range;
    let candidates = (0..range).map(|step| PORT_FIRST + ((begin + step) % range) as u16);
    let is_free = |port: &u16| {
        TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()
            && UdpSocket::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()
    };
    let found: Vec<u16> = candidates.filter(is_free).take(N).collect();
    found.try_into().map_err(|_| DemoError::NoPorts { first: PORT_FIRST, last: PORT_LAST })
}

/// Looks whether MariaDB is on this machine.
///
/// # Errors
/// It is not: says what to install.
pub fn require() -> Result<(), DemoError> {
    ["mariadbd", "mariadb-install-db"].into_iter().try_for_each(|program| find(program).map(drop))
}

/// Makes the data directories of all sites under `directory`: one is initialised, the others are
/// copies of it.
///
/// # Errors
/// MariaDB is not there, or the files cannot be written.
pub async fn prepare(directory: &Path) -> Result<(), DemoError> {
    let first = data_directory(directory, SITES[0]);
    let mut install = tokio::process::Command::new(find("mariadb-install-db")?);
    // Forced: else it wants the name of the machine to resolve.
    install.args(["--no-defaults", "--force", "--auth-root-authentication-method=normal", "--skip-test-db"]);
    install.args(LAYOUT).args(run_as()).arg(format!("--datadir={}", first.display()));
    finish("mariadb-install-db", install).await?;
    for site in &SITES[1..] {
        let mut copy = tokio::process::Command::new("cp");
        copy.args(["-a", "--reflink=auto"]).arg(&first).arg(data_directory(directory, site));
        finish("cp", copy).await?;
    }
    Ok(())
}

/// Runs a command to its end.
async fn finish(program: &str, mut command: tokio::process::Command) -> Result<(), DemoError> {
    let output = command.kill_on_drop(true).output().await;
    let output = output.map_err(|cause| DemoError::Start { program: program.to_owned(), cause })?;
    if output.status.success() {
        return Ok(());
    }
    Err(DemoError::Ended {
        what: program.to_owned(),
        status: output.status.to_string(),
        log: last_lines(&[output.stdout, output.stderr].concat(), 5),
    })
}

impl Server {
    /// Starts the server of this site on the data directory that [`prepare`] made, and waits until
    /// it answers.
    pub async fn start(directory: &Path, site: &'static str, port: u16) -> Result<Server, DemoError> {
        let server_id = SITES.iter().position(|name| *name == site).map_or(1, |index| index + 1);
        let own = directory.join(site);
        let mut command = Command::new(find("mariadbd")?);
        command.arg("--no-defaults").args(run_as()).args(LAYOUT);
        for (key, file) in
            [("datadir", "db"), ("socket", "s.sock"), ("pid-file", "db.pid"), ("log-error", "db.log")]
        {
            command.arg(format!("--{key}={}", own.join(file).display()));
        }
        command.arg(format!("--port={port}"));
        command.arg(format!("--server-id={server_id}")).arg(format!("--gtid-domain-id={server_id}"));
        command.args([
            "--bind-address=127.0.0.1",
            "--skip-name-resolve",
            "--log-bin=binlog",
            "--log-slave-updates=ON",
            "--binlog-format=ROW",
            "--binlog-row-image=FULL",
            "--binlog-row-metadata=FULL",
            "--gtid-strict-mode=ON",
            "--innodb-buffer-pool-size=128M",
            // Show the software, not the laptop's disk: a killed server still loses nothing.
            "--innodb-flush-log-at-trx-commit=2",
            "--sync-binlog=0",
        ]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = Process::spawn(command)
            .map_err(|cause| DemoError::Start { program: String::from("mariadbd"), cause })?;
        let mut server = Server { process, site, log: own.join("db.log"), port };
        server.wait_until_ready().await?;
        Ok(server)
    }

    async fn wait_until_ready(&mut self) -> Result<(), DemoError> {
        let began = Instant::now();
        loop {
            let Err(cause) = self.conn().await else { return Ok(()) };
            if let Ok(Some(status)) = self.process.exit_status() {
                return Err(DemoError::Ended {
                    what: self.name(),
                    status: status.to_string(),
                    log: log_end(&self.log),
                });
            }
            if began.elapsed() > READY_WITHIN {
                return Err(DemoError::NotReady {
                    what: self.name(),
                    waited_s: READY_WITHIN.as_secs(),
                    seen: cause.to_string(),
                    log: log_end(&self.log),
                });
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    fn name(&self) -> String {
        format!("the MariaDB server of {}", self.site)
    }

    /// Opens a session as an application would.
    pub async fn conn(&self) -> Result<Conn, DemoError> {
        connect(self.site, self.port, "connecting").await
    }

    /// Shuts it down, with force if it takes its time.
    pub async fn stop(mut self) {
        // What does not end is killed when dropped, and nothing in it is needed any more.
        let _ = self.process.terminate(STOP_WITHIN).await;
    }
}

/// Opens a session of root, who has no password, with the server on this port.
pub async fn connect(site: &'static str, port: u16, doing: &'static str) -> Result<Conn, DemoError> {
    let options = OptsBuilder::default()
        .ip_or_hostname("127.0.0.1")
        .tcp_port(port)
        .user(Some("root"))
        // A socket of another server on this machine must not be taken for this one.
        .prefer_socket(false);
    Conn::new(options).await.map_err(|cause| DemoError::Query { site, doing, cause })
}

/// The end of a log, in one line.
pub fn log_end(path: &Path) -> String {
    fs::read(path).map_or_else(|error| format!("(no log: {error})"), |bytes| last_lines(&bytes, 5))
}

fn last_lines(text: &[u8], count: usize) -> String {
    let text = String::from_utf8_lossy(text);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(count)..].join(" / ")
}

/// A log file for a child's output.
pub fn log_file(path: &Path) -> Result<File, DemoError> {
    File::create(path).map_err(|cause| DemoError::Files { path: path.to_owned(), cause })
}

fn data_directory(directory: &Path, site: &str) -> PathBuf {
    directory.join(site).join("db")
}

/// MariaDB refuses to run as root unless told so; others cannot change user.
fn run_as() -> Option<&'static str> {
    rustix::process::geteuid().is_root().then_some("--user=root")
}

fn find(program: &'static str) -> Result<PathBuf, DemoError> {
    process::find(program).ok_or(DemoError::NoMariaDb { program })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_ports_differ() {
        let [a, b, c] = free_ports::<3>().expect("a test machine has free ports");
        assert!(a != b && b != c && a != c, "{a} {b} {c}");
    }

    #[test]
    fn a_missing_server_is_told_with_the_package_that_has_it() {
        let error = find("mariadbd-that-nobody-has").expect_err("there is no such program");
        assert!(error.to_string().contains("apt-get install mariadb-server"), "{error}");
    }

    #[test]
    fn the_end_of_a_log_is_one_line() {
        assert_eq!(last_lines(b"a\nb\n\nc\n", 2), "b / c");
    }
}

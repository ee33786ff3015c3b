//! A server to read the binlog of.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use weft_core::binlog::assembler::{AssembleError, Assembled, Assembler, AssemblerConfig};
use weft_core::binlog::event::EventHeader;
use weft_core::binlog::format::{Checksum, Checksums, Format};

const START_TIMEOUT: Duration = Duration::from_secs(60);

/// A MariaDB server of its own, gone with its data when dropped.
pub(crate) struct Server {
    process: Child,
    dir: tempfile::TempDir,
}

impl Server {
    pub(crate) fn start(options: &[&str]) -> Server {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let data = dir.path().join("data");
        // Servers name their temporary files by process id, which may be another's in a shared /tmp.
        let installed = Command::new("mariadb-install-db")
            .env("TMPDIR", dir.path())
            .args(["--no-defaults", "--force", "--user=root", "--auth-root-authentication-method=normal"])
            .arg(format!("--datadir={}", data.display()))
            .output()
            .expect("mariadb-install-db is installed");
        assert!(installed.status.success(), "{}", String::from_utf8_lossy(&installed.stderr));
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
        let process = Command::new("mariadbd")
            .env("TMPDIR", dir.path())
            .args(["--no-defaults", "--user=root", "--bind-address=127.0.0.1", "--server-id=7"])
            .args(["--gtid-domain-id=3", "--log-bin=binlog", "--binlog-format=ROW"])
            .args(["--innodb-buffer-pool-size=32M", "--default-time-zone=+00:00", "--sql-mode="])
            .arg(format!("--port={port}"))
            .arg(format!("--datadir={}", data.display()))
            .arg(format!("--socket={}", data.join("s.sock").display()))
            .args(options)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("mariadbd is installed");
        let server = Server { process, dir };
        let deadline = Instant::now() + START_TIMEOUT;
        while !server.try_run("SELECT 1").status.success() {
            assert!(Instant::now() < deadline, "the server did not answer within {START_TIMEOUT:?}");
            std::thread::sleep(Duration::from_millis(100));
        }
        server
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Runs statements in one session; the script goes by a file, as it may be long.
    fn try_run(&self, sql: &str) -> Output {
        let script = self.dir.path().join("script.sql");
        std::fs::write(&script, sql).expect("the script is written");
        let mut command = Command::new("mariadb");
        command.args(["--no-defaults", "-uroot", "--batch", "--skip-column-names", "--raw"]);
        command.args(["--default-character-set=utf8mb4", "--max-allowed-packet=1G"]);
        command.arg(format!("--socket={}", self.data().join("s.sock").display()));
        command.stdin(std::fs::File::open(&script).expect("the script is there"));
        command.output().expect("the client is installed")
    }

    /// Runs statements in one session and gives their rows as text.
    pub(crate) fn run(&self, sql: &str) -> String {
        let out = self.try_run(sql);
        let error = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "{error}\nin: {}", sql.chars().take(2000).collect::<String>());
        String::from_utf8_lossy(&out.stdout).into_owned()
    }

    /// Everything in the binlog file with this number, which must be closed.
    pub(crate) fn assembled(&self, file: u32, spill_bytes: usize) -> (Vec<Assembled>, Format) {
        self.try_assembled(file, spill_bytes).expect("understood events")
    }

    /// As [`Server::assembled`], or why the stream stops.
    pub(crate) fn try_assembled(
        &self,
        file: u32,
        spill_bytes: usize,
    ) -> Result<(Vec<Assembled>, Format), AssembleError> {
        assembled_from(&self.data().join(format!("binlog.{file:06}")), file, spill_bytes)
    }
}

/// Everything in a closed binlog file, or why the stream stops.
pub(crate) fn assembled_from(
    path: &Path,
    file: u32,
    spill_bytes: usize,
) -> Result<(Vec<Assembled>, Format), AssembleError> {
    let mut assembler = Assembler::new(AssemblerConfig { spill_bytes });
    assembler.place(file, 4);
    let mut out = Vec::new();
    let mut checksums = Checksums::new(Checksum::None);
    for event in events_of(path) {
        let event = checksums.strip(event).expect("a valid event");
        assembler.push(&event, &mut out)?;
        while assembler.unpack(&mut out)? {}
    }
    Ok((out, assembler.format().expect("a format description event").clone()))
}

impl Drop for Server {
    fn drop(&mut self) {
        // Its data goes with it: there is nothing to shut down for.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub(crate) fn events_of(file: &Path) -> Vec<Vec<u8>> {
    let bytes = std::fs::read(file).expect("the file is there");
    let mut rest = &bytes[4..];
    let mut events = Vec::new();
    while !rest.is_empty() {
        let size = EventHeader::parse(rest).expect("a header").event_size as usize;
        events.push(rest[..size].to_vec());
        rest = &rest[size..];
    }
    events
}

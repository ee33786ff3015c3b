//! A server to read the binlog of.

use std::path::{Path, PathBuf};
use std::process::Command;

use cluster_tests::servers::{self, ServerOptions};
use weft_core::binlog::assembler::{AssembleError, Assembled, Assembler, AssemblerConfig};
use weft_core::binlog::event::EventHeader;
use weft_core::binlog::format::{Checksum, Checksums, Format};

/// A MariaDB server of its own, gone with its data when dropped.
pub(crate) struct Server {
    server: servers::Server,
    scripts: tempfile::TempDir,
}

impl Server {
    pub(crate) async fn start(options: &[&str]) -> Server {
        let own = ServerOptions::new(7).gtid_domain(3).arg("--default-time-zone=+00:00").arg("--sql-mode=");
        let options = options.iter().fold(own, |own, option| own.arg(*option));
        let scripts = tempfile::tempdir().expect("a temporary directory");
        Server { server: servers::Server::start(options).await, scripts }
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.server.data_directory()
    }

    /// Runs statements in one session and gives their rows as text. The script goes by a file, as it may
    /// be long.
    pub(crate) fn run(&self, sql: &str) -> String {
        let script = self.scripts.path().join("script.sql");
        std::fs::write(&script, sql).expect("the script is written");
        let mut command = Command::new("mariadb");
        command.args(["--no-defaults", "-uroot", "--batch", "--skip-column-names", "--raw"]);
        command.args(["--default-character-set=utf8mb4", "--max-allowed-packet=1G"]);
        command.args(["--protocol=tcp", "--host=127.0.0.1"]).arg(format!("--port={}", self.server.port()));
        command.stdin(std::fs::File::open(&script).expect("the script is there"));
        let out = command.output().expect("the client is installed");
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

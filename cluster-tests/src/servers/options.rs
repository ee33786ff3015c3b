//! How a server is started.

use std::path::Path;
use std::process::Command;

use super::flavour::Flavour;

/// Options of a test server. The defaults are what Weft asks of an instance: row format, full
/// images, full metadata, GTIDs strict; durability relaxed, because a killed process (unlike a
/// machine without power) loses nothing that was written.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    pub flavour: Flavour,
    pub server_id: u32,
    /// MariaDB's replication domain; MySQL has none.
    pub gtid_domain: u32,
    durable: bool,
    extra: Vec<String>,
}

impl ServerOptions {
    /// A MariaDB server with this id, which is its GTID domain too.
    pub fn new(server_id: u32) -> ServerOptions {
        ServerOptions::of(Flavour::MariaDb, server_id)
    }

    /// A server of this flavour and id.
    pub fn of(flavour: Flavour, server_id: u32) -> ServerOptions {
        ServerOptions { flavour, server_id, gtid_domain: server_id, durable: false, extra: Vec::new() }
    }

    pub fn gtid_domain(mut self, domain: u32) -> ServerOptions {
        self.gtid_domain = domain;
        self
    }

    /// Syncs the redo log and the binlog at each commit.
    pub fn durable(mut self) -> ServerOptions {
        self.durable = true;
        self
    }

    /// One more argument of the server; comes after the default ones and so replaces them.
    pub fn arg(mut self, arg: impl Into<String>) -> ServerOptions {
        self.extra.push(arg.into());
        self
    }

    /// The command that starts the server in `directory`, which holds its `data`.
    pub(super) fn command(&self, directory: &Path, port: u16) -> Command {
        let mut command = self.flavour.server();
        for (key, file) in [
            ("datadir", "data"),
            ("socket", "s.sock"),
            ("pid-file", "pid"),
            ("log-error", "error.log"),
            ("tmpdir", ""),
        ] {
            command.arg(format!("--{key}={}", directory.join(file).display()));
        }
        command.arg(format!("--port={port}")).arg(format!("--server-id={}", self.server_id)).args([
            "--bind-address=127.0.0.1",
            "--log-bin=binlog",
            "--binlog-row-image=FULL",
            "--binlog-row-metadata=FULL",
            "--innodb-buffer-pool-size=64M",
        ]);
        match self.flavour {
            Flavour::MariaDb => command.arg(format!("--gtid-domain-id={}", self.gtid_domain)).args([
                "--skip-name-resolve",
                "--log-slave-updates=ON",
                "--binlog-format=ROW",
                "--gtid-strict-mode=ON",
            ]),
            // Its root is root@localhost, for which it has to resolve the loopback address.
            Flavour::MySql => command.args([
                "--gtid-mode=ON",
                "--enforce-gtid-consistency=ON",
                "--mysqlx=OFF",
                "--secure-file-priv=NULL",
                "--innodb-buffer-pool-instances=1",
            ]),
        };
        command.args(self.flavour.layout_args());
        command.args(match self.durable {
            true => ["--innodb-flush-log-at-trx-commit=1", "--sync-binlog=1"],
            false => ["--innodb-flush-log-at-trx-commit=2", "--sync-binlog=0"],
        });
        command.args(&self.extra);
        command
    }
}

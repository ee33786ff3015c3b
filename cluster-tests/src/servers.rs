//! MariaDB and MySQL servers as plain processes on free loopback ports.
//!
//! Each server has its own data directory, a copy of a template that is initialised once, and dies
//! with the test process, however that ends.

mod directory;
mod flavour;
mod options;
mod template;

pub use flavour::{Flavour, has_mysql};
pub use options::ServerOptions;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Conn, Opts, OptsBuilder, Row, Value};
use tempfile::TempDir;
use weft::mysql::connect::Endpoint;
use weft::mysql::tls::Tls;

use crate::ports::Port;
use crate::process::Process;

/// Long enough for a start with crash recovery on a machine that runs many tests at once.
const READY_DEADLINE: Duration = Duration::from_secs(90);
const STOP_DEADLINE: Duration = Duration::from_secs(60);

/// A running (or stopped, to be restarted) server. Killed and removed when dropped. Methods
/// panic with the end of the server's log when the server does not do what was asked.
#[derive(Debug)]
pub struct Server {
    options: ServerOptions,
    /// Before the directory and the port, so that the process is gone when those go.
    process: Option<Process>,
    directory: TempDir,
    port: Port,
}

impl Server {
    /// Starts a server on a fresh data directory and waits until it answers.
    pub async fn start(options: ServerOptions) -> Server {
        let flavour = options.flavour;
        let directory = tokio::task::spawn_blocking(move || {
            let directory = directory::fresh();
            template::copy_to(flavour, &directory.path().join("data"));
            directory
        })
        .await
        .expect("copying the template does not panic");
        let mut server = Server { options, process: None, directory, port: Port::take() };
        server.launch().await;
        server
    }

    /// TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Address as the configuration file takes it; root has no password.
    pub fn url(&self) -> String {
        format!("mysql://root@127.0.0.1:{}", self.port())
    }

    /// The same address and account for Weft's own code.
    pub fn endpoint(&self) -> Endpoint {
        Endpoint {
            host: "127.0.0.1".into(),
            port: self.port(),
            user: "root".into(),
            password: String::new(),
            tls: Tls::default(),
        }
    }

    pub fn flavour(&self) -> Flavour {
        self.options.flavour
    }

    pub fn server_id(&self) -> u32 {
        self.options.server_id
    }

    /// The data directory, where the binlog files are.
    pub fn data_directory(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Connection options of root.
    pub fn opts(&self) -> Opts {
        OptsBuilder::default()
            .ip_or_hostname("127.0.0.1")
            .tcp_port(self.port())
            .user(Some("root"))
            .prefer_socket(false)
            .into()
    }

    /// A new connection as root, without a default database.
    pub async fn conn(&self) -> Conn {
        match Conn::new(self.opts()).await {
            Ok(conn) => conn,
            Err(error) => panic!("cannot connect to the server: {error}\n{}", self.log()),
        }
    }

    /// Runs statements, separated by semicolons, on a connection of their own.
    pub async fn execute(&self, sql: &str) {
        let mut conn = self.conn().await;
        // Walks all results: an error of a later statement is seen too.
        let mut results = match conn.query_iter(sql).await {
            Ok(results) => results,
            Err(error) => panic!("{sql}: {error}"),
        };
        while !results.is_empty() {
            if let Err(error) = results.collect::<Row>().await {
                panic!("{sql}: {error}");
            }
        }
        // It ends the loop as well.
        if let Err(error) = results.drop_result().await {
            panic!("{sql}: {error}");
        }
        if let Err(error) = conn.disconnect().await {
            panic!("{sql}: {error}");
        }
    }

    /// Runs one query on a connection of its own and returns its rows.
    pub async fn query<T: FromRow + Send + 'static>(&self, sql: &str) -> Vec<T> {
        let mut conn = self.conn().await;
        let rows = match conn.query(sql).await {
            Ok(rows) => rows,
            Err(error) => panic!("{sql}: {error}"),
        };
        conn.disconnect().await.expect("the connection that just answered closes");
        rows
    }

    /// The rows of a query as text, columns separated by `|`: for comparing servers.
    pub async fn text(&self, sql: &str) -> Vec<String> {
        let rows: Vec<Row> = self.query(sql).await;
        rows.into_iter()
            .map(|row| {
                let cells: Vec<String> = row.unwrap().iter().map(cell_text).collect();
                cells.join("|")
            })
            .collect()
    }

    /// Names of the binlog files, oldest first.
    pub async fn binlog_files(&self) -> Vec<String> {
        let rows: Vec<Row> = self.query("SHOW BINARY LOGS").await;
        rows.iter().filter_map(|row| row.get(0)).collect()
    }

    /// Binlog file being written and the position in it.
    pub async fn binlog_position(&self) -> (String, u64) {
        let rows: Vec<Row> = self.query(self.flavour().position_statement()).await;
        let position = rows.first().and_then(|row| Some((row.get(0)?, row.get(1)?)));
        position.expect("the harness turns the binlog on")
    }

    /// Kills the server like a crash does and waits until it is gone.
    pub fn kill9(&mut self) {
        self.process = None;
    }

    /// Shuts the server down cleanly (SIGTERM) and waits until it is gone.
    pub async fn stop(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        process.terminate();
        let began = Instant::now();
        while process.exit_status().is_none() {
            assert!(
                began.elapsed() < STOP_DEADLINE,
                "the server did not stop in {STOP_DEADLINE:?}\n{}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Starts the server again on the same data and port; kills it first if it still runs.
    pub async fn restart(&mut self) {
        self.kill9();
        self.launch().await;
    }

    /// Starts again with other options, on the same data and port.
    pub async fn restart_with(&mut self, options: ServerOptions) {
        self.kill9();
        self.options = options;
        self.launch().await;
    }

    /// Freezes the server: connections stay, nothing answers.
    pub fn sigstop(&self) {
        self.running().freeze();
    }

    /// Lets a frozen server go on.
    pub fn sigcont(&self) {
        self.running().thaw();
    }

    /// The end of the server's error log.
    pub fn log(&self) -> String {
        log_tail(&self.directory.path().join("error.log"))
    }

    fn running(&self) -> &Process {
        self.process.as_ref().expect("the test started the server and did not stop it")
    }

    async fn launch(&mut self) {
        let mut command = self.options.command(self.directory.path(), self.port());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        self.process = Some(Process::spawn(command));
        let began = Instant::now();
        loop {
            let seen = match Conn::new(self.opts()).await {
                Ok(conn) => {
                    conn.disconnect().await.expect("the connection that was just opened closes");
                    return;
                }
                Err(error) => error,
            };
            let exited = self.process.as_mut().and_then(Process::exit_status);
            if let Some(status) = exited {
                panic!("{} ended while starting: {status}\n{}", self.flavour().program(), self.log());
            }
            assert!(
                began.elapsed() < READY_DEADLINE,
                "{} did not answer in {READY_DEADLINE:?}: {seen}\n{}",
                self.flavour().program(),
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }
}

fn cell_text(value: &Value) -> String {
    match value {
        Value::NULL => String::from("NULL"),
        Value::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        other => other.as_sql(true),
    }
}

fn log_tail(path: &Path) -> String {
    const LINES: usize = 40;
    let text = match std::fs::read(path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => return format!("(no log at {}: {error})", path.display()),
    };
    let lines: Vec<&str> = text.lines().collect();
    let tail = &lines[lines.len().saturating_sub(LINES)..];
    format!("end of {}:\n{}", path.display(), tail.join("\n"))
}

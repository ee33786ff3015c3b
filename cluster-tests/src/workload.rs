//! A seeded client that writes as applications do, and keeps a journal of what the server said.
//!
//! Several of them, at one site or at many, write into the same tables:
//!
//! | table | keys | shows |
//! |---|---|---|
//! | `shop.t` | `OWN` keys of each writer, `SHARED` keys of all | last write of a key |
//! | `shop.u` | the same, and a unique code that all writers want | evictions |
//! | `shop.log` | one new row in every transaction, never touched again | loss and repetition |

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::task::JoinHandle;

use crate::servers::Server;

/// Keys that all writers write.
pub const SHARED: u32 = 60;
/// Keys that one writer alone writes.
pub const OWN: u32 = 100;
/// Values of the unique column.
const CODES: u32 = 40;
/// Between two transactions, about.
const PAUSE: Duration = Duration::from_millis(4);

/// The tables, empty.
pub const TABLES_SQL: &str = "CREATE DATABASE shop; \
    CREATE TABLE shop.t (id INT PRIMARY KEY, v VARCHAR(40) NOT NULL, n INT NOT NULL DEFAULT 0); \
    CREATE TABLE shop.u (id INT PRIMARY KEY, code INT UNIQUE, v VARCHAR(40)); \
    CREATE TABLE shop.log (id BIGINT PRIMARY KEY, v VARCHAR(40))";
/// Their names.
pub const TABLES: [&str; 3] = ["shop.t", "shop.u", "shop.log"];

/// What became of a transaction, as far as its client knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The server said that it is committed.
    Acknowledged(Instant),
    /// The connection was lost before the answer: neither present nor absent.
    Unknown,
}

/// One write of one key of `shop.t`.
#[derive(Debug, Clone)]
pub struct Write {
    pub key: u32,
    /// None: deleted.
    pub value: Option<String>,
    pub began: Instant,
    pub fate: Fate,
}

/// What a writer did.
#[derive(Debug, Default)]
pub struct Journal {
    pub writes: Vec<Write>,
    /// Rows of `shop.log` in transactions that were acknowledged.
    pub logged: Vec<u64>,
    /// Transactions whose outcome is unknown.
    pub unknown: u64,
}

/// A writer that runs.
pub struct Writer {
    stop: Arc<AtomicBool>,
    task: JoinHandle<Journal>,
}

impl Writer {
    /// Starts writing at the server. `number` tells writers apart: below 100.
    pub fn start(server: &Server, number: u32, seed: u64) -> Writer {
        Writer::start_as(server.opts(), number, seed)
    }

    /// The same with an account and a place of one's own.
    pub fn start_as(opts: Opts, number: u32, seed: u64) -> Writer {
        let stop = Arc::new(AtomicBool::new(false));
        let client = Client {
            opts,
            number,
            sequence: 0,
            random: StdRng::seed_from_u64(seed),
            journal: Journal::default(),
        };
        let task = tokio::spawn(client.run(stop.clone()));
        Writer { stop, task }
    }

    /// Ends the writing after the transaction under way.
    pub async fn finish(self) -> Journal {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.expect("a writer does not panic")
    }
}

struct Client {
    opts: Opts,
    number: u32,
    sequence: u64,
    random: StdRng,
    journal: Journal,
}

/// How a transaction ended.
enum End {
    Committed,
    /// The server refused it: nothing of it is there.
    Refused,
    Lost,
}

impl Client {
    async fn run(mut self, stop: Arc<AtomicBool>) -> Journal {
        let mut conn = None;
        while !stop.load(Ordering::Relaxed) {
            let Some(open) = &mut conn else {
                conn = Conn::new(self.opts.clone()).await.ok();
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            if !self.transaction(open).await {
                conn = None;
            }
            let pause = PAUSE.mul_f64(self.random.random_range(0.2..1.8));
            tokio::time::sleep(pause).await;
        }
        self.journal
    }

    /// One transaction; false: the connection is lost.
    async fn transaction(&mut self, conn: &mut Conn) -> bool {
        self.sequence += 1;
        let log_id = u64::from(self.number) * 10_000_000 + self.sequence;
        let tag = format!("w{}-{}", self.number, self.sequence);
        let rows = if self.random.random_bool(0.3) { self.random.random_range(2..6) } else { 1 };
        let statements: Vec<Statement> = (0..rows).map(|_| self.statement(&tag)).collect();
        let began = Instant::now();
        let mut writes = Vec::new();
        let end = run(conn, &statements, log_id, &tag, &mut writes).await;
        let fate = match end {
            End::Committed => {
                self.journal.logged.push(log_id);
                Fate::Acknowledged(Instant::now())
            }
            End::Refused => return true,
            End::Lost => {
                self.journal.unknown += 1;
                Fate::Unknown
            }
        };
        let written = writes.into_iter().map(|(key, value)| Write { key, value, began, fate });
        self.journal.writes.extend(written);
        !matches!(end, End::Lost)
    }

    fn key(&mut self) -> u32 {
        if self.random.random_bool(0.5) {
            self.random.random_range(0..SHARED)
        } else {
            own_keys(self.number).start + self.random.random_range(0..OWN)
        }
    }

    fn statement(&mut self, tag: &str) -> Statement {
        let (key, code) = (self.key(), self.random.random_range(0..CODES));
        let (sql, write) = match self.random.random_range(0..100) {
            0..45 => (
                format!(
                    "INSERT INTO shop.t VALUES ({key}, '{tag}', 1) ON DUPLICATE KEY UPDATE v = '{tag}', n = n + 1"
                ),
                Some((key, Some(tag.to_owned()))),
            ),
            45..70 => (
                format!("UPDATE shop.t SET v = '{tag}', n = n + 1 WHERE id = {key}"),
                Some((key, Some(tag.to_owned()))),
            ),
            70..85 => (format!("DELETE FROM shop.t WHERE id = {key}"), Some((key, None))),
            85..95 => (
                format!(
                    "INSERT INTO shop.u VALUES ({key}, {code}, '{tag}') ON DUPLICATE KEY UPDATE v = '{tag}'"
                ),
                None,
            ),
            95..98 => (format!("UPDATE IGNORE shop.u SET code = {code} WHERE id = {key}"), None),
            _ => (format!("DELETE FROM shop.u WHERE code = {code}"), None),
        };
        Statement { sql, write }
    }
}

/// Keys that the writer alone writes.
pub fn own_keys(number: u32) -> std::ops::Range<u32> {
    number * 1_000..number * 1_000 + OWN
}

struct Statement {
    sql: String,
    /// Key of `shop.t` and its value afterwards, if the statement changes any row.
    write: Option<(u32, Option<String>)>,
}

async fn run(
    conn: &mut Conn,
    statements: &[Statement],
    log_id: u64,
    tag: &str,
    writes: &mut Vec<(u32, Option<String>)>,
) -> End {
    let log = format!("INSERT INTO shop.log VALUES ({log_id}, '{tag}')");
    let begin = ["START TRANSACTION".to_owned(), log];
    let texts = begin.iter().map(|sql| (sql.as_str(), &None));
    let texts = texts.chain(statements.iter().map(|statement| (statement.sql.as_str(), &statement.write)));
    for (sql, write) in texts {
        match conn.query_drop(sql).await {
            Ok(()) if conn.affected_rows() > 0 => {
                let Some((key, value)) = write else { continue };
                writes.retain(|(of, _)| of != key);
                writes.push((*key, value.clone()));
            }
            Ok(()) => {}
            Err(error) => return refused(conn, &error).await,
        }
    }
    match conn.query_drop("COMMIT").await {
        Ok(()) => End::Committed,
        Err(error) if is_answer(&error) => End::Refused,
        Err(_) => End::Lost,
    }
}

/// Before its COMMIT a transaction without a connection is rolled back.
async fn refused(conn: &mut Conn, error: &mysql_async::Error) -> End {
    if is_answer(error) && conn.query_drop("ROLLBACK").await.is_ok() {
        return End::Refused;
    }
    End::Lost
}

/// The server answers, and is not going down: errors 1053 and its kin close the connection.
fn is_answer(error: &mysql_async::Error) -> bool {
    matches!(error, mysql_async::Error::Server(server) if !matches!(server.code, 1053 | 1077 | 1927))
}

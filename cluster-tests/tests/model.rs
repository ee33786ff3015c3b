//! The model database against a real server: the same small scripts of two or three sessions, step by
//! step, on both. What the model makes a session wait for, the server does too; results, duplicate
//! keys and rows are the same.
//!
//! A script ends early where the server waits and the model does not (InnoDB hands some locks on when
//! a statement is rolled back, which the model leaves out): the model locks no more than a server,
//! so that it hides no race; how often it locks less is bounded.

use std::collections::BTreeMap;
use std::time::Duration;

use cluster_tests::servers::{Server, ServerOptions};
use cluster_tests::sim::database::{Database, Denied, SessionId};
use cluster_tests::sim::row::{Row, WITH_UNIQUE};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::task::JoinHandle;
use weft_core::sink::step::Isolation;
use weft_core::time::Micros;

const SCRIPTS: u64 = 60;
/// The server renews `innodb_trx` only when nobody has looked for a tenth of a second.
const LOOK_EVERY: Duration = Duration::from_millis(120);

#[derive(Debug, Clone, Copy)]
enum Op {
    Insert(Row),
    SetValue(u16, u64),
    SetUnique(u16, u16, u64),
    Delete(u16),
    SelectId(u16),
    SelectUnique(u16),
    Commit,
    RollBack,
}

/// What a statement came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    /// Rows matched or returned.
    Rows(u64),
    Duplicate,
    Deadlock,
    Waits,
}

impl Op {
    fn draw(rng: &mut StdRng, value: u64) -> Op {
        let id = rng.random_range(1..7);
        let unique = rng.random_range(0..5);
        match rng.random_range(0..14) {
            0..4 => Op::Insert(Row { id, unique, value }),
            4 => Op::SetValue(id, value),
            5 | 6 => Op::SetUnique(id, unique, value),
            7 | 8 => Op::Delete(id),
            9 => Op::SelectId(id),
            10 => Op::SelectUnique(unique.max(1)),
            11 | 12 => Op::Commit,
            _ => Op::RollBack,
        }
    }

    fn sql(self, table: &str) -> String {
        let number = |unique: u16| if unique == 0 { "NULL".to_owned() } else { unique.to_string() };
        match self {
            Op::Insert(row) => {
                format!("INSERT INTO {table} VALUES ({}, {}, {})", row.id, number(row.unique), row.value)
            }
            Op::SetValue(id, value) => format!("UPDATE {table} SET v = {value} WHERE id = {id}"),
            Op::SetUnique(id, unique, value) => {
                format!("UPDATE {table} SET u = {}, v = {value} WHERE id = {id}", number(unique))
            }
            Op::Delete(id) => format!("DELETE FROM {table} WHERE id = {id}"),
            Op::SelectId(id) => format!("SELECT id FROM {table} WHERE id = {id} FOR UPDATE"),
            Op::SelectUnique(unique) => {
                format!("SELECT id FROM {table} FORCE INDEX (u) WHERE u = {unique} FOR UPDATE")
            }
            Op::Commit => "COMMIT".to_owned(),
            Op::RollBack => "ROLLBACK".to_owned(),
        }
    }

    fn on_model(self, model: &mut Database, session: SessionId) -> (Said, Option<SessionId>) {
        let found = |row: Option<Row>| u64::from(row.is_some());
        let result = match self {
            Op::Insert(row) => model.insert(session, WITH_UNIQUE, row).map(|()| 1),
            Op::SetValue(id, value) => set(model, session, id, None, value),
            Op::SetUnique(id, unique, value) => set(model, session, id, Some(unique), value),
            Op::Delete(id) => model.delete(session, WITH_UNIQUE, id).map(|()| 1),
            Op::SelectId(id) => model.lock_by_id(session, WITH_UNIQUE, id).map(found),
            Op::SelectUnique(unique) => model.lock_by_unique(session, WITH_UNIQUE, unique).map(found),
            Op::Commit => model.commit(session, Micros::ZERO).map(|()| 0),
            Op::RollBack => {
                model.roll_back(session);
                Ok(0)
            }
        };
        match result {
            Ok(rows) => (Said::Rows(rows), None),
            Err(Denied::Missing) => (Said::Rows(0), None),
            Err(Denied::Duplicate) => (Said::Duplicate, None),
            Err(Denied::Waits(holder)) => (Said::Waits, Some(holder)),
            Err(Denied::Gone) => panic!("nobody kills a session here"),
        }
    }
}

fn set(
    model: &mut Database,
    session: SessionId,
    id: u16,
    unique: Option<u16>,
    value: u64,
) -> Result<u64, Denied> {
    let row = model.lock_by_id(session, WITH_UNIQUE, id)?.ok_or(Denied::Missing)?;
    let after = Row { unique: unique.unwrap_or(row.unique), value, ..row };
    model.update(session, WITH_UNIQUE, id, after).map(|()| 1)
}

/// A statement under way; gives the connection back with what came of it.
type Sent = JoinHandle<(Conn, Result<u64, Error>)>;

/// A session on both sides.
struct Client {
    session: SessionId,
    isolation: Isolation,
    id: u32,
    conn: Option<Conn>,
    pending: Option<(Op, Sent)>,
}

impl Client {
    async fn new(server: &Server, model: &mut Database, isolation: Isolation) -> Client {
        let mut conn = server.conn().await;
        let level = match isolation {
            Isolation::ReadCommitted => "READ COMMITTED",
            Isolation::RepeatableRead => "REPEATABLE READ",
        };
        let sql = format!("SET SESSION TRANSACTION ISOLATION LEVEL {level}; SET autocommit = 0");
        conn.query_drop(sql).await.expect("a setting");
        let session = model.connect();
        model.begin(session, isolation, Micros::ZERO).expect("just connected");
        Client { session, isolation, id: conn.id(), conn: Some(conn), pending: None }
    }

    fn send(&mut self, op: Op, table: &str) {
        let mut conn = self.conn.take().expect("a session that waits is sent nothing");
        let sql = op.sql(table);
        let handle = tokio::spawn(async move {
            let result = async {
                let rows: Vec<u64> = conn.query(sql).await?;
                Ok(if rows.is_empty() { conn.affected_rows() } else { rows.len() as u64 })
            };
            let result = result.await;
            (conn, result)
        });
        self.pending = Some((op, handle));
    }

    /// What the server says to the pending statement: done, or waiting for a lock.
    async fn answer(&mut self, watcher: &mut Conn) -> Said {
        for _ in 0..100 {
            let (_, handle) = self.pending.as_mut().expect("a statement was sent");
            if let Ok(done) = tokio::time::timeout(LOOK_EVERY, handle).await {
                let (conn, result) = done.expect("a statement does not panic");
                self.conn = Some(conn);
                self.pending = None;
                return match result {
                    Ok(rows) => Said::Rows(rows),
                    Err(Error::Server(error)) if error.code == 1062 => Said::Duplicate,
                    Err(Error::Server(error)) if error.code == 1213 => Said::Deadlock,
                    Err(error) => panic!("{error}"),
                };
            }
            let sql = format!(
                "SELECT 1 FROM information_schema.innodb_trx WHERE trx_mysql_thread_id = {} AND trx_state = \
                 'LOCK WAIT'",
                self.id
            );
            let waits: Option<u8> = watcher.query_first(sql).await.expect("the watcher may look");
            if waits.is_some() {
                return Said::Waits;
            }
        }
        panic!("a statement neither ends nor waits");
    }
}

/// How a script ended.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Whole,
    /// Deadlocks have no one victim.
    Deadlock,
    /// The server waits where the model does not.
    ServerWaitsMore,
}

struct Script<'a> {
    table: String,
    model: Database,
    clients: Vec<Client>,
    watcher: &'a mut Conn,
    log: Vec<String>,
}

impl Script<'_> {
    /// Sends one statement to both, and compares.
    async fn step(&mut self, index: usize, op: Op) -> Option<End> {
        let table = self.table.clone();
        self.clients[index].send(op, &table);
        if let Some(end) = self.compare(index, op).await {
            return Some(end);
        }
        if matches!(op, Op::Commit | Op::RollBack) {
            let client = &self.clients[index];
            self.model.begin(client.session, client.isolation, Micros::ZERO).expect("connected");
        }
        // What waited may go on, which may let others go on.
        for _ in 0..self.clients.len() {
            for waiting in 0..self.clients.len() {
                if let Some((op, _)) = &self.clients[waiting].pending {
                    let op = *op;
                    if let Some(end) = self.compare(waiting, op).await {
                        return Some(end);
                    }
                }
            }
        }
        None
    }

    async fn compare(&mut self, index: usize, op: Op) -> Option<End> {
        let session = self.clients[index].session;
        let (model, holder) = op.on_model(&mut self.model, session);
        let waits_in_circle = holder.is_some_and(|holder| {
            self.clients.iter().any(|client| client.session == holder && client.pending.is_some())
        });
        if waits_in_circle {
            return Some(End::Deadlock);
        }
        let server = self.clients[index].answer(self.watcher).await;
        self.log.push(format!("{index} ({:?}) {op:?}: {model:?} {server:?}", self.clients[index].isolation));
        match (model, server) {
            (_, Said::Deadlock) => Some(End::Deadlock),
            (model, server) if model == server => None,
            (_, Said::Waits) => Some(End::ServerWaitsMore),
            _ => panic!("the model says {model:?}, the server {server:?}:\n{}", self.log.join("\n")),
        }
    }
}

async fn run(seed: u64, server: &Server, watcher: &mut Conn) -> End {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut model = Database::default();
    let table = format!("m.t{seed}");
    let create = format!("CREATE TABLE {table} (id INT PRIMARY KEY, u INT NULL UNIQUE, v BIGINT)");
    watcher.query_drop(create).await.expect("a new table");
    let setup = model.connect();
    for id in 1..7 {
        let row = Row { id, unique: rng.random_range(0..5), value: 0 };
        if rng.random_bool(0.4) && model.insert(setup, WITH_UNIQUE, row).is_ok() {
            watcher.query_drop(Op::Insert(row).sql(&table)).await.expect("no duplicate");
        }
    }
    model.commit(setup, Micros::ZERO).expect("connected");
    // Keeps what is deleted from being purged, so that the gaps are where the model has them.
    let mut snapshot = server.conn().await;
    let keep =
        "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ; START TRANSACTION WITH CONSISTENT SNAPSHOT";
    snapshot.query_drop(keep).await.expect("a snapshot");
    let mut clients = Vec::new();
    for _ in 0..rng.random_range(2..4) {
        let isolation = [Isolation::ReadCommitted, Isolation::RepeatableRead][rng.random_range(0..2)];
        clients.push(Client::new(server, &mut model, isolation).await);
    }
    let mut script = Script { table, model, clients, watcher, log: vec![format!("seed {seed}")] };
    let mut end = End::Whole;
    for step in 0..rng.random_range(6..14) {
        let index = rng.random_range(0..script.clients.len());
        let op = Op::draw(&mut rng, step + 1);
        if script.clients[index].pending.is_some() {
            continue;
        }
        if let Some(early) = script.step(index, op).await {
            end = early;
            break;
        }
    }
    if end == End::Whole {
        // Who does not wait commits; what waited goes on and is rolled back.
        for op in [Op::Commit, Op::RollBack] {
            for index in 0..script.clients.len() {
                if end == End::Whole && script.clients[index].pending.is_none() {
                    end = script.step(index, op).await.unwrap_or(End::Whole);
                }
            }
        }
    }
    let open = script.clients.iter().any(|client| client.pending.is_some());
    if end == End::Whole && !open {
        let sql = format!("SELECT id, COALESCE(u, 0), v FROM {} ORDER BY id", script.table);
        let rows: Vec<(u16, u16, u64)> = script.watcher.query(sql).await.expect("rows");
        let model: Vec<_> =
            script.model.rows().into_iter().map(|(_, row)| (row.id, row.unique, row.value)).collect();
        assert_eq!(model, rows, "{}", script.log.join("\n"));
    }
    for client in &script.clients {
        // Ends what still waits; a session that is gone already is as good.
        let _ = script.watcher.query_drop(format!("KILL CONNECTION {}", client.id)).await;
    }
    end
}

#[tokio::test]
async fn the_model_locks_and_answers_as_a_server_does() {
    let server = Server::start(ServerOptions::new(61)).await;
    let mut watcher = server.conn().await;
    watcher.query_drop("CREATE DATABASE m").await.expect("a new schema");
    let mut ends: BTreeMap<End, u64> = BTreeMap::new();
    for seed in 0..SCRIPTS {
        *ends.entry(run(seed, &server, &mut watcher).await).or_default() += 1;
    }
    println!("{ends:?}");
    let more = ends.get(&End::ServerWaitsMore).copied().unwrap_or(0);
    assert!(more * 10 <= SCRIPTS, "the server waited where the model did not, too often: {ends:?}");
}

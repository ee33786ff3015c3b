//! The model database against a real server: the same small scripts of two or three sessions, step by
//! step, on both. What the model makes a session wait for, the server does too; results, duplicate
//! keys and rows are the same, and so is the binlog: which transactions are in it, in which order, and
//! what each of them holds.
//!
//! A script ends early where the server waits and the model does not (InnoDB hands some locks on when
//! a statement is rolled back, which the model leaves out): the model locks no more than a server,
//! so that it hides no race; how often it locks less is bounded.

use std::collections::BTreeMap;
use std::time::Duration;

use cluster_tests::oracle::{self, Change};
use cluster_tests::servers::{Server, ServerOptions};
use cluster_tests::sim::database::{Database, Denied, Event, Logged, MarkId, SessionId};
use cluster_tests::sim::row::{Row, WITH_UNIQUE};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::task::JoinHandle;
use weft_core::instance::InstanceId;
use weft_core::mark::{Epoch, Mark};
use weft_core::scn::Scn;
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
            Op::SetValue(id, value) => set(model, session, id, None, Some(value)),
            Op::SetUnique(id, unique, value) => set(model, session, id, Some(unique), Some(value)),
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
    value: Option<u64>,
) -> Result<u64, Denied> {
    let row = model.lock_by_id(session, WITH_UNIQUE, id)?.ok_or(Denied::Missing)?;
    let after = Row { unique: unique.unwrap_or(row.unique), value: value.unwrap_or(row.value), ..row };
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
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

/// A row event as [`oracle::transactions`] writes it; None: a mark.
fn change_of(event: &Event) -> Option<Change> {
    let cells = |row: &Row| {
        let unique = if row.unique == 0 { "NULL".to_owned() } else { row.unique.to_string() };
        format!("@1={} @2={unique} @3={}", row.id, row.value)
    };
    let Event::Row { before, after, .. } = event else { return None };
    Some(match (before, after) {
        (None, after) => format!("I {}", after.iter().map(cells).collect::<String>()),
        (Some(before), Some(after)) => format!("U {} {}", cells(before), cells(after)),
        (Some(before), None) => format!("D {}", cells(before)),
    })
}

/// What the model's binlog holds, as [`oracle::transactions`] says what a server's does.
fn logged(model: &Database, table: &str) -> Vec<Vec<(String, Change)>> {
    let change = |event| (table.to_owned(), change_of(event).expect("no script writes marks"));
    model.binlog.iter().map(|logged| logged.events.iter().map(change).collect()).collect()
}

/// How a script ended, and what the model's binlog holds of it.
struct Ran {
    end: End,
    logged: Vec<Vec<(String, Change)>>,
    log: Vec<String>,
}

async fn run(seed: u64, server: &Server, watcher: &mut Conn) -> Ran {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut model = Database::default();
    let table = format!("m.t{seed}");
    let create = format!("CREATE TABLE {table} (id INT PRIMARY KEY, u INT NULL UNIQUE, v BIGINT)");
    watcher.query_drop(create).await.expect("a new table");
    let setup = model.connect();
    for id in 1..7 {
        let row = Row { id, unique: rng.random_range(0..5), value: 0 };
        if rng.random_bool(0.4) && model.insert(setup, WITH_UNIQUE, row).is_ok() {
            model.commit(setup, Micros::ZERO).expect("connected");
            watcher.query_drop(Op::Insert(row).sql(&table)).await.expect("no duplicate");
        }
    }
    // A duplicate keeps locks.
    model.disconnect(setup);
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
    Ran { end, logged: logged(&script.model, &script.table), log: script.log }
}

#[tokio::test]
async fn the_model_locks_and_answers_as_a_server_does() {
    let server = Server::start(ServerOptions::new(61)).await;
    let mut watcher = server.conn().await;
    watcher.query_drop("CREATE DATABASE m").await.expect("a new schema");
    let mut ends: BTreeMap<End, u64> = BTreeMap::new();
    let mut runs = Vec::new();
    for seed in 0..SCRIPTS {
        let ran = run(seed, &server, &mut watcher).await;
        *ends.entry(ran.end).or_default() += 1;
        runs.push((format!("m.t{seed}"), ran.logged, ran.log));
    }
    let binlog = oracle::transactions(&server).await;
    for (table, model, log) in runs {
        let of_table = |one: &&Vec<(String, Change)>| one.iter().any(|(changed, _)| *changed == table);
        let server: Vec<_> = binlog.iter().filter(of_table).cloned().collect();
        assert_eq!(model, server, "the model's binlog, and the server's:\n{}", log.join("\n"));
    }
    println!("{ends:?}");
    let more = ends.get(&End::ServerWaitsMore).copied().unwrap_or(0);
    assert!(more * 10 <= SCRIPTS, "the server waited where the model did not, too often: {ends:?}");
}

/// What a statement of the next test does on both sides.
enum Both {
    Mark(u64),
    Insert(u16),
    Touch(u16),
    Delete(u16),
    Savepoint,
    RollBackToSavepoint,
    Commit,
}

impl Both {
    fn sql(&self) -> String {
        match self {
            Both::Mark(epoch) => format!(
                "UPDATE m.mark SET epoch = {epoch}, body = CONCAT(body, 'x') WHERE shard = 0 AND epoch <= {epoch}"
            ),
            Both::Insert(id) => format!("INSERT INTO m.rows VALUES ({id}, NULL, 0)"),
            Both::Touch(id) => format!("UPDATE m.rows SET v = v WHERE id = {id}"),
            Both::Delete(id) => format!("DELETE FROM m.rows WHERE id = {id}"),
            Both::Savepoint => "SAVEPOINT s".into(),
            Both::RollBackToSavepoint => "ROLLBACK TO SAVEPOINT s".into(),
            Both::Commit => "COMMIT".into(),
        }
    }

    fn on_model(&self, model: &mut Database, session: SessionId) {
        let result = match self {
            Both::Mark(epoch) => {
                let of = MarkId { source: 0, shard: 0 };
                model.write_mark(session, of, Epoch(*epoch), &mark(*epoch), true).map(|_| ())
            }
            Both::Insert(id) => model.insert(session, WITH_UNIQUE, Row { id: *id, unique: 0, value: 0 }),
            Both::Touch(id) => set(model, session, *id, None, None).map(|_| ()),
            Both::Delete(id) => model.delete(session, WITH_UNIQUE, *id),
            Both::Savepoint => model.savepoint(session),
            Both::RollBackToSavepoint => model.roll_back_to_savepoint(session),
            Both::Commit => {
                let done = model.commit(session, Micros::ZERO);
                done.and_then(|()| model.begin(session, Isolation::ReadCommitted, Micros::ZERO))
            }
        };
        assert!(matches!(result, Ok(()) | Err(Denied::Missing)), "nothing waits here");
    }
}

fn mark(watermark: u64) -> Mark {
    Mark {
        source: InstanceId(1),
        watermark: Scn::of_transaction(1, 1, watermark),
        watermark_time: Micros::ZERO,
        runs: Vec::new(),
        named: Vec::new(),
        evictions: Vec::new(),
    }
}

/// Marks stand where they were written, before the rows; what is rolled back to a savepoint, fenced off,
/// absent or equal leaves nothing; and a transaction of such statements alone is not there at all.
#[tokio::test]
async fn the_models_binlog_holds_marks_and_silent_statements_as_a_servers_does() {
    let server = Server::start(ServerOptions::new(62)).await;
    let mut conn = server.conn().await;
    conn.query_drop(
        "CREATE DATABASE m; CREATE TABLE m.rows (id INT PRIMARY KEY, u INT NULL UNIQUE, v BIGINT); \
         CREATE TABLE m.mark (shard INT PRIMARY KEY, epoch BIGINT, body VARCHAR(99)); \
         INSERT INTO m.mark VALUES (0, 0, ''); SET autocommit = 0",
    )
    .await
    .expect("new tables");
    let mut model = Database::default();
    let session = model.connect();
    model.begin(session, Isolation::ReadCommitted, Micros::ZERO).expect("connected");
    use Both::*;
    let script = [
        &[Mark(5), Savepoint, Insert(1), RollBackToSavepoint, Insert(2), Insert(1), Commit][..],
        &[Mark(6), Savepoint, Insert(3), RollBackToSavepoint, Commit],
        &[Touch(1), Delete(9), Commit],
        &[Mark(4), Commit],
        &[Mark(6), Touch(1), Delete(1), Insert(1), Delete(2), Commit],
    ];
    for statement in script.into_iter().flatten() {
        conn.query_drop(statement.sql()).await.expect("nothing waits here");
        statement.on_model(&mut model, session);
    }
    let brief = |(table, change): &(String, Change)| match table.as_str() {
        "m.mark" => "mark".to_owned(),
        _ => change.clone(),
    };
    let binlog = oracle::transactions(&server).await;
    let server: Vec<Vec<String>> = binlog
        .iter()
        .map(|one| one.iter().map(brief).collect::<Vec<_>>())
        .filter(|one| !one.is_empty())
        .skip(1)
        .collect();
    let of_model = |logged: &Logged| -> Vec<String> {
        logged.events.iter().map(|event| change_of(event).unwrap_or_else(|| "mark".to_owned())).collect()
    };
    let model: Vec<Vec<String>> = model.binlog.iter().map(of_model).collect();
    assert_eq!(model, server);
    assert_eq!(model.len(), 3);
}

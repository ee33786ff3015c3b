//! A source whose changes are captured straight from its binlog files, and a target to apply them to.

use std::sync::Arc;

use cluster_tests::servers::{Server, ServerOptions};
use mysql_async::Conn;
use weft::mysql::connect::Endpoint;
use weft::mysql::source::ServerSource;
use weft::mysql::target::{ServerTarget, TargetOptions};
use weft_actors::ports::{Session, Source, Target};
use weft_core::binlog::event::EventHeader;
use weft_core::binlog::format::{Checksum, Checksums, Format};
use weft_core::binlog::rows::{RowsEvent, RowsKind};
use weft_core::binlog::table_map::{ColumnShape, TableMap, TableShape};
use weft_core::catalog::{CatalogId, TableVersion};
use weft_core::channel::delivery::Delivery;
use weft_core::instance::InstanceId;
use weft_core::key::KeyHash;
use weft_core::mark::Mark;
use weft_core::scn::Scn;
use weft_core::sink::step::{Isolation, LockBy, LockRow, Outcome, RowWrite, Step, WriteOp};
use weft_core::time::Micros;
use weft_core::transaction::{Body, RowKind, RowStamp, Rows, Span, TableUse, Transaction, TransactionHeader};
use weft_core::version::Version;

pub const CHANNEL: &str = "orders";
pub const SOURCE: &str = "sh.main";
pub const TARGET: &str = "bj.main";

pub fn endpoint(server: &Server) -> Endpoint {
    server.endpoint()
}

pub fn options(server: &Server) -> TargetOptions {
    TargetOptions::new(endpoint(server), TARGET, CHANNEL, SOURCE)
}

/// A server with Weft's schema.
pub async fn installed(id: u32, name: &str) -> Server {
    let server = Server::start(ServerOptions::new(id)).await;
    ServerSource::new(endpoint(&server), name, "test").begin(None).await.expect("root may create the schema");
    server
}

/// A source, a target, and the shape of things between them.
pub struct Pair {
    pub source: Server,
    pub target: Server,
}

/// How rows are to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Replay,
    Sql,
}

impl Pair {
    /// Both with these tables.
    pub async fn start(tables: &str) -> Pair {
        let (source, target) = tokio::join!(installed(1, SOURCE), installed(2, TARGET));
        let tables = format!("CREATE DATABASE s; USE s; {tables}");
        tokio::join!(source.execute(&tables), target.execute(&tables));
        Pair { source, target }
    }

    /// A session of shard 0 after a recovery.
    pub async fn session(&self, way: Way) -> Box<dyn Session> {
        let mut options = options(&self.target);
        options.sql_only = way == Way::Sql;
        let target = ServerTarget::new(options);
        let recovered = target.recover(1, Some(Scn::ZERO)).await.expect("the target is free");
        target.session(0, recovered.epoch).await.expect("the epoch is ours")
    }

    /// Runs the statements at the source and captures the rows that they changed.
    pub async fn capture(&self, statements: &str) -> Arc<Delivery> {
        let (file, position) = self.source.binlog_position().await;
        self.source.execute(&format!("USE s; BEGIN; {statements}; COMMIT")).await;
        let bytes = std::fs::read(self.source.data_directory().join(&file)).expect("the binlog is there");
        let mut events = strip(&bytes);
        let format = events.remove(0).1;
        events.retain(|(at, _)| *at >= position as usize);
        delivery(&self.source, &Format::parse(&format).expect("a MariaDB writes it"), events).await
    }
}

/// The events of a binlog file without their checksums, with their places in it.
fn strip(file: &[u8]) -> Vec<(usize, Vec<u8>)> {
    const MAGIC_BYTES: usize = 4;
    let mut checksums = Checksums::new(Checksum::None);
    let mut at = MAGIC_BYTES;
    let mut events = Vec::new();
    while at < file.len() {
        let header = EventHeader::parse(&file[at..]).expect("a server's binlog holds whole events");
        let end = at + header.event_size as usize;
        let event = file[at..end].to_vec();
        let format = header.kind == weft_core::binlog::event::EventType::FormatDescription;
        let stripped = checksums.strip(event.clone()).expect("a server's checksums are right");
        events.push((at, if format { event } else { stripped }));
        at = end;
    }
    events
}

async fn delivery(server: &Server, format: &Format, events: Vec<(usize, Vec<u8>)>) -> Arc<Delivery> {
    let source = ServerSource::new(endpoint(server), SOURCE, "test");
    let mut raw = Vec::new();
    let mut uses: Vec<TableUse> = Vec::new();
    let mut tables: Vec<Arc<TableVersion>> = Vec::new();
    let mut rows: Vec<RowStamp> = Vec::new();
    for (_, event) in events {
        let at = raw.len();
        if let Ok(map) = TableMap::parse(&event, format) {
            let facts = source.describe(&map.name()).await.expect("the source answers").expect("it is there");
            let shape = TableShape {
                columns: facts
                    .columns
                    .into_iter()
                    .map(|column| ColumnShape {
                        name: column.name,
                        column_type: column.column_type,
                        collation: column.collation,
                        nullable: column.nullable,
                        default: column.default,
                        generated: column.generated,
                    })
                    .collect(),
                primary_key: facts.primary_key,
                unique_keys: facts.unique_keys,
            };
            let version = map.to_table_version(Some(&shape)).expect("the shape agrees");
            let table_map = Span { at: at as u32, len: event.len() as u32 };
            uses.push(TableUse { name: map.name(), version: CatalogId(0), table_map });
            tables.push(Arc::new(version));
        } else if let Ok(rows_event) = RowsEvent::parse(&event, format) {
            let table = tables.last().expect("a table map comes before its rows");
            let span = |range: Option<std::ops::Range<usize>>| {
                range.map_or(Span::NONE, |range| Span {
                    at: (at + range.start) as u32,
                    len: range.len() as u32,
                })
            };
            for images in rows_event.images(&table.columns).expect("the columns agree") {
                let images = images.expect("a server's images are whole");
                rows.push(RowStamp {
                    row: rows.len() as u32 + 1,
                    table: tables.len() as u16 - 1,
                    kind: match rows_event.kind {
                        RowsKind::Write => RowKind::Insert,
                        RowsKind::Update => RowKind::Update,
                        RowsKind::Delete => RowKind::Delete,
                    },
                    key: KeyHash(0),
                    old_key: None,
                    version: Version::new(Micros::ZERO, InstanceId::of(SOURCE)),
                    base: None,
                    old_base: None,
                    before: span(images.before),
                    after: span(images.after),
                });
            }
        } else {
            continue;
        }
        raw.extend_from_slice(&event);
    }
    let header = TransactionHeader {
        scn: Scn::of_transaction(1, 1, 1),
        server_id: 1,
        gtid: None,
        commit_time: Micros::ZERO,
        format: CatalogId(0),
        body: Body::Rows(Rows { tables: uses, rows, ..Rows::default() }),
    };
    let transaction = Transaction { header, raw: raw.into() };
    let format = format.canonical().into();
    Arc::new(Delivery { transaction, tables, format, refused: None })
}

/// The rows of a delivery as they were written at the source.
pub fn writes(delivery: &Arc<Delivery>) -> Vec<RowWrite> {
    let rows = delivery.transaction.rows().expect("rows were captured");
    rows.rows
        .iter()
        .map(|row| {
            let op = match row.kind {
                RowKind::Insert => WriteOp::Insert { after: row.after },
                RowKind::Update => WriteOp::Update { before: row.before, after: row.after },
                RowKind::Delete | RowKind::Evict => WriteOp::Delete { before: row.before },
            };
            RowWrite { delivery: Arc::clone(delivery), table: row.table, op }
        })
        .collect()
}

/// Requests for the rows of a delivery, by the image that each of them has.
pub fn requests(delivery: &Arc<Delivery>, by: LockBy) -> Vec<LockRow> {
    let rows = delivery.transaction.rows().expect("rows were captured");
    rows.rows
        .iter()
        .map(|row| {
            let image = if row.after == Span::NONE { row.before } else { row.after };
            LockRow { delivery: Arc::clone(delivery), table: row.table, image, by }
        })
        .collect()
}

pub fn mark(watermark: u64) -> Mark {
    Mark {
        source: InstanceId::of(SOURCE),
        watermark: Scn::of_transaction(1, 1, watermark),
        watermark_time: Micros(watermark),
        runs: Vec::new(),
        named: Vec::new(),
        evictions: Vec::new(),
    }
}

/// Runs a step that must succeed.
pub async fn ok(session: &mut Box<dyn Session>, step: Step) {
    let text = format!("{step:?}");
    let outcome = session.run(step).await;
    assert!(matches!(outcome, Outcome::Ok), "{outcome:?} from {}", &text[..text.len().min(200)]);
}

pub async fn begin(session: &mut Box<dyn Session>) {
    ok(session, Step::Begin(Isolation::ReadCommitted)).await;
}

/// One transaction: the mark, the rows, the commit.
pub async fn apply(session: &mut Box<dyn Session>, delivery: &Arc<Delivery>) -> Outcome {
    begin(session).await;
    ok(session, Step::WriteMark(Box::new(mark(7)))).await;
    let outcome = session.run(Step::Write(writes(delivery))).await;
    let end = if matches!(outcome, Outcome::Ok) { Step::Commit } else { Step::RollBack };
    ok(session, end).await;
    outcome
}

/// Two connections of a test to one server.
pub async fn execute(conn: &mut Conn, sql: &str) {
    use mysql_async::prelude::Queryable;
    conn.query_drop(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

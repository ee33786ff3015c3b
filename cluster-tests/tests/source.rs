//! A real MariaDB server as a source instance.

use std::time::Duration;

use cluster_tests::servers::{Server, ServerOptions};
use cluster_tests::wait::wait_until;
use weft::mysql::connect::Endpoint;
use weft::mysql::source::MariaDbSource;
use weft_actors::ports::{EventStream, Source, SourceError, StreamFrom};
use weft_core::scn::Scn;
use weft_core::tables::TableName;
use weft_core::time::Micros;

const DEADLINE: Duration = Duration::from_secs(30);

const ROTATE: u8 = 4;
const FORMAT_DESCRIPTION: u8 = 15;
const XID: u8 = 16;
const TABLE_MAP: u8 = 19;
const WRITE_ROWS_V1: u8 = 23;
const HEARTBEAT: u8 = 27;
const GTID: u8 = 162;

fn endpoint(server: &Server) -> Endpoint {
    Endpoint { host: "127.0.0.1".into(), port: server.port(), user: "root".into(), password: String::new() }
}

fn source(server: &Server) -> MariaDbSource {
    MariaDbSource::new(endpoint(server), "sh.main", "sh-1")
}

fn kind(event: &[u8]) -> u8 {
    event[4]
}

/// Checks the canonical form and gives the event back.
fn canonical(event: Vec<u8>) -> Vec<u8> {
    let stated = u32::from_le_bytes(event[9..13].try_into().expect("four bytes"));
    assert_eq!(stated as usize, event.len(), "event of type {}", kind(&event));
    event
}

/// Reads until `last` says so; returns all events read, the last one included.
async fn read_until(stream: &mut Box<dyn EventStream>, last: impl Fn(&[u8]) -> bool) -> Vec<Vec<u8>> {
    let mut seen: Vec<Vec<u8>> = Vec::new();
    let reading = async {
        loop {
            let batch = stream.next().await.expect("the dump goes on");
            assert!(!batch.is_empty(), "a batch has at least one event");
            for event in batch {
                let event = canonical(event);
                let done = last(&event);
                seen.push(event);
                if done {
                    return;
                }
            }
        }
    };
    let in_time = tokio::time::timeout(DEADLINE, reading).await;
    assert!(in_time.is_ok(), "seen until the deadline: {:?}", kinds(&seen));
    seen
}

fn kinds(events: &[Vec<u8>]) -> Vec<u8> {
    events.iter().map(|event| kind(event)).collect()
}

fn contains(event: &[u8], text: &str) -> bool {
    event.windows(text.len()).any(|window| window == text.as_bytes())
}

/// The next failure of the dump, whatever comes before it.
async fn failure(stream: &mut Box<dyn EventStream>) -> SourceError {
    let reading = async {
        loop {
            if let Err(error) = stream.next().await {
                return error;
            }
        }
    };
    tokio::time::timeout(DEADLINE, reading).await.expect("the dump fails before the deadline")
}

async fn shop() -> Server {
    let server = Server::start(ServerOptions::new(1)).await;
    server.execute("CREATE DATABASE shop; CREATE TABLE shop.t (id INT PRIMARY KEY, a VARCHAR(20))").await;
    server
}

async fn here(server: &Server) -> StreamFrom {
    let (file, position) = server.binlog_position().await;
    StreamFrom::Position { file, position }
}

#[tokio::test]
async fn a_dump_by_position_gives_whole_transactions_in_canonical_form() {
    let server = shop().await;
    let from = here(&server).await;
    server.execute("INSERT INTO shop.t VALUES (1, 'first row')").await;
    let mut stream = source(&server).stream(from).await.expect("the position is there");
    let events = read_until(&mut stream, |event| kind(event) == XID).await;

    assert_eq!(kinds(&events[..2]), [ROTATE, FORMAT_DESCRIPTION]);
    assert_eq!(kinds(&events[events.len() - 4..]), [GTID, TABLE_MAP, WRITE_ROWS_V1, XID]);
    let format = &events[1];
    assert_eq!(format.last(), Some(&0), "no checksum algorithm");
    assert_eq!(format[17] & 1, 0, "not in use");
    let rows = &events[events.len() - 2];
    assert!(rows.ends_with(b"first row"), "the checksum is cut off");
}

#[tokio::test]
async fn a_dump_by_gtid_begins_after_it() {
    let server = shop().await;
    server.execute("INSERT INTO shop.t VALUES (1, 'before')").await;
    let source = source(&server);
    let gtid = source.identify().await.expect("the server answers").gtid;
    server.execute("INSERT INTO shop.t VALUES (2, 'after')").await;
    let mut stream = source.stream(StreamFrom::Gtid(gtid)).await.expect("the GTID is there");
    let events = read_until(&mut stream, |event| kind(event) == XID).await;
    assert!(events.iter().any(|event| contains(event, "after")));
    assert!(!events.iter().any(|event| contains(event, "before")));
}

#[tokio::test]
async fn the_dump_follows_a_rotation_of_the_file() {
    let server = shop().await;
    let mut stream = source(&server).stream(here(&server).await).await.expect("the position is there");
    server.execute("FLUSH BINARY LOGS; INSERT INTO shop.t VALUES (1, 'next file')").await;
    let events = read_until(&mut stream, |event| kind(event) == XID).await;
    let next = server.binlog_files().await.pop().expect("there is a file");
    assert!(events.iter().any(|event| kind(event) == ROTATE && contains(event, &next)));
    assert!(events.iter().filter(|event| kind(event) == FORMAT_DESCRIPTION).count() >= 2);
}

#[tokio::test]
async fn checksums_may_be_switched_off_and_on_while_the_dump_runs() {
    let server = shop().await;
    let mut stream = source(&server).stream(here(&server).await).await.expect("the position is there");
    for (id, checksum) in [(1, "NONE"), (2, "CRC32"), (3, "NONE")] {
        server
            .execute(&format!(
                "SET GLOBAL binlog_checksum = {checksum}; INSERT INTO shop.t VALUES ({id}, 'row {id}')"
            ))
            .await;
        let events = read_until(&mut stream, |event| kind(event) == XID).await;
        let rows = events.iter().find(|event| kind(event) == WRITE_ROWS_V1).expect("the row is there");
        assert!(rows.ends_with(format!("row {id}").as_bytes()), "with {checksum}");
    }
    // A dump that begins in a file without checksums.
    let from = here(&server).await;
    let mut stream = source(&server).stream(from).await.expect("the position is there");
    server.execute("INSERT INTO shop.t VALUES (4, 'row 4')").await;
    let events = read_until(&mut stream, |event| kind(event) == XID).await;
    assert!(events.iter().any(|event| event.ends_with(b"row 4")));
}

#[tokio::test]
async fn a_large_event_comes_whole_past_the_packet_limit() {
    let server = shop().await;
    server.execute("CREATE TABLE shop.big (id INT PRIMARY KEY, a LONGBLOB)").await;
    let mut stream = source(&server).stream(here(&server).await).await.expect("the position is there");
    const BYTES: usize = 40 << 20;
    server.execute("SET GLOBAL max_allowed_packet = 64 << 20").await;
    server.execute(&format!("INSERT INTO shop.big VALUES (1, REPEAT('x', {BYTES}))")).await;
    server.execute("SET GLOBAL max_allowed_packet = 1 << 20").await;
    let events = read_until(&mut stream, |event| kind(event) == XID).await;
    let rows = events.iter().find(|event| kind(event) == WRITE_ROWS_V1).expect("the row is there");
    assert!(rows.len() > BYTES);
}

#[tokio::test]
async fn heartbeats_come_while_nothing_is_written() {
    let server = shop().await;
    let mut stream = source(&server).stream(here(&server).await).await.expect("the position is there");
    let events = read_until(&mut stream, |event| kind(event) == HEARTBEAT).await;
    let (file, position) = server.binlog_position().await;
    let beat = events.last().expect("the heartbeat itself");
    assert_eq!(u32::from_le_bytes(beat[13..17].try_into().expect("four bytes")), position as u32);
    assert_eq!(&beat[19..], file.as_bytes());
}

#[tokio::test]
async fn a_purged_position_and_a_purged_gtid_are_told_at_once() {
    let server = shop().await;
    let source = source(&server);
    let position = here(&server).await;
    let gtid = source.identify().await.expect("the server answers").gtid;
    server.execute("INSERT INTO shop.t VALUES (1, 'lost'); FLUSH BINARY LOGS").await;
    let newest = server.binlog_files().await.pop().expect("there is a file");
    wait_until(DEADLINE, "the purge", async || {
        server.execute(&format!("PURGE BINARY LOGS TO '{newest}'")).await;
        let files = server.binlog_files().await;
        if files == [newest.clone()] { Ok(()) } else { Err(format!("{files:?}")) }
    })
    .await;
    for from in [position, StreamFrom::Gtid(gtid)] {
        let error = source.stream(from.clone()).await.err().expect("it is purged");
        assert!(matches!(error, SourceError::Purged(_)), "{from:?}: {error:?}");
    }
}

#[tokio::test]
async fn a_position_past_the_end_is_refused_and_not_taken_for_purged() {
    let server = shop().await;
    let (file, position) = server.binlog_position().await;
    let from = StreamFrom::Position { file, position: position + 1_000_000 };
    let error = match source(&server).stream(from).await {
        Err(error) => error,
        Ok(mut stream) => failure(&mut stream).await,
    };
    assert!(matches!(error, SourceError::Refused(_)), "{error:?}");
    let unknown = StreamFrom::Gtid("1-1-999".parse().expect("a GTID"));
    let error = match source(&server).stream(unknown).await {
        Err(error) => error,
        Ok(mut stream) => failure(&mut stream).await,
    };
    assert!(matches!(error, SourceError::Refused(_)), "{error:?}");
}

#[tokio::test]
async fn a_killed_server_is_unreachable_and_the_same_source_reads_on_after_its_restart() {
    let mut server = shop().await;
    let source = source(&server);
    source.install().await.expect("root may create");
    let from = here(&server).await;
    let mut stream = source.stream(from.clone()).await.expect("the position is there");
    server.kill9();
    let error = failure(&mut stream).await;
    assert!(matches!(error, SourceError::Unreachable(_)), "{error:?}");
    assert_eq!(stream.next().await, Err(error), "a dump that failed stays so");
    assert!(matches!(source.identify().await, Err(SourceError::Unreachable(_))));
    assert!(matches!(source.heartbeat(Micros(1)).await, Err(SourceError::Unreachable(_))));

    server.restart().await;
    source.heartbeat(Micros(2)).await.expect("the kept connection is replaced");
    source.identify().await.expect("the kept connection is replaced");
    let mut stream = source.stream(from).await.expect("the position is there");
    server.execute("INSERT INTO shop.t VALUES (1, 'after the crash')").await;
    read_until(&mut stream, |event| contains(event, "after the crash")).await;
}

#[tokio::test]
async fn a_frozen_server_is_unreachable_after_a_silence() {
    let server = shop().await;
    let mut stream = source(&server).stream(here(&server).await).await.expect("the position is there");
    server.sigstop();
    let error = failure(&mut stream).await;
    server.sigcont();
    assert!(matches!(error, SourceError::Unreachable(_)), "{error:?}");
}

#[tokio::test]
async fn dropping_the_dump_ends_the_servers_thread() {
    let server = shop().await;
    let dumps = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE COMMAND LIKE 'Binlog Dump%'";
    let stream = source(&server).stream(here(&server).await).await.expect("the position is there");
    assert_eq!(server.query::<u64>(dumps).await, [1]);
    drop(stream);
    wait_until(DEADLINE, "the end of the dump thread", async || match server.query::<u64>(dumps).await[..] {
        [0] => Ok(()),
        ref seen => Err(format!("{seen:?} dumps")),
    })
    .await;
}

#[tokio::test]
async fn two_dumps_of_one_node_do_not_end_each_other() {
    let server = shop().await;
    let source = source(&server);
    let from = here(&server).await;
    let mut first = source.stream(from.clone()).await.expect("the position is there");
    let mut second = source.stream(from).await.expect("the position is there");
    server.execute("INSERT INTO shop.t VALUES (1, 'for both')").await;
    read_until(&mut first, |event| contains(event, "for both")).await;
    read_until(&mut second, |event| contains(event, "for both")).await;
}

#[tokio::test]
async fn nodes_that_install_at_the_same_time_agree_where_the_history_begins() {
    let server = Server::start(ServerOptions::new(5)).await;
    let (a, b, c) = (source(&server), source(&server), source(&server));
    let (a, b, c) = tokio::join!(a.install(), b.install(), c.install());
    let all = [a, b, c].map(|start| start.expect("root may create"));
    assert_eq!(all.iter().filter(|start| start.new).count(), 1, "one of them wrote it: {all:?}");
    for start in &all {
        assert_eq!((start.epoch, start.server_id), (1, 5));
        assert_eq!((&start.file, start.position), (&all[0].file, all[0].position));
        assert_eq!(start.gtid, all[0].gtid);
    }
    let again = source(&server).install().await.expect("nothing is missing");
    assert!(!again.new && again.position == all[0].position);

    // What follows the stored position is there, by position and by GTID alike.
    server.execute("CREATE DATABASE after_install").await;
    for from in
        [StreamFrom::Position { file: again.file, position: again.position }, StreamFrom::Gtid(again.gtid)]
    {
        let mut stream = source(&server).stream(from).await.expect("the position is there");
        let events = read_until(&mut stream, |event| contains(event, "CREATE DATABASE after_install")).await;
        assert!(events.iter().any(|event| kind(event) == WRITE_ROWS_V1), "the capture row lies behind it");
    }
}

#[tokio::test]
async fn a_missing_right_is_told_in_one_line_with_the_statements() {
    let server = Server::start(ServerOptions::new(1)).await;
    server.execute("CREATE USER poor@'%' IDENTIFIED BY 'secret'").await;
    let poor = Endpoint { user: "poor".into(), password: "secret".into(), ..endpoint(&server) };
    let source = MariaDbSource::new(poor.clone(), "sh.main", "sh-1");
    for error in [
        source.install().await.expect_err("it may not create"),
        source.identify().await.expect_err("it may not see the binlog"),
        source.stream(here(&server).await).await.err().expect("it may not dump"),
    ] {
        let SourceError::Refused(text) = &error else { panic!("{error:?}") };
        assert!(text.contains("GRANT") && !text.contains('\n') && !text.contains("secret"), "{text}");
    }
    let wrong = Endpoint { password: "wrong".into(), ..poor };
    let error = MariaDbSource::new(wrong, "sh.main", "sh-1").identify().await.expect_err("wrong password");
    assert!(matches!(&error, SourceError::Refused(text) if text.contains("Access denied")), "{error:?}");
}

#[tokio::test]
async fn a_channel_begins_where_it_first_began() {
    let server = Server::start(ServerOptions::new(1)).await;
    let source = source(&server);
    source.install().await.expect("root may create");
    let (first, later) = (Scn::of_transaction(1, 2, 300), Scn::of_transaction(1, 9, 4));
    assert_eq!(source.channel_start("orders", first).await, Ok(first));
    assert_eq!(source.channel_start("orders", later).await, Ok(first));
    assert_eq!(source.channel_start("Orders", later).await, Ok(later), "names compare by bytes");
}

#[tokio::test]
async fn the_heartbeat_is_one_row_that_moves() {
    let server = Server::start(ServerOptions::new(1)).await;
    let source = source(&server);
    source.install().await.expect("root may create");
    source.heartbeat(Micros(5)).await.expect("the table is there");
    source.heartbeat(Micros(6)).await.expect("the table is there");
    let rows = server.text("SELECT instance, written, node FROM weft.heartbeat").await;
    assert_eq!(rows, ["sh.main|6|sh-1"]);
}

#[tokio::test]
async fn a_table_is_described_as_it_stands() {
    let server = shop().await;
    server
        .execute(
            "CREATE TABLE shop.`o'dd` (
               b VARBINARY(16) NOT NULL,
               id INT UNSIGNED NOT NULL DEFAULT 7,
               name VARCHAR(50) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,
               label ENUM('x','y') CHARACTER SET latin1 COLLATE latin1_swedish_ci DEFAULT 'x',
               doubled INT AS (id * 2) STORED,
               note TEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci,
               PRIMARY KEY (id, b),
               UNIQUE KEY z_name (name), UNIQUE KEY A_label (label, id),
               UNIQUE KEY prefix (note(10)), KEY plain (name))",
        )
        .await;
    let source = source(&server);
    let name = TableName::new("shop", "o'dd");
    let facts = source.describe(&name).await.expect("the server answers").expect("the table is there");
    let columns: Vec<_> = facts
        .columns
        .iter()
        .map(|c| (c.name.as_str(), c.column_type.as_str(), c.collation, c.nullable))
        .collect();
    assert_eq!(
        columns,
        [
            ("b", "varbinary(16)", 63, false),
            ("id", "int(10) unsigned", 0, false),
            ("name", "varchar(50)", 46, true),
            ("label", "enum('x','y')", 8, true),
            ("doubled", "int(11)", 0, true),
            ("note", "text", 45, true),
        ]
    );
    assert_eq!(facts.columns[1].default.as_deref(), Some("7"));
    let generated: Vec<bool> = facts.columns.iter().map(|c| c.generated).collect();
    assert_eq!(generated, [false, false, false, false, true, false]);
    assert_eq!(facts.primary_key, [1, 0]);
    let keys: Vec<_> = facts.unique_keys.iter().map(|k| (k.name.as_str(), k.columns.clone())).collect();
    assert_eq!(keys, [("A_label", vec![3, 1]), ("z_name", vec![2])]);
    assert_eq!(source.describe(&TableName::new("shop", "none")).await, Ok(None));
    assert_eq!(source.describe(&TableName::new("shop", "T")).await, Ok(None), "names are told by case");
}

//! What the decoder reads from a real server's binlog is what the server itself holds.

mod conditions;
mod mysql;
mod server;
mod types;

use weft_core::binlog::assembler::{AssembleError, Assembled, RawTransaction};
use weft_core::binlog::event::{EventHeader, EventType};
use weft_core::binlog::format::Format;
use weft_core::binlog::image::Values;
use weft_core::binlog::rows::{RowsEvent, RowsKind};
use weft_core::binlog::table_map::{ColumnShape, TableMap, TableShape};
use weft_core::catalog::{Column, TableVersion};
use weft_core::flavour::Flavour;
use weft_core::sink::literal::{key_list, write_literal};
use weft_core::sink::replay::{ReplayBuilder, binlog_statement};
use weft_core::tables::TableName;
use weft_core::transaction::DdlKind;

use server::{Server, events_of};
use types::{EVERY_TYPE, ROWS};

/// A rows event with the table map before it.
struct Change {
    table_map: Vec<u8>,
    version: TableVersion,
    kind: RowsKind,
    /// Before- and after-images of updates alternate.
    images: Vec<Vec<u8>>,
}

fn split(events: &[u8]) -> Vec<&[u8]> {
    let (mut events, mut out) = (events, Vec::new());
    while !events.is_empty() {
        let size = EventHeader::parse(events).expect("a header").event_size as usize;
        out.push(&events[..size]);
        events = &events[size..];
    }
    out
}

fn changes_of(transaction: &RawTransaction, format: &Format, shape: Option<&TableShape>) -> Vec<Change> {
    let mut maps = std::collections::HashMap::new();
    let mut changes = Vec::new();
    for event in split(&transaction.events) {
        if EventHeader::parse(event).expect("a header").kind == EventType::TableMap {
            maps.insert(TableMap::parse(event, format).expect("a table map").table_id, event);
            continue;
        }
        let rows = RowsEvent::parse(event, format).expect("a rows event");
        let table_map = maps[&rows.table_id];
        let map = TableMap::parse(table_map, format).expect("a table map");
        let version = map.to_table_version(shape).expect("a table version");
        let images = rows.images(&version.columns).expect("as many columns");
        let images = images.flat_map(|images| {
            let images = images.expect("whole images");
            images.before.into_iter().chain(images.after).map(|range| event[range].to_vec())
        });
        let images = images.collect();
        changes.push(Change { table_map: table_map.to_vec(), version, kind: rows.kind, images });
    }
    changes
}

fn changes(assembled: &[Assembled], format: &Format, shape: Option<&TableShape>) -> Vec<Change> {
    let transactions = assembled.iter().filter_map(|item| match item {
        Assembled::Transaction(transaction) => Some(transaction),
        _ => None,
    });
    transactions.flat_map(|transaction| changes_of(transaction, format, shape)).collect()
}

fn literals(columns: &[Column], image: &[u8]) -> String {
    let mut out = String::new();
    for (column, value) in columns.iter().zip(Values::new(columns, image)) {
        if !out.is_empty() {
            out.push(',');
        }
        write_literal(&mut out, &value.expect("a value"), column).expect("a literal");
    }
    out
}

fn checksum(server: &Server, table: &str) -> u64 {
    let line = server.run(&format!("CHECKSUM TABLE {table}"));
    line.split('\t').nth(1).and_then(|sum| sum.trim().parse().ok()).expect("a checksum")
}

fn insert_every_type(server: &Server) {
    let names = server.run(
        "SELECT GROUP_CONCAT(column_name ORDER BY ordinal_position) FROM information_schema.columns
         WHERE table_schema = 's' AND table_name = 'src' AND column_name <> 'ge'",
    );
    let inserts = ROWS.map(|row| format!("INSERT INTO src ({}) VALUES ({row});", names.trim()));
    server.run(&format!("USE s; BEGIN; {} COMMIT;", inserts.concat()));
}

/// Fills `dst` with the images' values as literals, without the generated column.
fn copy_by_literals(server: &Server, changes: &[Change]) {
    for change in changes.iter().filter(|change| change.version.name.table == "src") {
        assert_eq!(change.kind, RowsKind::Write);
        let columns = change.version.columns.len() - 1;
        let names: Vec<String> =
            change.version.columns[..columns].iter().map(|column| format!("`{}`", column.name)).collect();
        for image in &change.images {
            let values = literals(&change.version.columns, image);
            let (values, _generated) = values.rsplit_once(',').expect("many values");
            server.run(&format!("USE s; INSERT INTO dst ({}) VALUES ({values})", names.join(",")));
        }
    }
}

/// Runs the changes of `src` again as row events, in one transaction of one session.
fn replay(server: &Server, changes: &[Change], format: &Format, limit_bytes: usize) -> usize {
    let mut builder = ReplayBuilder::new(limit_bytes, Flavour::MariaDb);
    for change in changes {
        let images = change.images.iter().map(Vec::as_slice);
        builder.rows(change.kind, &change.table_map, images).expect("a table map");
    }
    let statements = builder.statements();
    let count = statements.len();
    server.run(&format!(
        "SET foreign_key_checks = 1; {}; BEGIN; {}; COMMIT",
        binlog_statement(format.canonical()),
        statements.join("; ")
    ));
    count
}

#[tokio::test]
async fn every_type_reads_back_as_the_server_reads_it() {
    let server = Server::start(&["--binlog-row-metadata=FULL"]).await;
    server.run(&format!("CREATE DATABASE s DEFAULT CHARACTER SET utf8mb4; USE s; CREATE TABLE src ({EVERY_TYPE}); CREATE TABLE dst LIKE src"));
    server.run("FLUSH BINARY LOGS");
    insert_every_type(&server);
    server.run("SET GLOBAL log_bin_compress = ON, GLOBAL log_bin_compress_min_len = 10; FLUSH BINARY LOGS");
    let source = checksum(&server, "s.src");

    let (assembled, format) = server.assembled(2, 1 << 30);
    let plain = changes(&assembled, &format, None);
    assert_eq!(plain.iter().map(|change| change.images.len()).sum::<usize>(), ROWS.len());
    assert!(plain[0].version.exact);
    assert_eq!(plain[0].version.primary_key, [0]);
    copy_by_literals(&server, &plain);
    assert_eq!(checksum(&server, "s.dst"), source, "literals say what the server holds");

    server.run("USE s; DELETE FROM src");
    replay(&server, &plain, &format, 1 << 20);
    assert_eq!(checksum(&server, "s.src"), source, "replayed row events bring the rows back");

    // The same rows once more, through compressed row events and in chunks.
    server.run("USE s; DELETE FROM src; FLUSH BINARY LOGS");
    insert_every_type(&server);
    server.run("FLUSH BINARY LOGS");
    let compressed = server.data().join("binlog.000004");
    assert!(events_of(&compressed).iter().any(|event| event[4] == EventType::WriteRowsCompressedV1.code()));
    let (assembled, format) = server.assembled(4, 1 << 30);
    let unpacked = changes(&assembled, &format, None);
    let texts = |changes: &[Change]| -> Vec<String> {
        let texts = |change: &Change| -> Vec<String> {
            change.images.iter().map(|image| literals(&change.version.columns, image)).collect()
        };
        changes.iter().flat_map(texts).collect()
    };
    assert_eq!(texts(&plain)[..4], texts(&unpacked)[..4]);
}

#[tokio::test]
async fn without_metadata_the_servers_description_fills_in_names_and_signs() {
    let server = Server::start(&["--binlog-row-metadata=NO_LOG"]).await;
    server.run(&format!("CREATE DATABASE s DEFAULT CHARACTER SET utf8mb4; USE s; CREATE TABLE src ({EVERY_TYPE}); CREATE TABLE dst LIKE src"));
    server.run("FLUSH BINARY LOGS");
    insert_every_type(&server);
    server.run("FLUSH BINARY LOGS");
    let described = server.run(
        "SELECT c.column_name, c.column_type, COALESCE(a.id, IF(c.data_type LIKE '%bl%b' OR c.data_type LIKE '%binary', 63, 0)), c.is_nullable
         FROM information_schema.columns c LEFT JOIN information_schema.collations a ON a.collation_name = c.collation_name
         WHERE table_schema = 's' AND table_name = 'src' ORDER BY ordinal_position",
    );
    let columns = described.lines().map(|line| {
        let fields: Vec<&str> = line.split('\t').collect();
        ColumnShape {
            name: fields[0].to_owned(),
            column_type: fields[1].to_owned(),
            collation: fields[2].parse().expect("a number"),
            nullable: fields[3] == "YES",
            default: None,
            generated: fields[0] == "ge",
        }
    });
    let shape = TableShape { columns: columns.collect(), primary_key: vec![0], unique_keys: vec![] };
    let (assembled, format) = server.assembled(2, 1 << 30);
    let changes = changes(&assembled, &format, Some(&shape));
    assert!(!changes[0].version.exact);
    copy_by_literals(&server, &changes);
    assert_eq!(checksum(&server, "s.dst"), checksum(&server, "s.src"));
}

#[tokio::test]
async fn gathered_rows_of_many_transactions_and_tables_replay_in_order() {
    let server = Server::start(&["--binlog-row-metadata=FULL"]).await;
    server.run(
        "CREATE DATABASE s; USE s; CREATE TABLE a (id INT PRIMARY KEY, v VARCHAR(200), UNIQUE (v));
         CREATE TABLE b (id INT PRIMARY KEY AUTO_INCREMENT, w DATETIME ON UPDATE NOW())",
    );
    let state = || server.run("USE s; SELECT * FROM a ORDER BY id; SELECT * FROM b ORDER BY id");
    server.run("FLUSH BINARY LOGS");
    server.run(
        "USE s; INSERT INTO a SELECT seq, REPEAT(CHAR(97 + seq % 26), seq) FROM seq_1_to_150; INSERT INTO b VALUES (5, NULL), (7, NOW());
         BEGIN; UPDATE a SET v = CONCAT('x', v) WHERE id < 50; INSERT INTO b VALUES (8, NULL); DELETE FROM a WHERE id > 140; COMMIT;
         DELETE FROM a WHERE id = 3; INSERT INTO a VALUES (3, 'xccc'), (1000, 'm'); UPDATE b SET id = id + 10",
    );
    server.run("FLUSH BINARY LOGS");
    let expected = state();
    let (assembled, format) = server.assembled(2, 1 << 30);
    let changes = changes(&assembled, &format, None);
    for limit_bytes in [1 << 24, 3000] {
        server.run("USE s; DELETE FROM a; DELETE FROM b");
        let statements = replay(&server, &changes, &format, limit_bytes);
        assert_eq!(statements > 1, limit_bytes == 3000, "{statements} statements");
        assert_eq!(state(), expected);
    }
}

#[tokio::test]
async fn key_lists_find_rows_by_the_primary_key_for_every_type_of_key() {
    let server = Server::start(&["--binlog-row-metadata=FULL"]).await;
    server.run("CREATE DATABASE s DEFAULT CHARACTER SET utf8mb4");
    let keys = [
        ("INT", "seq"),
        ("BIGINT UNSIGNED", "seq + 9223372036854775808"),
        ("VARCHAR(20) COLLATE utf8mb4_unicode_ci", "CONCAT('ä', seq)"),
        ("VARCHAR(20) COLLATE utf8mb4_bin", "CONCAT('ä', seq)"),
        ("CHAR(20) CHARACTER SET latin1", "CONCAT('ä', seq)"),
        ("BINARY(6)", "CONCAT(seq, X'00')"),
        ("VARBINARY(6)", "CONCAT(seq, X'00')"),
        ("DECIMAL(12,3)", "seq / 8"),
        ("FLOAT", "seq / 10"),
        ("DOUBLE", "seq / 10"),
        ("BIT(20)", "seq"),
        ("DATE", "'2024-01-01' + INTERVAL seq DAY"),
        ("TIME(3)", "SEC_TO_TIME(seq / 8 - 20)"),
        ("DATETIME(3)", "'2024-01-01' + INTERVAL seq SECOND"),
        ("TIMESTAMP", "'2024-01-01' + INTERVAL seq SECOND"),
        ("UUID", "UUID()"),
        ("INET6", "CONCAT('::', HEX(seq))"),
    ];
    for (index, (kind, value)) in keys.iter().enumerate() {
        server.run(&format!(
            "USE s; CREATE TABLE k{index} (k {kind}, part SMALLINT, v INT, PRIMARY KEY (k, part));
             INSERT INTO k{index} SELECT {value}, -seq, seq FROM seq_1_to_500; ANALYZE TABLE k{index}",
        ));
    }
    server.run("FLUSH BINARY LOGS");
    let (assembled, format) = server.assembled(1, 1 << 30);
    let changes = changes(&assembled, &format, None);
    for (index, (kind, _)) in keys.iter().enumerate() {
        let name = format!("k{index}");
        let change = changes.iter().find(|change| change.version.name.table == name).expect("its rows");
        let columns: Vec<&Column> = change.version.columns[..2].iter().collect();
        // The NULL bitmaps of two and of three columns are both one byte.
        let row = |image: &Vec<u8>| literals(&change.version.columns[..2], image);
        let rows: Vec<String> = change.images.iter().take(20).map(row).collect();
        let list = key_list(&TableName::new("s", &name), &columns, &rows);
        let join = format!("FROM {list} d JOIN s.{name} t ON t.k = d.k AND t.part = d.part");
        assert_eq!(server.run(&format!("SELECT COUNT(*) {join}")).trim(), "20", "{kind}: {rows:?}");
        let plan = server.run(&format!("EXPLAIN SELECT t.v {join} FOR UPDATE"));
        assert!(plan.contains("\teq_ref\tPRIMARY"), "{kind} does not go by the key: {plan}");
    }
}

#[tokio::test]
async fn the_stream_says_what_the_server_did() {
    let server = Server::start(&["--binlog-row-metadata=FULL"]).await;
    server.run("CREATE DATABASE s; USE s; CREATE TABLE t (id INT PRIMARY KEY, v TEXT); FLUSH BINARY LOGS");
    server.run(
        "USE s; INSERT INTO t VALUES (1, 'a');
         BEGIN; CREATE TEMPORARY TABLE tmp (x INT); INSERT INTO t VALUES (2, 'b'); SAVEPOINT sp; INSERT INTO t VALUES (3, 'c'); ROLLBACK TO sp; COMMIT;
         CREATE TABLE u AS SELECT * FROM t; ALTER TABLE t ADD w INT; TRUNCATE TABLE u; DROP TABLE u;
         INSERT INTO t SELECT seq + 10, REPEAT('x', 1000), 1 FROM seq_1_to_1000; FLUSH BINARY LOGS",
    );
    let (assembled, format) = server.assembled(2, 1 << 30);
    let ddl: Vec<(DdlKind, String)> = assembled
        .iter()
        .filter_map(|item| match item {
            Assembled::Ddl(raw) => {
                Some((raw.ddl.kind, raw.ddl.tables.iter().map(ToString::to_string).collect()))
            }
            _ => None,
        })
        .collect();
    assert!(ddl.contains(&(DdlKind::Other, "s.t".to_owned())), "{ddl:?}");
    assert_eq!(
        ddl.iter().filter(|ddl| **ddl == (DdlKind::Destructive, "s.u".to_owned())).count(),
        2,
        "{ddl:?}"
    );
    let rows: usize = changes(&assembled, &format, None).iter().map(|change| change.images.len()).sum();
    assert_eq!(rows, 1 + 1 + 2 + 1000, "the row behind the savepoint is gone");

    let size = std::fs::metadata(server.data().join("binlog.000002")).expect("the file is there").len();
    assert!(
        matches!(assembled.last(), Some(Assembled::Moved { log_index: 3, log_pos: 4, .. })),
        "{:?}",
        assembled.last()
    );
    let ends = assembled.iter().filter_map(|item| match item {
        Assembled::Transaction(transaction) => {
            let gtid = transaction.gtid.as_ref().map(ToString::to_string);
            Some((transaction.log_pos, gtid.unwrap_or_default()))
        }
        _ => None,
    });
    let ends: Vec<_> = ends.collect();
    assert!(ends.windows(2).all(|pair| pair[0].0 < pair[1].0) && ends.iter().all(|end| end.0 < size));
    assert!(ends.iter().all(|end| end.1.starts_with("3-7-")), "{ends:?}");

    // In chunks, with the same rows.
    let (chunked, _) = server.assembled(2, 50_000);
    let chunks: Vec<_> = chunked
        .iter()
        .filter_map(|item| match item {
            Assembled::Chunk(chunk) => Some(chunk.clone()),
            _ => None,
        })
        .collect();
    assert!(chunks.len() > 10 && chunks.iter().all(|chunk| chunk.events.len() <= 50_000));
    let last = chunked.iter().filter_map(|item| match item {
        Assembled::Transaction(transaction) if transaction.chunks > 0 => Some(transaction.clone()),
        _ => None,
    });
    let last = last.last().expect("the large transaction");
    assert_eq!(last.chunks as usize, chunks.len());
    let pieces = chunks.iter().map(|chunk| chunk.events.clone()).chain([last.events.clone()]);
    let rows = pieces.map(|events| {
        let piece = RawTransaction { events, ..last.clone() };
        changes_of(&piece, &format, None).iter().map(|change| change.images.len()).sum::<usize>()
    });
    assert_eq!(rows.sum::<usize>(), 1000);
}

#[tokio::test]
async fn what_is_not_replicated_yet_stops_the_stream_and_two_phase_alters_are_one() {
    let server = Server::start(&["--binlog-row-metadata=FULL", "--binlog-alter-two-phase=ON"]).await;
    server.run("CREATE DATABASE s; USE s; CREATE TABLE t (id INT PRIMARY KEY); FLUSH BINARY LOGS");
    server.run("USE s; ALTER TABLE t ADD v INT; INSERT INTO t VALUES (1, 1); FLUSH BINARY LOGS");
    let (assembled, _) = server.assembled(2, 1 << 20);
    let ddl = assembled.iter().filter(|item| matches!(item, Assembled::Ddl(_)));
    assert_eq!(ddl.count(), 1, "{assembled:?}");

    server.run("USE s; SET binlog_format = STATEMENT; UPDATE t SET v = 2; FLUSH BINARY LOGS");
    let statement = "UPDATE t SET v = 2".to_owned();
    let stopped = server.try_assembled(3, 1 << 20).map(|_| ());
    assert_eq!(stopped, Err(AssembleError::StatementFormat { statement }));

    server.run("FLUSH BINARY LOGS");
    server.run("USE s; SET binlog_row_image = MINIMAL; UPDATE t SET v = 4; FLUSH BINARY LOGS");
    let stopped = server.try_assembled(5, 1 << 20).map(|_| ());
    assert!(matches!(stopped, Err(AssembleError::Rows(_))), "{stopped:?}");
}

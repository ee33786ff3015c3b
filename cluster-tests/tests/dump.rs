//! The binlog dump of a real server.

use std::time::Duration;

use cluster_tests::events::*;
use cluster_tests::on_both_flavours;
use cluster_tests::servers::Flavour;
use cluster_tests::wait::wait_until;
use weft_actors::ports::{Source, SourceError, StreamFrom};
use weft_core::time::Micros;

const DEADLINE: Duration = Duration::from_secs(30);

on_both_flavours! {
    a_dump_by_position_gives_whole_transactions_in_canonical_form
    a_dump_by_gtid_begins_after_it
    the_dump_follows_a_rotation_of_the_file
    checksums_may_be_switched_off_and_on_while_the_dump_runs
    a_large_event_comes_whole_past_the_packet_limit
    an_event_damaged_on_disk_is_refused_with_its_place
    heartbeats_come_while_nothing_is_written
    a_purged_position_and_a_purged_gtid_are_told_at_once
    a_position_too_large_for_the_dump_command_never_means_the_beginning
    a_position_past_the_end_is_refused_and_not_taken_for_purged
    a_killed_server_is_unreachable_and_the_same_source_reads_on_after_its_restart
    a_clean_stop_a_kill_and_a_rival_replica_are_all_worth_a_reconnect
    a_frozen_server_is_unreachable_after_a_silence
    dropping_the_dump_ends_the_servers_thread
    two_dumps_of_one_node_do_not_end_each_other
}

async fn a_dump_by_position_gives_whole_transactions_in_canonical_form(flavour: Flavour) {
    let server = shop(flavour).await;
    let from = here(&server).await;
    server.execute("INSERT INTO shop.t VALUES (1, 'first row')").await;
    let mut stream = source(&server).stream(from, server.server_id()).await.expect("the position is there");
    let events = read_until(&mut stream, |event| kind(event) == XID).await;

    assert_eq!(kinds(&events[..2]), [ROTATE, FORMAT_DESCRIPTION]);
    let transaction = match flavour {
        Flavour::MariaDb => vec![gtid(flavour), TABLE_MAP, write_rows(flavour), XID],
        Flavour::MySql => vec![gtid(flavour), QUERY, TABLE_MAP, write_rows(flavour), XID],
    };
    assert!(kinds(&events).ends_with(&transaction), "{:?}", kinds(&events));
    assert_eq!(events[1].last(), Some(&1), "the format tells the checksum that stood behind the events");
    let rows = &events[events.len() - 2];
    assert!(rows.ends_with(b"first row"), "the checksum is cut off");
}

async fn a_dump_by_gtid_begins_after_it(flavour: Flavour) {
    let server = shop(flavour).await;
    server.execute("INSERT INTO shop.t VALUES (1, 'before')").await;
    let source = source(&server);
    let gtid = source.identify(None).await.expect("the server answers").server.gtids;
    server.execute("INSERT INTO shop.t VALUES (2, 'after')").await;
    let mut stream =
        source.stream(StreamFrom::Gtid(gtid), server.server_id()).await.expect("the GTID is there");
    let events = read_until(&mut stream, |event| kind(event) == XID).await;
    assert!(events.iter().any(|event| contains(event, "after")));
    assert!(!events.iter().any(|event| contains(event, "before")));
}

async fn the_dump_follows_a_rotation_of_the_file(flavour: Flavour) {
    let server = shop(flavour).await;
    let mut stream =
        source(&server).stream(here(&server).await, server.server_id()).await.expect("the position is there");
    server.execute("FLUSH BINARY LOGS; INSERT INTO shop.t VALUES (1, 'next file')").await;
    let events = read_until(&mut stream, |event| kind(event) == XID).await;
    let next = server.binlog_files().await.pop().expect("there is a file");
    assert!(events.iter().any(|event| kind(event) == ROTATE && contains(event, &next)));
    assert!(events.iter().filter(|event| kind(event) == FORMAT_DESCRIPTION).count() >= 2);
}

async fn checksums_may_be_switched_off_and_on_while_the_dump_runs(flavour: Flavour) {
    let server = shop(flavour).await;
    let mut stream =
        source(&server).stream(here(&server).await, server.server_id()).await.expect("the position is there");
    for (id, checksum) in [(1, "NONE"), (2, "CRC32"), (3, "NONE")] {
        server
            .execute(&format!(
                "SET GLOBAL binlog_checksum = {checksum}; INSERT INTO shop.t VALUES ({id}, 'row {id}')"
            ))
            .await;
        let events = read_until(&mut stream, |event| kind(event) == XID).await;
        let rows = events.iter().find(|event| kind(event) == write_rows(flavour)).expect("the row is there");
        assert!(rows.ends_with(format!("row {id}").as_bytes()), "with {checksum}");
    }
    // A dump that begins in a file without checksums.
    let from = here(&server).await;
    let mut stream = source(&server).stream(from, server.server_id()).await.expect("the position is there");
    server.execute("INSERT INTO shop.t VALUES (4, 'row 4')").await;
    let events = read_until(&mut stream, |event| kind(event) == XID).await;
    assert!(events.iter().any(|event| event.ends_with(b"row 4")));
}

async fn a_large_event_comes_whole_past_the_packet_limit(flavour: Flavour) {
    let server = shop(flavour).await;
    server.execute("CREATE TABLE shop.big (id INT PRIMARY KEY, a LONGBLOB)").await;
    let mut stream =
        source(&server).stream(here(&server).await, server.server_id()).await.expect("the position is there");
    const BYTES: usize = 40 << 20;
    server.execute("SET GLOBAL max_allowed_packet = 64 << 20").await;
    server.execute(&format!("INSERT INTO shop.big VALUES (1, REPEAT('x', {BYTES}))")).await;
    server.execute("SET GLOBAL max_allowed_packet = 1 << 20").await;
    let events = read_until(&mut stream, |event| kind(event) == XID).await;
    let rows = events.iter().find(|event| kind(event) == write_rows(flavour)).expect("the row is there");
    assert!(rows.len() > BYTES);
}

async fn an_event_damaged_on_disk_is_refused_with_its_place(flavour: Flavour) {
    let server = shop(flavour).await;
    let from = here(&server).await;
    server.execute("INSERT INTO shop.t VALUES (1, 'pristine')").await;
    let (file, position) = server.binlog_position().await;
    let path = server.data_directory().join(file);
    let mut bytes = std::fs::read(&path).expect("the binlog file is there");
    let at = bytes.windows(8).rposition(|window| window == b"pristine").expect("the row is in it");
    bytes[at] ^= 1;
    std::fs::write(&path, bytes).expect("the binlog file can be written");

    let error = match source(&server).stream(from, server.server_id()).await {
        Err(error) => error,
        Ok(mut stream) => failure(&mut stream).await,
    };
    let SourceError::Refused(text) = &error else { panic!("{error:?}") };
    // The transaction ends with an Xid event of 31 bytes behind the damaged one.
    assert!(text.contains("checksum") && text.contains(&(position - 31).to_string()), "{text}");
}

#[tokio::test]
async fn tables_of_every_type_and_compressed_events_come_through() {
    let server = shop(Flavour::MariaDb).await;
    let mut stream =
        source(&server).stream(here(&server).await, server.server_id()).await.expect("the position is there");
    server
        .execute(
            "SET GLOBAL log_bin_compress = ON, log_bin_compress_min_len = 10;
             CREATE TABLE shop.types (id INT PRIMARY KEY, a TEXT COMPRESSED, b VARCHAR(300) COMPRESSED,
               c BLOB COMPRESSED, d UUID, e INET6, f INET4, g JSON, h GEOMETRY, i BIT(9), j SET('x','y'),
               k ENUM('x','y'), l DECIMAL(30,9), m TIME(3), n DATETIME(6), o TIMESTAMP(1) NULL, p YEAR,
               q CHAR(255) CHARACTER SET utf8mb4, r DOUBLE, s FLOAT, t MEDIUMINT UNSIGNED, u DATE,
               v POINT, w INT AS (id + 1) VIRTUAL, x INT INVISIBLE)",
        )
        .await;
    server
        .execute("INSERT INTO shop.types (id, a, g) VALUES (1, REPEAT('long enough ', 100), '{\"k\": 1}')")
        .await;
    server.execute("INSERT INTO shop.t VALUES (1, REPEAT('z', 20)), (2, REPEAT('z', 20))").await;
    let transactions = std::cell::Cell::new(0);
    let events = read_until(&mut stream, |event| {
        transactions.set(transactions.get() + u32::from(kind(event) == XID));
        transactions.get() == 2
    })
    .await;
    assert!(kinds(&events).contains(&WRITE_ROWS_COMPRESSED_V1), "{:?}", kinds(&events));
}

async fn heartbeats_come_while_nothing_is_written(flavour: Flavour) {
    let server = shop(flavour).await;
    let mut stream =
        source(&server).stream(here(&server).await, server.server_id()).await.expect("the position is there");
    let events = read_until(&mut stream, |event| kind(event) == HEARTBEAT).await;
    let (file, position) = server.binlog_position().await;
    let beat = events.last().expect("the heartbeat itself");
    assert_eq!(u32::from_le_bytes(beat[13..17].try_into().expect("four bytes")), position as u32);
    assert_eq!(&beat[19..], file.as_bytes());
}

async fn a_purged_position_and_a_purged_gtid_are_told_at_once(flavour: Flavour) {
    let server = shop(flavour).await;
    let source = source(&server);
    let position = here(&server).await;
    let gtid = source.identify(None).await.expect("the server answers").server.gtids;
    server.execute("INSERT INTO shop.t VALUES (1, 'lost'); FLUSH BINARY LOGS").await;
    let newest = server.binlog_files().await.pop().expect("there is a file");
    wait_until(DEADLINE, "the purge", async || {
        server.execute(&format!("PURGE BINARY LOGS TO '{newest}'")).await;
        let files = server.binlog_files().await;
        if files == [newest.clone()] { Ok(()) } else { Err(format!("{files:?}")) }
    })
    .await;
    for from in [position, StreamFrom::Gtid(gtid)] {
        let error = source.stream(from.clone(), server.server_id()).await.err().expect("it is purged");
        assert!(matches!(error, SourceError::Purged(_)), "{from:?}: {error:?}");
    }
}

async fn a_position_too_large_for_the_dump_command_never_means_the_beginning(flavour: Flavour) {
    let server = shop(flavour).await;
    let (file, _) = server.binlog_position().await;
    for file in [file, "binlog.000999".into()] {
        let from = StreamFrom::Position { file, position: 5 << 30 };
        let outcome = source(&server).stream(from.clone(), server.server_id()).await;
        assert!(matches!(outcome.err(), Some(SourceError::Purged(_) | SourceError::Refused(_))), "{from:?}");
    }
}

async fn a_position_past_the_end_is_refused_and_not_taken_for_purged(flavour: Flavour) {
    let server = shop(flavour).await;
    let (file, position) = server.binlog_position().await;
    let from = StreamFrom::Position { file, position: position + 1_000_000 };
    let error = match source(&server).stream(from, server.server_id()).await {
        Err(error) => error,
        Ok(mut stream) => failure(&mut stream).await,
    };
    assert!(matches!(error, SourceError::Refused(_)), "{error:?}");
    if flavour == Flavour::MySql {
        // It sends everything that is not in the set, also to one who has more than it: whoever asks has
        // compared the sets before.
        return;
    }
    let unknown = StreamFrom::Gtid("1-1-999".parse().expect("a GTID"));
    let error = match source(&server).stream(unknown, server.server_id()).await {
        Err(error) => error,
        Ok(mut stream) => failure(&mut stream).await,
    };
    assert!(matches!(error, SourceError::Refused(_)), "{error:?}");
}

async fn a_killed_server_is_unreachable_and_the_same_source_reads_on_after_its_restart(flavour: Flavour) {
    let mut server = shop(flavour).await;
    let source = source(&server);
    source.begin(None).await.expect("root may create");
    let from = here(&server).await;
    let mut stream = source.stream(from.clone(), server.server_id()).await.expect("the position is there");
    server.kill9();
    let error = failure(&mut stream).await;
    assert!(matches!(error, SourceError::Unreachable(_)), "{error:?}");
    assert_eq!(stream.next().await, Err(error), "a dump that failed stays so");
    assert!(matches!(source.identify(None).await, Err(SourceError::Unreachable(_))));
    assert!(matches!(source.heartbeat(Micros(1)).await, Err(SourceError::Unreachable(_))));

    server.restart().await;
    source.heartbeat(Micros(2)).await.expect("the kept connection is replaced");
    source.identify(None).await.expect("the kept connection is replaced");
    let mut stream = source.stream(from, server.server_id()).await.expect("the position is there");
    server.execute("INSERT INTO shop.t VALUES (1, 'after the crash')").await;
    read_until(&mut stream, |event| contains(event, "after the crash")).await;
}

async fn a_clean_stop_a_kill_and_a_rival_replica_are_all_worth_a_reconnect(flavour: Flavour) {
    let mut server = shop(flavour).await;
    let source = source(&server);
    let from = here(&server).await;
    let dumps = "SELECT ID FROM information_schema.PROCESSLIST WHERE COMMAND LIKE 'Binlog Dump%'";

    let mut stream = source.stream(from.clone(), server.server_id()).await.expect("the position is there");
    let id = server.query::<u64>(dumps).await[0];
    server.execute(&format!("KILL {id}")).await;
    let error = failure(&mut stream).await;
    assert!(matches!(error, SourceError::Unreachable(_)), "killed: {error:?}");
    drop(stream);

    let mut stream = source.stream(from.clone(), server.server_id()).await.expect("the position is there");
    let rival =
        self::source(&server).stream(from.clone(), server.server_id()).await.expect("the same id takes over");
    let error = failure(&mut stream).await;
    assert!(matches!(error, SourceError::Unreachable(_)), "rival: {error:?}");
    drop((stream, rival));

    let mut stream = source.stream(from, server.server_id()).await.expect("the position is there");
    server.stop().await;
    let error = failure(&mut stream).await;
    assert!(matches!(error, SourceError::Unreachable(_)), "stopped: {error:?}");
}

async fn a_frozen_server_is_unreachable_after_a_silence(flavour: Flavour) {
    let server = shop(flavour).await;
    let mut stream =
        source(&server).stream(here(&server).await, server.server_id()).await.expect("the position is there");
    server.sigstop();
    let error = failure(&mut stream).await;
    server.sigcont();
    assert!(matches!(error, SourceError::Unreachable(_)), "{error:?}");
}

async fn dropping_the_dump_ends_the_servers_thread(flavour: Flavour) {
    let server = shop(flavour).await;
    let dumps = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE COMMAND LIKE 'Binlog Dump%'";
    let stream =
        source(&server).stream(here(&server).await, server.server_id()).await.expect("the position is there");
    assert_eq!(server.query::<u64>(dumps).await, [1]);
    drop(stream);
    wait_until(DEADLINE, "the end of the dump thread", async || match server.query::<u64>(dumps).await[..] {
        [0] => Ok(()),
        ref seen => Err(format!("{seen:?} dumps")),
    })
    .await;
}

async fn two_dumps_of_one_node_do_not_end_each_other(flavour: Flavour) {
    let server = shop(flavour).await;
    let source = source(&server);
    let from = here(&server).await;
    let mut first = source.stream(from.clone(), server.server_id()).await.expect("the position is there");
    let mut second = source.stream(from, server.server_id()).await.expect("the position is there");
    server.execute("INSERT INTO shop.t VALUES (1, 'for both')").await;
    read_until(&mut first, |event| contains(event, "for both")).await;
    read_until(&mut second, |event| contains(event, "for both")).await;
}

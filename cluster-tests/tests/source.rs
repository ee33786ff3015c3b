//! A real server as a source instance: everything but its dump.

use cluster_tests::events::*;
use cluster_tests::on_both_flavours;
use cluster_tests::servers::{Flavour, Server, ServerOptions};
use weft::mysql::connect::{Endpoint, Role, connect};
use weft::mysql::source::ServerSource;
use weft_actors::ports::{ChannelStart, Source, SourceError, StreamFrom};
use weft_core::scn::Scn;
use weft_core::tables::TableName;
use weft_core::time::Micros;

on_both_flavours! {
    nodes_that_install_at_the_same_time_agree_where_the_history_begins
    a_missing_right_is_told_in_one_line_with_the_statements
    the_rights_that_the_errors_name_are_enough
    a_channel_begins_where_it_first_began
    a_start_that_came_with_a_copy_of_another_instance_does_not_count
    tables_of_the_first_layout_get_the_columns_that_came_later
    settings_for_all_sessions_of_a_server_change_nothing_for_weft
    the_heartbeat_is_one_row_that_moves
    a_table_is_described_as_it_stands
}

async fn nodes_that_install_at_the_same_time_agree_where_the_history_begins(flavour: Flavour) {
    let server = Server::start(ServerOptions::of(flavour, 5)).await;
    let (a, b, c) = (source(&server), source(&server), source(&server));
    assert_eq!(a.history().await, Ok(None), "nothing began");
    assert_eq!(server.text("SHOW DATABASES LIKE 'weft'").await, [""; 0], "and nothing was written");
    let (a, b, c) = tokio::join!(a.begin(None), b.begin(None), c.begin(None));
    let all = [a, b, c].map(|start| start.expect("root may create"));
    assert_eq!(all.iter().filter(|start| start.new).count(), 1, "one of them wrote it: {all:?}");
    for start in &all {
        assert_eq!((start.epoch, start.server_id), (1, 5));
        assert_eq!((&start.file, start.position), (&all[0].file, all[0].position));
        assert_eq!(start.gtid, all[0].gtid);
    }
    let again = source(&server).history().await.expect("nothing is missing").expect("it began");
    assert!(!again.new && again.position == all[0].position);

    // What follows the stored position is there, by position and by GTID alike.
    server.execute("CREATE DATABASE after_install").await;
    for from in
        [StreamFrom::Position { file: again.file, position: again.position }, StreamFrom::Gtid(again.gtid)]
    {
        let mut stream =
            source(&server).stream(from, server.server_id()).await.expect("the position is there");
        let events = read_until(&mut stream, |event| contains(event, "CREATE DATABASE after_install")).await;
        assert!(
            events.iter().any(|event| kind(event) == write_rows(flavour)),
            "the capture row lies behind it"
        );
    }
}

async fn a_missing_right_is_told_in_one_line_with_the_statements(flavour: Flavour) {
    let server = Server::start(ServerOptions::of(flavour, 1)).await;
    server.execute("CREATE USER poor@'%' IDENTIFIED BY 'secret'").await;
    let poor = Endpoint { user: "poor".into(), password: "secret".into(), ..server.endpoint() };
    let source = ServerSource::new(poor.clone(), "sh.main", "sh-1");
    for error in [
        source.begin(None).await.expect_err("it may not create"),
        source.identify(None).await.expect_err("it may not see the binlog"),
        source.stream(here(&server).await, server.server_id()).await.err().expect("it may not dump"),
    ] {
        let SourceError::Refused(text) = &error else { panic!("{error:?}") };
        assert!(text.contains("TO 'poor'@'%'") && !text.contains('\n') && !text.contains("secret"), "{text}");
    }
    let wrong = Endpoint { password: "wrong".into(), ..poor };
    let error = ServerSource::new(wrong, "sh.main", "sh-1").identify(None).await.expect_err("wrong password");
    assert!(matches!(&error, SourceError::Refused(text) if text.contains("Access denied")), "{error:?}");
}

async fn the_rights_that_the_errors_name_are_enough(flavour: Flavour) {
    let server = shop(flavour).await;
    let position = match flavour {
        Flavour::MariaDb => "BINLOG MONITOR",
        Flavour::MySql => "REPLICATION CLIENT",
    };
    server
        .execute(&format!(
            "CREATE USER weft@'%' IDENTIFIED BY 'secret';
             GRANT ALL PRIVILEGES ON weft.* TO weft@'%';
             GRANT SELECT, REPLICATION SLAVE, {position} ON *.* TO weft@'%'",
        ))
        .await;
    let weft = Endpoint { user: "weft".into(), password: "secret".into(), ..server.endpoint() };
    let source = ServerSource::new(weft, "sh.main", "sh-1");
    source.begin(None).await.expect("it may create the schema");
    let identity = source.identify(None).await.expect("it may see the binlog");
    source.heartbeat(Micros(1)).await.expect("it may write its own tables");
    let facts = source.describe(&TableName::new("shop", "t")).await.expect("it may see tables");
    assert_eq!(facts.expect("the table is there").primary_key, [0]);
    for from in [
        StreamFrom::Gtid(identity.server.gtids),
        StreamFrom::Position { file: identity.file, position: identity.position },
    ] {
        let mut stream = source.stream(from, server.server_id()).await.expect("it may dump");
        read_until(&mut stream, |event| kind(event) == HEARTBEAT).await;
    }
}

async fn a_channel_begins_where_it_first_began(flavour: Flavour) {
    let server = Server::start(ServerOptions::of(flavour, 1)).await;
    let source = source(&server);
    source.begin(None).await.expect("root may create");
    let (first, later) = (Scn::of_transaction(1, 2, 300), Scn::of_transaction(1, 9, 4));
    let asked = Some("file:binlog.000002:300".parse().expect("a start"));
    let (first, later) = (ChannelStart { after: first, asked }, ChannelStart { after: later, asked: None });
    assert_eq!(source.channel_start("orders").await, Ok(None));
    assert_eq!(source.begin_channel("orders", first.clone()).await, Ok(first.clone()));
    assert_eq!(source.begin_channel("orders", later.clone()).await, Ok(first.clone()));
    assert_eq!(source.begin_channel("Orders", later.clone()).await, Ok(later), "names compare by bytes");
    assert_eq!(source.channel_start("orders").await, Ok(Some(first)));
}

/// The whole of sh.main was loaded here, Weft's schema with it.
async fn a_start_that_came_with_a_copy_of_another_instance_does_not_count(flavour: Flavour) {
    let server = Server::start(ServerOptions::of(flavour, 1)).await;
    let there = source(&server);
    there.begin(None).await.expect("root may create");
    let start = |pos| ChannelStart { after: Scn::of_transaction(1, 2, pos), asked: None };
    there.begin_channel("orders", start(300)).await.expect("stored");
    let here = ServerSource::new(server.endpoint(), "bj.main", "bj-1");
    assert_eq!(here.channel_start("orders").await, Ok(None));
    assert_eq!(here.begin_channel("orders", start(700)).await, Ok(start(700)));
    assert_eq!(here.channel_start("orders").await, Ok(Some(start(700))));
}

async fn tables_of_the_first_layout_get_the_columns_that_came_later(flavour: Flavour) {
    let server = Server::start(ServerOptions::of(flavour, 1)).await;
    let source = source(&server);
    source.begin(None).await.expect("root may create");
    server
        .execute(
            "ALTER TABLE weft.capture DROP COLUMN versions_to;
             ALTER TABLE weft.start DROP COLUMN instance, DROP COLUMN asked;
             INSERT INTO weft.start VALUES ('orders', '00001-0000000002-000000000000300-0000000000')",
        )
        .await;
    let began = source.history().await.expect("root may alter").expect("it began");
    assert_eq!((began.epoch, began.versions_to), (1, Micros(0)));
    let orders = source.channel_start("orders").await.expect("readable").expect("it began");
    assert_eq!(orders, ChannelStart { after: Scn::of_transaction(1, 2, 300), asked: None });
}

async fn settings_for_all_sessions_of_a_server_change_nothing_for_weft(flavour: Flavour) {
    let options = ServerOptions::of(flavour, 1)
        .arg("--sql-mode=ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PAD_CHAR_TO_FULL_LENGTH")
        .arg("--autocommit=0")
        .arg("--completion-type=RELEASE")
        .arg("--transaction-isolation=SERIALIZABLE")
        .arg("--transaction-read-only=ON")
        .arg("--default-time-zone=+08:00")
        .arg("--character-set-server=latin1")
        .arg(match flavour {
            Flavour::MariaDb => "--max-statement-time=1",
            Flavour::MySql => "--max-execution-time=1000",
        });
    let server = Server::start(options).await;
    let source = source(&server);
    source.begin(None).await.expect("root may create");
    source.heartbeat(Micros(7)).await.expect("the table is there");
    assert_eq!(server.text("SELECT written FROM weft.heartbeat").await, ["7"], "it is committed");

    use mysql_async::prelude::Queryable;
    let (transaction, statement_time) = match flavour {
        Flavour::MariaDb => ("@@tx_isolation, @@tx_read_only", "@@max_statement_time"),
        Flavour::MySql => ("@@transaction_isolation, @@transaction_read_only", "@@max_execution_time"),
    };
    let settings = format!(
        "SELECT @@sql_mode, @@autocommit, @@time_zone, {transaction}, @@character_set_client, \
         @@foreign_key_checks, {statement_time} = 0"
    );
    for (role, sql_mode, foreign_key_checks) in [
        (Role::Control, "", 1),
        (Role::Dump, "", 1),
        (Role::Apply, "STRICT_ALL_TABLES,ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO", 0),
    ] {
        let mut conn = connect(&server.endpoint(), role).await.expect("the server answers");
        let mut found: (String, u8, String, String, u8, String, u8, bool) =
            conn.query_first(&settings).await.expect("the server answers").expect("one row");
        let modes = |text: &str| text.split(',').map(String::from).collect::<std::collections::BTreeSet<_>>();
        assert_eq!(modes(&std::mem::take(&mut found.0)), modes(sql_mode), "{role:?}");
        let (time_zone, isolation, charset) = ("+00:00".into(), "REPEATABLE-READ".into(), "utf8mb4".into());
        assert_eq!(found, (String::new(), 1, time_zone, isolation, 0, charset, foreign_key_checks, true));
    }
}

async fn the_heartbeat_is_one_row_that_moves(flavour: Flavour) {
    let server = Server::start(ServerOptions::of(flavour, 1)).await;
    let source = source(&server);
    source.begin(None).await.expect("root may create");
    source.heartbeat(Micros(5)).await.expect("the table is there");
    source.heartbeat(Micros(6)).await.expect("the table is there");
    let rows = server.text("SELECT instance, written, node FROM weft.heartbeat").await;
    assert_eq!(rows, ["sh.main|6|sh-1"]);
}

async fn a_table_is_described_as_it_stands(flavour: Flavour) {
    let server = shop(flavour).await;
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
    let integers = match flavour {
        Flavour::MariaDb => ["int(10) unsigned", "int(11)"],
        Flavour::MySql => ["int unsigned", "int"],
    };
    assert_eq!(
        columns,
        [
            ("b", "varbinary(16)", 63, false),
            ("id", integers[0], 0, false),
            ("name", "varchar(50)", 46, true),
            ("label", "enum('x','y')", 8, true),
            ("doubled", integers[1], 0, true),
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

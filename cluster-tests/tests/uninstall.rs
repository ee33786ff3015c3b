//! Weft leaves an instance.

use std::time::Duration;

use cluster_tests::on_both_flavours;
use cluster_tests::servers::{Flavour, Server, ServerOptions};
use weft::mysql::connect::Endpoint;
use weft::mysql::schema::owner_lock;
use weft::mysql::source::ServerSource;
use weft::uninstall::{Report, UninstallError, run};
use weft_actors::ports::Source;
use weft_core::instance::InstanceId;
use weft_core::mark::{Mark, Run};
use weft_core::scn::Scn;
use weft_core::time::Micros;

on_both_flavours! {
    the_report_names_positions_and_the_schema_goes_without_a_trace_in_the_binlog
    it_refuses_while_a_shard_has_an_owner
    it_refuses_while_a_node_writes_heartbeats
    a_mark_that_cannot_be_read_keeps_the_schema
}

async fn installed(flavour: Flavour) -> (Server, Endpoint, ServerSource) {
    let server = Server::start(ServerOptions::of(flavour, 1)).await;
    let endpoint = server.endpoint();
    let source = ServerSource::new(endpoint.clone(), "sh.main", "sh-1");
    source.begin(None).await.expect("root may create");
    (server, endpoint, source)
}

/// Runs it and returns what it said.
async fn said(endpoint: &Endpoint) -> Result<Report, UninstallError> {
    let mut said = None;
    run(endpoint, |report| said = Some(report.clone())).await?;
    Ok(said.expect("a success says where to go on from"))
}

async fn write_mark(server: &Server, shard: u16, watermark: Scn, runs: Vec<Run>) {
    let mark = Mark {
        source: InstanceId::of("bj.main"),
        watermark,
        watermark_time: Micros(1),
        runs,
        named: Vec::new(),
        evictions: Vec::new(),
    };
    let body: String = mark.encode().iter().map(|byte| format!("{byte:02x}")).collect();
    server
        .execute(&format!("INSERT INTO weft.mark VALUES ('orders', 'bj.main', {shard}, 1, UNHEX('{body}'))"))
        .await;
}

async fn is_installed(server: &Server) -> bool {
    !server.text("SHOW DATABASES LIKE 'weft'").await.is_empty()
}

async fn the_report_names_positions_and_the_schema_goes_without_a_trace_in_the_binlog(flavour: Flavour) {
    let (server, endpoint, _) = installed(flavour).await;
    let above = Run { first: Scn::of_transaction(1, 3, 500), last: Scn::of_transaction(1, 3, 900) };
    write_mark(&server, 0, Scn::of_transaction(1, 2, 345), vec![above]).await;
    write_mark(&server, 1, Scn::of_transaction(1, 2, 100), Vec::new()).await;
    let before = server.binlog_position().await;
    let [gtids, file, position, exec_mode] = match flavour {
        Flavour::MariaDb => ["gtid_binlog_pos", "MASTER_LOG_FILE", "MASTER_LOG_POS", "slave_exec_mode"],
        Flavour::MySql => ["gtid_executed", "SOURCE_LOG_FILE", "SOURCE_LOG_POS", "replica_exec_mode"],
    };
    let gtid = server.text(&format!("SELECT @@GLOBAL.{gtids}")).await.concat();
    assert!(gtid.contains('-'), "{gtid}");

    let text = said(&endpoint).await.expect("nobody is at work").to_string();
    assert!(
        text.contains(&format!("{gtids} '{gtid}'")) && text.contains(&format!("{}:{}", before.0, before.1)),
        "{text}"
    );
    assert!(text.contains("channel orders from bj.main"), "{text}");
    assert!(text.contains(&format!("{file} = '<log_bin>.000002', {position} = 345")), "{text}");
    assert!(text.contains(&format!("{file} = '<log_bin>.000003', {position} = 900")), "{text}");
    assert!(text.contains(&format!("SET GLOBAL {exec_mode} = IDEMPOTENT")), "{text}");
    assert!(!is_installed(&server).await);
    assert_eq!(server.binlog_position().await, before);

    let again = said(&endpoint).await.expect("nothing to remove is no error");
    assert!(!again.installed && again.inbound.is_empty());
}

async fn it_refuses_while_a_shard_has_an_owner(flavour: Flavour) {
    use mysql_async::prelude::Queryable;
    let (server, endpoint, _) = installed(flavour).await;
    write_mark(&server, 3, Scn::of_transaction(1, 2, 345), Vec::new()).await;
    let mut owner = server.conn().await;
    let lock = format!("SELECT GET_LOCK('{}', 0)", owner_lock("orders", "bj.main", 3));
    assert_eq!(owner.query_first::<u8, _>(lock).await.expect("the server answers"), Some(1));
    let error = said(&endpoint).await.expect_err("the shard has an owner");
    assert!(matches!(&error, UninstallError::Alive { what, .. } if what.contains("shard 3")), "{error}");
    assert!(is_installed(&server).await);
    owner.disconnect().await.expect("the connection is open");
}

async fn it_refuses_while_a_node_writes_heartbeats(flavour: Flavour) {
    let (server, endpoint, source) = installed(flavour).await;
    let beating = async {
        for beat in 1.. {
            source.heartbeat(Micros(beat)).await.expect("the table is there");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let error = tokio::select! {
        outcome = said(&endpoint) => outcome.expect_err("a node is at work"),
        () = beating => unreachable!("heartbeats go on for ever"),
    };
    assert!(matches!(&error, UninstallError::Alive { what, .. } if what.contains("sh-1")), "{error}");
    assert!(is_installed(&server).await);
}

async fn a_mark_that_cannot_be_read_keeps_the_schema(flavour: Flavour) {
    let (server, endpoint, _) = installed(flavour).await;
    server.execute("INSERT INTO weft.mark VALUES ('orders', 'bj.main', 0, 1, 'nonsense')").await;
    let error = said(&endpoint).await.expect_err("its position would be lost");
    assert!(matches!(error, UninstallError::Mark { .. }), "{error}");
    assert!(is_installed(&server).await);
}

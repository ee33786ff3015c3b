//! The harness itself.

use cluster_tests::servers::{Flavour, Server, ServerOptions, has_mysql};

#[tokio::test]
async fn a_server_keeps_its_data_and_port_across_kill_and_restart() {
    keeps_its_data(Flavour::MariaDb).await;
}

#[tokio::test]
async fn a_mysql_server_keeps_its_data_and_port_across_kill_and_restart() {
    if has_mysql("a_mysql_server_keeps_its_data_and_port_across_kill_and_restart") {
        keeps_its_data(Flavour::MySql).await;
    }
}

async fn keeps_its_data(flavour: Flavour) {
    let mut server = Server::start(ServerOptions::of(flavour, 7)).await;
    let port = server.port();
    server.execute("CREATE DATABASE shop; CREATE TABLE shop.t (id INT PRIMARY KEY, a TEXT)").await;
    server.execute("INSERT INTO shop.t VALUES (1, 'one'), (2, NULL)").await;
    let (file, position) = server.binlog_position().await;
    assert!(position > 4 && server.binlog_files().await.contains(&file));

    server.kill9();
    server.restart().await;
    assert_eq!(server.port(), port);
    assert_eq!(server.text("SELECT * FROM shop.t ORDER BY id").await, ["1|one", "2|NULL"]);

    server.stop().await;
    server.restart().await;
    assert_eq!(server.query::<u32>("SELECT @@server_id").await, [7]);
}

#[tokio::test]
async fn a_frozen_server_goes_on_where_it_was() {
    let server = Server::start(ServerOptions::new(8).durable()).await;
    server.sigstop();
    server.sigcont();
    assert_eq!(server.query::<u32>("SELECT @@GLOBAL.sync_binlog").await, [1]);
}

#[tokio::test]
#[should_panic(expected = "mariadbd ended while starting")]
async fn a_server_that_cannot_start_panics_with_its_log() {
    Server::start(ServerOptions::new(9).arg("--no-such-option")).await;
}

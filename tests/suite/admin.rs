//! Admin HTTP over a real socket, and the commands that talk to it.

use std::sync::{Arc, Mutex};

use futures::FutureExt;
use futures::future::BoxFuture;
use weft::admin::{
    AdminError, AdminServer, AdminState, ChannelCommand, ChannelVerb, CommandError, metrics, serve,
};
use weft::config::Address;
use weft_actors::status::{NodeStatus, StatusReport};

use crate::program::{Ended, weft};

#[derive(Default)]
struct FakeNode {
    reasons: Mutex<Vec<String>>,
    commands: Mutex<Vec<ChannelCommand>>,
}

impl AdminState for FakeNode {
    fn status(&self) -> StatusReport {
        let node = NodeStatus { id: "sh-1".to_owned(), site: "sh".to_owned(), alive: true, leader: true };
        StatusReport {
            cluster: "shop".to_owned(),
            site: "sh".to_owned(),
            node: "sh-1".to_owned(),
            version: "0".to_owned(),
            leader: None,
            nodes: vec![node],
            sources: Vec::new(),
            channels: Vec::new(),
        }
    }

    fn ready(&self) -> Result<(), Vec<String>> {
        let reasons = self.reasons.lock().expect("nobody panicked").clone();
        if reasons.is_empty() { Ok(()) } else { Err(reasons) }
    }

    fn channel_command(&self, command: ChannelCommand) -> BoxFuture<'_, Result<(), CommandError>> {
        let answer = match command.channel.as_str() {
            "orders" => Ok(()),
            "running" => Err(CommandError::Conflict("running is not stopped; nothing to skip".to_owned())),
            _ => Err(CommandError::NotFound("there is no such channel here".to_owned())),
        };
        self.commands.lock().expect("nobody panicked").push(command);
        futures::future::ready(answer).boxed()
    }
}

/// A served fake node and its address.
async fn start() -> (Arc<FakeNode>, AdminServer, Address) {
    let node = Arc::new(FakeNode::default());
    // Another process may take the port between choosing and binding it: choose again.
    for _ in 0..20 {
        let chosen = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = chosen.local_addr().expect("bound").port();
        drop(chosen);
        let address = Address { host: "127.0.0.1".to_owned(), port };
        match serve("k.admin", &address, node.clone(), metrics::install().expect("ours")) {
            Ok(server) => return (node, server, address),
            Err(AdminError::InUse { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    panic!("no free port in 20 tries");
}

async fn get(address: &Address, path: &str) -> (u16, String) {
    let answer = reqwest::get(format!("http://{address}{path}")).await.expect("answered");
    (answer.status().as_u16(), answer.text().await.expect("text"))
}

async fn command(arguments: Vec<String>) -> Ended {
    let run = move || weft(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    tokio::task::spawn_blocking(run).await.expect("ran")
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

#[tokio::test]
async fn health_readiness_status_and_metrics_are_served() {
    let (node, server, address) = start().await;
    assert_eq!(get(&address, "/healthz").await.0, 200);
    assert_eq!(get(&address, "/readyz").await, (200, r#"{"ready":true,"reasons":[]}"#.to_owned()));
    node.reasons.lock().expect("nobody panicked").push("sh.main is not reachable".to_owned());
    let not_ready = r#"{"ready":false,"reasons":["sh.main is not reachable"]}"#.to_owned();
    assert_eq!(get(&address, "/readyz").await, (503, not_ready));
    let (code, status) = get(&address, "/v1/status").await;
    assert_eq!((code, serde_json::from_str(&status).ok()), (200, Some(node.status())));
    ::metrics::counter!("weft_admin_test_total").increment(3);
    ::metrics::histogram!("weft_admin_test_seconds").record(0.2);
    weft_actors::metrics::BINLOG_RECONNECTS.counter(&[("database", "sh.main")]).increment(1);
    let (code, text) = get(&address, "/metrics").await;
    assert!(text.contains("# HELP weft_binlog_reconnects_total "), "{text}");
    assert!(code == 200 && text.contains("weft_admin_test_total 3"), "{text}");
    assert!(text.contains("weft_admin_test_seconds_bucket{le=\"0.25\"} 1"), "{text}");
    let (code, problem) = get(&address, "/v1/nothing").await;
    assert_eq!(code, 404);
    assert!(problem.contains("GET /v1/nothing is not served here"), "{problem}");
    server.stop().await;
}

#[tokio::test]
async fn a_port_in_use_is_named_with_its_key_and_is_free_again_after_the_stop() {
    let (node, server, address) = start().await;
    let again = serve("sites.sh.nodes.sh-1.admin", &address, node.clone(), metrics::install().expect("ours"));
    let error = again.map(|_| ()).expect_err("in use").to_string();
    let expected = format!("config key sites.sh.nodes.sh-1.admin: the address {address} is in use");
    assert!(error.starts_with(&expected), "{error}");
    server.stop().await;
    let rebound = serve("k", &address, node, metrics::install().expect("ours")).expect("free again");
    rebound.stop().await;
}

#[tokio::test]
async fn channel_commands_reach_the_node_and_its_reason_reaches_the_operator() {
    let (node, server, address) = start().await;
    let done =
        command(words(&format!("channel skip orders --to bj.main --scn 7 --admin http://{address}"))).await;
    assert_eq!((done.status, done.stdout.as_str()), (0, "skip orders to bj.main: done\n"));
    let expected = ChannelCommand {
        channel: "orders".to_owned(),
        verb: ChannelVerb::Skip,
        to: Some("bj.main".to_owned()),
        scn: Some("7".to_owned()),
    };
    assert_eq!(node.commands.lock().expect("nobody panicked").pop(), Some(expected));
    let refused = command(words(&format!("channel skip running --admin {address}"))).await;
    assert_eq!((refused.status, refused.one_line()), (1, "weft: running is not stopped; nothing to skip"));
    let unknown = command(words(&format!("channel pause other --admin {address}"))).await;
    assert_eq!((unknown.status, unknown.one_line()), (1, "weft: there is no such channel here"));
    server.stop().await;
}

#[tokio::test]
async fn odd_commands_are_refused_and_do_not_reach_the_node() {
    let (node, server, address) = start().await;
    let client = reqwest::Client::new();
    let post = |path: &str| client.post(format!("http://{address}/v1/channels/{path}"));
    for (request, code) in [
        (post("orders/stop"), 404),
        (post("orders/pause").body("{\"too\":1}"), 400),
        (post("orders/pause?too=1"), 400),
        (post("orders/pause").body("x".repeat(20_000)), 413),
        (post("orders/pause").header("origin", "http://evil.example"), 403),
        (client.get(format!("http://{address}/v1/channels/orders/pause")), 404),
    ] {
        let answer = request.send().await.expect("answered");
        assert_eq!(answer.status().as_u16(), code);
    }
    assert!(node.commands.lock().expect("nobody panicked").is_empty());
    let by_query = post("orders/pause?to=bj.main").send().await.expect("answered");
    assert_eq!(by_query.status().as_u16(), 200);
    assert_eq!(node.commands.lock().expect("nobody panicked")[0].to.as_deref(), Some("bj.main"));
    server.stop().await;
}

#[tokio::test]
async fn status_prints_the_table_and_the_json_as_it_is() {
    let (node, server, address) = start().await;
    let table = command(words(&format!("status --admin http://{address}"))).await;
    assert_eq!(table.status, 0, "{table:?}");
    assert!(table.stdout.starts_with("cluster shop, seen by sh-1 at sh (weft 0)"), "{table:?}");
    let json = command(words(&format!("status --json --admin http://{address}"))).await;
    assert_eq!(json.stdout.trim_end(), serde_json::to_string(&node.status()).expect("plain data"));
    server.stop().await;
}

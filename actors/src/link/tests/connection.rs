//! Greeting, refusing, and noticing a peer that is gone.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::Instant;
use weft_core::link::codec::{encode, preamble};
use weft_core::link::message::{FromClient, FromServer, Hello, PROTOCOL, Purpose};

use super::*;
use crate::link::client::Connection;
use crate::link::status::ask_status;
use crate::link::stream::LinkError;
use crate::link::{DEAD_AFTER, KEEPALIVE};
use crate::ports::{PeerError, PeerStream};
use crate::testing::peers::PipePeers;

fn open(fixture: &Fixture) -> (DuplexStream, tokio::task::JoinHandle<Result<(), LinkError>>) {
    let (near, far) = tokio::io::duplex(1 << 16);
    let server = fixture.server.clone();
    (near, tokio::spawn(async move { server.serve(far).await }))
}

async fn answer_to(hello: Hello) -> FromServer {
    let (near, _task) = open(&Fixture::new());
    let mut stream = Connection::open(near, &hello).await.expect("the pipe takes it");
    stream.receive().await.expect("an answer")
}

#[tokio::test(start_paused = true)]
async fn a_node_of_another_cluster_is_refused_with_the_reason() {
    let answer = answer_to(Hello { cluster: "bank".into(), ..hello(Purpose::Status) }).await;
    let FromServer::Refused { reason, retry: false } = answer else { panic!("{answer:?}") };
    assert!(reason.contains("cluster 'bank'"), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn a_node_of_the_same_name_and_an_unknown_protocol_are_refused() {
    let same = answer_to(Hello { node: "sh-1".into(), ..hello(Purpose::Status) }).await;
    assert!(matches!(&same, FromServer::Refused { reason, .. } if reason.contains("own name")), "{same:?}");
    let future = answer_to(Hello { protocol: 77, ..hello(Purpose::Status) }).await;
    assert!(
        matches!(&future, FromServer::Refused { reason, .. } if reason.contains("offered 77")),
        "{future:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_unknown_protocol_is_named_even_if_its_hello_cannot_be_read() {
    let (mut near, task) = open(&Fixture::new());
    near.write_all(&preamble(9)).await.expect("open");
    near.write_all(b"\x05\0\0\0?????").await.expect("open");
    let ended = {
        near.shutdown().await.expect("open");
        let mut said = Vec::new();
        near.read_to_end(&mut said).await.expect("closed after the reason");
        task.await.expect("no panic")
    };
    assert!(matches!(ended, Err(LinkError::Refused(_))), "{ended:?}");
}

#[tokio::test(start_paused = true)]
async fn garbage_is_refused_and_closed_without_a_panic() {
    let mut streams = vec![b"GET / HTTP/1.1\r\n\r\n".to_vec(), vec![0xff; 5000], Vec::new()];
    let mut long = preamble(PROTOCOL).to_vec();
    long.extend_from_slice(&u32::MAX.to_le_bytes());
    streams.push(long);
    let mut broken = preamble(PROTOCOL).to_vec();
    broken.extend_from_slice(&encode(&pull_hello(None, 1)).expect("short"));
    broken.extend_from_slice(&[16, 0, 0, 0]);
    broken.extend_from_slice(&[0xee; 16]);
    streams.push(broken);
    for bytes in streams {
        let (mut near, task) = open(&Fixture::new());
        near.write_all(&bytes).await.expect("open");
        near.shutdown().await.expect("open");
        let mut said = Vec::new();
        near.read_to_end(&mut said).await.expect("closed by the server");
        assert!(task.await.expect("no panic").is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_silent_for_ten_seconds_is_dropped_and_one_that_is_not_stays() {
    let fixture = Fixture::new();
    let (near, task) = open(&fixture);
    let mut silent = Connection::open(near, &pull_hello(Some(Scn::ZERO), 1000)).await.expect("open");
    let (near, _other_task) = open(&fixture);
    let mut lively = Connection::open(near, &pull_hello(Some(Scn::ZERO), 1000)).await.expect("open");
    let began = Instant::now();
    while began.elapsed() < 3 * DEAD_AFTER {
        tokio::time::sleep(KEEPALIVE).await;
        lively.send(FromClient::Credit { bytes: 0 }).await.expect("it stays");
        while tokio::time::timeout(Duration::from_millis(1), lively.receive()).await.is_ok() {}
    }
    assert!(matches!(task.await.expect("no panic"), Err(LinkError::Silent(_))));
    let mut last = silent.receive().await;
    while let Ok(message) = last {
        last = silent.receive().await;
        assert!(last.is_ok() || matches!(message, FromServer::Refused { retry: true, .. }), "{message:?}");
    }
    assert!(lively.receive().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_status_is_answered_each_time_it_is_asked_for() {
    let (near, _task) = open(&Fixture::new());
    let mut stream = Connection::open(near, &hello(Purpose::Status)).await.expect("open");
    assert!(matches!(stream.receive().await, Ok(FromServer::Welcome { .. })));
    for _ in 0..3 {
        stream.send(FromClient::StatusRequest).await.expect("open");
        assert_eq!(stream.receive().await, Ok(FromServer::Status(r#"{"node":"sh-1"}"#.into())));
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_that_is_not_here_is_refused_for_now() {
    let mut elsewhere = pull_hello(None, 1);
    if let Purpose::Pull(pull) = &mut elsewhere.purpose {
        pull.source = "bj.main".into();
    }
    let (near, _task) = open(&Fixture::new());
    let mut stream = Connection::open(near, &elsewhere).await.expect("open");
    assert!(matches!(stream.receive().await, Ok(FromServer::Welcome { .. })));
    assert!(matches!(stream.receive().await, Ok(FromServer::Refused { retry: true, .. })));
    assert!(matches!(stream.receive().await, Err(PeerError::Unreachable(_))));
}

#[tokio::test(start_paused = true)]
async fn another_nodes_status_is_asked_for_in_one_call_and_a_refusal_comes_back() {
    let peers = PipePeers::new(Fixture::new().server, 4096, []);
    let status = ask_status(peers.as_ref(), "sh-1", &Own::new("shop", "bj-1")).await;
    assert_eq!(status, Ok(r#"{"node":"sh-1"}"#.into()));
    let refused = ask_status(peers.as_ref(), "sh-1", &Own::new("bank", "bj-1")).await;
    assert!(matches!(refused, Err(PeerError::Refused(_))), "{refused:?}");
}

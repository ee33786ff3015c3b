//! The puller towards its consumer.

use std::time::Duration;

use futures::FutureExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use weft_core::link::message::{FromClient, FromServer};

use super::*;
use crate::link::puller::{PullHandle, spawn};
use crate::ports::{PeerError, PeerStream, Peers};
use crate::testing::peers::PipePeers;

async fn next(handle: &mut PullHandle) -> Pulled {
    timeout(Duration::from_secs(60), handle.pulled.recv())
        .await
        .expect("in time")
        .expect("it goes on for ever")
}

#[tokio::test(start_paused = true)]
async fn what_is_appended_later_arrives_too_with_its_tables() {
    let fixture = Fixture::new();
    fixture.append(1..=2, 10);
    let mut handle = spawn(PipePeers::new(fixture.server.clone(), 4096, []), config(None, 1 << 20));
    assert!(matches!(next(&mut handle).await, Pulled::Begins { after, .. } if after == scn(2)));
    fixture.append(3..=3, 10);
    loop {
        if let Pulled::Delivery(delivery, _) = next(&mut handle).await {
            assert_eq!(delivery.transaction.header.scn, scn(3));
            assert_eq!(delivery.tables[0].name, TableName::new("shop", "a"));
            assert_eq!(delivery.format.len(), 40);
            break;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_consumer_that_gives_nothing_back_holds_one_window_and_then_goes_on() {
    let fixture = Fixture::new();
    fixture.append(1..=400, 1000);
    let window = 20_000;
    let mut handle = spawn(PipePeers::new(fixture.server.clone(), 4096, []), config(Some(Scn::ZERO), window));
    let (mut held, mut longest, mut count) = (0, 0, 0);
    // A minute without credit: the window fills and the connection stays.
    while let Ok(Some(pulled)) = timeout(Duration::from_secs(60), handle.pulled.recv()).await {
        match pulled {
            Pulled::Delivery(_, bytes) => {
                held += bytes;
                longest = longest.max(bytes);
                count += 1;
            }
            Pulled::Progress { sent_at: _, .. } if count > 0 && handle.pulled.is_empty() => break,
            Pulled::Disconnected { reason } => panic!("{reason}"),
            _ => {}
        }
    }
    assert!(held >= window && held < window + longest, "{held} of {window}");
    handle.control.credit(held);
    while count < 400 {
        if let Pulled::Delivery(_, bytes) = next(&mut handle).await {
            handle.control.credit(bytes);
            count += 1;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_consumer_that_does_not_listen_for_a_minute_keeps_its_connection() {
    let fixture = Fixture::new();
    fixture.append(1..=2000, 10);
    let mut handle =
        spawn(PipePeers::new(fixture.server.clone(), 4096, []), config(Some(Scn::ZERO), 1 << 30));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(handle.pulled.len() <= 256);
    let mut seen = Vec::new();
    while seen.len() < 2000 {
        let pulled = next(&mut handle).await;
        assert!(!matches!(pulled, Pulled::Disconnected { .. } | Pulled::Refused { .. }), "{pulled:?}");
        seen.extend(delivered(&pulled));
    }
    assert_eq!(seen, (1..=2000).map(scn).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_told_once_and_the_pull_goes_on_when_it_passes() {
    let fixture = Fixture::new();
    fixture.append(1..=9, 10);
    let forgotten = fixture.buffer.forget_up_to(scn(6));
    *fixture.history.failing.lock().expect("no panic") = Some(SourceError::Unreachable("gone".into()));
    let mut handle = spawn(PipePeers::new(fixture.server.clone(), 4096, []), config(Some(scn(1)), 1 << 20));
    assert!(matches!(next(&mut handle).await, Pulled::Begins { .. }));
    assert!(matches!(next(&mut handle).await, Pulled::Refused { reason, .. } if reason.contains("gone")));
    let repeated = timeout(Duration::from_secs(30), handle.pulled.recv()).await;
    assert!(repeated.is_err(), "{repeated:?}");
    fixture.history.forgotten.lock().expect("no panic").extend(forgotten);
    *fixture.history.failing.lock().expect("no panic") = None;
    let mut seen = Vec::new();
    while seen.len() < 8 {
        seen.extend(delivered(&next(&mut handle).await));
    }
    assert_eq!(seen, (2..=9).map(scn).collect::<Vec<_>>());
}

/// A node that takes every connection and never says anything.
struct Mute;

struct MuteStream;

impl Peers for Mute {
    fn connect(
        &self,
        _address: String,
        _hello: weft_core::link::message::Hello,
    ) -> BoxFuture<'_, Result<Box<dyn PeerStream>, PeerError>> {
        async { Ok(Box::new(MuteStream) as Box<dyn PeerStream>) }.boxed()
    }
}

impl PeerStream for MuteStream {
    fn receive(&mut self) -> BoxFuture<'_, Result<FromServer, PeerError>> {
        std::future::pending().boxed()
    }

    fn send(&mut self, _message: FromClient) -> BoxFuture<'_, Result<(), PeerError>> {
        async { Ok(()) }.boxed()
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_is_given_up_after_ten_seconds() {
    let mut handle = spawn(Arc::new(Mute), config(Some(Scn::ZERO), 1000));
    let began = tokio::time::Instant::now();
    assert!(matches!(next(&mut handle).await, Pulled::Disconnected { reason } if reason.contains("10 s")));
    assert_eq!(began.elapsed().as_secs(), 10);
}

/// A slow line: the server's bytes come in drops.
struct Slow(LinkServer);

impl Peers for Slow {
    fn connect(
        &self,
        _address: String,
        hello: weft_core::link::message::Hello,
    ) -> BoxFuture<'_, Result<Box<dyn PeerStream>, PeerError>> {
        async move {
            let (near, mut line) = tokio::io::duplex(1 << 16);
            let (mut other_end, far) = tokio::io::duplex(1 << 16);
            let server = self.0.clone();
            tokio::spawn(async move { server.serve(far).await });
            tokio::spawn(async move {
                let mut drop_of_bytes = [0; 1000];
                let (mut up_from, mut up_to) = tokio::io::split(&mut line);
                let (mut down_from, mut down_to) = tokio::io::split(&mut other_end);
                let down = async {
                    while let Ok(bytes @ 1..) = down_from.read(&mut drop_of_bytes).await {
                        tokio::time::sleep(Duration::from_millis(500)).await;
                        up_to.write_all(&drop_of_bytes[..bytes]).await?;
                    }
                    Ok::<(), std::io::Error>(())
                };
                let _ = tokio::join!(down, tokio::io::copy(&mut up_from, &mut down_to));
            });
            let stream = crate::link::client::Connection::open(near, &hello).await?;
            Ok(Box::new(stream) as Box<dyn PeerStream>)
        }
        .boxed()
    }
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_takes_longer_than_ten_seconds_on_a_slow_line_arrives() {
    let fixture = Fixture::new();
    fixture.append(1..=2, 50_000);
    let mut handle = spawn(Arc::new(Slow(fixture.server.clone())), config(Some(Scn::ZERO), 1));
    let began = tokio::time::Instant::now();
    let mut seen = Vec::new();
    while seen.len() < 2 {
        let pulled = next(&mut handle).await;
        assert!(!matches!(pulled, Pulled::Disconnected { .. }), "{pulled:?}");
        if let Pulled::Delivery(delivery, bytes) = pulled {
            seen.push(delivery.transaction.header.scn);
            handle.control.credit(bytes);
        }
    }
    assert!(began.elapsed() > Duration::from_secs(40), "{:?}", began.elapsed());
}

//! Both sides over real sockets.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use weft_actors::link::puller::{PullHandle, Pulled, PullerConfig, spawn};
use weft_actors::link::server::LinkServer;
use weft_actors::link::{FrameStream, Refill, SourceHandle, Sources, StartPositions};
use weft_actors::ports::{EventBuffer, FrameReader, FrameRef, PeerError, Peers, SourceError};
use weft_actors::testing::buffer::ModelBuffer;
use weft_actors::testing::clock::ModelClock;
use weft_actors::testing::transactions::{format_entry, inserts, scn, table_entry};
use weft_core::buffer::frame;
use weft_core::instance::InstanceId;
use weft_core::link::handshake::Own;
use weft_core::link::message::{FromClient, FromServer, Hello, PROTOCOL, Purpose, RowFilter};
use weft_core::scn::Scn;
use weft_core::tables::{TableFilter, TableName};
use weft_core::transaction::Transaction;

use super::connect::TcpPeers;
use super::listener::{ListenError, PeerListener};
use crate::buffer::{BufferOptions, MmapBuffer};

const KEY: &str = "sites.sh.nodes.sh-1.peer";

struct Node(Arc<SourceHandle>);

impl Sources for Node {
    fn source(&self, full_name: &str) -> Option<Arc<SourceHandle>> {
        (full_name == "sh.main").then(|| self.0.clone())
    }
}

/// The source instance: it has everything, for readers older than the buffer.
struct Instance(ModelBuffer);

impl StartPositions for Instance {
    fn channel_start<'a>(&'a self, _channel: &'a str) -> BoxFuture<'a, Result<Scn, SourceError>> {
        async { Ok(Scn::ZERO) }.boxed()
    }

    fn server_id(&self) -> u32 {
        1
    }
}

impl Refill for Instance {
    fn refill(&self, after: Scn, until: Scn) -> BoxFuture<'_, Result<Box<dyn FrameStream>, SourceError>> {
        async move {
            let reader = self.0.reader(after).map_err(|cause| SourceError::Purged(cause.to_string()))?;
            Ok(Box::new(Until { reader, until }) as Box<dyn FrameStream>)
        }
        .boxed()
    }
}

struct Until {
    reader: Box<dyn FrameReader>,
    until: Scn,
}

impl FrameStream for Until {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<FrameRef>, SourceError>> {
        async {
            let frame = self.reader.next().map_err(|cause| SourceError::Purged(cause.to_string()))?;
            Ok(frame
                .filter(|frame| frame::peek(frame).expect("a sound frame").scn.transaction() <= self.until))
        }
        .boxed()
    }
}

/// A node that serves `buffer`; `instance` has all of it too and says when there is more.
fn node_with(buffer: Arc<dyn EventBuffer>, instance: &ModelBuffer) -> LinkServer {
    for entry in [format_entry(), table_entry(1, "shop", "a")] {
        buffer.add_catalog(entry).expect("there is room");
    }
    let handle = SourceHandle {
        buffer,
        newest: instance.watch(),
        starts: Arc::new(Instance(instance.clone())),
        refill: Arc::new(Instance(instance.clone())),
    };
    LinkServer {
        own: Own::new("shop", "sh-1"),
        sources: Arc::new(Node(Arc::new(handle))),
        clock: Arc::new(ModelClock::default()),
        status: Arc::new(|| "{}".to_owned()),
    }
}

fn node() -> (LinkServer, ModelBuffer) {
    let buffer = ModelBuffer::default();
    (node_with(Arc::new(buffer.clone()), &buffer), buffer)
}

fn transaction(n: u64) -> Transaction {
    inserts(scn(n), &[(1, TableName::new("shop", "a"), InstanceId(1))], 200)
}

fn append(buffer: &ModelBuffer, numbers: std::ops::RangeInclusive<u64>) {
    for n in numbers {
        buffer.append(&transaction(n)).expect("rising");
    }
}

fn pull_from(address: String) -> PullHandle {
    let filter =
        RowFilter { tables: TableFilter::new(["shop.*"]), target: InstanceId(2), direct: Vec::new() };
    let config = PullerConfig {
        addresses: vec![address],
        cluster: "shop".into(),
        node: "bj-1".into(),
        source: "sh.main".into(),
        channel: "orders".into(),
        filter,
        after: None,
        window_bytes: 4096,
    };
    spawn(Arc::new(TcpPeers), config)
}

/// The SCNs of deliveries until there are `count`; everything must come within 20 s.
async fn deliveries(handle: &mut PullHandle, count: usize) -> Vec<Scn> {
    let mut seen = Vec::new();
    while seen.len() < count {
        let pulled = timeout(Duration::from_secs(20), handle.pulled.recv()).await;
        match pulled.unwrap_or_else(|_| panic!("stalled after {seen:?}")).expect("it goes on for ever") {
            Pulled::Delivery(delivery, bytes) => {
                seen.push(delivery.transaction.header.scn);
                handle.control.credit(bytes);
            }
            Pulled::Restarted { after } => panic!("no large transaction was cut at {after}"),
            _ => {}
        }
    }
    seen
}

#[tokio::test]
async fn a_pull_goes_on_where_it_was_when_the_node_comes_back() {
    let (server, buffer) = node();
    append(&buffer, 1..=50);
    let listener = PeerListener::bind("127.0.0.1:0", KEY, server.clone()).await.expect("a free port");
    let address = listener.address().to_string();
    let mut handle = pull_from(address.clone());
    assert_eq!(deliveries(&mut handle, 50).await, (1..=50).map(scn).collect::<Vec<_>>());
    listener.stop().await;
    append(&buffer, 51..=99);
    let _again = PeerListener::bind(&address, KEY, server).await.expect("the port is free again");
    assert_eq!(deliveries(&mut handle, 49).await, (51..=99).map(scn).collect::<Vec<_>>());
}

/// Forwards connections to `to` and closes each after so many bytes of answers; once `cuts` is used
/// up, connections live on.
async fn cutting_proxy(to: String, cuts: Vec<u64>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    tokio::spawn(async move {
        let mut cuts = cuts.into_iter();
        while let Ok((mut near, _)) = listener.accept().await {
            let mut far = TcpStream::connect(&to).await.expect("the node listens");
            let cut = cuts.next();
            tokio::spawn(async move {
                let (mut near_read, mut near_write) = near.split();
                let (far_read, mut far_write) = far.split();
                let mut far_read = far_read.take(cut.unwrap_or(u64::MAX));
                tokio::select! {
                    _ = tokio::io::copy(&mut near_read, &mut far_write) => {}
                    _ = tokio::io::copy(&mut far_read, &mut near_write) => {}
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn sockets_cut_anywhere_leave_no_gap_and_no_repeat() {
    let (server, buffer) = node();
    append(&buffer, 1..=300);
    let listener = PeerListener::bind("127.0.0.1:0", KEY, server).await.expect("a free port");
    // From within the welcome to some dozen frames.
    let cuts = vec![10, 97, 211, 1009, 4001, 7919, 12_007, 9973, 503, 6007];
    let mut handle = pull_from(cutting_proxy(listener.address().to_string(), cuts).await);
    assert_eq!(deliveries(&mut handle, 300).await, (1..=300).map(scn).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_reader_that_the_ring_overtakes_is_served_from_the_source_and_comes_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let options =
        BufferOptions { instance: "sh.main".into(), budget_bytes: 32 << 10, segment_bytes: 8 << 10 };
    let (ring, _) = MmapBuffer::open(folder.path(), options).expect("a new buffer");
    let (ring, instance) = (Arc::new(ring), ModelBuffer::default());
    let server = node_with(ring.clone(), &instance);
    let grow = |numbers: std::ops::RangeInclusive<u64>| {
        for n in numbers {
            ring.append(&transaction(n)).expect("rising");
            append(&instance, n..=n);
        }
    };
    grow(1..=200);
    assert!(ring.oldest().expect("not empty") > scn(1), "the ring let the oldest go");
    let listener = PeerListener::bind("127.0.0.1:0", KEY, server).await.expect("a free port");
    let mut handle = pull_from(listener.address().to_string());
    let mut seen = deliveries(&mut handle, 150).await;
    // The pull stands at its window while the ring passes it by.
    grow(201..=500);
    seen.extend(deliveries(&mut handle, 350).await);
    assert_eq!(seen, (1..=500).map(scn).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_port_in_use_is_one_line_that_names_the_key_and_the_address() {
    let (server, _buffer) = node();
    let first = PeerListener::bind("127.0.0.1:0", KEY, server.clone()).await.expect("a free port");
    let address = first.address().to_string();
    let refused = PeerListener::bind(&address, KEY, server).await.expect_err("taken");
    let line = refused.to_string();
    assert!(matches!(refused, ListenError::InUse { .. }), "{line}");
    assert!(line.contains(&address) && line.contains(KEY) && !line.contains('\n'), "{line}");
}

#[tokio::test]
async fn garbage_from_a_socket_is_answered_and_closed_and_others_are_served_on() {
    let (server, _buffer) = node();
    let listener = PeerListener::bind("127.0.0.1:0", KEY, server).await.expect("a free port");
    let mut stranger = TcpStream::connect(listener.address()).await.expect("it listens");
    stranger.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("open");
    let mut said = Vec::new();
    let read =
        timeout(Duration::from_secs(10), stranger.read_to_end(&mut said)).await.expect("closed in time");
    read.expect("closed in order");
    assert!(String::from_utf8_lossy(&said).contains("does not speak"), "{said:?}");
    let hello =
        Hello { protocol: PROTOCOL, cluster: "shop".into(), node: "bj-1".into(), purpose: Purpose::Status };
    let mut stream = TcpPeers.connect(listener.address().to_string(), hello).await.expect("served");
    stream.send(FromClient::StatusRequest).await.expect("open");
    assert!(matches!(stream.receive().await, Ok(FromServer::Welcome { .. })));
    assert_eq!(stream.receive().await, Ok(FromServer::Status("{}".into())));
}

#[tokio::test]
async fn a_node_that_is_not_there_is_unreachable_with_the_cause() {
    let hello =
        Hello { protocol: PROTOCOL, cluster: "shop".into(), node: "bj-1".into(), purpose: Purpose::Status };
    let refused = TcpPeers.connect("127.0.0.1:1".into(), hello).await;
    let Err(PeerError::Unreachable(cause)) = refused else { panic!("something listens at port 1") };
    assert!(cause.contains("refused"), "{cause}");
}

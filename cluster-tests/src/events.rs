//! Reading a dump in tests.

use std::time::Duration;

use weft::mysql::source::ServerSource;
use weft_actors::ports::{EventStream, SourceError, StreamFrom};

use crate::servers::{Flavour, Server, ServerOptions};

/// How long an event is awaited.
const DEADLINE: Duration = Duration::from_secs(30);

pub const ROTATE: u8 = 4;
pub const FORMAT_DESCRIPTION: u8 = 15;
pub const XID: u8 = 16;
pub const TABLE_MAP: u8 = 19;
pub const WRITE_ROWS_V1: u8 = 23;
pub const HEARTBEAT: u8 = 27;
pub const QUERY: u8 = 2;
pub const WRITE_ROWS_COMPRESSED_V1: u8 = 166;

/// Type of the event that begins a transaction.
pub fn gtid(flavour: Flavour) -> u8 {
    match flavour {
        Flavour::MariaDb => 162,
        Flavour::MySql => 33,
    }
}

/// Type of the event that holds inserted rows.
pub fn write_rows(flavour: Flavour) -> u8 {
    match flavour {
        Flavour::MariaDb => WRITE_ROWS_V1,
        Flavour::MySql => 30,
    }
}

/// Type of an event.
pub fn kind(event: &[u8]) -> u8 {
    event[4]
}

/// The server as the source `sh.main` of node sh-1.
pub fn source(server: &Server) -> ServerSource {
    ServerSource::new(server.endpoint(), "sh.main", "sh-1")
}

/// A server with an empty table `shop.t`.
pub async fn shop(flavour: Flavour) -> Server {
    let server = Server::start(ServerOptions::of(flavour, 1)).await;
    server.execute("CREATE DATABASE shop; CREATE TABLE shop.t (id INT PRIMARY KEY, a VARCHAR(20))").await;
    server
}

/// The place where the binlog ends now.
pub async fn here(server: &Server) -> StreamFrom {
    let (file, position) = server.binlog_position().await;
    StreamFrom::Position { file, position }
}

/// Checks the canonical form and gives the event back.
fn canonical(event: Vec<u8>) -> Vec<u8> {
    let stated = u32::from_le_bytes(event[9..13].try_into().expect("four bytes"));
    assert_eq!(stated as usize, event.len(), "event of type {}", kind(&event));
    event
}

/// Reads until `last` says so; returns the events up to that one. What came with it is dropped.
pub async fn read_until(stream: &mut Box<dyn EventStream>, last: impl Fn(&[u8]) -> bool) -> Vec<Vec<u8>> {
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

/// Types of events.
pub fn kinds(events: &[Vec<u8>]) -> Vec<u8> {
    events.iter().map(|event| kind(event)).collect()
}

/// Whether the text stands somewhere in the event.
pub fn contains(event: &[u8], text: &str) -> bool {
    event.windows(text.len()).any(|window| window == text.as_bytes())
}

/// The next failure of the dump, whatever comes before it.
pub async fn failure(stream: &mut Box<dyn EventStream>) -> SourceError {
    let reading = async {
        loop {
            if let Err(error) = stream.next().await {
                return error;
            }
        }
    };
    tokio::time::timeout(DEADLINE, reading).await.expect("the dump fails before the deadline")
}

//! What the serving side sends, message by message.

use std::time::Duration;

use tokio::time::timeout;
use weft_core::buffer::frame;
use weft_core::catalog::CatalogId;
use weft_core::link::message::{FromClient, FromServer};

use super::*;
use crate::link::client::Connection;
use crate::ports::PeerStream;
use crate::testing::transactions::heartbeat;

async fn connect(fixture: &Fixture, after: Option<Scn>, credit: u64) -> impl PeerStream + use<> {
    let (near, far) = tokio::io::duplex(1 << 16);
    let server = fixture.server.clone();
    tokio::spawn(async move { server.serve(far).await });
    let mut stream = Connection::open(near, &pull_hello(after, credit)).await.expect("open");
    assert!(matches!(stream.receive().await, Ok(FromServer::Welcome { .. })));
    stream
}

/// All that comes until nothing but progress has come for a while.
async fn quiet(stream: &mut impl PeerStream) -> Vec<FromServer> {
    let mut messages = Vec::new();
    let mut progress = 0;
    while let Ok(Ok(message)) = timeout(Duration::from_secs(5), stream.receive()).await {
        match message {
            FromServer::Progress { .. } => progress += 1,
            _ => progress = 0,
        }
        messages.push(message);
        if progress == 4 {
            break;
        }
    }
    messages
}

fn frames(messages: &[FromServer]) -> Vec<&Vec<u8>> {
    messages
        .iter()
        .filter_map(|message| match message {
            FromServer::Frame(bytes) => Some(bytes),
            _ => None,
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn credit_is_overdrawn_by_no_more_than_one_frame() {
    let fixture = Fixture::new();
    fixture.append(1..=50, 500);
    let mut stream = connect(&fixture, Some(Scn::ZERO), 3000).await;
    let (mut granted, mut received) = (3000, 0);
    for _ in 0..6 {
        let messages = quiet(&mut stream).await;
        let sizes: Vec<usize> = frames(&messages).iter().map(|frame| frame.len()).collect();
        received += sizes.iter().sum::<usize>();
        let longest = sizes.iter().max().copied().expect("credit lets some through");
        assert!(received >= granted && received < granted + longest, "{received} of {granted}");
        stream.send(FromClient::Credit { bytes: 2000 }).await.expect("open");
        granted += 2000;
    }
}

#[tokio::test(start_paused = true)]
async fn only_wanted_rows_travel_and_progress_passes_the_others() {
    let fixture = Fixture::new();
    let row = |id, table: &str, origin| (id, TableName::new("shop", table), origin);
    let mixed = [row(1, "a", LOCAL), row(3, "audit_x", LOCAL), row(1, "a", TARGET), row(2, "b", LOCAL)];
    fixture.buffer.append(&inserts(scn(1), &mixed, 20)).expect("rising");
    fixture.buffer.append(&inserts(scn(2), &[row(3, "audit_x", LOCAL)], 20)).expect("rising");
    fixture.buffer.append(&inserts(scn(3), &[row(2, "b", TARGET)], 20)).expect("rising");
    let mut stream = connect(&fixture, Some(Scn::ZERO), 1 << 20).await;
    let messages = quiet(&mut stream).await;
    let sent = frames(&messages);
    assert_eq!(sent.len(), 1);
    let transaction = frame::decode(&sent[0].clone().into()).expect("a sound frame");
    let rows = &transaction.rows().expect("rows").rows;
    assert_eq!(rows.iter().map(|row| row.row).collect::<Vec<_>>(), [1, 4]);
    let progress = |message: &FromServer| match message {
        FromServer::Progress { scn, behind_bytes, .. } => Some((*scn, *behind_bytes)),
        _ => None,
    };
    assert_eq!(messages.iter().rev().find_map(progress), Some((scn(3), 0)));
}

#[tokio::test(start_paused = true)]
async fn a_catalog_entry_is_sent_once_a_connection_before_the_first_frame_that_names_it() {
    let fixture = Fixture::new();
    fixture.append(1..=2, 10);
    let both = [(1, TableName::new("shop", "a"), LOCAL), (2, TableName::new("shop", "b"), LOCAL)];
    fixture.buffer.append(&inserts(scn(3), &both, 10)).expect("rising");
    fixture.append(4..=5, 10);
    for _ in 0..2 {
        let mut stream = connect(&fixture, Some(Scn::ZERO), 1 << 20).await;
        let sent: Vec<String> = quiet(&mut stream)
            .await
            .iter()
            .filter_map(|message| match message {
                FromServer::Catalog(entries) => {
                    Some(entries.iter().map(|entry| entry.id.0.to_string()).collect::<Vec<_>>().join("+"))
                }
                FromServer::Frame(_) => Some("frame".into()),
                _ => None,
            })
            .collect();
        assert_eq!(sent, ["0+1", "frame", "frame", "2", "frame", "frame", "frame"]);
    }
    assert_eq!(fixture.buffer.catalog_entry(CatalogId(2)).map(|entry| entry.id), Some(CatalogId(2)));
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_is_followed_by_progress_with_its_time() {
    let fixture = Fixture::new();
    let mut stream = connect(&fixture, Some(Scn::ZERO), 1 << 20).await;
    assert_eq!(stream.receive().await, Ok(FromServer::Begins { after: Scn::ZERO, server_id: 0 }));
    fixture.buffer.append(&heartbeat(scn(1), Micros(123_456))).expect("rising");
    let messages = quiet(&mut stream).await;
    let at = messages.iter().position(|message| matches!(message, FromServer::Frame(_))).expect("it passes");
    let expected = FromServer::Progress {
        scn: scn(1),
        source_time: Micros(123_456),
        sent_at: Micros::from_secs(1000),
        behind_bytes: 0,
    };
    assert_eq!(messages[at + 1], expected);
}

#[tokio::test(start_paused = true)]
async fn a_pull_without_a_position_begins_at_the_stored_start() {
    let fixture = Fixture::new();
    fixture.append(1..=4, 10);
    let mut stream = connect(&fixture, None, 1 << 20).await;
    assert_eq!(stream.receive().await, Ok(FromServer::Begins { after: scn(2), server_id: 0 }));
    let messages = quiet(&mut stream).await;
    assert_eq!(frames(&messages).len(), 2);
}

/// A channel that is told of no change would go on with the server id of the connection's beginning.
#[tokio::test(start_paused = true)]
async fn a_pull_ends_when_the_sources_server_id_changes_and_the_next_is_told_the_new_one() {
    let fixture = Fixture::new();
    fixture.history.server_id.store(11, Ordering::Relaxed);
    let mut stream = connect(&fixture, Some(Scn::ZERO), 1 << 20).await;
    assert_eq!(stream.receive().await, Ok(FromServer::Begins { after: Scn::ZERO, server_id: 11 }));
    fixture.history.server_id.store(12, Ordering::Relaxed);
    quiet(&mut stream).await;
    assert!(stream.receive().await.is_err(), "the connection is closed");
    let mut stream = connect(&fixture, Some(Scn::ZERO), 1 << 20).await;
    assert_eq!(stream.receive().await, Ok(FromServer::Begins { after: Scn::ZERO, server_id: 12 }));
}

#[tokio::test(start_paused = true)]
async fn a_reader_older_than_the_buffer_is_served_from_the_source_without_a_gap() {
    let fixture = Fixture::new();
    fixture.append(1..=9, 10);
    fixture.history.forgotten.lock().expect("no panic").extend(fixture.buffer.forget_up_to(scn(6)));
    let mut stream = connect(&fixture, Some(scn(1)), 1 << 20).await;
    let messages = quiet(&mut stream).await;
    let sent: Vec<Scn> =
        frames(&messages).iter().map(|bytes| frame::peek(bytes).expect("sound").scn).collect();
    assert_eq!(sent, (2..=9).map(scn).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_refill_that_fails_is_refused_with_the_cause_and_may_be_tried_again() {
    let fixture = Fixture::new();
    fixture.append(1..=9, 10);
    fixture.buffer.forget_up_to(scn(6));
    *fixture.history.failing.lock().expect("no panic") = Some(SourceError::Purged("binlog purged".into()));
    let mut stream = connect(&fixture, Some(scn(1)), 1 << 20).await;
    let messages = quiet(&mut stream).await;
    let Some(FromServer::Refused { reason, retry: true }) = messages.last() else { panic!("{messages:?}") };
    assert!(reason.contains("binlog purged") && reason.contains("older"), "{reason}");
}

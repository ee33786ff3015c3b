//! The peer protocol: the preamble, messages in pieces, and what a pull makes of them.

use std::sync::Arc;

use arbitrary::Unstructured;
use bytes::Bytes;
use weft_core::binlog::format::Format;
use weft_core::binlog::rows::RowsKind;
use weft_core::channel::delivery::Delivery;
use weft_core::flavour::Flavour;
use weft_core::link::codec::{CodecError, Decoder, PREAMBLE_BYTES, encode, preamble, read_preamble};
use weft_core::link::handshake::{Own, accept};
use weft_core::link::incoming::{Incoming, IncomingError};
use weft_core::link::message::{FromClient, FromServer, Hello, MESSAGE_BYTES_MAX};
use weft_core::sink::replay::ReplayBuilder;
use weft_core::transaction::RowKind;

use super::rows;
use crate::pack;

/// Reads all messages of a type that a stream of pieces holds; twice, whole and in pieces.
macro_rules! messages {
    ($kind:ty, $data:expr, $piece:expr) => {{
        let read = |piece: usize| {
            let mut decoder = Decoder::new(MESSAGE_BYTES_MAX);
            let mut messages: Vec<$kind> = Vec::new();
            let mut end: Result<(), CodecError> = Ok(());
            'stream: for mut part in $data.chunks(piece.max(1)) {
                loop {
                    match decoder.feed::<$kind>(&mut part) {
                        Ok(Some(message)) => messages.push(message),
                        Ok(None) => break,
                        Err(error) => {
                            end = Err(error);
                            break 'stream;
                        }
                    }
                }
            }
            (messages, end)
        };
        let whole = read($data.len());
        assert_eq!(whole, read($piece), "pieces hold other messages than the whole");
        for message in &whole.0 {
            let bytes = encode(message).expect("what was read can be sent");
            let again = Decoder::new(MESSAGE_BYTES_MAX).feed::<$kind>(&mut &bytes[..]);
            assert_eq!(again.as_ref(), Ok(&Some(message.clone())));
        }
        whole.0
    }};
}

pub fn run(data: &[u8]) {
    if let Some(first) = data.first_chunk::<PREAMBLE_BYTES>()
        && let Ok(protocol) = read_preamble(*first)
    {
        assert_eq!(preamble(protocol)[..6], first[..6]);
    }
    let Some((&piece, data)) = data.split_first() else { return };
    let piece = usize::from(piece);
    for hello in messages!(Hello, data, piece) {
        let _ = accept(&hello, &Own::new("shop", "sh-1"));
    }
    messages!(FromClient, data, piece);
    pull(messages!(FromServer, data, piece));
    let mut u = Unstructured::new(data);
    if let Ok(transaction) = crate::make::transaction(&mut u) {
        let frame = weft_core::buffer::frame::encode(&transaction).expect("a sound transaction");
        let bytes = encode(&FromServer::Frame(frame)).expect("short enough");
        messages!(FromServer, bytes, piece);
    }
}

/// What a channel does with the messages of its source.
fn pull(messages: Vec<FromServer>) {
    let mut incoming = Incoming::new(None);
    for message in messages {
        let before = incoming.position();
        let done: Result<(), IncomingError> = match message {
            FromServer::Begins { after, .. } => incoming.begins(after),
            FromServer::Catalog(entries) => incoming.catalog(entries),
            FromServer::Frame(frame) => {
                let frame = Bytes::from(pack::mend_frame(frame));
                incoming.frame(frame).map(|delivery| delivered(&delivery))
            }
            FromServer::Progress { scn, .. } => incoming.progress(scn),
            FromServer::Welcome { .. } | FromServer::Refused { .. } | FromServer::Status(_) => Ok(()),
        };
        assert!(incoming.position() >= before, "a pull goes back");
        if done.is_err() {
            incoming.disconnected();
        }
    }
}

/// What a sink does with the rows.
fn delivered(delivery: &Delivery) {
    let transaction = &delivery.transaction;
    let Some(stamps) = transaction.rows() else { return };
    let _ = Format::parse(&delivery.format);
    let mut replay = ReplayBuilder::new(1 << 20, Flavour::MySql);
    for row in &stamps.rows {
        let table: &Arc<_> = &delivery.tables[usize::from(row.table)];
        // Rows are found by their primary key.
        assert!(table.primary_key.iter().all(|&at| usize::from(at) < table.columns.len()));
        let (before, after) = (transaction.bytes(row.before), transaction.bytes(row.after));
        rows::image(table, before);
        rows::image(table, after);
        let table_map = transaction.bytes(stamps.tables[usize::from(row.table)].table_map);
        let _ = match row.kind {
            RowKind::Insert => replay.rows(RowsKind::Write, table_map, [after]),
            RowKind::Update => replay.rows(RowsKind::Update, table_map, [before, after]),
            RowKind::Delete | RowKind::Evict => replay.rows(RowsKind::Delete, table_map, [before]),
        };
    }
    replay.statements();
}

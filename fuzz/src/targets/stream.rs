//! A whole stream of events: assembled at once and in chunks, scanned, stamped, and made into frames.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use weft_core::binlog::assembler::{AssembleError, Assembled, Assembler, AssemblerConfig};
use weft_core::binlog::event::{EventHeader, EventType, HEADER_BYTES};
use weft_core::binlog::format::Format;
use weft_core::binlog::rows::{RowsEvent, unpacked_type};
use weft_core::binlog::table_map::TableMap;
use weft_core::buffer::frame;
use weft_core::catalog::CatalogId;
use weft_core::instance::InstanceId;
use weft_core::ledger::Ledger;
use weft_core::scn::Scn;
use weft_core::sink::replay::ReplayBuilder;
use weft_core::stamp::{Resolved, Scanner, stamp};
use weft_core::time::Micros;
use weft_core::transaction::{Body, Transaction, TransactionHeader};

use super::rows;
use crate::pack;

/// Format description events of the two servers, for streams that have lost theirs.
const MARIADB: &[u8] = include_bytes!("../../formats/mariadb-10.11");
const MYSQL: &[u8] = include_bytes!("../../formats/mysql-9");

/// The formats of [`MARIADB`] and [`MYSQL`].
pub fn formats() -> &'static [Format; 2] {
    static FORMATS: OnceLock<[Format; 2]> = OnceLock::new();
    FORMATS.get_or_init(|| [MARIADB, MYSQL].map(|event| Format::parse(event).expect("as a server wrote it")))
}

/// What is compressed may unpack to a thousand times its length (deflate), or thirty thousand times
/// (zstd): the readers bound that by what a server's packets can hold.
pub fn heap_bytes_max(data: &[u8]) -> usize {
    let plain = (4 << 20) + 1000 * data.len();
    let kinds = pack::pieces(data)
        .into_iter()
        .filter_map(|event| event.get(4))
        .map(|&code| EventType::from_code(code));
    kinds.fold(plain, |most, kind| match kind {
        EventType::TransactionPayload => 2 << 30,
        kind if unpacked_type(kind).is_some() => most.max(plain + 20_000 * data.len()),
        _ => most,
    })
}

pub fn run(data: &[u8]) {
    let Some((&mode, data)) = data.split_first() else { return };
    let mut events = pack::events(data);
    match mode >> 6 {
        1 => events.insert(0, MARIADB.to_vec()),
        2 => events.insert(0, MYSQL.to_vec()),
        _ => {}
    }
    let (whole, at_once) = assemble(&events, 1 << 30);
    let (parts, in_chunks) = assemble(&events, 1 << (mode & 15));
    if at_once.is_ok() && in_chunks.is_ok() {
        assert_eq!(rows_events(&whole), rows_events(&parts), "chunks hold other rows than the whole");
    }
    let mut ledger = Ledger::default();
    for assembled in [&whole, &parts] {
        let mut format = None;
        for item in assembled {
            match item {
                Assembled::Format(event) => {
                    format = Some(Format::parse(event).expect("a canonical event is one"));
                }
                Assembled::Chunk(chunk) => captured(&chunk.events, format.as_ref(), &mut ledger),
                Assembled::Transaction(transaction) => {
                    captured(&transaction.events, format.as_ref(), &mut ledger);
                }
                _ => {}
            }
        }
    }
}

/// What came out until the end or the first error.
fn assemble(events: &[Vec<u8>], spill_bytes: usize) -> (Vec<Assembled>, Result<(), AssembleError>) {
    let mut assembler = Assembler::new(AssemblerConfig { spill_bytes });
    assembler.place(1, 4);
    let mut out = Vec::new();
    let mut push_all = || -> Result<(), AssembleError> {
        for event in events {
            assembler.push(event, &mut out)?;
            while assembler.unpack(&mut out)? {}
        }
        Ok(())
    };
    let done = push_all();
    (out, done)
}

/// Canonical events that lie one behind the other.
fn split(events: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = events;
    std::iter::from_fn(move || {
        let size = EventHeader::parse(rest).ok()?.event_size as usize;
        let (event, behind) = rest.split_at_checked(size).expect("what was assembled is whole events");
        rest = behind;
        Some(event)
    })
}

/// The rows events of each transaction, with its place.
fn rows_events(assembled: &[Assembled]) -> Vec<(u32, u64, Vec<&[u8]>)> {
    let (mut transactions, mut open) = (Vec::new(), Vec::new());
    let rows = |events| split(events).filter(|event| event[4] != EventType::TableMap.code());
    for item in assembled {
        match item {
            Assembled::Chunk(chunk) => open.extend(rows(&chunk.events)),
            Assembled::Abandoned { .. } => open.clear(),
            Assembled::Transaction(transaction) => {
                open.extend(rows(&transaction.events));
                transactions.push((transaction.log_index, transaction.log_pos, std::mem::take(&mut open)));
            }
            _ => {}
        }
    }
    transactions
}

/// What a capture does with a transaction, and a sink after it.
fn captured(events: &Bytes, format: Option<&Format>, ledger: &mut Ledger) {
    // A capture refuses rows without one.
    let Some(format) = format else { return };
    images(events, format);
    let mut scanner = Scanner::new("sh.main");
    let mut next = 0;
    let scanned = scanner.scan(events, format, 0, &mut |map| match map.to_table_version(None) {
        Ok(version) => {
            next += 1;
            Resolved::Wanted(CatalogId(next), Arc::new(version))
        }
        Err(_) => Resolved::LeftOut,
    });
    let Ok(mut scanned) = scanned else { return };
    stamp(&mut scanned.rows, &scanned.marks, ledger, InstanceId(1), Micros(1));
    let header = TransactionHeader {
        scn: Scn::of_transaction(1, 1, 4),
        server_id: 1,
        gtid: None,
        commit_time: Micros(1),
        format: CatalogId(0),
        body: Body::Rows(scanned.rows),
    };
    let transaction = Transaction { header, raw: scanned.raw };
    let frame = frame::encode(&transaction).expect("what was scanned makes a frame");
    assert_eq!(frame::decode(&Bytes::from(frame)), Ok(transaction));
}

/// Every image of the transaction, as values and as events to replay.
fn images(events: &[u8], format: &Format) {
    let mut maps = std::collections::HashMap::new();
    let mut replay = ReplayBuilder::new(1 << 20, format.flavour);
    for event in split(events) {
        if event[4] == EventType::TableMap.code() {
            let map = TableMap::parse(event, format).expect("assembled table maps can be read");
            maps.insert(map.table_id, (event, map));
            continue;
        }
        let rows_event = RowsEvent::parse(event, format).expect("assembled rows events can be read");
        // The scan refuses those that no table map goes before.
        let Some((map_event, map)) = maps.get(&rows_event.table_id) else { continue };
        let Ok(table) = map.to_table_version(None) else { continue };
        let Ok(found) = rows_event.images(&table.columns) else { continue };
        for row in found.map_while(Result::ok) {
            let ranges = [row.before, row.after].into_iter().flatten();
            let images: Vec<&[u8]> = ranges.map(|range| &event[range]).collect();
            assert!(rows_event.rows_at >= HEADER_BYTES && images.iter().all(|image| !image.is_empty()));
            images.iter().for_each(|image| rows::image(&table, image));
            replay.rows(rows_event.kind, map_event, images).expect("what was read can be replayed");
        }
    }
    replay.statements();
}

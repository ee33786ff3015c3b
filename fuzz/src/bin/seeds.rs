//! Writes the first inputs of the corpus: the events of recorded binlog files, and what the encoders
//! give. The fuzzer goes on from them, and its minimised findings replace them.
//!
//! `cargo run -p weft-fuzz --bin seeds -- DIRECTORY BINLOG_FILE...`

use std::io;
use std::path::{Path, PathBuf};

use weft_core::binlog::event::{EventHeader, EventType, HEADER_BYTES};
use weft_core::binlog::format::Format;
use weft_core::binlog::format::{Checksum, Checksums};
use weft_core::binlog::table_map::TableMap;
use weft_core::catalog::{CatalogEntry, CatalogId, CatalogItem};
use weft_core::instance::InstanceId;
use weft_core::key::KeyHash;
use weft_core::link::codec::encode;
use weft_core::link::message::{FromClient, FromServer, Hello, PROTOCOL, Pull, Purpose, RowFilter};
use weft_core::scn::Scn;
use weft_core::tables::TableFilter;
use weft_core::time::Micros;
use weft_core::transaction::{Body, RowKind, RowStamp, Rows, Span, TableUse, Transaction, TransactionHeader};
use weft_core::version::Version;
use weft_fuzz::pack::BETWEEN;

fn main() -> io::Result<()> {
    let mut args = std::env::args_os().skip(1).map(PathBuf::from);
    let Some(corpus) = args.next() else {
        eprintln!("usage: seeds DIRECTORY BINLOG_FILE...");
        std::process::exit(2);
    };
    encoded(&corpus)?;
    for file in args {
        recorded(&corpus, &file)?;
    }
    Ok(())
}

fn write(corpus: &Path, target: &str, name: &str, content: &[u8]) -> io::Result<()> {
    let directory = corpus.join(target);
    std::fs::create_dir_all(&directory)?;
    std::fs::write(directory.join(name), content)
}

/// Each event alone, and stretches of the stream.
fn recorded(corpus: &Path, file: &Path) -> io::Result<()> {
    let bytes = std::fs::read(file)?;
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let damaged = |error: &dyn std::fmt::Display| io::Error::other(format!("{}: {error}", file.display()));
    let mut rest = bytes.get(4..).unwrap_or_default();
    let mut checksums = Checksums::new(Checksum::None);
    let (mut stream, mut begun) = (Vec::new(), 0);
    while !rest.is_empty() {
        let header = EventHeader::parse(rest).map_err(|error| damaged(&error))?;
        let (event, behind) = rest
            .split_at_checked(header.event_size as usize)
            .ok_or_else(|| damaged(&"an event is cut short"))?;
        rest = behind;
        let event = checksums.strip(event.to_vec()).map_err(|error| damaged(&error))?;
        let number = bytes.len() - rest.len();
        write(corpus, "event", &format!("{name}-{number}"), &event)?;
        let mode = if name.starts_with("mariadb") { 0x4a } else { 0x8a };
        let gtid = [EventType::Gtid, EventType::MysqlGtid, EventType::MysqlTaggedGtid].contains(&header.kind);
        if gtid && !stream.is_empty() {
            write(corpus, "stream", &format!("{name}-{begun}"), &stream)?;
            stream.clear();
        }
        if stream.is_empty() {
            (stream, begun) = (vec![mode], number);
        } else {
            stream.extend_from_slice(BETWEEN);
        }
        stream.extend_from_slice(&event);
        if header.kind == EventType::PreviousGtids {
            write(corpus, "gtid", &format!("{name}-{number}"), &event[HEADER_BYTES..])?;
        }
        if header.kind == EventType::Query {
            let text: Vec<u8> = event.iter().rev().take_while(|&&byte| byte != 0).copied().collect();
            write(
                corpus,
                "statement",
                &format!("{name}-{number}"),
                &text.into_iter().rev().collect::<Vec<u8>>(),
            )?;
        }
        if header.kind == EventType::TableMap {
            pulled(corpus, &format!("{name}-{number}"), &event)?;
        }
    }
    write(corpus, "stream", &format!("{name}-{begun}"), &stream)
}

/// A pull of one row of the table: catalog and frame.
fn pulled(corpus: &Path, name: &str, table_map: &[u8]) -> io::Result<()> {
    let [format, _] = weft_fuzz::formats();
    let Some(version) = version_of(table_map, format) else { return Ok(()) };
    let nulls = vec![0xff; version.columns.len().div_ceil(8)];
    let raw = [table_map, &nulls].concat();
    let image = Span { at: table_map.len() as u32, len: nulls.len() as u32 };
    let row = RowStamp {
        row: 1,
        table: 0,
        kind: RowKind::Insert,
        key: KeyHash(7),
        old_key: None,
        version: Version::new(Micros(9), InstanceId(1)),
        base: None,
        old_base: None,
        before: Span::NONE,
        after: image,
    };
    let table_map = Span { at: 0, len: image.at };
    let tables = vec![TableUse { name: version.name.clone(), version: CatalogId(1), table_map }];
    let header = TransactionHeader {
        scn: Scn::of_transaction(1, 1, 200),
        server_id: 7,
        gtid: None,
        commit_time: Micros(9),
        format: CatalogId(0),
        body: Body::Rows(Rows { tables, rows: vec![row], ..Rows::default() }),
    };
    let frame = weft_core::buffer::frame::encode(&Transaction { header, raw: raw.into() })
        .map_err(io::Error::other)?;
    // Mode 1: bytes as they are; no filter.
    write(corpus, "frame", name, &[&[1, 0][..], &frame].concat())?;
    let entry = |id, what| CatalogEntry { id: CatalogId(id), began: Scn::ZERO, what };
    let entries = vec![
        entry(0, CatalogItem::Format(format.canonical().to_vec())),
        entry(1, CatalogItem::Table(version)),
    ];
    let scn = Scn::of_transaction(1, 1, 300);
    messages(
        corpus,
        name,
        &[
            FromServer::Welcome { protocol: PROTOCOL, node: "bj-1".into() },
            FromServer::Begins { after: Scn::ZERO, server_id: 7 },
            FromServer::Catalog(entries),
            FromServer::Frame(frame),
            FromServer::Progress { scn, source_time: Micros(9), sent_at: Micros(9), behind_bytes: 0 },
        ],
    )
}

fn version_of(table_map: &[u8], format: &Format) -> Option<weft_core::catalog::TableVersion> {
    TableMap::parse(table_map, format).ok()?.to_table_version(None).ok()
}

fn messages(corpus: &Path, name: &str, messages: &[FromServer]) -> io::Result<()> {
    let mut bytes = vec![16];
    for message in messages {
        bytes.extend(encode(message).map_err(io::Error::other)?);
    }
    write(corpus, "peer", name, &bytes)
}

/// What needs no server.
fn encoded(corpus: &Path) -> io::Result<()> {
    let filter =
        RowFilter { tables: TableFilter::new(["shop.*"]), target: InstanceId(2), direct: Vec::new() };
    let (source, channel) = ("sh.main".to_owned(), "orders".to_owned());
    let pull = Pull { source, channel, filter, after: None, credit_bytes: 1 << 20 };
    for (name, purpose) in [("hello-pull", Purpose::Pull(pull)), ("hello-status", Purpose::Status)] {
        let hello = Hello { protocol: PROTOCOL, cluster: "shop".into(), node: "bj-1".into(), purpose };
        let hello = encode(&hello).map_err(io::Error::other)?;
        write(corpus, "peer", name, &[&[5][..], &hello].concat())?;
    }
    let credit =
        [FromClient::Credit { bytes: 99 }, FromClient::StatusRequest].map(|message| encode(&message));
    let credit: Vec<u8> =
        credit.into_iter().collect::<Result<Vec<_>, _>>().map_err(io::Error::other)?.concat();
    write(corpus, "peer", "credit", &[&[3][..], &credit].concat())?;
    write(corpus, "peer", "preamble", &weft_core::link::codec::preamble(PROTOCOL))?;
    let refused = FromServer::Refused { reason: "another cluster".into(), retry: false };
    messages(corpus, "refused", &[refused, FromServer::Status("{}".into())])?;
    for text in ["0-1-2,1-2-3", "aaaaaaaa-0000-0000-0000-0000000000ff:1-5:7:monthly:1-9", "3-7-42"] {
        write(corpus, "gtid", text.split(['-', ':']).next().unwrap_or_default(), text.as_bytes())?;
    }
    for (number, fill) in [0, 1, 2, 0x40, 0xff].into_iter().enumerate() {
        for target in ["rows", "mark", "checkpoint", "json", "frame"] {
            let ramp: Vec<u8> = (0..=255).map(|byte: u8| byte.wrapping_mul(7) ^ fill).collect();
            write(corpus, target, &format!("ramp-{number}"), &ramp)?;
            write(corpus, target, &format!("fill-{number}"), &[fill; 300])?;
        }
    }
    Ok(())
}

//! Tests of the whole buffer on real files.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use weft_actors::ports::{BufferError, EventBuffer, FrameReader};
use weft_core::buffer::frame;
use weft_core::catalog::{CatalogEntry, CatalogId, CatalogItem};
use weft_core::scn::Scn;
use weft_core::time::Micros;
use weft_core::transaction::{Body, Part, Rows, Span, TableUse, Transaction, TransactionHeader};

use super::{BufferOptions, MmapBuffer, RecoveryReport};

mod crash;
mod damage;
mod model;
mod readers;
mod recovery;
mod ring;

fn scn(pos: u64) -> Scn {
    Scn::of_transaction(1, 1, pos)
}

/// A transaction at `pos` with this many raw bytes.
fn sized(pos: u64, raw_bytes: usize) -> Transaction {
    part(pos, raw_bytes, None)
}

fn part(pos: u64, raw_bytes: usize, part: Option<(u32, bool)>) -> Transaction {
    let table_map = Span { at: 0, len: raw_bytes.min(4) as u32 };
    let name = weft_core::tables::TableName::new("shop", "orders");
    let tables = vec![TableUse { name, version: CatalogId(0), table_map }];
    let row = part.map_or(0, |(index, _)| index * 100);
    let part = part.map(|(index, last)| Part { index, last });
    let body = Body::Rows(Rows { tables, part, ..Rows::default() });
    let header = TransactionHeader {
        scn: scn(pos).with_row(row),
        server_id: 7,
        gtid: None,
        commit_time: Micros(pos),
        format: CatalogId(0),
        body,
    };
    let raw: Vec<u8> = (0..raw_bytes).map(|i| (i as u64 ^ pos) as u8).collect();
    Transaction { header, raw: Bytes::from(raw) }
}

fn options(budget_bytes: u64, segment_bytes: u64) -> BufferOptions {
    BufferOptions { instance: "sh.main".into(), budget_bytes, segment_bytes }
}

/// Small segments, a budget that nothing here exceeds.
fn roomy() -> BufferOptions {
    options(64 << 20, 8192)
}

fn open(directory: &Path, options: BufferOptions) -> (MmapBuffer, RecoveryReport) {
    let (buffer, report) = MmapBuffer::open(directory, options).unwrap();
    if buffer.catalog().is_empty() {
        let what = CatalogItem::Format(vec![1, 2, 3]);
        buffer.add_catalog(CatalogEntry { id: CatalogId(0), began: Scn::ZERO, what }).unwrap();
    }
    (buffer, report)
}

fn drain(reader: &mut dyn FrameReader) -> Result<Vec<Transaction>, BufferError> {
    let mut read = Vec::new();
    while let Some(bytes) = reader.next()? {
        read.push(frame::decode(&bytes).expect("readers give sound frames"));
    }
    Ok(read)
}

fn read_after(buffer: &MmapBuffer, after: Scn) -> Result<Vec<Transaction>, BufferError> {
    drain(buffer.reader(after)?.as_mut())
}

fn segment_files(directory: &Path) -> Vec<PathBuf> {
    let mut numbers: Vec<u64> = fs::read_dir(directory)
        .unwrap()
        .filter_map(|entry| super::segment::Segment::number_of(entry.unwrap().file_name().to_str()?))
        .collect();
    numbers.sort_unstable();
    numbers.into_iter().map(|number| directory.join(super::segment::Segment::file_name(number))).collect()
}

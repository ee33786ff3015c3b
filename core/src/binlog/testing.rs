//! Events made by hand, for tests.

use super::event::{EventHeader, EventType, HEADER_BYTES};
use super::image::{LONG, VARCHAR};
use crate::catalog::Column;

/// A canonical event of server 7 at second 1000.
pub(crate) fn event(kind: EventType, log_pos: u32, body: &[u8]) -> Vec<u8> {
    let header = EventHeader {
        timestamp: 1000,
        kind,
        server_id: 7,
        event_size: (HEADER_BYTES + body.len()) as u32,
        log_pos,
        flags: 0,
    };
    let mut event = header.to_bytes().to_vec();
    event.extend_from_slice(body);
    event
}

/// A GTID event of MariaDB.
pub(crate) fn gtid(log_pos: u32, sequence: u64, flags: u8) -> Vec<u8> {
    let mut body = sequence.to_le_bytes().to_vec();
    body.extend(0u32.to_le_bytes());
    body.extend([flags, 0, 0, 0, 0, 0, 0]);
    event(EventType::Gtid, log_pos, &body)
}

pub(crate) fn query(log_pos: u32, schema: &str, statement: &str) -> Vec<u8> {
    let mut body = vec![0; 8];
    body.push(schema.len() as u8);
    body.extend([0, 0, 2, 0, 0xaa, 0xbb]);
    body.extend(schema.as_bytes());
    body.push(0);
    body.extend(statement.as_bytes());
    event(EventType::Query, log_pos, &body)
}

/// Table `d.t (id INT PRIMARY KEY, v VARCHAR(20))`, with all metadata.
pub(crate) fn table_map(log_pos: u32, table_id: u8) -> Vec<u8> {
    let mut body = vec![table_id, 0, 0, 0, 0, 0, 1, 0];
    body.extend(b"\x01d\0\x01t\0");
    body.extend([2, LONG, VARCHAR, 2, 80, 0, 0b10]);
    body.extend([1, 1, 0x80]);
    body.extend([2, 1, 45]);
    body.extend(b"\x04\x05\x02id\x01v");
    body.extend([8, 1, 0]);
    event(EventType::TableMap, log_pos, &body)
}

/// The columns of [`table_map`].
pub(crate) fn columns() -> Vec<Column> {
    vec![
        Column { unsigned: true, ..column("id", LONG, 0, 0) },
        Column { nullable: true, ..column("v", VARCHAR, 80, 45) },
    ]
}

pub(crate) fn column(name: &str, type_code: u8, meta: u16, collation: u16) -> Column {
    Column {
        name: name.to_owned(),
        type_code,
        meta,
        nullable: false,
        unsigned: false,
        collation,
        column_type: None,
        default: None,
        generated: false,
        labels: Vec::new(),
    }
}

/// A row image of [`table_map`]'s table.
pub(crate) fn image(id: u32, v: Option<&str>) -> Vec<u8> {
    let mut image = vec![if v.is_none() { 0b10 } else { 0 }];
    image.extend(id.to_le_bytes());
    if let Some(v) = v {
        image.push(v.len() as u8);
        image.extend(v.as_bytes());
    }
    image
}

/// A version 1 rows event of [`table_map`]'s table.
pub(crate) fn rows(kind: EventType, log_pos: u32, flags: u16, images: &[Vec<u8>]) -> Vec<u8> {
    let mut body = vec![9, 0, 0, 0, 0, 0];
    body.extend(flags.to_le_bytes());
    body.extend([2, 3]);
    if matches!(kind, EventType::UpdateRowsV1 | EventType::UpdateRowsCompressedV1) {
        body.push(3);
    }
    body.extend(images.concat());
    event(kind, log_pos, &body)
}

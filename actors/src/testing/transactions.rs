//! Made-up transactions.

use bytes::Bytes;
use weft_core::catalog::{CatalogEntry, CatalogId, CatalogItem, TableVersion};
use weft_core::instance::InstanceId;
use weft_core::key::KeyHash;
use weft_core::scn::Scn;
use weft_core::tables::TableName;
use weft_core::time::Micros;
use weft_core::transaction::{
    Body, Part, RowKind, RowStamp, Rows, Span, TableUse, Transaction, TransactionHeader,
};
use weft_core::version::Version;

/// SCN of the `n`-th made-up transaction, counted from 1.
pub fn scn(n: u64) -> Scn {
    Scn::of_transaction(1, 1, 100 * n)
}

/// Catalog entry 0: a format; the made-up transactions name it.
pub fn format_entry() -> CatalogEntry {
    CatalogEntry { id: CatalogId(0), began: Scn::ZERO, what: CatalogItem::Format(vec![15; 40]) }
}

/// A catalog entry for a table without columns.
pub fn table_entry(id: u32, schema: &str, table: &str) -> CatalogEntry {
    let version = TableVersion {
        name: TableName::new(schema, table),
        columns: Vec::new(),
        primary_key: Vec::new(),
        unique_keys: Vec::new(),
        exact: true,
    };
    CatalogEntry { id: CatalogId(id), began: Scn::ZERO, what: CatalogItem::Table(version) }
}

fn with_body(at: Scn, body: Body, raw: Vec<u8>) -> Transaction {
    Transaction {
        header: TransactionHeader {
            scn: at,
            server_id: 1,
            gtid: None,
            commit_time: Micros::from_secs(at.log_pos),
            format: CatalogId(0),
            body,
        },
        raw: Bytes::from(raw),
    }
}

/// The instance's heartbeat.
pub fn heartbeat(at: Scn, written: Micros) -> Transaction {
    with_body(at, Body::Heartbeat { written }, Vec::new())
}

/// One inserted row for each `(catalog id, table, origin)`, each with an image of `image_bytes`.
pub fn inserts(at: Scn, rows: &[(u32, TableName, InstanceId)], image_bytes: u32) -> Transaction {
    inserts_part(at, rows, image_bytes, None)
}

/// The same as one part of a large transaction; its row numbers follow the part's SCN.
pub fn inserts_part(
    at: Scn,
    rows: &[(u32, TableName, InstanceId)],
    image_bytes: u32,
    part: Option<Part>,
) -> Transaction {
    let mut raw = Vec::new();
    let mut body = Rows { part, ..Rows::default() };
    for (n, (id, name, origin)) in rows.iter().enumerate() {
        let found = body.tables.iter().position(|used| used.version == CatalogId(*id));
        let table = found.unwrap_or_else(|| {
            body.tables.push(TableUse { name: name.clone(), version: CatalogId(*id), table_map: Span::NONE });
            body.tables.len() - 1
        });
        let row = at.row + n as u32 + 1;
        let after = Span { at: raw.len() as u32, len: image_bytes };
        raw.resize(raw.len() + image_bytes as usize, row as u8);
        body.rows.push(RowStamp {
            row,
            table: table as u16,
            kind: RowKind::Insert,
            key: KeyHash(u128::from(at.log_pos) << 32 | u128::from(row)),
            old_key: None,
            version: Version::new(Micros::from_secs(at.log_pos), *origin),
            base: None,
            old_base: None,
            before: Span::NONE,
            after,
        });
    }
    with_body(at, Body::Rows(body), raw)
}

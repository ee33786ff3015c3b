//! Arbitrary sound transactions for the property tests of this stage.

use bytes::Bytes;
use proptest::prelude::*;

use crate::catalog::CatalogId;
use crate::gtid::{Gtid, GtidSource, MySqlGtid, NUMBER_MAX, Tag, Uuid};
use crate::instance::InstanceId;
use crate::key::KeyHash;
use crate::scn::Scn;
use crate::tables::TableName;
use crate::time::Micros;
use crate::transaction::{
    Body, Ddl, DdlKind, Part, RowKind, RowStamp, Rows, Span, TableUse, Transaction, TransactionHeader,
    UniqueStamp,
};
use crate::version::Version;

/// Origins that the samples' rows come from.
pub const ORIGINS: [InstanceId; 3] = [InstanceId(1), InstanceId(2), InstanceId(3)];
/// Tables that the samples touch.
pub const TABLES: [(&str, &str); 4] =
    [("shop", "orders"), ("shop", "audit_1"), ("crm", "people"), ("weft", "mark")];

pub fn any_transaction() -> impl Strategy<Value = Transaction> {
    prop_oneof![6 => any_rows().boxed(), 1 => any_ddl().boxed(), 1 => any_heartbeat().boxed()]
}

fn with_header(scn: (u32, u32, u64), gtid: Option<Gtid>, body: Body, raw: Vec<u8>) -> Transaction {
    let header = TransactionHeader {
        scn: Scn::of_transaction(scn.0, scn.1, scn.2),
        server_id: 7,
        gtid,
        commit_time: Micros(scn.2),
        format: CatalogId(0),
        body,
    };
    Transaction { header, raw: Bytes::from(raw) }
}

fn any_gtid() -> impl Strategy<Value = Gtid> {
    let mysql = |(uuid, tag, number): (_, String, _)| {
        let source = GtidSource { uuid: Uuid(uuid), tag: Tag::new(&tag).expect("allowed") };
        Gtid::MySql(Box::new(MySqlGtid { source, number }))
    };
    prop_oneof![
        (any::<u32>(), any::<u32>(), any::<u64>()).prop_map(|(domain, id, n)| Gtid::mariadb(domain, id, n)),
        (any::<[u8; 16]>(), "|[a-z_][a-z0-9_]{0,31}", 1..=NUMBER_MAX).prop_map(mysql),
    ]
}

fn any_scn() -> impl Strategy<Value = (u32, u32, u64)> {
    (0..=Scn::EPOCH_MAX, any::<u32>(), 0..=Scn::LOG_POS_MAX)
}

fn any_heartbeat() -> impl Strategy<Value = Transaction> {
    (any_scn(), any::<u64>())
        .prop_map(|(scn, at)| with_header(scn, None, Body::Heartbeat { written: Micros(at) }, Vec::new()))
}

fn any_ddl() -> impl Strategy<Value = Transaction> {
    (any_scn(), prop::collection::vec(prop::sample::select(TABLES.to_vec()), 0..3), any::<bool>()).prop_map(
        |(scn, tables, destructive)| {
            let kind = if destructive { DdlKind::Destructive } else { DdlKind::Other };
            let tables = tables.into_iter().map(|(schema, table)| TableName::new(schema, table)).collect();
            let ddl = Ddl { kind, schema: "shop".into(), statement: "drop table x".into(), tables };
            with_header(scn, None, Body::Ddl(ddl), Vec::new())
        },
    )
}

/// One row before it has a place in `raw`.
#[derive(Debug, Clone)]
struct LooseRow {
    table: usize,
    kind: RowKind,
    version: Version,
    before: Vec<u8>,
    after: Vec<u8>,
    unique: usize,
}

fn any_loose_row() -> impl Strategy<Value = LooseRow> {
    let image = || prop::collection::vec(any::<u8>(), 1..12);
    let kinds = vec![RowKind::Insert, RowKind::Update, RowKind::Delete, RowKind::Evict];
    (
        0..TABLES.len(),
        prop::sample::select(kinds),
        any::<u64>(),
        0..ORIGINS.len(),
        image(),
        image(),
        0..3_usize,
    )
        .prop_map(|(table, kind, time, origin, before, after, unique)| LooseRow {
            table,
            kind,
            version: Version::new(Micros(time), ORIGINS[origin]),
            before: if kind == RowKind::Insert { Vec::new() } else { before },
            after: if matches!(kind, RowKind::Insert | RowKind::Update) { after } else { Vec::new() },
            unique,
        })
}

fn any_rows() -> impl Strategy<Value = Transaction> {
    let part = prop::option::of((0..3_u32, any::<bool>()).prop_map(|(index, last)| Part { index, last }));
    let gtid = prop::option::of(any_gtid());
    (any_scn(), gtid, prop::collection::vec(any_loose_row(), 0..8), part)
        .prop_map(|(scn, gtid, rows, part)| place_rows(scn, gtid, &rows, part))
}

/// Lays the rows out as a capture would: table maps first, then images with event bytes between.
fn place_rows(
    scn: (u32, u32, u64),
    gtid: Option<Gtid>,
    loose: &[LooseRow],
    part: Option<Part>,
) -> Transaction {
    let mut raw = Vec::new();
    let mut put = |bytes: &[u8]| {
        let span = Span { at: raw.len() as u32, len: bytes.len() as u32 };
        raw.extend_from_slice(bytes);
        span
    };
    let mut rows = Rows { part, ..Rows::default() };
    for (index, (schema, table)) in TABLES.iter().enumerate() {
        let table_map = put(format!("map of {schema}.{table}").as_bytes());
        let name = TableName::new(*schema, *table);
        rows.tables.push(TableUse { name, version: CatalogId(index as u32), table_map });
    }
    for (index, row) in loose.iter().enumerate() {
        put(b"rows event header");
        let key = KeyHash(u128::from(row.version.time.0) << 3 | row.table as u128);
        rows.rows.push(RowStamp {
            row: index as u32 + 1,
            table: row.table as u16,
            kind: row.kind,
            key,
            old_key: (row.unique == 2).then_some(KeyHash(1)),
            version: row.version,
            base: (row.unique == 1).then_some(row.version),
            old_base: None,
            before: if row.before.is_empty() { Span::NONE } else { put(&row.before) },
            after: if row.after.is_empty() { Span::NONE } else { put(&row.after) },
        });
        for which in 0..row.unique {
            let hash = KeyHash(index as u128 * 8 + which as u128);
            rows.unique.push(UniqueStamp { row: index as u32, hash, after: which == 0, changed: true });
        }
    }
    with_header(scn, gtid, Body::Rows(rows), raw)
}

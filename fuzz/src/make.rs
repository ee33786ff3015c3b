//! Values drawn from the fuzzer's bytes.

use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use weft_core::catalog::{CatalogId, Column, TableVersion};
use weft_core::gtid::{Gtid, GtidSource, MySqlGtid, NUMBER_MAX, Tag, Uuid};
use weft_core::instance::InstanceId;
use weft_core::key::KeyHash;
use weft_core::link::message::RowFilter;
use weft_core::mark::codec::TIME_MAX;
use weft_core::mark::{Eviction, Mark, Named, Run};
use weft_core::scn::Scn;
use weft_core::tables::{TableFilter, TableName};
use weft_core::time::Micros;
use weft_core::transaction::{
    Body, Ddl, DdlKind, Part, RowKind, RowStamp, Rows, SilentKey, Span, TableUse, Transaction,
    TransactionHeader, UniqueStamp,
};
use weft_core::version::Version;

/// Instances and tables that meet each other.
const ORIGINS: u32 = 3;
const TABLES: [(&str, &str); 4] =
    [("shop", "orders"), ("shop", "audit_1"), ("crm", "people"), ("weft", "mark")];
/// Type bytes of columns that a server writes, and one that none does.
const TYPES: [u8; 36] = [
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 140, 141, 242, 245, 246, 247, 248,
    249, 250, 251, 252, 253, 254, 254, 255, 15, 99,
];
const LIST_MAX: usize = 64;

/// Draws up to [`LIST_MAX`] of them.
fn list<T>(
    u: &mut Unstructured<'_>,
    mut draw: impl FnMut(&mut Unstructured<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    let mut drawn = Vec::new();
    while drawn.len() < LIST_MAX && !u.is_empty() && u.arbitrary()? {
        drawn.push(draw(u)?);
    }
    Ok(drawn)
}

pub fn bytes(u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let len = usize::from(u.arbitrary::<u8>()?).min(u.len());
    Ok(u.bytes(len)?.to_vec())
}

pub fn scn(u: &mut Unstructured<'_>) -> Result<Scn> {
    Ok(Scn {
        epoch: u.int_in_range(0..=Scn::EPOCH_MAX)?,
        log_index: u.arbitrary()?,
        log_pos: u.int_in_range(0..=Scn::LOG_POS_MAX)?,
        row: u.arbitrary()?,
    })
}

pub fn version(u: &mut Unstructured<'_>) -> Result<Version> {
    let time = Micros(u.int_in_range(0..=TIME_MAX.0 - 1)?);
    Ok(Version { time, origin: InstanceId(u.int_in_range(1..=ORIGINS)?), removed: u.arbitrary()? })
}

fn key(u: &mut Unstructured<'_>) -> Result<KeyHash> {
    Ok(KeyHash(u.arbitrary()?))
}

pub fn mark(u: &mut Unstructured<'_>) -> Result<Mark> {
    Ok(Mark {
        source: InstanceId(u.arbitrary()?),
        watermark: scn(u)?,
        watermark_time: version(u)?.time,
        runs: list(u, |u| {
            let (a, b) = (scn(u)?, scn(u)?);
            Ok(Run { first: a.min(b), last: a.max(b) })
        })?,
        named: list(u, |u| Ok(Named { version: version(u)?, keys: list(u, key)? }))?,
        evictions: list(u, |u| Ok(Eviction { key: key(u)?, version: version(u)?, events: bytes(u)? }))?,
    })
}

fn gtid(u: &mut Unstructured<'_>) -> Result<Gtid> {
    if u.arbitrary()? {
        return Ok(Gtid::mariadb(u.arbitrary()?, u.arbitrary()?, u.arbitrary()?));
    }
    let tag = Tag::new(["", "a", "monthly"][u.int_in_range(0..=2_usize)?]).expect("allowed tags");
    let source = GtidSource { uuid: Uuid(u.arbitrary()?), tag };
    Ok(Gtid::MySql(Box::new(MySqlGtid { source, number: u.int_in_range(1..=NUMBER_MAX)? })))
}

fn span(u: &mut Unstructured<'_>, raw_bytes: usize) -> Result<Span> {
    let at = u.int_in_range(0..=raw_bytes)?;
    let len = u.int_in_range(0..=raw_bytes - at)?;
    Ok(Span { at: at as u32, len: len as u32 })
}

fn option<T>(
    u: &mut Unstructured<'_>,
    draw: impl FnOnce(&mut Unstructured<'_>) -> Result<T>,
) -> Result<Option<T>> {
    if u.arbitrary()? { draw(u).map(Some) } else { Ok(None) }
}

fn row(u: &mut Unstructured<'_>, raw_bytes: usize) -> Result<RowStamp> {
    let kinds = [RowKind::Insert, RowKind::Update, RowKind::Delete, RowKind::Evict];
    Ok(RowStamp {
        row: u.arbitrary()?,
        table: u.int_in_range(0..=TABLES.len() as u16 - 1)?,
        kind: *u.choose(&kinds)?,
        key: key(u)?,
        old_key: option(u, key)?,
        version: version(u)?,
        base: option(u, version)?,
        old_base: option(u, version)?,
        before: span(u, raw_bytes)?,
        after: span(u, raw_bytes)?,
    })
}

fn rows(u: &mut Unstructured<'_>, raw_bytes: usize) -> Result<Rows> {
    let mut tables = Vec::new();
    for (number, (schema, table)) in (0..).zip(TABLES) {
        let name = TableName::new(schema, table);
        tables.push(TableUse { name, version: CatalogId(number), table_map: span(u, raw_bytes)? });
    }
    let rows = list(u, |u| row(u, raw_bytes))?;
    let mut unique = Vec::new();
    if let Some(last) = (rows.len() as u32).checked_sub(1) {
        unique = list(u, |u| {
            let row = u.int_in_range(0..=last)?;
            Ok(UniqueStamp { row, hash: key(u)?, after: u.arbitrary()?, changed: u.arbitrary()? })
        })?;
        unique.sort_by_key(|stamp| stamp.row);
    }
    let silent = list(u, |u| Ok(SilentKey { key: key(u)?, version: version(u)? }))?;
    let part = option(u, |u| Ok(Part { index: u.int_in_range(0..=3)?, last: u.arbitrary()? }))?;
    Ok(Rows { tables, rows, unique, silent, part })
}

/// A transaction as a capture could make it, but for the content of its raw bytes.
pub fn transaction(u: &mut Unstructured<'_>) -> Result<Transaction> {
    let raw = Bytes::from(bytes(u)?);
    let body = match u.int_in_range(0..=7)? {
        0 => Body::Heartbeat { written: Micros(u.arbitrary()?) },
        1 => Body::Ddl(Ddl {
            kind: if u.arbitrary()? { DdlKind::Destructive } else { DdlKind::Other },
            schema: u.arbitrary()?,
            statement: u.arbitrary()?,
            tables: list(u, |u| Ok(TableName::new(u.arbitrary::<String>()?, u.arbitrary::<String>()?)))?,
        }),
        _ => Body::Rows(rows(u, raw.len())?),
    };
    let header = TransactionHeader {
        scn: scn(u)?,
        server_id: u.arbitrary()?,
        gtid: option(u, gtid)?,
        commit_time: Micros(u.arbitrary()?),
        format: CatalogId(0),
        body,
    };
    Ok(Transaction { header, raw })
}

/// A channel's filter over the tables of [`transaction`].
pub fn filter(u: &mut Unstructured<'_>) -> Result<RowFilter> {
    const GLOBS: [&str; 6] = ["*", "shop.*", "!shop.audit_*", "crm.people", "?hop.orders", "*.*_1"];
    let globs = |u: &mut Unstructured<'_>| -> Result<TableFilter> {
        Ok(TableFilter::new(list(u, |u| Ok(*u.choose(&GLOBS)?))?))
    };
    let origin = |u: &mut Unstructured<'_>| Ok(InstanceId(u.int_in_range(1..=ORIGINS)?));
    Ok(RowFilter { tables: globs(u)?, target: origin(u)?, direct: list(u, |u| Ok((origin(u)?, globs(u)?)))? })
}

/// A table, with whatever metadata.
pub fn table(u: &mut Unstructured<'_>) -> Result<TableVersion> {
    let columns = list(u, |u| {
        let collation = match u.int_in_range(0..=4)? {
            0 => 0,
            1 => 63,
            2 => 45,
            3 => 224,
            _ => u.arbitrary()?,
        };
        Ok(Column {
            name: "c`'\\".to_owned(),
            type_code: *u.choose(&TYPES)?,
            meta: u.arbitrary()?,
            nullable: u.arbitrary()?,
            unsigned: u.arbitrary()?,
            collation,
            column_type: None,
            default: None,
            generated: false,
            labels: list(u, |u| u.arbitrary())?,
        })
    })?;
    let count = columns.len() as u16;
    let primary_key = list(u, |u| u.int_in_range(0..=count))?;
    Ok(TableVersion {
        name: TableName::new("shop", "orders"),
        columns,
        primary_key,
        unique_keys: Vec::new(),
        exact: true,
    })
}

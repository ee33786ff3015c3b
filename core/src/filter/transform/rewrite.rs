//! Deliveries made over.
//!
//! New table maps and masked images go behind the raw bytes of the delivery, whose own images stay
//! where they are: what a transform leaves alone is not copied row by row.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::BytesMut;

use super::Transforms;
use super::fit::{Fitted, TransformError};
use crate::binlog::image::{Values, value_places};
use crate::binlog::value::Value;
use crate::binlog::{Malformed, table_map_names};
use crate::catalog::{CatalogId, TableVersion};
use crate::channel::delivery::Delivery;
use crate::key::{KeyHash, TableKeys};
use crate::stamp::scan::push_unique;
use crate::transaction::{Body, RowKind, RowStamp, Rows, Span};

/// Bytes that a masked value takes in an image at most, its length in front included.
const MASKED_BYTES_MAX: u64 = 65;

/// Transforms the deliveries of one direction.
#[derive(Debug, Default)]
pub struct Transformer {
    transforms: Transforms,
    /// What was made of the table versions met so far.
    known: HashMap<CatalogId, Known>,
}

#[derive(Debug)]
struct Known {
    source: Arc<TableVersion>,
    /// None: the table is not transformed.
    fitted: Result<Option<Table>, TransformError>,
}

#[derive(Debug)]
struct Table {
    fitted: Fitted,
    keys: TableKeys,
}

/// Why a delivery cannot be transformed. Stop there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum CannotTransform {
    #[error(
        "the transform of {table} does not fit the table as it was at the source then: {cause}; correct the transform, or \
         skip this change"
    )]
    DoesNotFit { table: String, cause: TransformError },
    #[error("a row to be transformed cannot be read: {0}; copy its table again, or skip it")]
    Unreadable(#[from] Malformed),
    #[error("the transformed rows take more than 4 GiB; commit fewer rows at a time, or skip this change")]
    TooLarge,
}

impl Transformer {
    pub fn new(transforms: Transforms) -> Transformer {
        Transformer { transforms, known: HashMap::new() }
    }

    /// The delivery as the target is to get it. One that cannot be transformed keeps its rows and says
    /// why in [`Delivery::refused`].
    pub fn transform(&mut self, delivery: Arc<Delivery>) -> Arc<Delivery> {
        let Some(rows) = delivery.transaction.rows() else { return delivery };
        if !rows.tables.iter().any(|table| self.transforms.of(&table.name).is_some()) {
            return delivery;
        }
        match self.make_over(&delivery, rows) {
            Ok(transformed) => Arc::new(transformed),
            Err(cause) => {
                let refused = Some(cause.to_string());
                Arc::new(Delivery { refused, ..Delivery::clone(&delivery) })
            }
        }
    }

    fn make_over(&mut self, delivery: &Delivery, rows: &Rows) -> Result<Delivery, CannotTransform> {
        for (table, source) in rows.tables.iter().zip(&delivery.tables) {
            self.fit(table.version, source);
        }
        let mut out = MadeOver {
            raw: BytesMut::from(&delivery.transaction.raw[..]),
            rows: Rows { part: rows.part, tables: rows.tables.clone(), ..Rows::default() },
        };
        let mut tables = delivery.tables.clone();
        for (table, version) in out.rows.tables.iter_mut().zip(&mut tables) {
            let known = self.known.get(&table.version).expect("every table was fitted above");
            let fitted = known.fitted.as_ref().map_err(|cause| CannotTransform::DoesNotFit {
                table: table.name.to_string(),
                cause: cause.clone(),
            })?;
            let Some(Table { fitted, .. }) = fitted else { continue };
            let event = delivery.transaction.bytes(table.table_map);
            let names: Vec<&str> = fitted.target.columns.iter().map(|column| column.name.as_str()).collect();
            let event = table_map_names::with_names(event, &fitted.target.name, &names)?;
            table.table_map = append(&mut out.raw, &event)?;
            table.name = fitted.target.name.clone();
            *version = Arc::clone(&fitted.target);
        }
        let mut unique = rows.unique.iter().peekable();
        for (index, row) in rows.rows.iter().enumerate() {
            let version = rows.tables[usize::from(row.table)].version;
            let known = self.known.get_mut(&version).expect("every table was fitted above");
            if let Ok(Some(table)) = &mut known.fitted {
                out.row(delivery, &known.source, table, row)?;
                while unique.next_if(|stamp| stamp.row as usize <= index).is_some() {}
            } else {
                let new_row = out.rows.rows.len() as u32;
                out.rows.rows.push(*row);
                while let Some(stamp) = unique.next_if(|stamp| stamp.row as usize <= index) {
                    out.rows.unique.push(crate::transaction::UniqueStamp { row: new_row, ..*stamp });
                }
            }
        }
        let mut transaction = delivery.transaction.clone();
        transaction.header.body = Body::Rows(out.rows);
        transaction.raw = out.raw.freeze();
        Ok(Delivery { transaction, tables, format: Arc::clone(&delivery.format), refused: None })
    }

    fn fit(&mut self, id: CatalogId, source: &Arc<TableVersion>) {
        let is_known = |known: &Known| Arc::ptr_eq(&known.source, source) || known.source == *source;
        if self.known.get(&id).is_some_and(is_known) {
            return;
        }
        let fitted = self.transforms.of(&source.name).map(|transform| {
            let fitted = Fitted::new(transform, source)?;
            let keys = TableKeys::new(&fitted.target);
            Ok(Table { fitted, keys })
        });
        self.known.insert(id, Known { source: Arc::clone(source), fitted: fitted.transpose() });
    }
}

/// Bytes behind the others.
fn append(raw: &mut BytesMut, bytes: &[u8]) -> Result<Span, CannotTransform> {
    let end = raw.len() as u64 + bytes.len() as u64;
    if end > u64::from(u32::MAX) {
        return Err(CannotTransform::TooLarge);
    }
    let span = Span { at: raw.len() as u32, len: bytes.len() as u32 };
    raw.extend_from_slice(bytes);
    Ok(span)
}

/// What a delivery becomes.
struct MadeOver {
    raw: BytesMut,
    rows: Rows,
}

/// One side of a change.
struct Side {
    /// The condition holds for it.
    wanted: bool,
    image: Span,
    key: KeyHash,
    unique: Vec<Option<KeyHash>>,
}

impl MadeOver {
    fn row(
        &mut self,
        delivery: &Delivery,
        source: &TableVersion,
        table: &mut Table,
        row: &RowStamp,
    ) -> Result<(), CannotTransform> {
        let has_before = row.kind != RowKind::Insert;
        let has_after = matches!(row.kind, RowKind::Insert | RowKind::Update);
        let mut side =
            |has: bool, image: Span| has.then(|| self.side(delivery, source, table, image)).transpose();
        let before = side(has_before, row.before)?.filter(|side| side.wanted);
        let after = side(has_after, row.after)?.filter(|side| side.wanted);
        let moved = row.old_key.is_some();
        let stamp = match (&before, &after) {
            (None, None) => return Ok(()),
            (Some(before), Some(after)) => RowStamp {
                key: after.key,
                old_key: moved.then_some(before.key),
                before: before.image,
                after: after.image,
                ..*row
            },
            (None, Some(after)) => RowStamp {
                kind: RowKind::Insert,
                key: after.key,
                old_key: None,
                old_base: None,
                before: Span::NONE,
                after: after.image,
                ..*row
            },
            (Some(before), None) => RowStamp {
                kind: if row.kind == RowKind::Evict { RowKind::Evict } else { RowKind::Delete },
                key: before.key,
                old_key: None,
                base: if moved { row.old_base } else { row.base },
                old_base: None,
                before: before.image,
                after: Span::NONE,
                ..*row
            },
        };
        let index = self.rows.rows.len() as u32;
        self.rows.rows.push(stamp);
        let values = |side: Option<Side>| side.map(|side| side.unique).unwrap_or_default();
        push_unique(&mut self.rows.unique, index, &values(before), &values(after));
        Ok(())
    }

    fn side(
        &mut self,
        delivery: &Delivery,
        source: &TableVersion,
        table: &mut Table,
        image: Span,
    ) -> Result<Side, CannotTransform> {
        let bytes = delivery.transaction.bytes(image);
        let values = Values::new(&source.columns, bytes).collect::<Result<Vec<Value<'_>>, _>>()?;
        let wanted = match &table.fitted.condition {
            Some(condition) => condition.holds(&source.columns, &values)?,
            None => true,
        };
        if !wanted {
            return Ok(Side { wanted, image, key: KeyHash::NONE, unique: Vec::new() });
        }
        let columns = &table.fitted.target.columns;
        let masked;
        let (image, values) = if table.fitted.masks.iter().any(Option::is_some) {
            let room = bytes.len() as u64 + MASKED_BYTES_MAX * columns.len() as u64;
            if self.raw.len() as u64 + room > u64::from(u32::MAX) {
                return Err(CannotTransform::TooLarge);
            }
            masked = masked_image(source, &table.fitted, bytes, &values)?;
            (append(&mut self.raw, &masked)?, Values::new(columns, &masked).collect::<Result<Vec<_>, _>>()?)
        } else {
            (image, values)
        };
        let key = table.keys.primary(columns, &values);
        let unique = table.keys.unique(columns, &values).collect();
        Ok(Side { wanted, image, key, unique })
    }
}

/// The image with masked values in place of those of masked columns.
fn masked_image(
    source: &TableVersion,
    fitted: &Fitted,
    image: &[u8],
    values: &[Value<'_>],
) -> Result<Vec<u8>, Malformed> {
    let places = value_places(&source.columns, image)?;
    let mut out = vec![0; source.columns.len().div_ceil(8)];
    for (at, ((place, value), mask)) in places.into_iter().zip(values).zip(&fitted.masks).enumerate() {
        let masked = mask.map(|mask| mask.apply(value)).transpose()?;
        match (place, masked) {
            (Some(place), None) => out.extend_from_slice(&image[place]),
            (Some(_), Some(Some(text))) => {
                // At most 64 characters of ASCII: one byte says how many.
                out.push(text.len() as u8);
                out.extend_from_slice(text.as_bytes());
            }
            (None, _) | (Some(_), Some(None)) => out[at / 8] |= 1 << (at % 8),
        }
    }
    Ok(out)
}

#[cfg(test)]
#[path = "rewrite_tests.rs"]
mod tests;

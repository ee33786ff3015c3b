//! The changes of a batch: what every row of it does to every key that it touches.

use std::collections::HashMap;
use std::sync::Arc;

use crate::channel::delivery::{Delivery, Unit};
use crate::channel::keys::KeyMap;
use crate::key::KeyHash;
use crate::key::exact::unweighed;
use crate::scn::Scn;
use crate::sink::step::{LockBy, LockRow};
use crate::tables::TableName;
use crate::transaction::{RowKind, RowStamp, Span};
use crate::version::Version;

/// What a row change does to one key. An update that moves its row is two changes: the old key's row
/// goes, the new key's row comes.
#[derive(Debug, Clone)]
pub(super) struct Change {
    pub delivery: Arc<Delivery>,
    /// Index into the transaction's tables.
    pub table: u16,
    /// Number of the table in the batch.
    pub table_number: u32,
    /// Index into the transaction's rows.
    pub row: u32,
    pub scn: Scn,
    pub key: KeyHash,
    pub version: Version,
    pub base: Option<Version>,
    /// The row is there after the change.
    pub present: bool,
    /// The row was there before it, at the source.
    pub expected: bool,
    /// The row after the change if it is there then, else before it.
    pub image: Span,
    /// An image by whose primary key the target finds the row.
    pub find_by: Span,
    /// Second half of a move: the row is counted with the first.
    pub half: bool,
}

impl Change {
    /// Asks for the change's row, by primary key.
    pub fn row_by_primary_key(&self) -> LockRow {
        LockRow {
            delivery: self.delivery.clone(),
            table: self.table,
            image: self.image,
            by: LockBy::PrimaryKey,
        }
    }

    /// The unique values that the row has after the change.
    pub fn unique_after(&self) -> impl Iterator<Item = KeyHash> {
        let unique = self.delivery.transaction.rows().map_or(&[][..], |rows| &rows.unique);
        let first = unique.partition_point(|stamp| stamp.row < self.row);
        let of_row = unique[first..].iter().take_while(|stamp| stamp.row == self.row);
        of_row.filter(|stamp| stamp.after && self.present).map(|stamp| stamp.hash)
    }

    pub fn counted(&self) -> u64 {
        u64::from(!self.half)
    }
}

/// The changes of some units, in the order of pulling.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub all: Vec<Change>,
    /// By table number: no unique key of the table changes hands in the batch and all its keys are
    /// weighed, so that only the last state of each of its rows counts.
    pub foldable: Vec<bool>,
    /// By table number: a key of the table is not weighed exactly, so that two key hashes may be one row.
    pub unweighed: Vec<bool>,
}

impl Changes {
    pub fn of(units: &[Unit]) -> Changes {
        let mut changes = Changes::default();
        let mut tables: HashMap<&TableName, u32> = HashMap::new();
        for unit in units {
            let Some(rows) = unit.delivery.transaction.rows() else { continue };
            let numbers: Vec<u32> = rows
                .tables
                .iter()
                .map(|table| {
                    let next = tables.len() as u32;
                    *tables.entry(&table.name).or_insert(next)
                })
                .collect();
            changes.foldable.resize(tables.len(), true);
            changes.unweighed.resize(tables.len(), false);
            for (number, table) in numbers.iter().zip(&unit.delivery.tables) {
                if unweighed(table).is_some() {
                    changes.foldable[*number as usize] = false;
                    changes.unweighed[*number as usize] = true;
                }
            }
            for (index, stamp) in unit.stamps() {
                changes.push(unit, index, stamp, numbers[usize::from(stamp.table)]);
            }
            let first = rows.unique.partition_point(|unique| unique.row < unit.rows.start);
            for unique in rows.unique[first..].iter().take_while(|unique| unique.row < unit.rows.end) {
                if unique.changed {
                    let table = rows.rows[unique.row as usize].table;
                    changes.foldable[numbers[usize::from(table)] as usize] = false;
                }
            }
        }
        changes
    }

    fn push(&mut self, unit: &Unit, row: u32, stamp: &RowStamp, table_number: u32) {
        let change = Change {
            delivery: unit.delivery.clone(),
            table: stamp.table,
            table_number,
            row,
            scn: stamp.scn(unit.scn),
            key: stamp.key,
            version: stamp.version,
            base: stamp.base,
            present: matches!(stamp.kind, RowKind::Insert | RowKind::Update),
            expected: stamp.kind != RowKind::Insert,
            image: stamp.before,
            find_by: stamp.before,
            half: false,
        };
        if !change.present {
            self.all.push(change);
            return;
        }
        let after = Change { image: stamp.after, ..change };
        match stamp.old_key {
            None if stamp.kind == RowKind::Insert => {
                self.all.push(Change { find_by: stamp.after, ..after });
            }
            None => self.all.push(after),
            Some(old_key) => {
                self.all.push(Change {
                    key: old_key,
                    base: stamp.old_base,
                    present: false,
                    image: stamp.before,
                    half: true,
                    ..after.clone()
                });
                self.all.push(Change { expected: false, find_by: stamp.after, ..after });
            }
        }
    }

    /// A request for each key's row, once; and the keys, parallel to them.
    pub fn lock_rows(&self) -> (Vec<LockRow>, Vec<KeyHash>) {
        let mut seen: KeyMap<()> = KeyMap::default();
        self.all
            .iter()
            .filter(|change| seen.insert(change.key, ()).is_none())
            .map(|change| (change.row_by_primary_key(), change.key))
            .unzip()
    }

    /// Whether the batch takes away a row that `there` does not have. Nothing holds the place of such
    /// a row but a gap lock.
    pub fn deletes_missing(&self, there: &KeyMap<bool>) -> bool {
        let mut last: KeyMap<bool> = KeyMap::default();
        for change in &self.all {
            last.insert(change.key, change.present);
        }
        last.iter().any(|(key, &present)| !present && there.get(key) == Some(&false))
    }
}

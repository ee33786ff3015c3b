//! The plan: what of a batch is written, named, passed over and recorded. Pure: the changes, which
//! rows are there, and the ledger go in.

use std::collections::HashMap;

use crate::binlog::Malformed;
use crate::channel::delivery::Unit;
use crate::channel::keys::KeyMap;
use crate::filter::decide::{Action, ConflictRule, decide};
use crate::key::KeyHash;
use crate::key::exact::{Unweighed, unweighed};
use crate::ledger::LedgerView;
use crate::mark::{Eviction, Named};
use crate::scn::Scn;
use crate::sink::apply::change::{Change, Changes};
use crate::sink::step::{ConflictRecord, LockRow, RowWrite, Stop, StopKind, Verdict, WriteOp};
use crate::tables::TableName;
use crate::version::Version;

/// Why a batch cannot be planned; each names the change.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(super) enum CannotPlan {
    #[error(
        "the change at SCN {0} is older than the target's conflict window, so it cannot be decided; copy its table again, or skip it"
    )]
    TooOld(Scn),
    #[error(
        "a row of {1} at SCN {0} has no primary key to tell it from others by: it would be lost or written twice; give \
         the table a PRIMARY KEY, copy it again and skip this change, or take the table out of the channel with \
         \"!{1}\""
    )]
    NoKey(Scn, TableName),
    #[error("the row at SCN {0} cannot be read: {1}; copy its table again, or skip it")]
    Unreadable(Scn, Malformed),
    #[error(
        "table {table} at SCN {scn} has column {column} in its key {key}, whose collation (number {collation} in \
         information_schema) Weft cannot compare as the server does: two ways the sites could end different; ALTER the \
         column at all sites to one that weft check names, copy the table again and skip this change, or take the table \
         out of the channel with \"!{table}\""
    )]
    Unweighed { scn: Scn, table: TableName, key: String, column: String, collation: u16 },
    #[error("at SCN {0}: {1}")]
    Refused(Scn, String),
}

impl CannotPlan {
    /// As the shard reports it.
    pub fn stop(&self) -> Stop {
        let (scn, kind) = match self {
            CannotPlan::TooOld(scn) => (*scn, StopKind::TooOld),
            CannotPlan::NoKey(scn, _) | CannotPlan::Unweighed { scn, .. } => (*scn, StopKind::DoesNotFit),
            CannotPlan::Unreadable(scn, _) | CannotPlan::Refused(scn, _) => (*scn, StopKind::DoesNotFit),
        };
        Stop { scn: Some(scn), reason: self.to_string(), kind }
    }
}

/// Every row must have a key: rows without one are all alike to what folds, locks and decides.
pub(super) fn require_keys(changes: &Changes) -> Result<(), CannotPlan> {
    match changes.all.iter().find(|change| change.key == KeyHash::NONE) {
        Some(change) => {
            let table = &change.delivery.tables[usize::from(change.table)];
            Err(CannotPlan::NoKey(change.scn, table.name.clone()))
        }
        None => Ok(()),
    }
}

/// Where rows are decided by version, each needs a key that has one hash at all sites, however it is
/// spelled: versions of one row would pass each other by.
pub(super) fn require_weighed(changes: &Changes) -> Result<(), CannotPlan> {
    let suspect = changes.all.iter().filter(|change| changes.unweighed[change.table_number as usize]);
    let mut found = suspect.filter_map(|change| {
        let table = &change.delivery.tables[usize::from(change.table)];
        unweighed(table).map(|Unweighed { key, column }| CannotPlan::Unweighed {
            scn: change.scn,
            table: table.name.clone(),
            key: key.to_owned(),
            column: column.name.clone(),
            collation: column.collation,
        })
    });
    found.next().map_or(Ok(()), Err)
}

/// No transform of the deliveries may have failed.
pub(super) fn require_transformed(units: &[Unit]) -> Result<(), CannotPlan> {
    let refused = units.iter().find_map(|unit| Some((unit.scn, unit.delivery.refused.clone()?)));
    refused.map_or(Ok(()), |(scn, reason)| Err(CannotPlan::Refused(scn, reason)))
}

/// What to do with a batch.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// In the order in which they are written.
    pub writes: Vec<RowWrite>,
    pub named: Vec<Named>,
    pub evictions: Vec<Eviction>,
    /// Their `local` is the index into `to_read` until the rows are read.
    pub conflicts: Vec<ConflictRecord>,
    pub to_read: Vec<LockRow>,
    /// Keys that were not there and get a row, with the ledger's versions of them.
    pub inserted: Vec<(KeyHash, Option<Version>)>,
    pub applied: u64,
    pub skipped: u64,
    pub mended: u64,
}

impl Plan {
    /// Nothing to write, to name or to record: the target need not hear of the batch.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
            && self.named.is_empty()
            && self.evictions.is_empty()
            && self.conflicts.is_empty()
    }
}

/// Grows a plan, change by change.
pub(super) struct Planner<'a, L: LedgerView + ?Sized> {
    pub rule: ConflictRule,
    pub ledger: &'a L,
    /// Which rows are there, as the planned writes leave them. A key that is not in it is taken to be
    /// as the source had it.
    pub there: KeyMap<bool>,
    /// Versions that the planned changes give to keys.
    pub versions: KeyMap<Version>,
    pub plan: Plan,
}

impl<'a, L: LedgerView + ?Sized> Planner<'a, L> {
    pub fn new(rule: ConflictRule, ledger: &'a L, there: KeyMap<bool>) -> Planner<'a, L> {
        Planner { rule, ledger, there, versions: KeyMap::default(), plan: Plan::default() }
    }

    /// The newest version of the key, the planned changes included.
    pub fn version_of(&self, key: KeyHash) -> Option<Version> {
        self.versions.get(&key).copied().or_else(|| self.ledger.newest(&key))
    }

    /// Decides a change against its own key. True: it wins.
    pub fn wins(&mut self, change: &Change) -> Result<bool, CannotPlan> {
        let local = self.version_of(change.key);
        let decision = decide(self.rule, change.version, change.base, local, self.ledger.horizon());
        if let Some(verdict) = decision.conflict {
            self.record(change, verdict, local, change.row_by_primary_key());
        }
        match decision.action {
            Action::Apply => {
                self.versions.insert(change.key, change.version);
                self.plan.applied += change.counted();
                Ok(true)
            }
            Action::Skip => {
                self.plan.skipped += change.counted();
                Ok(false)
            }
            Action::RefuseTooOld => Err(CannotPlan::TooOld(change.scn)),
        }
    }

    /// Notes a conflict with the row that `local_row` finds.
    pub fn record(&mut self, change: &Change, verdict: Verdict, local: Option<Version>, local_row: LockRow) {
        self.plan.conflicts.push(ConflictRecord {
            delivery: change.delivery.clone(),
            table: change.table,
            scn: change.scn,
            key: change.key,
            image: change.image,
            incoming: change.present.then_some(change.image),
            local: Some(self.plan.to_read.len() as u32),
            incoming_version: change.version,
            base: change.base,
            local_version: local,
            verdict,
        });
        self.plan.to_read.push(local_row);
    }

    /// Plans the write that brings the row to where the change has it. `expected`: the row was there
    /// at the source before what this write stands for.
    pub fn write(&mut self, change: &Change, expected: bool) {
        let there = self.there.insert(change.key, change.present).unwrap_or(expected);
        if there != expected {
            self.plan.mended += 1;
        }
        let op = match (there, change.present) {
            (true, true) => WriteOp::Update { before: change.find_by, after: change.image },
            (false, true) => {
                self.plan.inserted.push((change.key, self.ledger.newest(&change.key)));
                WriteOp::Insert { after: change.image }
            }
            (true, false) => WriteOp::Delete { before: change.image },
            (false, false) => return,
        };
        self.push_write(change, op);
    }

    pub fn push_write(&mut self, change: &Change, op: WriteOp) {
        self.plan.writes.push(RowWrite { delivery: change.delivery.clone(), table: change.table, op });
    }

    /// Names the keys of the winners, each with its last version.
    pub fn name(&mut self, winners: &[&Change]) {
        let mut last: KeyMap<usize> = KeyMap::default();
        for (index, change) in winners.iter().enumerate() {
            last.insert(change.key, index);
        }
        let mut places: HashMap<Version, usize> = HashMap::new();
        for (index, change) in winners.iter().enumerate() {
            if last[&change.key] != index {
                continue;
            }
            let named = &mut self.plan.named;
            let place = *places.entry(change.version).or_insert_with(|| {
                named.push(Named { version: change.version, keys: Vec::new() });
                named.len() - 1
            });
            named[place].keys.push(change.key);
        }
    }
}

/// Plans a batch without regard to unique keys: where one is in the way, the target says so, and the
/// batch is planned again with care. `there` may leave out keys; their rows are then taken to be
/// where the source had them.
pub(super) fn plan<L: LedgerView + ?Sized>(
    changes: &Changes,
    rule: ConflictRule,
    names: bool,
    there: KeyMap<bool>,
    ledger: &L,
) -> Result<Plan, CannotPlan> {
    let mut planner = Planner::new(rule, ledger, there);
    let mut winners: Vec<&Change> = Vec::with_capacity(changes.all.len());
    for change in &changes.all {
        if planner.wins(change)? {
            winners.push(change);
        }
    }
    if names {
        planner.name(&winners);
    }
    let (folded, in_order): (Vec<&Change>, Vec<&Change>) =
        winners.into_iter().partition(|change| changes.foldable[change.table_number as usize]);
    write_folded(&mut planner, &folded);
    in_order.into_iter().for_each(|change| planner.write(change, change.expected));
    Ok(planner.plan)
}

/// The changes of one key, folded.
struct Folded {
    /// The row was there at the source before the first of them.
    expected: bool,
    /// Index of the last of them.
    last: usize,
    /// Index of the last one that leaves a row.
    last_present: Option<usize>,
}

/// Writes the last state of each key only, like next to like, so that many rows go in one statement.
fn write_folded<L: LedgerView + ?Sized>(planner: &mut Planner<'_, L>, folded: &[&Change]) {
    let mut keys: KeyMap<Folded> = KeyMap::default();
    for (index, change) in folded.iter().enumerate() {
        let new = Folded { expected: change.expected, last: index, last_present: None };
        let key = keys.entry(change.key).or_insert(new);
        key.last = index;
        if change.present {
            key.last_present = Some(index);
        }
    }
    let mut order: Vec<(u32, u8, usize)> = folded
        .iter()
        .enumerate()
        .filter(|(index, change)| keys[&change.key].last == *index)
        .map(|(index, change)| {
            let there = *planner.there.get(&change.key).unwrap_or(&keys[&change.key].expected);
            let rank = match (there, change.present) {
                (true, false) => 0,
                (true, true) => 1,
                (false, true) => 2,
                (false, false) => 3,
            };
            (change.table_number, rank, index)
        })
        .collect();
    order.sort_unstable();
    for (_, _, index) in order {
        let change = folded[index];
        let Folded { expected, last_present, .. } = keys[&change.key];
        // A row that came and went, and nobody looked whether one is there: only trying tells. If
        // there is one, it has to go as well.
        if !change.present && !expected && !planner.there.contains_key(&change.key) {
            last_present.into_iter().for_each(|present| planner.write(folded[present], expected));
            planner.write(change, true);
        } else {
            planner.write(change, expected);
        }
    }
}

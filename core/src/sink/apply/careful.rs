//! The careful plan: every row in the order of pulling, unfolded, with the holders of its unique
//! values known. A value that its holder gives up earlier in the batch is free; one that its holder
//! keeps goes to the row with the greater version, and the other row is evicted.

use crate::binlog::Malformed;
use crate::channel::delivery::Delivery;
use crate::channel::keys::KeyMap;
use crate::filter::decide::ConflictRule;
use crate::filter::unique::{Contest, contest};
use crate::key::KeyHash;
use crate::ledger::LedgerView;
use crate::mark::Eviction;
use crate::sink::apply::change::{Change, Changes};
use crate::sink::apply::plan::{CannotPlan, Plan, Planner};
use crate::sink::replay;
use crate::sink::step::{Found, LockBy, LockRow, Verdict, WriteOp};
use crate::time::Micros;
use crate::transaction::Span;
use crate::version::Version;

/// Makes a canonical table map and delete rows event for one row: (delivery, index of its table, the
/// row's image). Named in the mark where an evicted row was never at the target. Always
/// [`delete_events`], but where images are models of images.
pub type DeleteEvents = fn(&Delivery, u16, Span) -> Result<Vec<u8>, Malformed>;

/// The canonical events that delete the row with this image.
///
/// # Errors
/// The delivery's table map is none.
pub fn delete_events(delivery: &Delivery, table: u16, image: Span) -> Result<Vec<u8>, Malformed> {
    let rows = delivery.transaction.rows().expect("only rows have images");
    let table_map = delivery.transaction.bytes(rows.tables[usize::from(table)].table_map);
    replay::delete_event(table_map, delivery.transaction.bytes(image))
}

/// What the careful plan is given, besides the changes and the ledger.
#[derive(Debug)]
pub(super) struct Given<'a> {
    pub there: KeyMap<bool>,
    pub holders: &'a Holders,
    /// See [`contest`].
    pub eviction_floor: Micros,
    pub delete_events: DeleteEvents,
}

/// A holder of a unique value, as the target had it before the batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Holder {
    pub key: KeyHash,
    /// Index of the unique key by whose value it was found.
    pub unique: u16,
}

/// By index into the changes.
pub(super) type Holders = Vec<Vec<Holder>>;

/// Requests for the holders of all unique values that the changes bring; and for each request the
/// index of its change.
pub(super) fn lock_holders(changes: &Changes) -> (Vec<LockRow>, Vec<usize>) {
    let mut requests = Vec::new();
    let mut of_change = Vec::new();
    for (index, change) in changes.all.iter().enumerate().filter(|(_, change)| change.present) {
        let table = change.delivery.tables.get(usize::from(change.table));
        for unique in 0..table.map_or(0, |table| table.unique_keys.len() as u16) {
            requests.push(holder_by(change, unique));
            of_change.push(index);
        }
    }
    (requests, of_change)
}

/// Reads the answers to the requests of [`lock_holders`].
pub(super) fn holders(changes: &Changes, of_change: &[usize], found: &[Found]) -> Holders {
    let mut holders: Holders = vec![Vec::new(); changes.all.len()];
    // The requests of one change stand together, by rising index of the unique key.
    let mut unique = 0;
    for (place, (change, found)) in of_change.iter().zip(found).enumerate() {
        unique = if place > 0 && of_change[place - 1] == *change { unique + 1 } else { 0 };
        if let Found::Holder { key, .. } = found {
            holders[*change].push(Holder { key: *key, unique });
        }
    }
    holders
}

fn holder_by(change: &Change, unique: u16) -> LockRow {
    LockRow {
        delivery: change.delivery.clone(),
        table: change.table,
        image: change.image,
        by: LockBy::UniqueKey(unique),
    }
}

/// Where a row stands that the plan has written or deleted.
struct Touched<'a> {
    /// The change that wrote it; None: it is deleted.
    by: Option<&'a Change>,
}

/// A row in the way of a change.
struct Rival<'a> {
    key: KeyHash,
    /// The change of this batch that put it there; else the unique key by which it was found.
    put_by: Result<&'a Change, u16>,
}

struct Careful<'a, L: LedgerView + ?Sized> {
    planner: Planner<'a, L>,
    touched: KeyMap<Touched<'a>>,
    /// Unique values of touched rows that are there.
    holds: KeyMap<KeyHash>,
    winners: Vec<&'a Change>,
    eviction_floor: Micros,
    delete_events: DeleteEvents,
}

/// Plans a batch with regard to unique keys.
pub(super) fn plan<L: LedgerView + ?Sized>(
    changes: &Changes,
    given: Given<'_>,
    ledger: &L,
) -> Result<Plan, CannotPlan> {
    let mut careful = Careful {
        planner: Planner::new(ConflictRule::LastWriteWins, ledger, given.there),
        touched: KeyMap::default(),
        holds: KeyMap::default(),
        winners: Vec::new(),
        eviction_floor: given.eviction_floor,
        delete_events: given.delete_events,
    };
    for (change, holders) in changes.all.iter().zip(given.holders) {
        careful.apply(change, holders)?;
    }
    let Careful { mut planner, winners, .. } = careful;
    planner.name(&winners);
    Ok(planner.plan)
}

impl<'a, L: LedgerView + ?Sized> Careful<'a, L> {
    fn apply(&mut self, change: &'a Change, holders: &[Holder]) -> Result<(), CannotPlan> {
        if !self.planner.wins(change)? {
            return Ok(());
        }
        let rivals = self.rivals(change, holders);
        // The strongest rival first: a row that has to go itself evicts nobody.
        for rival in &rivals {
            let version = self.planner.version_of(rival.key);
            if let Contest::EvictIncoming(evicted) = self.contest(change, rival.key, version) {
                let local_row = locate(change, rival);
                self.planner.record(change, Verdict::IncomingEvicted, version, local_row);
                self.planner.plan.applied -= change.counted();
                self.planner.plan.skipped += change.counted();
                self.evict_incoming(change, evicted)?;
                return Ok(());
            }
        }
        for rival in &rivals {
            let version = self.planner.version_of(rival.key);
            let evicted = match self.contest(change, rival.key, version) {
                Contest::EvictHolder(evicted) | Contest::EvictIncoming(evicted) => evicted,
            };
            self.planner.record(change, Verdict::LocalEvicted, version, locate(change, rival));
            let (by, op) = match rival.put_by {
                Ok(put_by) => (put_by, WriteOp::Delete { before: put_by.image }),
                Err(unique) => (change, WriteOp::DeleteHolder { image: change.image, unique }),
            };
            self.planner.push_write(by, op);
            self.name_evicted(rival.key, evicted, Vec::new());
        }
        self.winners.push(change);
        self.planner.write(change, change.expected);
        self.forget(change.key);
        if change.present {
            self.holds.extend(change.unique_after().map(|value| (value, change.key)));
        }
        self.touched.insert(change.key, Touched { by: change.present.then_some(change) });
        Ok(())
    }

    fn contest(&self, change: &Change, holder: KeyHash, version: Option<Version>) -> Contest {
        contest((change.key, change.version), (holder, version), self.eviction_floor)
    }

    /// The rows that hold unique values which the change brings, each once.
    fn rivals(&self, change: &Change, holders: &[Holder]) -> Vec<Rival<'a>> {
        let mut rivals: Vec<Rival<'a>> = Vec::new();
        let touched = change.unique_after().filter_map(|value| self.holds.get(&value)).map(|key| {
            let put_by = self.touched.get(key).and_then(|touched| touched.by);
            Rival { key: *key, put_by: Ok(put_by.expect("only rows that are there hold values")) }
        });
        // What a touched row held before the batch says nothing any more.
        let untouched = holders
            .iter()
            .filter(|holder| !self.touched.contains_key(&holder.key))
            .map(|holder| Rival { key: holder.key, put_by: Err(holder.unique) });
        for rival in touched.chain(untouched) {
            if rival.key != change.key && rivals.iter().all(|known| known.key != rival.key) {
                rivals.push(rival);
            }
        }
        rivals
    }

    /// The incoming row goes: it is not written, an older state of it is deleted, and everyone is
    /// told.
    fn evict_incoming(&mut self, change: &'a Change, version: Version) -> Result<(), CannotPlan> {
        let there = self.planner.there.get(&change.key) == Some(&true);
        let events = if there {
            self.planner.push_write(change, WriteOp::Delete { before: change.image });
            Vec::new()
        } else {
            (self.delete_events)(&change.delivery, change.table, change.image)
                .map_err(|cause| CannotPlan::Unreadable(change.scn, cause))?
        };
        self.name_evicted(change.key, version, events);
        Ok(())
    }

    fn name_evicted(&mut self, key: KeyHash, version: Version, events: Vec<u8>) {
        self.forget(key);
        self.touched.insert(key, Touched { by: None });
        self.planner.there.insert(key, false);
        self.planner.versions.insert(key, version);
        self.planner.plan.evictions.push(Eviction { key, version, events });
    }

    /// Takes back what the row held through an earlier change of this batch.
    fn forget(&mut self, key: KeyHash) {
        if let Some(Touched { by: Some(by) }) = self.touched.get(&key) {
            for value in by.unique_after() {
                if self.holds.get(&value) == Some(&key) {
                    self.holds.remove(&value);
                }
            }
        }
    }
}

/// How the rival's row is read for the conflict log.
fn locate(change: &Change, rival: &Rival<'_>) -> LockRow {
    match rival.put_by {
        Ok(put_by) => put_by.row_by_primary_key(),
        Err(unique) => holder_by(change, unique),
    }
}

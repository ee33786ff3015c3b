//! What must hold, whatever happens. Told of every transaction that a replicator captures; looks at
//! the databases at the end.

use std::collections::{BTreeMap, BTreeSet};

use weft_core::key::KeyHash;
use weft_core::scn::Scn;
use weft_core::transaction::{Body, RowKind, RowStamp, Transaction};
use weft_core::version::Version;

use super::database::{Database, Event, Logged};
use super::row::{Place, Row, place_of};
use super::setup::Setup;
use super::world::instance;

/// The stamps of one captured frame, as they must be whoever captures it.
type Stamps = Vec<(KeyHash, Version, RowKind)>;

#[derive(Debug, Default)]
pub struct Oracle {
    /// By site and SCN.
    stamps: BTreeMap<(usize, Scn), Stamps>,
    /// The newest version of each key in each site's binlog, and where it was.
    newest: BTreeMap<(usize, Place), (Version, Scn)>,
    /// Versions that local changes were given.
    minted: BTreeSet<(Place, Version)>,
    /// Where the greatest version of each key puts it.
    expected: BTreeMap<Place, (Version, Option<Row>)>,
    /// Transactions that were captured and those of them that were foreign: for the summary.
    pub captured: u64,
    pub foreign: u64,
    pub evictions: u64,
}

impl Oracle {
    /// A transaction of a site's binlog was captured, for the first time or again.
    ///
    /// # Errors
    /// What does not hold.
    pub fn captured(
        &mut self,
        setup: &Setup,
        site: usize,
        logged: &Logged,
        frames: &[Transaction],
    ) -> Result<(), String> {
        for frame in frames {
            let Body::Rows(rows) = &frame.header.body else { continue };
            let stamps: Stamps = rows.rows.iter().map(|row| (row.key, row.version, row.kind)).collect();
            let scn = frame.header.scn;
            if let Some(before) = self.stamps.get(&(site, scn)) {
                if *before != stamps {
                    return Err(format!("site {site} stamped {scn} as {stamps:?}, and as {before:?} before"));
                }
                continue;
            }
            self.stamps.insert((site, scn), stamps);
            self.captured += 1;
            self.foreign += u64::from(logged.foreign);
            for silent in rows.silent.iter().filter(|silent| silent.version.removed) {
                self.expect(place_of(silent.key), silent.version, None);
            }
            for row in &rows.rows {
                self.row(setup, site, logged, frame, row)?;
            }
        }
        Ok(())
    }

    fn row(
        &mut self,
        setup: &Setup,
        site: usize,
        logged: &Logged,
        frame: &Transaction,
        row: &RowStamp,
    ) -> Result<(), String> {
        let (place, scn) = (place_of(row.key), frame.header.scn.transaction());
        let newest = self.newest.entry((site, place)).or_insert((row.version, scn));
        let equal_is_fine = newest.1 == scn || setup.consistency == super::setup::BY_ROW;
        // Two evictions of a row that is not there lock each other not out: they leave the row where
        // it is, and the greater version counts.
        let native = changes(logged).any(|(changed, _)| changed == place);
        if native && (row.version < newest.0 || (row.version == newest.0 && !equal_is_fine)) {
            return Err(format!(
                "site {site}: {place:?} fell from {:?} (at {}) to {:?} at {scn}",
                newest.0, newest.1, row.version
            ));
        }
        if row.version >= newest.0 {
            *newest = (row.version, scn);
        }
        if row.version.removed {
            self.evictions += 1;
            self.expect(place, row.version, None);
            return Ok(());
        }
        if logged.foreign {
            let known = self.minted.contains(&(place, row.version));
            return if known || setup.is_one_way() {
                Ok(())
            } else {
                Err(format!("site {site} took the foreign row {place:?} at {scn} for a change of its own"))
            };
        }
        if row.version.origin != instance(site) {
            return Err(format!("site {site}: the local change of {place:?} at {scn} is {:?}", row.version));
        }
        let after = (row.after.len > 0).then(|| Row::read(frame.bytes(row.after)).1);
        self.minted.insert((place, row.version));
        self.expect(place, row.version, after);
        if let Some(old) = row.old_key.map(place_of) {
            self.minted.insert((old, row.version));
            self.expect(old, row.version, None);
        }
        Ok(())
    }

    /// Of one transaction's changes of a key the last one counts.
    fn expect(&mut self, place: Place, version: Version, row: Option<Row>) {
        let entry = self.expected.entry(place).or_insert((version, row));
        if version >= entry.0 {
            *entry = (version, row);
        }
    }

    /// Everything is quiet: all sites hold the same rows, and each key is where its greatest version
    /// put it.
    ///
    /// # Errors
    /// What does not hold.
    pub fn settled(&self, setup: &Setup, databases: &[&Database]) -> Result<(), String> {
        let first = databases[0].rows();
        for (database, site) in databases.iter().zip(0..) {
            let rows = database.rows();
            if rows != first {
                return Err(differences("site 0", &first, &format!("site {site}"), &rows));
            }
        }
        if setup.is_one_way() {
            return one_way(setup, databases[0], databases[1]);
        }
        let rows = self.expected.iter();
        let expected: Vec<_> =
            rows.filter_map(|((table, _), (_, row))| row.map(|row| (*table, row))).collect();
        if first != expected {
            return Err(differences("every site", &first, "the greatest versions", &expected));
        }
        if setup.apart {
            return (0..databases.len()).try_for_each(|site| whole(setup, databases, site));
        }
        Ok(())
    }
}

fn differences(
    a: &str,
    left: &[(super::row::TableId, Row)],
    b: &str,
    right: &[(super::row::TableId, Row)],
) -> String {
    type Rows = [(super::row::TableId, Row)];
    let only = |these: &Rows, those: &Rows| {
        these.iter().filter(|row| !those.contains(row)).copied().collect::<Vec<_>>()
    };
    format!("{a} alone has {:?}, {b} alone has {:?}", only(left, right), only(right, left))
}

/// What a transaction left at a place, by the value that nothing else has.
fn changes(logged: &Logged) -> impl Iterator<Item = (Place, Option<Row>)> {
    logged.events.iter().flat_map(|event| match event {
        Event::Row { table, before, after } => {
            let id = after.or(*before).map_or(0, |row| row.id);
            let moved = before.filter(|before| before.id != id);
            let left = moved.map(|old| ((*table, old.id), None));
            left.into_iter().chain([((*table, id), *after)]).collect::<Vec<_>>()
        }
        Event::Mark { .. } | Event::Heartbeat(_) => Vec::new(),
    })
}

/// One way, without a rule: no change is lost, repeated or out of order at its key, and transactions
/// are whole.
fn one_way(setup: &Setup, source: &Database, target: &Database) -> Result<(), String> {
    let history = |database: &Database| {
        let mut history: BTreeMap<Place, Vec<Option<Row>>> = BTreeMap::new();
        for (place, row) in database.binlog.iter().flat_map(changes) {
            history.entry(place).or_default().push(row);
        }
        history
    };
    let (at_source, at_target) = (history(source), history(target));
    for (place, rows) in &at_target {
        let mut there = at_source.get(place).map_or(&[][..], Vec::as_slice).iter();
        if let Some(row) = rows.iter().find(|row| !there.any(|source| source == *row)) {
            return Err(format!("{place:?}: {row:?} was repeated or came out of order at the target"));
        }
    }
    // Batches of one unit fold nothing but what one transaction did to one key.
    if setup.batch_rows == 1 {
        for logged in &source.binlog {
            let last: BTreeMap<Place, Option<Row>> = changes(logged).collect();
            for (place, row) in last.iter().filter(|(_, row)| row.is_some()) {
                if !at_target.get(place).is_some_and(|rows| rows.contains(row)) {
                    return Err(format!("{place:?}: {row:?} never came to the target"));
                }
            }
        }
    }
    whole(setup, &[source, target], 0)
}

/// Every transaction of the site's own is in one transaction at each other site, as far as its rows
/// are there at all (what later transactions of the same batch overwrote is not).
fn whole(setup: &Setup, databases: &[&Database], site: usize) -> Result<(), String> {
    if setup.consistency == super::setup::BY_ROW {
        return Ok(());
    }
    for (other, database) in databases.iter().enumerate().filter(|(other, _)| *other != site) {
        let mut at: BTreeMap<u64, usize> = BTreeMap::new();
        for (index, logged) in database.binlog.iter().enumerate() {
            for value in changes(logged).filter_map(|(_, row)| row).map(|row| row.value) {
                at.insert(value, index);
            }
        }
        for logged in databases[site].binlog.iter().filter(|logged| !logged.foreign) {
            let values = changes(logged).filter_map(|(_, row)| row).map(|row| row.value);
            let places: BTreeSet<usize> = values.filter_map(|value| at.get(&value).copied()).collect();
            if places.len() > 1 {
                return Err(format!(
                    "the transaction of site {site} at {:?} was split at site {other}",
                    logged.end
                ));
            }
        }
    }
    Ok(())
}

//! What must hold, whatever happens. Told of every transaction that a replicator captures; looks at
//! the databases at the end.

use std::collections::{BTreeMap, BTreeSet};

use weft_core::key::KeyHash;
use weft_core::scn::Scn;
use weft_core::transaction::{Body, RowKind, RowStamp, Transaction};
use weft_core::version::Version;

use super::coverage::{Coverage, Situation};
use super::database::{Database, Event, Logged};
use super::row::{Place, Row, place_of};
use super::setup::Setup;
use super::world::instance;

/// Which of the oracles saw something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Broken {
    /// A transaction was stamped differently when it was read again.
    StampsDiffer,
    /// The version of a key fell along a site's binlog: order per key.
    VersionFell,
    /// A foreign row was taken for a change of the site's own: a loop.
    ForeignTakenForLocal,
    /// A row came to a target twice, or out of order.
    Repeated,
    /// A change never came to a target, or the greatest version of a key is not what the sites have.
    Lost,
    /// Sites hold different rows.
    SitesDiffer,
    /// A transaction was split.
    Split,
    /// After quiet a binlog grew by more than heartbeats.
    NotQuiet,
    /// The sites do not come to rest.
    NoEnd,
    /// Something stopped without a cause.
    StoppedForNothing,
    /// A server lacks what was captured of it, and capture went on.
    LossNotSeen,
    /// Rows were decided by a ledger that had not read the server's binlog.
    StaleLedger,
}

/// What an oracle saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub broken: Broken,
    pub what: String,
}

impl Failure {
    pub fn new(broken: Broken, what: impl Into<String>) -> Failure {
        Failure { broken, what: what.into() }
    }
}

/// The stamps of one captured frame, as they must be whoever captures it.
type Stamps = Vec<(KeyHash, Version, RowKind)>;

#[derive(Debug, Default)]
pub struct Oracle {
    /// By site, GTID, and rows before the part.
    stamps: BTreeMap<(usize, String, u32), Stamps>,
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
        coverage: &mut Coverage,
    ) -> Result<(), Failure> {
        for frame in frames {
            let Body::Rows(rows) = &frame.header.body else { continue };
            let stamps: Stamps = rows.rows.iter().map(|row| (row.key, row.version, row.kind)).collect();
            let scn = frame.header.scn;
            let of = (site, logged.gtid.to_string(), scn.row);
            if let Some(before) = self.stamps.get(&of) {
                if *before != stamps {
                    let what = format!("site {site} stamped {scn} as {stamps:?}, and as {before:?} before");
                    return Err(Failure::new(Broken::StampsDiffer, what));
                }
                continue;
            }
            self.stamps.insert(of, stamps);
            self.captured += 1;
            self.foreign += u64::from(logged.foreign);
            for silent in rows.silent.iter().filter(|silent| silent.version.removed) {
                self.expect(place_of(silent.key), silent.version, None);
            }
            let forgotten =
                |row: &&RowStamp| row.base.is_none() && self.newest.contains_key(&(site, place_of(row.key)));
            let forgotten = rows.rows.iter().filter(forgotten).count();
            coverage.saw_times(Situation::ForgottenKeyChanged, forgotten as u64);
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
    ) -> Result<(), Failure> {
        let (place, scn) = (place_of(row.key), frame.header.scn.transaction());
        let newest = self.newest.entry((site, place)).or_insert((row.version, scn));
        let equal_is_fine = newest.1 == scn || setup.consistency == super::setup::BY_ROW;
        // Two evictions of a row that is not there lock each other not out: they leave the row where
        // it is, and the greater version counts.
        let native = changes(logged).any(|(changed, _)| changed == place);
        if native && (row.version < newest.0 || (row.version == newest.0 && !equal_is_fine)) {
            let (before, at) = newest;
            let what = format!(
                "site {site}: {place:?} fell from {before:?} (at {at}) to {:?} at {scn}",
                row.version
            );
            return Err(Failure::new(Broken::VersionFell, what));
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
            let what =
                || format!("site {site} took the foreign row {place:?} at {scn} for a change of its own");
            return match known || setup.is_one_way() {
                true => Ok(()),
                false => Err(Failure::new(Broken::ForeignTakenForLocal, what())),
            };
        }
        if row.version.origin != instance(site) {
            let what = format!("site {site}: the local change of {place:?} at {scn} is {:?}", row.version);
            return Err(Failure::new(Broken::ForeignTakenForLocal, what));
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
    pub fn settled(&self, setup: &Setup, databases: &[(usize, &Database)]) -> Result<(), Failure> {
        let Some((first_site, first)) = databases.first().map(|(site, database)| (*site, database.rows()))
        else {
            return Ok(());
        };
        for (site, database) in databases {
            let rows = database.rows();
            if rows != first {
                let what = differences(&format!("site {first_site}"), &first, &format!("site {site}"), &rows);
                return Err(Failure::new(Broken::SitesDiffer, what));
            }
        }
        if setup.is_one_way() {
            return match databases {
                [(_, source), (_, target)] => one_way(setup, source, target),
                _ => Ok(()),
            };
        }
        let rows = self.expected.iter();
        let expected: Vec<_> =
            rows.filter_map(|((table, _), (_, row))| row.map(|row| (*table, row))).collect();
        if first != expected {
            let what = differences("every site", &first, "the greatest versions", &expected);
            return Err(Failure::new(Broken::Lost, what));
        }
        if setup.apart {
            return databases.iter().try_for_each(|(site, _)| whole(setup, databases, *site));
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
fn one_way(setup: &Setup, source: &Database, target: &Database) -> Result<(), Failure> {
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
            let what = format!("{place:?}: {row:?} was repeated or came out of order at the target");
            return Err(Failure::new(Broken::Repeated, what));
        }
    }
    // Batches of one unit fold nothing but what one transaction did to one key.
    if setup.batch_rows == 1 {
        for logged in &source.binlog {
            let last: BTreeMap<Place, Option<Row>> = changes(logged).collect();
            for (place, row) in last.iter().filter(|(_, row)| row.is_some()) {
                if !at_target.get(place).is_some_and(|rows| rows.contains(row)) {
                    let what = format!("{place:?}: {row:?} never came to the target");
                    return Err(Failure::new(Broken::Lost, what));
                }
            }
        }
    }
    whole(setup, &[(0, source), (1, target)], 0)
}

/// Every transaction of the site's own is in one transaction at each other site, as far as its rows
/// are there at all (what later transactions of the same batch overwrote is not).
fn whole(setup: &Setup, databases: &[(usize, &Database)], site: usize) -> Result<(), Failure> {
    if setup.consistency == super::setup::BY_ROW {
        return Ok(());
    }
    let local = databases.iter().find(|(one, _)| *one == site).expect("asked for one of them").1;
    for (other, database) in databases.iter().filter(|(other, _)| *other != site) {
        let mut at: BTreeMap<u64, usize> = BTreeMap::new();
        for (index, logged) in database.binlog.iter().enumerate() {
            for value in changes(logged).filter_map(|(_, row)| row).map(|row| row.value) {
                at.insert(value, index);
            }
        }
        for logged in local.binlog.iter().filter(|logged| !logged.foreign) {
            let values = changes(logged).filter_map(|(_, row)| row).map(|row| row.value);
            let places: BTreeSet<usize> = values.filter_map(|value| at.get(&value).copied()).collect();
            if places.len() > 1 {
                let what =
                    format!("the transaction of site {site} at {:?} was split at site {other}", logged.end);
                return Err(Failure::new(Broken::Split, what));
            }
        }
    }
    Ok(())
}

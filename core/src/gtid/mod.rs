//! Global transaction ids: a transaction's name, and a place in a server's history, of both flavours.

mod encoding;
mod intervals;
mod mariadb;
mod mysql;
mod set;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use rkyv::{Archive, Deserialize, Serialize};

pub(crate) use encoding::decode_tag;
pub use intervals::{Intervals, NUMBER_MAX};
pub use mariadb::MariaDbGtid;
pub use mysql::{GtidSource, MySqlGtid, TAG_CHARS_MAX, Tag, Uuid};
pub use set::GtidSet;

/// The name of one transaction.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Hash)]
#[rkyv(derive(Debug))]
pub enum Gtid {
    MariaDb(MariaDbGtid),
    /// On the heap: it is rarer, and larger.
    MySql(Box<MySqlGtid>),
}

impl Gtid {
    /// MariaDB's `domain-server_id-sequence`.
    pub const fn mariadb(domain: u32, server_id: u32, sequence: u64) -> Gtid {
        Gtid::MariaDb(MariaDbGtid { domain, server_id, sequence })
    }

    /// Whether a server can have given it: one that was read back from an archive may be anything.
    pub(crate) fn is_sound(&self) -> bool {
        match self {
            Gtid::MariaDb(_) => true,
            Gtid::MySql(gtid) => (1..=NUMBER_MAX).contains(&gtid.number) && gtid.source.tag.is_sound(),
        }
    }
}

impl fmt::Display for Gtid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Gtid::MariaDb(gtid) => gtid.fmt(f),
            Gtid::MySql(gtid) => gtid.fmt(f),
        }
    }
}

/// The text is not a GTID or a list of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is not a GTID position; write domain-server_id-sequence for MariaDB, uuid:1-5 or uuid:tag:1-5 for MySQL, \
     several with commas between"
)]
pub struct NotAGtid(pub String);

/// A place in a server's history: on MariaDB the newest GTID of each replication domain, on MySQL the
/// set of all GTIDs up to it. One of the two is empty, as a server has one flavour.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GtidPosition {
    domains: BTreeMap<u32, MariaDbGtid>,
    set: GtidSet,
}

impl GtidPosition {
    /// The newest GTID of each of MariaDB's domains.
    pub fn domains(&self) -> &BTreeMap<u32, MariaDbGtid> {
        &self.domains
    }

    /// MySQL's GTIDs.
    pub fn set(&self) -> &GtidSet {
        &self.set
    }

    pub fn is_empty(&self) -> bool {
        self.domains.is_empty() && self.set.is_empty()
    }

    /// Moves the position past the GTID.
    pub fn advance(&mut self, gtid: &Gtid) {
        match gtid {
            Gtid::MariaDb(gtid) => {
                self.domains.insert(gtid.domain, *gtid);
            }
            Gtid::MySql(gtid) => self.set.advance(gtid),
        }
    }

    /// Moves on to where `later` is in each of its domains, and takes its set in.
    pub fn follow(&mut self, later: &GtidPosition) {
        self.domains.extend(&later.domains);
        self.set.unite(&later.set);
    }

    /// Whether a server at this position has everything that one at `other` has: on MariaDB judged by
    /// the sequence numbers in each domain.
    pub fn contains(&self, other: &GtidPosition) -> bool {
        let has = |theirs: &MariaDbGtid| {
            self.domains.get(&theirs.domain).is_some_and(|ours| ours.sequence >= theirs.sequence)
        };
        other.domains.values().all(has) && self.set.contains(&other.set)
    }

    /// Whether a server at this position has the transaction: on MariaDB judged by the sequence number in
    /// its domain.
    pub fn has(&self, gtid: &Gtid) -> bool {
        match gtid {
            Gtid::MariaDb(gtid) => {
                self.domains.get(&gtid.domain).is_some_and(|ours| ours.sequence >= gtid.sequence)
            }
            Gtid::MySql(gtid) => self.set.contains_gtid(gtid),
        }
    }

    /// What of this position is in domains, or from servers, that the other one knows too.
    pub fn shared_with(&self, other: &GtidPosition) -> GtidPosition {
        let domains = self.domains.iter().filter(|(domain, _)| other.domains.contains_key(domain));
        GtidPosition {
            domains: domains.map(|(domain, gtid)| (*domain, *gtid)).collect(),
            set: self.set.of_sources_in(&other.set),
        }
    }

    /// What a server at `other` lacks to be at this position: on MariaDB the newest GTIDs, on MySQL each.
    pub fn beyond(&self, other: &GtidPosition) -> GtidPosition {
        let mut set = self.set.clone();
        set.subtract(&other.set);
        let lacked = self.domains.iter().filter(|(_, gtid)| !other.has(&Gtid::MariaDb(**gtid)));
        GtidPosition { domains: lacked.map(|(domain, gtid)| (*domain, *gtid)).collect(), set }
    }

    /// Whether a server that is at this position now can have been at `before` earlier. Sequences of
    /// MariaDB rise for each server id of a domain; between server ids they need not where GTIDs are
    /// not strict.
    pub fn can_follow(&self, before: &GtidPosition) -> bool {
        let rose = |before: &MariaDbGtid| {
            self.domains
                .get(&before.domain)
                .is_some_and(|now| now.server_id != before.server_id || now.sequence >= before.sequence)
        };
        before.domains.values().all(rose) && self.set.contains(&before.set)
    }
}

impl From<GtidSet> for GtidPosition {
    fn from(set: GtidSet) -> GtidPosition {
        GtidPosition { set, ..GtidPosition::default() }
    }
}

impl fmt::Display for GtidPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut comma = "";
        for gtid in self.domains.values() {
            write!(f, "{comma}{gtid}")?;
            comma = ",";
        }
        if self.set.is_empty() { Ok(()) } else { write!(f, "{comma}{}", self.set) }
    }
}

impl FromStr for GtidPosition {
    type Err = NotAGtid;

    fn from_str(text: &str) -> Result<GtidPosition, NotAGtid> {
        let mut position = GtidPosition::default();
        for part in text.split(',').filter(|part| !part.trim().is_empty()) {
            if part.contains(':') {
                position.set.add_text(part)?;
            } else {
                position.advance(&Gtid::MariaDb(part.parse()?));
            }
        }
        Ok(position)
    }
}

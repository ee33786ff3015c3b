//! Global transaction ids of MariaDB. (MySQL's come with MySQL.)

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use rkyv::{Archive, Deserialize, Serialize};

/// A MariaDB GTID: `domain-server_id-sequence`.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[rkyv(derive(Debug))]
pub struct Gtid {
    pub domain: u32,
    pub server_id: u32,
    pub sequence: u64,
}

impl fmt::Display for Gtid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.domain, self.server_id, self.sequence)
    }
}

/// The text is not a MariaDB GTID or list of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a MariaDB GTID position; write domain-server_id-sequence, several with commas between")]
pub struct NotAGtid(pub String);

impl FromStr for Gtid {
    type Err = NotAGtid;

    fn from_str(text: &str) -> Result<Gtid, NotAGtid> {
        let bad = || NotAGtid(text.to_owned());
        let mut parts = text.trim().split('-');
        let (Some(domain), Some(server_id), Some(sequence), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(bad());
        };
        Ok(Gtid {
            domain: domain.parse().map_err(|_| bad())?,
            server_id: server_id.parse().map_err(|_| bad())?,
            sequence: sequence.parse().map_err(|_| bad())?,
        })
    }
}

/// The newest GTID of each replication domain: a place in a MariaDB history.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GtidPosition(pub BTreeMap<u32, Gtid>);

impl GtidPosition {
    /// Moves the position of the GTID's domain to it.
    pub fn advance(&mut self, gtid: Gtid) {
        self.0.insert(gtid.domain, gtid);
    }

    /// Whether a server at this position has everything that one at `other` has, judged by
    /// sequence numbers in each domain.
    pub fn contains(&self, other: &GtidPosition) -> bool {
        other
            .0
            .iter()
            .all(|(domain, theirs)| self.0.get(domain).is_some_and(|ours| ours.sequence >= theirs.sequence))
    }
}

impl fmt::Display for GtidPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, gtid) in self.0.values().enumerate() {
            write!(f, "{}{gtid}", if i == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl FromStr for GtidPosition {
    type Err = NotAGtid;

    fn from_str(text: &str) -> Result<GtidPosition, NotAGtid> {
        let mut position = GtidPosition::default();
        for part in text.split(',').filter(|part| !part.trim().is_empty()) {
            position.advance(part.parse()?);
        }
        Ok(position)
    }
}

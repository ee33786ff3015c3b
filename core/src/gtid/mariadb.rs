//! Global transaction ids of MariaDB.

use std::fmt;
use std::str::FromStr;

use rkyv::{Archive, Deserialize, Serialize};

use super::NotAGtid;

/// A MariaDB GTID: `domain-server_id-sequence`.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[rkyv(derive(Debug))]
pub struct MariaDbGtid {
    pub domain: u32,
    pub server_id: u32,
    pub sequence: u64,
}

impl fmt::Display for MariaDbGtid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.domain, self.server_id, self.sequence)
    }
}

impl FromStr for MariaDbGtid {
    type Err = NotAGtid;

    fn from_str(text: &str) -> Result<MariaDbGtid, NotAGtid> {
        let bad = || NotAGtid(text.to_owned());
        let mut parts = text.trim().split('-');
        let (Some(domain), Some(server_id), Some(sequence), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(bad());
        };
        Ok(MariaDbGtid {
            domain: domain.parse().map_err(|_| bad())?,
            server_id: server_id.parse().map_err(|_| bad())?,
            sequence: sequence.parse().map_err(|_| bad())?,
        })
    }
}

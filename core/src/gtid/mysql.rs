//! Global transaction ids of MySQL.

use std::fmt;
use std::str::FromStr;

use rkyv::{Archive, Deserialize, Serialize};

use super::NotAGtid;

/// Longest tag, in characters.
pub const TAG_CHARS_MAX: usize = 32;

/// A server's `server_uuid`.
#[derive(
    Archive, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default,
)]
#[rkyv(derive(Debug))]
pub struct Uuid(pub [u8; 16]);

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.0.iter().enumerate() {
            write!(f, "{}{byte:02x}", if matches!(i, 4 | 6 | 8 | 10) { "-" } else { "" })?;
        }
        Ok(())
    }
}

impl FromStr for Uuid {
    type Err = NotAGtid;

    fn from_str(text: &str) -> Result<Uuid, NotAGtid> {
        let bad = || NotAGtid(text.to_owned());
        let text = text.trim();
        let groups: Vec<&str> = text.split('-').collect();
        if groups.len() != 1 && !groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12]) {
            return Err(bad());
        }
        let digits: Option<Vec<u8>> =
            groups.concat().chars().map(|c| c.to_digit(16).map(|digit| digit as u8)).collect();
        let digits: [u8; 32] = digits.ok_or_else(bad)?.try_into().map_err(|_| bad())?;
        let mut uuid = [0; 16];
        for (byte, pair) in uuid.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = pair[0] << 4 | pair[1];
        }
        Ok(Uuid(uuid))
    }
}

/// The tag of a GTID (MySQL 8.3 and later): empty, or up to 32 of `a-z`, `0-9` and `_`, no digit first.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[rkyv(derive(Debug))]
pub struct Tag(String);

impl Tag {
    /// The tag of this name, capitals made small; None if no server allows it.
    pub fn new(name: &str) -> Option<Tag> {
        let tag = Tag(name.to_ascii_lowercase());
        tag.is_sound().then_some(tag)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a server can have given it: one that was read back from an archive may be anything.
    pub(crate) fn is_sound(&self) -> bool {
        let digit_first = self.0.bytes().next().is_some_and(|byte| byte.is_ascii_digit());
        self.0.len() <= TAG_CHARS_MAX
            && !digit_first
            && self.0.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
    }
}

/// Who numbers: the server, and the tag under which it counts apart.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[rkyv(derive(Debug))]
pub struct GtidSource {
    pub uuid: Uuid,
    pub tag: Tag,
}

impl fmt::Display for GtidSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let colon = if self.tag.is_empty() { "" } else { ":" };
        write!(f, "{}{colon}{}", self.uuid, self.tag.as_str())
    }
}

/// A MySQL GTID: `uuid:number`, or `uuid:tag:number`.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Hash)]
#[rkyv(derive(Debug))]
pub struct MySqlGtid {
    pub source: GtidSource,
    /// Counted from 1.
    pub number: u64,
}

impl fmt::Display for MySqlGtid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.source, self.number)
    }
}

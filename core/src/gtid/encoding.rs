//! GTID sets as bytes: in `COM_BINLOG_DUMP_GTID`, and in the Previous_gtids event of each binlog file.
//!
//! | bytes | field | meaning |
//! |---|---|---|
//! | 8 | sources | how many; tagged form: the number in bits 8 to 55, the lowest and the highest byte 1 |
//! | then for each source | | |
//! | 16 | uuid | |
//! | 1 + n | tag | tagged form only: its length, as the serialization library's variable integer, and the tag |
//! | 8 | intervals | how many |
//! | 16 each | interval | first number 8, number behind the last 8 |
//!
//! Little-endian. Servers before 8.3 know the plain form only, and later ones write the tagged form
//! only where there are tags. Source: MySQL source documentation, `Gtid_set::encode`.

use super::intervals::Interval;
use super::mysql::{GtidSource, Tag, Uuid};
use super::set::GtidSet;
use crate::binlog::Malformed;
use crate::binlog::cursor::Cursor;

const TAGGED: u8 = 1;

impl GtidSet {
    /// The set as bytes; the tagged form only if there are tags.
    pub fn encode(&self) -> Vec<u8> {
        let tagged = self.sources().any(|(source, _)| !source.tag.is_empty());
        let count = self.sources().len() as u64;
        let format = u64::from(TAGGED);
        let head = if tagged { format << 56 | count << 8 | format } else { count };
        let mut out = head.to_le_bytes().to_vec();
        for (source, intervals) in self.sources() {
            out.extend(source.uuid.0);
            if tagged {
                // At most 32: one byte of the variable integer, which is the number doubled.
                out.push((source.tag.as_str().len() as u8) << 1);
                out.extend(source.tag.as_str().as_bytes());
            }
            out.extend((intervals.iter().len() as u64).to_le_bytes());
            for Interval { first, last } in intervals.iter() {
                out.extend(first.to_le_bytes());
                out.extend((last + 1).to_le_bytes());
            }
        }
        out
    }

    /// Reads a set from its bytes, which end with it.
    ///
    /// # Errors
    /// They end early or late, or hold what no server writes.
    pub fn decode(bytes: &[u8]) -> Result<GtidSet, Malformed> {
        let mut cursor = Cursor::new(bytes, "GTID set");
        let head = cursor.u64()?;
        let (tagged, count) = match head.to_le_bytes()[7] {
            0 => (false, head),
            TAGGED => (true, head << 8 >> 16),
            _ => return Err(cursor.invalid(head)),
        };
        let mut set = GtidSet::default();
        // Each source takes bytes: a count that lies ends with them.
        for _ in 0..count {
            let uuid = Uuid(cursor.array()?);
            let tag = if tagged { decode_tag(&mut cursor)? } else { Tag::default() };
            let source = GtidSource { uuid, tag };
            for _ in 0..cursor.u64()? {
                let (first, behind) = (cursor.u64()?, cursor.u64()?);
                let interval = behind.checked_sub(1).and_then(|last| Interval::new(first, last));
                set.add(&source, interval.ok_or(cursor.invalid(behind))?);
            }
        }
        if cursor.is_empty() { Ok(set) } else { Err(cursor.invalid(head)) }
    }
}

pub(crate) fn decode_tag(cursor: &mut Cursor<'_>) -> Result<Tag, Malformed> {
    let len = cursor.variable()?;
    let name = cursor.take(usize::try_from(len).unwrap_or(usize::MAX))?;
    std::str::from_utf8(name).ok().and_then(Tag::new).ok_or(cursor.invalid(len))
}

//! The small events around transactions: where they begin, what they are called, where the dump is.
//!
//! Sources: MariaDB Knowledge Base, "GTID_EVENT", "GTID_LIST_EVENT", "ROTATE_EVENT",
//! "HEARTBEAT_LOG_EVENT"; MySQL source documentation, `Heartbeat_event_v2`.

use super::cursor::{Cursor, Malformed};
use super::event::{self, EventHeader, EventType};
use crate::gtid::{Gtid, GtidPosition};

const STANDALONE: u8 = 1;
const GROUP_COMMIT_ID: u8 = 2;
const TRANSACTIONAL: u8 = 4;
const DDL: u8 = 32;
const PREPARED_XA: u8 = 64;
const COMPLETED_XA: u8 = 128;
const EXTRA_MULTI_ENGINE: u8 = 1;
const EXTRA_START_ALTER: u8 = 2;
const EXTRA_COMMIT_ALTER: u8 = 4;
const EXTRA_ROLLBACK_ALTER: u8 = 8;

/// MariaDB's GTID event: the head of every transaction and of every statement outside of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GtidEvent {
    pub gtid: Gtid,
    /// One statement follows, without BEGIN and end.
    pub standalone: bool,
    pub transactional: bool,
    pub ddl: bool,
    pub group_commit_id: Option<u64>,
    /// XA PREPARE, or the end of a prepared transaction.
    pub xa: bool,
    pub alter: Option<AlterPhase>,
}

/// Where a two-phase ALTER is (`binlog_alter_two_phase`); each phase carries the statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlterPhase {
    Start,
    Commit,
    Rollback,
}

impl GtidEvent {
    /// Reads a canonical GTID event: sequence 8 bytes, domain 4, flags 1, then by flags the group
    /// commit id 8, the XA id, and more flags 1.
    ///
    /// # Errors
    /// It ends early.
    pub fn parse(event: &[u8]) -> Result<GtidEvent, Malformed> {
        let server_id = EventHeader::parse(event)?.server_id;
        let mut cursor = Cursor::new(event::body(event), "GTID event");
        let sequence = cursor.u64()?;
        let domain = cursor.u32()?;
        let flags = cursor.u8()?;
        let group_commit_id = if flags & GROUP_COMMIT_ID != 0 { Some(cursor.u64()?) } else { None };
        let xa = flags & (PREPARED_XA | COMPLETED_XA) != 0;
        if xa {
            cursor.u32()?;
            let lengths = [cursor.u8()?, cursor.u8()?];
            cursor.take(usize::from(lengths[0]) + usize::from(lengths[1]))?;
        }
        let extra = if cursor.is_empty() { 0 } else { cursor.u8()? };
        if extra & EXTRA_MULTI_ENGINE != 0 {
            cursor.u8()?;
        }
        let alter = if extra & EXTRA_START_ALTER != 0 {
            Some(AlterPhase::Start)
        } else if extra & EXTRA_COMMIT_ALTER != 0 {
            Some(AlterPhase::Commit)
        } else {
            (extra & EXTRA_ROLLBACK_ALTER != 0).then_some(AlterPhase::Rollback)
        };
        Ok(GtidEvent {
            gtid: Gtid::mariadb(domain, server_id, sequence),
            standalone: flags & STANDALONE != 0,
            transactional: flags & TRANSACTIONAL != 0,
            ddl: flags & DDL != 0,
            group_commit_id,
            xa,
            alter,
        })
    }
}

/// Reads a GTID list event: what the binlog held before its file. Count 4 bytes (28 bits), then
/// domain 4, server id 4, sequence 8 for each; the newest of a domain comes last.
///
/// # Errors
/// It ends early.
pub fn parse_gtid_list(event: &[u8]) -> Result<GtidPosition, Malformed> {
    let mut cursor = Cursor::new(event::body(event), "GTID list event");
    let count = cursor.u32()? & 0x0fff_ffff;
    let mut position = GtidPosition::default();
    for _ in 0..count {
        let domain = cursor.u32()?;
        let server_id = cursor.u32()?;
        position.advance(&Gtid::mariadb(domain, server_id, cursor.u64()?));
    }
    Ok(position)
}

/// Which file comes next, and where the dump goes on in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotate {
    pub position: u64,
    pub file: String,
}

impl Rotate {
    /// Reads a canonical rotate event: position 8 bytes, then the file's name.
    ///
    /// # Errors
    /// It ends early.
    pub fn parse(event: &[u8]) -> Result<Rotate, Malformed> {
        let mut cursor = Cursor::new(event::body(event), "rotate event");
        let position = cursor.u64()?;
        Ok(Rotate { position, file: String::from_utf8_lossy(cursor.rest()).into_owned() })
    }
}

/// Where the dump stands while nothing comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heartbeat {
    pub position: u64,
    pub file: String,
}

impl Heartbeat {
    /// Reads a canonical heartbeat of either version. The first has the file's name alone, the
    /// position being in the header; beyond 4 GiB MariaDB puts it in eight bytes before the name.
    /// The second has fields of type, length and content: 1 is the name, 2 the position, packed.
    ///
    /// # Errors
    /// It ends early.
    pub fn parse(event: &[u8]) -> Result<Heartbeat, Malformed> {
        let header = EventHeader::parse(event)?;
        let mut cursor = Cursor::new(event::body(event), "heartbeat event");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if header.kind != EventType::HeartbeatV2 {
            let position = match header.log_pos {
                0 => cursor.u64()?,
                position => u64::from(position),
            };
            return Ok(Heartbeat { position, file: text(cursor.rest()) });
        }
        let mut heartbeat = Heartbeat { position: u64::from(header.log_pos), file: String::new() };
        while !cursor.is_empty() {
            let field = cursor.packed()?;
            let content = cursor.packed_bytes()?;
            match field {
                0 => break,
                1 => heartbeat.file = text(content),
                2 => heartbeat.position = Cursor::new(content, "heartbeat position").packed()?,
                _ => {}
            }
        }
        Ok(heartbeat)
    }
}

/// The engine's number of a transaction that an Xid event commits.
///
/// # Errors
/// It ends early.
pub fn parse_xid(event: &[u8]) -> Result<u64, Malformed> {
    Cursor::new(event::body(event), "Xid event").u64()
}

/// The text of an annotate rows (MariaDB) event: the statement behind the rows.
pub fn annotation(event: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(event::body(event))
}

/// The number in a binlog file's name, for example 7 of `binlog.000007`; None if it has none, or
/// one that is not below 2^32.
pub fn log_index(file: &str) -> Option<u32> {
    let (_, digits) = file.rsplit_once('.')?;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_group_commit_id_and_xa_names_are_passed_over_to_the_extra_flags() {
        let mut event = vec![0; 19];
        event[5] = 9;
        event.extend(42u64.to_le_bytes());
        event.extend(3u32.to_le_bytes());
        event.push(STANDALONE | GROUP_COMMIT_ID | DDL);
        event.extend(77u64.to_le_bytes());
        event.push(EXTRA_START_ALTER);
        let read = GtidEvent::parse(&event).expect("whole");
        assert_eq!(read.gtid, Gtid::mariadb(3, 9, 42));
        assert_eq!((read.standalone, read.ddl, read.xa), (true, true, false));
        assert_eq!((read.group_commit_id, read.alter), (Some(77), Some(AlterPhase::Start)));
    }

    #[test]
    fn file_numbers_are_the_digits_behind_the_last_point() {
        assert_eq!(log_index("binlog.000007"), Some(7));
        assert_eq!(log_index("a.b.1234567"), Some(1_234_567));
        assert_eq!(log_index("binlog"), None);
        assert_eq!(log_index("binlog.x"), None);
        assert_eq!(log_index("binlog.99999999999"), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parsers_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = GtidEvent::parse(&bytes);
            let _ = parse_gtid_list(&bytes);
            let _ = Rotate::parse(&bytes);
            let _ = Heartbeat::parse(&bytes);
            let _ = parse_xid(&bytes);
        }
    }
}

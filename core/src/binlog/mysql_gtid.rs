//! MySQL's GTID events: the head of every transaction and of every statement outside of one.
//!
//! Types 33 and 34 (anonymous: the server gives no GTIDs) have fields in a row; older servers end
//! early:
//!
//! | bytes | field | meaning |
//! |---|---|---|
//! | 1 | flags | |
//! | 16, 8 | uuid, number | zeros where anonymous |
//! | 1, 8, 8 | logical clock | 2, then last committed and sequence number |
//! | 7 | immediate commit time | µs; bit 55 set: the original one follows in 7 more |
//! | 1 to 9 | length of the transaction | packed |
//! | 4 (4) | server versions | as with the times |
//! | 8 | commit group ticket | |
//!
//! Type 42 has a tag too and is a message of MySQL's serialization library, made of its variable
//! integers: version 1, length, the last field that may not be ignored (plus one; 0: none), then
//! pairs of a field's number and content, rising. A signed number has its sign in the lowest bit.
//!
//! Source: MySQL source documentation, `Gtid_event`; `libs/mysql/serialization/readme.md`.

use super::cursor::{Cursor, Malformed};
use super::event::{self, EventHeader, EventType};
use crate::gtid::{Gtid, GtidSource, MySqlGtid, NUMBER_MAX, Tag, Uuid, decode_tag};
use crate::time::Micros;

const LOGICAL_CLOCK: u8 = 2;
/// The original commit time follows.
const TWO_TIMES: u64 = 1 << 55;
const SERIALIZATION_VERSION: u64 = 1;

/// What a GTID event says of the transaction behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MySqlGtidEvent {
    /// None: the server gives no GTIDs.
    pub gtid: Option<Gtid>,
    /// When the server whose binlog this is committed, by its clock; None: older than MySQL 8.0.
    pub commit_time: Option<Micros>,
}

impl MySqlGtidEvent {
    /// Reads a canonical GTID event of any of the three types.
    ///
    /// # Errors
    /// It ends early, or holds what no server writes.
    pub fn parse(event: &[u8]) -> Result<MySqlGtidEvent, Malformed> {
        let kind = EventHeader::parse(event)?.kind;
        let cursor = Cursor::new(event::body(event), "GTID event");
        match kind {
            EventType::MysqlGtid | EventType::MysqlAnonymousGtid => plain(cursor),
            EventType::MysqlTaggedGtid => tagged(cursor),
            other => Err(cursor.invalid(u64::from(other.code()))),
        }
    }
}

fn plain(mut cursor: Cursor<'_>) -> Result<MySqlGtidEvent, Malformed> {
    cursor.u8()?;
    let uuid = Uuid(cursor.array()?);
    let number = cursor.u64()?;
    let gtid = match number {
        0 => None,
        number => Some(named(&cursor, GtidSource { uuid, tag: Tag::default() }, number)?),
    };
    let mut commit_time = None;
    if !cursor.is_empty() && cursor.u8()? == LOGICAL_CLOCK {
        cursor.take(16)?;
        if let Ok([a, b, c, d, e, f, g]) = cursor.array() {
            let time = u64::from_le_bytes([a, b, c, d, e, f, g, 0]);
            commit_time = Some(Micros(time & !TWO_TIMES));
        }
    }
    Ok(MySqlGtidEvent { gtid, commit_time })
}

fn tagged(mut cursor: Cursor<'_>) -> Result<MySqlGtidEvent, Malformed> {
    const UUID: u64 = 1;
    const NUMBER: u64 = 2;
    const TAG: u64 = 3;
    const COMMIT_TIME: u64 = 6;
    const KNOWN: u64 = 12;
    let whole = cursor.rest().len() as u64;
    let (version, length, needed) = (cursor.variable()?, cursor.variable()?, cursor.variable()?);
    if version != SERIALIZATION_VERSION || length != whole {
        return Err(cursor.invalid(version));
    }
    // The last number that must be known, plus one.
    if needed > KNOWN {
        return Err(cursor.invalid(needed));
    }
    let (mut source, mut number, mut commit_time) = (GtidSource::default(), 0, None);
    while !cursor.is_empty() {
        match cursor.variable()? {
            UUID => {
                for byte in &mut source.uuid.0 {
                    let value = cursor.variable()?;
                    *byte = u8::try_from(value).map_err(|_| cursor.invalid(value))?;
                }
            }
            NUMBER => number = cursor.variable()? >> 1,
            TAG => source.tag = decode_tag(&mut cursor)?,
            COMMIT_TIME => commit_time = Some(Micros(cursor.variable()?)),
            known if known < KNOWN => {
                cursor.variable()?;
            }
            // Nobody but a later release knows how long it is; fields rise, so all that follow are later's too.
            _ => break,
        }
    }
    Ok(MySqlGtidEvent { gtid: Some(named(&cursor, source, number)?), commit_time })
}

fn named(cursor: &Cursor<'_>, source: GtidSource, number: u64) -> Result<Gtid, Malformed> {
    if !(1..=NUMBER_MAX).contains(&number) {
        return Err(cursor.invalid(number));
    }
    Ok(Gtid::MySql(Box::new(MySqlGtid { source, number })))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing;
    use super::*;

    fn unhex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
        digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    }

    fn read(kind: EventType, body: &str) -> MySqlGtidEvent {
        MySqlGtidEvent::parse(&testing::event(kind, 0, &unhex(body))).expect("whole")
    }

    /// Bodies as MySQL 9.7 wrote them.
    #[test]
    fn a_servers_events_are_read() {
        let plain = read(
            EventType::MysqlGtid,
            "00 7fd17809e78511f1946202fc00000001 0300000000000000 02 0000000000000000 0100000000000000
             ba495559f86006 fc3601 50620100",
        );
        assert_eq!(
            plain.gtid.map(|gtid| gtid.to_string()).as_deref(),
            Some("7fd17809-e785-11f1-9462-02fc00000001:3")
        );
        assert_eq!(plain.commit_time, Some(Micros(1_795_469_627_181_498)));
        let tagged = read(
            EventType::MysqlTaggedGtid,
            "0272000000 02fe4503f0129d03150222c5035102c404f10300000002 0404 060a6d79746167 0804 0a08
             0c7f154c5559f86006 10dd04 1283120b",
        );
        assert_eq!(
            tagged.gtid.map(|gtid| gtid.to_string()).as_deref(),
            Some("7fd17809-e785-11f1-9462-02fc00000001:mytag:1")
        );
        assert_eq!(tagged.commit_time, Some(Micros(1_795_469_627_182_101)));
    }

    #[test]
    fn the_bit_that_announces_a_second_time_is_no_part_of_the_first() {
        let head =
            "00 00000000000000000000000000000000 0000000000000000 02 0000000000000000 0000000000000000";
        let both = read(EventType::MysqlAnonymousGtid, &format!("{head} 01000000000080 02000000000000 21"));
        assert_eq!((both.gtid, both.commit_time), (None, Some(Micros(1))));
        assert_eq!(read(EventType::MysqlAnonymousGtid, head).commit_time, None, "MySQL 5.7 ends here");
    }

    #[test]
    fn a_field_that_must_be_known_stops_and_others_of_later_releases_do_not() {
        let event = |needed: u8, more: &[u8]| {
            let mut body = vec![2, 0, needed << 1, 4, 4];
            body.extend(more);
            body[1] = (body.len() as u8) << 1;
            MySqlGtidEvent::parse(&testing::event(EventType::MysqlTaggedGtid, 0, &body))
        };
        assert!(event(0, &[12 << 1, 0xff]).is_ok());
        assert!(event(13, &[12 << 1, 0xff]).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(kind in 33u8..43, bytes in prop::collection::vec(any::<u8>(), 0..90), honest: bool) {
            let mut body = bytes;
            if honest && body.len() > 2 {
                body[0] = 2;
                body[1] = (body.len() as u8) << 1;
            }
            let _ = MySqlGtidEvent::parse(&testing::event(EventType::from_code(kind), 0, &body));
        }
    }
}

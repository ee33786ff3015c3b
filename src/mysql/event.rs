//! Binlog events as the rest of Weft takes them: whole, checked, and without their checksum.
//!
//! Canonical form of an event: the 19-byte header, its `event_size` telling the length as it stands,
//! then the body; no checksum behind it. A format description event says "no checksum" and is not in
//! use. Layout of the header, all little-endian
//! (<https://mariadb.com/kb/en/2-binlog-event-header/>):
//!
//! | bytes | field |
//! |---|---|
//! | 0..4 | timestamp, s |
//! | 4 | type |
//! | 5..9 | server id |
//! | 9..13 | event_size, header and checksum included |
//! | 13..17 | log_pos |
//! | 17..19 | flags |

use mysql_async::binlog::events::Event;

/// Length of an event's header in bytes.
pub(super) const HEADER_BYTES: usize = 19;
const CHECKSUM_BYTES: usize = 4;
/// Type of a rotate event.
const ROTATE: u8 = 4;
/// Type of a format description event.
const FORMAT_DESCRIPTION: u8 = 15;
/// What a dump says of a file before any of the file's events: rotation, format description, MySQL's
/// previous GTIDs, MariaDB's binlog checkpoint and GTID list.
const HEAD: [u8; 5] = [ROTATE, FORMAT_DESCRIPTION, 35, 161, 163];
/// Header flag: the file was not closed yet when the event was read.
const IN_USE: u16 = 0x0001;
const CHECKSUM_OFF: u8 = 0;
const CHECKSUM_CRC32: u8 = 1;

/// An event taken apart by the driver.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parts<'a> {
    pub timestamp_s: u32,
    pub kind: u8,
    pub server_id: u32,
    /// As the server sent it: checksum included.
    pub event_size: u32,
    pub log_pos: u32,
    pub flags: u16,
    /// Without checksum, and of a format description event without the algorithm's byte too.
    pub body: &'a [u8],
    /// The algorithm that the newest format description event names; None: it names none.
    pub algorithm: Option<u8>,
    pub checksum: Option<[u8; 4]>,
}

/// The event cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum EventError {
    #[error(
        "its checksum is {found:#010x} and its bytes give {computed:#010x}: it was damaged on disk or on the way"
    )]
    Checksum { found: u32, computed: u32 },
    #[error("it says that it is {stated} bytes long and came with {found}")]
    Length { stated: u32, found: usize },
    #[error("checksum algorithm {0} is not known")]
    Algorithm(u8),
}

impl<'a> Parts<'a> {
    pub(super) fn of(event: &'a Event) -> Parts<'a> {
        let header = event.header();
        let algorithm = match event.footer().get_checksum_alg() {
            Ok(algorithm) => algorithm.map(|algorithm| algorithm as u8),
            Err(unknown) => Some(unknown.0),
        };
        Parts {
            timestamp_s: header.timestamp(),
            kind: header.event_type_raw(),
            server_id: header.server_id(),
            event_size: header.event_size(),
            log_pos: header.log_pos(),
            flags: header.flags_raw(),
            body: event.data(),
            algorithm,
            checksum: event.checksum(),
        }
    }

    /// Whether it tells where the dump is, and not what happened.
    pub(super) fn is_head(&self) -> bool {
        HEAD.contains(&self.kind)
    }

    /// The event in canonical form, its checksum verified where it has one.
    pub(super) fn canonical(&self) -> Result<Vec<u8>, EventError> {
        if let Some(opening) = self.opening_rotation() {
            return opening.canonical();
        }
        let is_format = self.kind == FORMAT_DESCRIPTION;
        let names_algorithm = is_format && self.algorithm.is_some();
        let whole = HEADER_BYTES
            + self.body.len()
            + usize::from(names_algorithm)
            + self.checksum.map_or(0, |checksum| checksum.len());
        if usize::try_from(self.event_size) != Ok(whole) {
            return Err(EventError::Length { stated: self.event_size, found: whole });
        }
        self.verify(names_algorithm)?;

        let flags = if is_format { self.flags & !IN_USE } else { self.flags };
        let size = HEADER_BYTES + self.body.len() + usize::from(names_algorithm);
        let size = u32::try_from(size).expect("no longer than what event_size says, which has 32 bits");
        let mut bytes = Vec::with_capacity(size as usize);
        bytes.extend_from_slice(&self.header(size, flags));
        bytes.extend_from_slice(self.body);
        if names_algorithm {
            bytes.push(CHECKSUM_OFF);
        }
        Ok(bytes)
    }

    /// A dump opens with a made-up rotation, before any format description event has said that there
    /// are checksums: the driver leaves that event's checksum in its body. Taken apart as it should be;
    /// None if this is no such event.
    fn opening_rotation(&self) -> Option<Parts<'a>> {
        let unsummed = matches!(self.algorithm, None | Some(CHECKSUM_OFF));
        if self.kind != ROTATE || !unsummed {
            return None;
        }
        let (body, checksum) = self.body.split_last_chunk::<CHECKSUM_BYTES>()?;
        let parts = Parts { body, algorithm: Some(CHECKSUM_CRC32), checksum: Some(*checksum), ..*self };
        parts.verify(false).is_ok().then_some(parts)
    }

    fn verify(&self, names_algorithm: bool) -> Result<(), EventError> {
        let algorithm = match self.algorithm {
            None | Some(CHECKSUM_OFF) => return Ok(()),
            Some(CHECKSUM_CRC32) => CHECKSUM_CRC32,
            Some(unknown) => return Err(EventError::Algorithm(unknown)),
        };
        let Some(checksum) = self.checksum else { return Ok(()) };
        // The server sums up a format description event as if it were not in use: the flag is
        // cleared in the file later, without summing up again.
        let flags = if names_algorithm { self.flags & !IN_USE } else { self.flags };
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&self.header(self.event_size, flags));
        hasher.update(self.body);
        if names_algorithm {
            hasher.update(&[algorithm]);
        }
        let (found, computed) = (u32::from_le_bytes(checksum), hasher.finalize());
        if found == computed { Ok(()) } else { Err(EventError::Checksum { found, computed }) }
    }

    fn header(&self, size: u32, flags: u16) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0..4].copy_from_slice(&self.timestamp_s.to_le_bytes());
        bytes[4] = self.kind;
        bytes[5..9].copy_from_slice(&self.server_id.to_le_bytes());
        bytes[9..13].copy_from_slice(&size.to_le_bytes());
        bytes[13..17].copy_from_slice(&self.log_pos.to_le_bytes());
        bytes[17..19].copy_from_slice(&flags.to_le_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(kind: u8, body: &[u8], algorithm: Option<u8>) -> Parts<'_> {
        Parts {
            timestamp_s: 1,
            kind,
            server_id: 7,
            event_size: 0,
            log_pos: 900,
            flags: IN_USE,
            body,
            algorithm,
            checksum: None,
        }
    }

    fn summed(mut parts: Parts<'_>) -> Parts<'_> {
        let names_algorithm = parts.kind == FORMAT_DESCRIPTION;
        parts.event_size = (HEADER_BYTES + parts.body.len() + usize::from(names_algorithm) + 4) as u32;
        let flags = if names_algorithm { 0 } else { IN_USE };
        let mut whole = parts.header(parts.event_size, flags).to_vec();
        whole.extend_from_slice(parts.body);
        if names_algorithm {
            whole.push(CHECKSUM_CRC32);
        }
        parts.checksum = Some(crc32fast::hash(&whole).to_le_bytes());
        parts
    }

    #[test]
    fn the_checksum_is_verified_and_cut_off() {
        let event = summed(parts(30, b"rows", Some(CHECKSUM_CRC32)));
        let bytes = event.canonical().expect("the sum is right");
        assert_eq!(&bytes[HEADER_BYTES..], b"rows");
        assert_eq!(bytes[9..13], 23u32.to_le_bytes());
        assert_eq!(bytes[17..19], IN_USE.to_le_bytes(), "flags of other events stay");
    }

    #[test]
    fn one_flipped_bit_is_refused() {
        let mut event = summed(parts(30, b"rows", Some(CHECKSUM_CRC32)));
        event.body = b"rowz";
        assert!(matches!(event.canonical(), Err(EventError::Checksum { .. })));
    }

    #[test]
    fn a_format_description_says_no_checksum_and_not_in_use() {
        let event = summed(parts(FORMAT_DESCRIPTION, b"format", Some(CHECKSUM_CRC32)));
        let bytes = event.canonical().expect("the sum is right");
        assert_eq!(&bytes[HEADER_BYTES..], b"format\0");
        assert_eq!(bytes[9..13], 26u32.to_le_bytes());
        assert_eq!(bytes[17..19], [0, 0]);
    }

    #[test]
    fn an_event_of_another_length_or_algorithm_is_refused() {
        let mut event = parts(30, b"rows", None);
        event.event_size = 24;
        assert_eq!(event.canonical(), Err(EventError::Length { stated: 24, found: 23 }));
        let mut event = summed(parts(30, b"rows", Some(9)));
        event.event_size = 27;
        assert_eq!(event.canonical(), Err(EventError::Algorithm(9)));
    }
}

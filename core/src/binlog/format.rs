//! Format description events and checksums.
//!
//! Body of a format description event, little-endian:
//!
//! | bytes | field | meaning |
//! |---|---|---|
//! | 0..2 | binlog_version | 4 |
//! | 2..52 | server_version | text, filled up with zeros |
//! | 52..56 | created | seconds since the Unix epoch; 0 in all but the first of a server's run |
//! | 56 | header_length | 19 |
//! | 57..57+n | post_header_lengths | of event types 1 to n; the entry of this type is 57 + n |
//! | 57+n | checksum_algorithm | 0 none, 1 CRC32 |
//! | 58+n.. | checksum | 4 bytes, also where the algorithm is none |
//!
//! Source: MariaDB Knowledge Base, "FORMAT_DESCRIPTION_EVENT".

use super::cursor::{Cursor, Malformed};
use super::event::{self, CHECKSUM_BYTES, EventHeader, EventType, FLAG_IN_USE, HEADER_BYTES, set_event_size};
use crate::flavour::Flavour;

const FIXED_BYTES: usize = 57;

/// What stands behind every event of a file or a dump.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checksum {
    None,
    Crc32,
}

/// Why an event was refused before anyone looked into it. Stop, but a wrong checksum may be worth
/// one reconnection: the bytes may have been hurt on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("an event says it has {said} bytes and has {found}")]
    Size { said: u32, found: usize },
    #[error("the checksum of an event of type {code} is wrong: the binlog is damaged")]
    WrongChecksum { code: u8 },
    #[error("checksum algorithm {code} is not known to this release")]
    UnknownChecksum { code: u8 },
}

/// What the format description event says of the events that follow it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format {
    pub server_version: String,
    /// Some event fields have another meaning in MariaDB than in MySQL.
    pub flavour: Flavour,
    /// What stood behind the events in the file.
    pub checksum: Checksum,
    post_header_lengths: Vec<u8>,
    canonical: Vec<u8>,
}

impl Format {
    /// Reads a format description event, with or without the checksum bytes at its end.
    ///
    /// # Errors
    /// It ends early, is not version 4, or names an unknown checksum.
    pub fn parse(fde: &[u8]) -> Result<Format, EventError> {
        let header = EventHeader::parse(fde)?;
        let mut cursor = Cursor::new(event::body(fde), "format description event");
        let version = cursor.u16()?;
        if version != 4 || header.kind != EventType::FormatDescription {
            return Err(cursor.invalid(u64::from(version)).into());
        }
        let server_version = cursor.take(50)?;
        let server_version: Vec<u8> = server_version.iter().copied().take_while(|&b| b != 0).collect();
        let _created = cursor.u32()?;
        let header_length = cursor.u8()?;
        if usize::from(header_length) != HEADER_BYTES {
            return Err(cursor.invalid(u64::from(header_length)).into());
        }
        let own_entry = usize::from(EventType::FormatDescription.code()) - 1;
        let own = cursor.rest().get(own_entry).copied().unwrap_or(0);
        let types = usize::from(own).checked_sub(FIXED_BYTES).filter(|types| *types > own_entry);
        let types = types.ok_or(cursor.invalid(u64::from(own)))?;
        let post_header_lengths = cursor.take(types)?.to_vec();
        let code = cursor.u8()?;
        let checksum = match code {
            0 => Checksum::None,
            1 => Checksum::Crc32,
            code => return Err(EventError::UnknownChecksum { code }),
        };
        let server_version = String::from_utf8_lossy(&server_version).into_owned();
        Ok(Format {
            flavour: Flavour::of_version(&server_version),
            server_version,
            checksum,
            post_header_lengths,
            canonical: canonical_fde(&fde[..HEADER_BYTES + FIXED_BYTES + types + 1]),
        })
    }

    /// Length of the type's post-header in bytes; None for a type that the server does not know.
    pub fn post_header_len(&self, kind: EventType) -> Option<usize> {
        let entry = usize::from(kind.code()).checked_sub(1)?;
        self.post_header_lengths.get(entry).map(|&len| usize::from(len))
    }

    /// The event as `BINLOG` takes it: no checksums, not in use, not a server's start. The four
    /// bytes of a checksum stay at the end: the server finds the algorithm by counting back over
    /// them.
    pub fn canonical(&self) -> &[u8] {
        &self.canonical
    }
}

fn canonical_fde(up_to_algorithm: &[u8]) -> Vec<u8> {
    let mut event = up_to_algorithm.to_vec();
    if let Some(algorithm) = event.last_mut() {
        *algorithm = 0;
    }
    event.extend_from_slice(&[0; CHECKSUM_BYTES]);
    event[17] &= !(FLAG_IN_USE as u8);
    // When and where it was written is no part of the format: each file has an event of its own.
    event[0..4].fill(0);
    event[13..17].fill(0);
    // A creation time says that the server has just started, and ends an open transaction.
    event[HEADER_BYTES + 52..HEADER_BYTES + 56].fill(0);
    set_event_size(&mut event);
    event
}

/// Verifies and takes off the checksums of a dump or a file, as its format description events say.
#[derive(Debug, Clone)]
pub struct Checksums {
    current: Checksum,
}

impl Checksums {
    /// `first` stands behind what comes before the first format description event: what the
    /// session asked for with `@master_binlog_checksum`, none in a file.
    pub const fn new(first: Checksum) -> Checksums {
        Checksums { current: first }
    }

    /// Turns an event as the server sent it into canonical form.
    ///
    /// # Errors
    /// The length or the checksum is wrong.
    pub fn strip(&mut self, mut event: Vec<u8>) -> Result<Vec<u8>, EventError> {
        let header = EventHeader::parse(&event)?;
        if header.event_size as usize != event.len() {
            return Err(EventError::Size { said: header.event_size, found: event.len() });
        }
        if header.kind == EventType::FormatDescription {
            let format = Format::parse(&event)?;
            self.current = format.checksum;
            if self.current == Checksum::Crc32 {
                verify_checksum(&event)?;
            }
            event.truncate(format.canonical.len() - CHECKSUM_BYTES);
        } else if self.current == Checksum::None && header.kind == EventType::Rotate {
            // A dump opens with one that the server makes up before any format description event has said
            // that there are checksums.
            if verify_checksum(&event).is_ok() {
                event.truncate(event.len() - CHECKSUM_BYTES);
            }
        } else if self.current == Checksum::Crc32 {
            verify_checksum(&event)?;
            event.truncate(event.len() - CHECKSUM_BYTES);
        }
        set_event_size(&mut event);
        Ok(event)
    }
}

/// Checks the CRC32 in the last four bytes of an event.
///
/// # Errors
/// It is not that of the bytes before it.
pub fn verify_checksum(event: &[u8]) -> Result<(), EventError> {
    let header = EventHeader::parse(event)?;
    let short = Malformed::Short { what: "checksum" };
    let (content, stored) = event.split_last_chunk::<CHECKSUM_BYTES>().ok_or(short)?;
    if content.len() < HEADER_BYTES {
        return Err(short.into());
    }
    let mut hasher = crc32fast::Hasher::new();
    if header.kind == EventType::FormatDescription {
        // Set and cleared in place by the server, which leaves the checksum as it was.
        hasher.update(&content[..17]);
        hasher.update(&[content[17] & !(FLAG_IN_USE as u8)]);
        hasher.update(&content[18..]);
    } else {
        hasher.update(content);
    }
    if hasher.finalize() == u32::from_le_bytes(*stored) {
        Ok(())
    } else {
        Err(EventError::WrongChecksum { code: header.kind.code() })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A format description event like MariaDB 10.11's.
    pub(crate) fn mariadb_fde(algorithm: u8, in_use: bool) -> Vec<u8> {
        let mut body = vec![4, 0];
        let mut version = b"10.11.19-MariaDB-log".to_vec();
        version.resize(50, 0);
        body.extend(version);
        body.extend(7u32.to_le_bytes());
        body.push(19);
        let mut lengths = vec![0u8; 171];
        for (code, len) in
            [(2, 13), (4, 8), (15, 228), (19, 8), (23, 8), (24, 8), (25, 8), (30, 10), (31, 10)]
        {
            lengths[code - 1] = len;
        }
        for (code, len) in [(32, 10), (162, 19), (163, 4), (165, 13), (166, 8), (167, 8), (168, 8)] {
            lengths[code - 1] = len;
        }
        body.extend(lengths);
        body.push(algorithm);
        let header = EventHeader {
            timestamp: 1,
            kind: EventType::FormatDescription,
            server_id: 1,
            event_size: (HEADER_BYTES + body.len() + CHECKSUM_BYTES) as u32,
            log_pos: 256,
            flags: 0,
        };
        let mut event = header.to_bytes().to_vec();
        event.extend(body);
        let crc = crc32fast::hash(&event);
        event.extend(crc.to_le_bytes());
        if in_use {
            event[17] |= 1;
        }
        event
    }

    pub(crate) fn mariadb() -> Format {
        Format::parse(&mariadb_fde(0, false)).expect("the event is whole")
    }

    #[test]
    fn an_fde_in_use_passes_its_checksum_and_tells_post_header_lengths() {
        let mut checksums = Checksums::new(Checksum::None);
        let stripped = checksums.strip(mariadb_fde(1, true)).expect("valid");
        assert_eq!(stripped.len(), 252 - 4);
        let format = Format::parse(&stripped).expect("valid");
        assert_eq!((format.checksum, format.flavour), (Checksum::Crc32, Flavour::MariaDb));
        assert_eq!(format.post_header_len(EventType::Gtid), Some(19));
        assert_eq!(format.post_header_len(EventType::Unknown(200)), None);
        let again = Format::parse(format.canonical()).expect("valid");
        assert_eq!((again.checksum, again.canonical()), (Checksum::None, format.canonical()));
    }

    /// Its own entry would be read from what stands behind the list, which the canonical event leaves out.
    #[test]
    fn a_list_of_lengths_that_ends_before_its_own_entry_is_refused() {
        let mut event = mariadb_fde(0, false);
        let lengths_at = HEADER_BYTES + FIXED_BYTES;
        let own_entry = lengths_at + usize::from(EventType::FormatDescription.code()) - 1;
        event[own_entry] = FIXED_BYTES as u8 + 5;
        event[lengths_at + 5] = 0;
        assert!(Format::parse(&event).is_err());
        event[own_entry] = FIXED_BYTES as u8 + 15;
        let format = Format::parse(&event).expect("its own entry is the last");
        assert_eq!(Format::parse(format.canonical()).map(|again| again.post_header_lengths.len()), Ok(15));
    }

    fn summed(kind: EventType, body: &[u8]) -> Vec<u8> {
        let event_size = (HEADER_BYTES + body.len() + CHECKSUM_BYTES) as u32;
        let header = EventHeader { timestamp: 1, kind, server_id: 1, event_size, log_pos: 0, flags: 0 };
        let mut event = [&header.to_bytes(), body].concat();
        event.extend(crc32fast::hash(&event).to_le_bytes());
        event
    }

    #[test]
    fn the_rotation_that_opens_a_dump_may_have_a_checksum_or_none() {
        let body = b"\x04\0\0\0\0\0\0\0binlog.000007";
        let sent = summed(EventType::Rotate, body);
        let mut plain = sent[..sent.len() - CHECKSUM_BYTES].to_vec();
        set_event_size(&mut plain);
        for event in [sent, plain.clone()] {
            assert_eq!(Checksums::new(Checksum::None).strip(event), Ok(plain.clone()));
        }
    }

    #[test]
    fn a_flipped_bit_is_found_by_the_checksum() {
        let mut event = summed(EventType::Stop, b"");
        let mut checksums = Checksums::new(Checksum::Crc32);
        assert_eq!(checksums.strip(event.clone()).map(|e| e.len()), Ok(19));
        event[2] ^= 1;
        assert_eq!(checksums.strip(event), Err(EventError::WrongChecksum { code: 3 }));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parsers_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..300), cut in 0usize..260, at in 0usize..252, byte: u8,
        ) {
            let _ = Format::parse(&bytes);
            let _ = Checksums::new(Checksum::Crc32).strip(bytes);
            let mut event = mariadb_fde(1, false);
            event[at] = byte;
            event.truncate(cut);
            let _ = Format::parse(&event);
            let _ = Checksums::new(Checksum::Crc32).strip(event);
        }
    }
}

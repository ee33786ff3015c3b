//! Event headers and event types.
//!
//! Every event begins with 19 bytes, little-endian:
//!
//! | bytes | field | meaning |
//! |---|---|---|
//! | 0..4 | timestamp | seconds since the Unix epoch; 0 in events that the dump made up |
//! | 4 | type | [`EventType`] |
//! | 5..9 | server_id | the server that wrote the event first |
//! | 9..13 | event_size | bytes, header included |
//! | 13..17 | log_pos | low 32 bits of the position after the event in its file; 0: unknown |
//! | 17..19 | flags | `LOG_EVENT_*_F` |
//!
//! Source: MariaDB Knowledge Base, "2-Binlog Event Header"; MySQL internals, "Binary Log Event Header".

use super::cursor::{Cursor, Malformed};

/// Length of an event header in bytes.
pub const HEADER_BYTES: usize = 19;
/// Length of a CRC32 behind an event in bytes.
pub const CHECKSUM_BYTES: usize = 4;

/// The file is still written to; only on format description events.
pub const FLAG_IN_USE: u16 = 0x1;
/// Made up by the dump; not in the file.
pub const FLAG_ARTIFICIAL: u16 = 0x20;
/// May be passed over by a reader that does not know the type.
pub const FLAG_IGNORABLE: u16 = 0x80;

macro_rules! event_types {
    ($($(#[$doc:meta])* $name:ident = $code:literal,)*) => {
        /// The types of MySQL and MariaDB events.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum EventType {
            $($(#[$doc])* $name,)*
            /// None of the above: stops the stream unless the header says that it may be ignored.
            Unknown(u8),
        }

        impl EventType {
            pub const fn from_code(code: u8) -> EventType {
                match code {
                    $($code => EventType::$name,)*
                    other => EventType::Unknown(other),
                }
            }

            /// The type byte of the header.
            pub const fn code(self) -> u8 {
                match self {
                    $(EventType::$name => $code,)*
                    EventType::Unknown(code) => code,
                }
            }
        }
    };
}

event_types! {
    StartV3 = 1,
    Query = 2,
    Stop = 3,
    Rotate = 4,
    IntVar = 5,
    Load = 6,
    Slave = 7,
    CreateFile = 8,
    AppendBlock = 9,
    ExecLoad = 10,
    DeleteFile = 11,
    NewLoad = 12,
    Rand = 13,
    UserVar = 14,
    FormatDescription = 15,
    Xid = 16,
    BeginLoadQuery = 17,
    ExecuteLoadQuery = 18,
    TableMap = 19,
    PreGaWriteRows = 20,
    PreGaUpdateRows = 21,
    PreGaDeleteRows = 22,
    WriteRowsV1 = 23,
    UpdateRowsV1 = 24,
    DeleteRowsV1 = 25,
    Incident = 26,
    Heartbeat = 27,
    IgnorableLog = 28,
    RowsQuery = 29,
    WriteRowsV2 = 30,
    UpdateRowsV2 = 31,
    DeleteRowsV2 = 32,
    MysqlGtid = 33,
    MysqlAnonymousGtid = 34,
    PreviousGtids = 35,
    TransactionContext = 36,
    ViewChange = 37,
    XaPrepare = 38,
    PartialUpdateRows = 39,
    TransactionPayload = 40,
    HeartbeatV2 = 41,
    MysqlTaggedGtid = 42,
    AnnotateRows = 160,
    BinlogCheckpoint = 161,
    Gtid = 162,
    GtidList = 163,
    StartEncryption = 164,
    QueryCompressed = 165,
    WriteRowsCompressedV1 = 166,
    UpdateRowsCompressedV1 = 167,
    DeleteRowsCompressedV1 = 168,
    WriteRowsCompressedV2 = 169,
    UpdateRowsCompressedV2 = 170,
    DeleteRowsCompressedV2 = 171,
}

/// The first 19 bytes of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventHeader {
    /// Seconds since the Unix epoch; 0: the dump made the event up.
    pub timestamp: u32,
    pub kind: EventType,
    pub server_id: u32,
    /// Bytes, header included.
    pub event_size: u32,
    /// Low 32 bits of the position after the event; 0: unknown.
    pub log_pos: u32,
    pub flags: u16,
}

impl EventHeader {
    /// Reads the header of an event.
    ///
    /// # Errors
    /// Fewer than 19 bytes.
    pub fn parse(event: &[u8]) -> Result<EventHeader, Malformed> {
        let mut cursor = Cursor::new(event, "event header");
        Ok(EventHeader {
            timestamp: cursor.u32()?,
            kind: EventType::from_code(cursor.u8()?),
            server_id: cursor.u32()?,
            event_size: cursor.u32()?,
            log_pos: cursor.u32()?,
            flags: cursor.u16()?,
        })
    }

    pub fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0..4].copy_from_slice(&self.timestamp.to_le_bytes());
        bytes[4] = self.kind.code();
        bytes[5..9].copy_from_slice(&self.server_id.to_le_bytes());
        bytes[9..13].copy_from_slice(&self.event_size.to_le_bytes());
        bytes[13..17].copy_from_slice(&self.log_pos.to_le_bytes());
        bytes[17..19].copy_from_slice(&self.flags.to_le_bytes());
        bytes
    }

    /// Whether a reader that does not know the type may pass it over.
    pub const fn is_ignorable(self) -> bool {
        self.flags & FLAG_IGNORABLE != 0
    }

    pub const fn is_artificial(self) -> bool {
        self.flags & FLAG_ARTIFICIAL != 0
    }
}

/// The bytes behind the header; empty if there is not even that.
pub fn body(event: &[u8]) -> &[u8] {
    event.get(HEADER_BYTES..).unwrap_or_default()
}

/// Writes the event's own length into its header.
pub(crate) fn set_event_size(event: &mut [u8]) {
    let size = u32::try_from(event.len()).expect("events are shorter than 4 GiB");
    event[9..13].copy_from_slice(&size.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn headers_come_back_and_no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            match EventHeader::parse(&bytes) {
                Ok(header) => prop_assert_eq!(&header.to_bytes()[..], &bytes[..HEADER_BYTES]),
                Err(_) => prop_assert!(bytes.len() < HEADER_BYTES),
            }
        }

        #[test]
        fn every_code_has_one_type(code: u8) {
            prop_assert_eq!(EventType::from_code(code).code(), code);
        }
    }

    #[test]
    fn mariadb_and_mysql_types_have_names_and_others_do_not() {
        assert_eq!(EventType::from_code(162), EventType::Gtid);
        assert_eq!(EventType::from_code(41), EventType::HeartbeatV2);
        assert_eq!(EventType::from_code(99), EventType::Unknown(99));
    }
}

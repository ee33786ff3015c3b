//! Transaction payloads: MySQL's `binlog_transaction_compression` puts all events of a transaction
//! behind its GTID into one, compressed.
//!
//! Body: fields of type, length and content (all packed), up to a field of type 0 without more: 1 is
//! the length of the payload, 2 the compression (0 zstd, 255 none), 3 the length unpacked. Then the
//! payload: whole events, one behind the other, without checksums. Source: MySQL source documentation,
//! `Transaction_payload_event`.
//!
//! It is unpacked event by event: what it holds may be many times as large as memory.

use std::io::Read;

use bytes::Bytes;
use bytes::buf::{Buf, Reader};

use super::cursor::{Cursor, Malformed};
use super::event::{self, EventHeader, HEADER_BYTES};

/// Longest event that a payload can hold: the greatest `max_allowed_packet` of the server's own replicas.
const EVENT_BYTES_MAX: u32 = 1 << 30;
/// Greatest window of the decompressor, as a power of two: zstd's own limit, and more than any level of MySQL's uses.
const WINDOW_LOG_MAX: u32 = 27;

/// Why a payload was not understood. Stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("a transaction payload is compressed by algorithm {0}, which this release does not know")]
    UnknownCompression(u64),
    #[error("a transaction payload does not unpack: the binlog is damaged")]
    Damaged,
    #[error("a transaction payload has an event of {0} bytes")]
    EventSize(u32),
}

/// A payload that is being unpacked.
pub(super) struct Payload {
    packed: Packed,
}

enum Packed {
    Zstd(Box<zstd::stream::read::Decoder<'static, std::io::BufReader<Reader<Bytes>>>>),
    Plain(Reader<Bytes>),
}

impl std::fmt::Debug for Payload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Payload")
    }
}

impl Payload {
    /// Opens the payload of a canonical transaction payload event. Copies its compressed bytes.
    pub(super) fn open(event: &[u8]) -> Result<Payload, PayloadError> {
        const END: u64 = 0;
        const LENGTH: u64 = 1;
        const COMPRESSION: u64 = 2;
        const ZSTD: u64 = 0;
        const NONE: u64 = 255;
        let mut cursor = Cursor::new(event::body(event), "transaction payload");
        let (mut length, mut compression) = (None, None);
        loop {
            let field = cursor.packed()?;
            if field == END {
                break;
            }
            let mut content = Cursor::new(cursor.packed_bytes()?, "transaction payload");
            match field {
                LENGTH => length = Some(content.packed()?),
                COMPRESSION => compression = Some(content.packed()?),
                // The unpacked length is told to those who reserve it.
                _ => {}
            }
        }
        let length = length.and_then(|length| usize::try_from(length).ok()).ok_or(cursor.invalid(0))?;
        let bytes = Bytes::copy_from_slice(cursor.take(length)?).reader();
        let packed = match compression.ok_or(cursor.invalid(0))? {
            ZSTD => {
                let mut decoder =
                    zstd::stream::read::Decoder::new(bytes).map_err(|_| PayloadError::Damaged)?;
                decoder.window_log_max(WINDOW_LOG_MAX).map_err(|_| PayloadError::Damaged)?;
                Packed::Zstd(Box::new(decoder))
            }
            NONE => Packed::Plain(bytes),
            other => return Err(PayloadError::UnknownCompression(other)),
        };
        Ok(Payload { packed })
    }

    /// The next event, canonical; None at the end.
    pub(super) fn next_event(&mut self) -> Result<Option<Vec<u8>>, PayloadError> {
        let mut event = Vec::new();
        self.read(HEADER_BYTES, &mut event)?;
        if event.is_empty() {
            return Ok(None);
        }
        let size = EventHeader::parse(&event)?.event_size;
        let body = (size as usize).checked_sub(HEADER_BYTES).filter(|_| size <= EVENT_BYTES_MAX);
        self.read(body.ok_or(PayloadError::EventSize(size))?, &mut event)?;
        if event.len() != size as usize {
            return Err(Malformed::Short { what: "transaction payload" }.into());
        }
        Ok(Some(event))
    }

    /// Appends the next bytes, fewer at the end. Memory grows with what is there, not with what is wanted.
    fn read(&mut self, wanted: usize, into: &mut Vec<u8>) -> Result<(), PayloadError> {
        let wanted = wanted as u64;
        let read = match &mut self.packed {
            Packed::Zstd(bytes) => bytes.take(wanted).read_to_end(into),
            Packed::Plain(bytes) => bytes.take(wanted).read_to_end(into),
        };
        read.map(|_| ()).map_err(|_| PayloadError::Damaged)
    }
}

#[cfg(test)]
#[path = "payload_tests.rs"]
pub(super) mod tests;

//! The frame: one transaction, or one part of a large one, as bytes. Format 2: GTIDs of
//! both flavours.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | magic `WFTF` |
//! | 4 | 2 | format version |
//! | 6 | 2 | flags: bit 0 a part of a large transaction, bit 1 its last part; the others are 0 |
//! | 8 | 4 | length of the whole frame, a multiple of 16 |
//! | 12 | 4 | `h`, length of the archived header |
//! | 16 | 4 | `r`, length of the raw bytes |
//! | 20 | 4 | index of the part, 0 if the transaction is whole |
//! | 24 | 20 | SCN as its own big-endian bytes |
//! | 44 | 4 | CRC32 (IEEE) of the bytes 0..44: a length is believed only if this holds |
//! | 48 | h | [`TransactionHeader`], archived with rkyv (little-endian, 32-bit relative pointers, aligned) |
//! | 48 + h | r | raw bytes, found by the spans in the header |
//! | 48 + h + r | 0..15 | zeros up to 4 bytes before the end |
//! | length - 4 | 4 | CRC32 of everything before it |
//!
//! Numbers are little-endian where not said otherwise. The prefix is 48 bytes long and frames are
//! a multiple of 16, so that an archive in a mapped file that begins aligned is aligned too.
//!
//! The raw bytes of a captured frame are whole events. In a frame that was cut down to some rows
//! ([`select`](super::select)) they are the table map events still in use, then row images without
//! the rows events around them: a reader may rely on the spans only.

use bytes::Bytes;
use rkyv::rancor::Failure;
use rkyv::util::AlignedVec;

use crate::gtid::Gtid;
use crate::link::message::MESSAGE_BYTES_MAX;
use crate::scn::{SCN_BYTES, Scn};
use crate::transaction::{Part, Rows, Span, Transaction, TransactionHeader};

/// Version of the layout above.
pub const FRAME_FORMAT: u16 = 2;
/// Length of the fixed prefix in bytes: what [`peek`] needs.
pub const PREFIX_BYTES: usize = 48;
/// Frames are a multiple of this long; so is the alignment of their archive.
pub const FRAME_ALIGN: usize = 16;
/// Longest frame in bytes: it fits one message of the peer link with its envelope.
pub const FRAME_BYTES_MAX: usize = MESSAGE_BYTES_MAX as usize - (64 << 10);

const MAGIC: [u8; 4] = *b"WFTF";
const CRC_BYTES: usize = 4;
const FLAG_PART: u16 = 1;
const FLAG_LAST: u16 = 2;

/// Why bytes are not a frame, or a transaction cannot become one. None of them goes away by trying
/// again: the bytes have to come from elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Fewer bytes than the frame needs.
    #[error("the frame ends after {have} bytes, {need} are needed")]
    Short { need: usize, have: usize },
    #[error("no frame begins here")]
    NoMagic,
    #[error("frame format {0} is not known, this release reads format {FRAME_FORMAT}")]
    Version(u16),
    /// The prefix contradicts itself or its checksum.
    #[error("the frame's prefix is damaged")]
    Prefix,
    #[error("the frame's checksum is {stored:08x}, its bytes give {computed:08x}")]
    Checksum { stored: u32, computed: u32 },
    /// The archive does not validate.
    #[error("the frame's header is damaged")]
    Header,
    /// The header names what is not there.
    #[error("the frame contradicts itself: {0}")]
    Inconsistent(&'static str),
    #[error("a frame of {0} bytes is longer than the {FRAME_BYTES_MAX} bytes allowed")]
    TooLong(usize),
}

/// What the fixed prefix says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FramePrefix {
    pub scn: Scn,
    /// Length of the whole frame in bytes.
    pub frame_bytes: usize,
    pub header_bytes: usize,
    pub raw_bytes: usize,
    /// None: the transaction is whole.
    pub part: Option<Part>,
}

impl FramePrefix {
    /// The SCN up to which this frame completes the history: None inside a large transaction.
    pub fn completes(&self) -> Option<Scn> {
        self.part.is_none_or(|part| part.last).then(|| self.scn.transaction())
    }

    /// The frame is the first of its transaction.
    pub fn begins(&self) -> bool {
        self.part.is_none_or(|part| part.index == 0)
    }
}

/// The transaction as a frame.
///
/// # Errors
/// `TooLong`, and `Inconsistent` for spans or indexes that point at nothing: such a frame would be
/// refused by every reader.
pub fn encode(transaction: &Transaction) -> Result<Vec<u8>, FrameError> {
    let mut out = Vec::with_capacity(PREFIX_BYTES + 512 + transaction.raw.len());
    encode_into(transaction, &mut out)?;
    Ok(out)
}

/// As [`encode`], into a buffer that is used again and again; its old content is cleared, and after
/// an error it holds nothing of use.
pub fn encode_into(transaction: &Transaction, out: &mut Vec<u8>) -> Result<(), FrameError> {
    check(transaction)?;
    let raw = &transaction.raw;
    out.clear();
    out.resize(PREFIX_BYTES, 0);
    rkyv::api::high::to_bytes_in::<_, Failure>(&transaction.header, &mut *out)
        .map_err(|_| FrameError::TooLong(usize::MAX))?; // beyond its 32-bit pointers
    let header_bytes = out.len() - PREFIX_BYTES;
    let frame_bytes = frame_length(header_bytes, raw.len())
        .filter(|length| *length <= FRAME_BYTES_MAX)
        .ok_or(FrameError::TooLong(out.len().saturating_add(raw.len())))?;
    out.extend_from_slice(raw);
    out.resize(frame_bytes - CRC_BYTES, 0);
    let part = transaction.rows().and_then(|rows| rows.part);
    let prefix =
        FramePrefix { scn: transaction.header.scn, frame_bytes, header_bytes, raw_bytes: raw.len(), part };
    write_prefix(&prefix, &mut out[..PREFIX_BYTES]);
    let crc = crc32fast::hash(out);
    out.extend_from_slice(&crc.to_le_bytes());
    Ok(())
}

/// Reads the prefix alone: whose frame it is and how long. `bytes` may hold more or less than the
/// frame. Looks at nothing behind the prefix, so the frame itself may still be damaged.
///
/// # Errors
/// `Short`, `NoMagic`, `Version`, `Prefix`.
pub fn peek(bytes: &[u8]) -> Result<FramePrefix, FrameError> {
    let Some((prefix, _)) = bytes.split_first_chunk::<PREFIX_BYTES>() else {
        return Err(FrameError::Short { need: PREFIX_BYTES, have: bytes.len() });
    };
    if prefix[..4] != MAGIC {
        return Err(FrameError::NoMagic);
    }
    let u16_at = |at: usize| u16::from_le_bytes([prefix[at], prefix[at + 1]]);
    if u16_at(4) != FRAME_FORMAT {
        return Err(FrameError::Version(u16_at(4)));
    }
    if crc32fast::hash(&prefix[..44]) != u32_le(prefix, 44) {
        return Err(FrameError::Prefix);
    }
    let flags = u16_at(6);
    let part = match flags {
        0 if u32_le(prefix, 20) == 0 => None,
        FLAG_PART => Some(Part { index: u32_le(prefix, 20), last: false }),
        flags if flags == FLAG_PART | FLAG_LAST => Some(Part { index: u32_le(prefix, 20), last: true }),
        _ => return Err(FrameError::Prefix),
    };
    let (header_bytes, raw_bytes) = (u32_le(prefix, 12) as usize, u32_le(prefix, 16) as usize);
    let frame_bytes = u32_le(prefix, 8) as usize;
    if frame_bytes > FRAME_BYTES_MAX || frame_length(header_bytes, raw_bytes) != Some(frame_bytes) {
        return Err(FrameError::Prefix);
    }
    let mut scn = [0; SCN_BYTES];
    scn.copy_from_slice(&prefix[24..44]);
    Ok(FramePrefix { scn: Scn::from_bytes(&scn), frame_bytes, header_bytes, raw_bytes, part })
}

/// Checks that `bytes` begin with a whole frame whose checksum holds.
///
/// # Errors
/// As [`peek`], and `Checksum`.
pub fn verify(bytes: &[u8]) -> Result<FramePrefix, FrameError> {
    let prefix = peek(bytes)?;
    let Some(frame) = bytes.get(..prefix.frame_bytes) else {
        return Err(FrameError::Short { need: prefix.frame_bytes, have: bytes.len() });
    };
    let body = frame.len() - CRC_BYTES;
    let (stored, computed) = (u32_le(frame, body), crc32fast::hash(&frame[..body]));
    if stored != computed {
        return Err(FrameError::Checksum { stored, computed });
    }
    Ok(prefix)
}

/// The transaction of a frame, which must be exactly `bytes`. The raw bytes are a slice of it and
/// are not copied. Whatever is returned is consistent: its spans lie in its raw bytes, its indexes
/// name what is there.
///
/// # Errors
/// Every one of [`FrameError`] but `TooLong`.
pub fn decode(bytes: &Bytes) -> Result<Transaction, FrameError> {
    let prefix = verify(bytes)?;
    if bytes.len() != prefix.frame_bytes {
        return Err(FrameError::Inconsistent("bytes follow the frame"));
    }
    let raw_at = PREFIX_BYTES + prefix.header_bytes;
    let header = read_header(&bytes[PREFIX_BYTES..raw_at])?;
    let raw = bytes.slice(raw_at..raw_at + prefix.raw_bytes);
    let transaction = Transaction { header, raw };
    if transaction.header.scn != prefix.scn || transaction.rows().and_then(|rows| rows.part) != prefix.part {
        return Err(FrameError::Inconsistent("prefix and header differ"));
    }
    check(&transaction)?;
    Ok(transaction)
}

fn read_header(archive: &[u8]) -> Result<TransactionHeader, FrameError> {
    let read = |archive: &[u8]| {
        rkyv::from_bytes::<TransactionHeader, Failure>(archive).map_err(|_| FrameError::Header)
    };
    if archive.as_ptr().addr().is_multiple_of(FRAME_ALIGN) {
        return read(archive);
    }
    // Frames from the link lie anywhere in memory.
    let mut aligned = AlignedVec::<FRAME_ALIGN>::with_capacity(archive.len());
    aligned.extend_from_slice(archive);
    read(&aligned)
}

fn frame_length(header_bytes: usize, raw_bytes: usize) -> Option<usize> {
    PREFIX_BYTES
        .checked_add(header_bytes)?
        .checked_add(raw_bytes)?
        .checked_add(CRC_BYTES)?
        .checked_next_multiple_of(FRAME_ALIGN)
}

/// Lengths fit their fields: the caller has held them against [`FRAME_BYTES_MAX`].
fn write_prefix(prefix: &FramePrefix, out: &mut [u8]) {
    let (flags, index) = match prefix.part {
        None => (0, 0),
        Some(part) => (if part.last { FLAG_PART | FLAG_LAST } else { FLAG_PART }, part.index),
    };
    out[0..4].copy_from_slice(&MAGIC);
    out[4..6].copy_from_slice(&FRAME_FORMAT.to_le_bytes());
    out[6..8].copy_from_slice(&flags.to_le_bytes());
    out[8..12].copy_from_slice(&(prefix.frame_bytes as u32).to_le_bytes());
    out[12..16].copy_from_slice(&(prefix.header_bytes as u32).to_le_bytes());
    out[16..20].copy_from_slice(&(prefix.raw_bytes as u32).to_le_bytes());
    out[20..24].copy_from_slice(&index.to_le_bytes());
    out[24..44].copy_from_slice(&prefix.scn.to_bytes());
    let crc = crc32fast::hash(&out[..44]);
    out[44..48].copy_from_slice(&crc.to_le_bytes());
}

fn u32_le(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// Everything that a reader of the transaction takes for granted; held before the write and after
/// the read.
fn check(transaction: &Transaction) -> Result<(), FrameError> {
    let scn = transaction.header.scn;
    if scn.epoch > Scn::EPOCH_MAX || scn.log_pos > Scn::LOG_POS_MAX {
        return Err(FrameError::Inconsistent("the SCN is out of range"));
    }
    if !transaction.header.gtid.as_ref().is_none_or(Gtid::is_sound) {
        return Err(FrameError::Inconsistent("the GTID is none that a server gives"));
    }
    match transaction.rows() {
        Some(rows) => check_rows(rows, transaction.raw.len()),
        None => Ok(()),
    }
}

fn check_rows(rows: &Rows, raw_bytes: usize) -> Result<(), FrameError> {
    let inside = |span: Span| span.range().end <= raw_bytes;
    if rows.tables.len() > usize::from(u16::MAX) + 1 || rows.rows.len() > u32::MAX as usize {
        return Err(FrameError::Inconsistent("more tables or rows than can be numbered"));
    }
    if !rows.tables.iter().all(|table| inside(table.table_map)) {
        return Err(FrameError::Inconsistent("a table map lies outside of the raw bytes"));
    }
    for row in &rows.rows {
        if usize::from(row.table) >= rows.tables.len() {
            return Err(FrameError::Inconsistent("a row names a table that is not there"));
        }
        if !inside(row.before) || !inside(row.after) {
            return Err(FrameError::Inconsistent("a row image lies outside of the raw bytes"));
        }
    }
    if !rows.unique.iter().all(|stamp| (stamp.row as usize) < rows.rows.len()) {
        return Err(FrameError::Inconsistent("a unique stamp names a row that is not there"));
    }
    if !rows.unique.is_sorted_by_key(|stamp| stamp.row) {
        return Err(FrameError::Inconsistent("the unique stamps are not sorted by row"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::sample::any_transaction;
    use super::*;
    use crate::catalog::CatalogId;
    use crate::gtid::{GtidSource, MySqlGtid};
    use crate::time::Micros;
    use crate::transaction::Body;

    #[test]
    fn a_gtid_that_no_server_gives_is_refused() {
        let gtid = Gtid::MySql(Box::new(MySqlGtid { source: GtidSource::default(), number: 0 }));
        let header = TransactionHeader {
            scn: Scn::of_transaction(1, 1, 4),
            server_id: 7,
            gtid: Some(gtid),
            commit_time: Micros(1),
            format: CatalogId(0),
            body: Body::Heartbeat { written: Micros(1) },
        };
        let refused = encode(&Transaction { header, raw: Bytes::new() });
        assert!(matches!(refused, Err(FrameError::Inconsistent(what)) if what.contains("GTID")));
    }

    proptest! {
        #[test]
        fn a_transaction_comes_back_from_its_frame(transaction in any_transaction(), shift in 0_usize..16) {
            let frame = encode(&transaction).expect("a sound transaction");
            prop_assert!(frame.len().is_multiple_of(FRAME_ALIGN));
            let prefix = peek(&frame).expect("a sound prefix");
            prop_assert_eq!(prefix.scn, transaction.header.scn);
            prop_assert_eq!(prefix.frame_bytes, frame.len());
            prop_assert_eq!(prefix.completes(), transaction.completes());
            // At any alignment, as the link delivers them.
            let mut moved = vec![0; shift];
            moved.extend_from_slice(&frame);
            let decoded = decode(&Bytes::from(moved).slice(shift..));
            prop_assert_eq!(decoded, Ok(transaction));
        }

        #[test]
        fn a_flipped_byte_is_found(transaction in any_transaction(), at in any::<prop::sample::Index>(), flip in 1_u8..) {
            let mut frame = encode(&transaction).expect("a sound transaction");
            let at = at.index(frame.len());
            frame[at] ^= flip;
            prop_assert!(decode(&Bytes::from(frame)).is_err());
        }

        #[test]
        fn a_cut_frame_is_found(transaction in any_transaction(), cut in any::<prop::sample::Index>()) {
            let frame = encode(&transaction).expect("a sound transaction");
            let cut = cut.index(frame.len());
            prop_assert!(decode(&Bytes::from(frame).slice(..cut)).is_err());
        }

        /// Whoever computes checksums can hand us any archive: it is refused or it is consistent.
        #[test]
        fn a_forged_archive_does_not_panic(
            transaction in any_transaction(),
            edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        ) {
            let mut frame = encode(&transaction).expect("a sound transaction");
            let header_bytes = peek(&frame).expect("a sound prefix").header_bytes;
            for (at, byte) in edits {
                frame[PREFIX_BYTES + at.index(header_bytes)] = byte;
            }
            let body = frame.len() - CRC_BYTES;
            let crc = crc32fast::hash(&frame[..body]);
            frame[body..].copy_from_slice(&crc.to_le_bytes());
            if let Ok(decoded) = decode(&Bytes::from(frame)) {
                for row in decoded.rows().map_or(&[][..], |rows| &rows.rows) {
                    let _ = (decoded.bytes(row.before), decoded.bytes(row.after));
                }
            }
        }

        #[test]
        fn random_bytes_are_no_frame(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(decode(&Bytes::from(bytes.clone())).is_err());
            prop_assert!(peek(&bytes).is_err());
        }
    }
}

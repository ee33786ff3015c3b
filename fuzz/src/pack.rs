//! How the fuzzer's bytes hold several events or frames, so that bytes put in or taken out of one leave
//! the others whole; and the checksums that it would never guess.

use weft_core::binlog::event::HEADER_BYTES;
use weft_core::buffer::frame::{FRAME_ALIGN, FRAME_FORMAT, PREFIX_BYTES};

/// Stands between two pieces.
pub const BETWEEN: &[u8; 4] = b"\xfeEV\xfe";
/// A frame's prefix but for its own checksum.
const PREFIX_BODY_BYTES: usize = PREFIX_BYTES - CRC_BYTES;
const CRC_BYTES: usize = 4;

/// The pieces.
pub fn pieces(data: &[u8]) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    let mut rest = data;
    while let Some(at) = rest.windows(BETWEEN.len()).position(|window| window == BETWEEN) {
        pieces.push(&rest[..at]);
        rest = &rest[at + BETWEEN.len()..];
    }
    pieces.push(rest);
    pieces
}

/// The pieces as events whose headers tell their length.
pub fn events(data: &[u8]) -> Vec<Vec<u8>> {
    let whole = pieces(data).into_iter().filter(|event| event.len() >= HEADER_BYTES);
    whole.map(|event| sized(event.to_vec())).collect()
}

/// The event with its own length in its header.
pub fn sized(mut event: Vec<u8>) -> Vec<u8> {
    let size = u32::try_from(event.len()).expect("inputs are short");
    event[9..13].copy_from_slice(&size.to_le_bytes());
    event
}

/// The event with a checksum behind it.
pub fn with_checksum(event: &[u8]) -> Vec<u8> {
    let mut event = sized([event, &[0; CRC_BYTES]].concat());
    let body = event.len() - CRC_BYTES;
    let crc = crc32fast::hash(&event[..body]);
    event[body..].copy_from_slice(&crc.to_le_bytes());
    event
}

/// Makes a frame's magic, lengths and checksums right, so that what is behind them is reached.
pub fn mend_frame(mut frame: Vec<u8>) -> Vec<u8> {
    frame.truncate(frame.len() / FRAME_ALIGN * FRAME_ALIGN);
    let Some(content) = frame.len().checked_sub(PREFIX_BYTES + CRC_BYTES) else { return frame };
    let asked = u32::from_le_bytes(frame[12..16].try_into().expect("four bytes")) as usize;
    let header = asked.min(content);
    let raw = (content - header) as u32;
    frame[..4].copy_from_slice(b"WFTF");
    frame[4..6].copy_from_slice(&FRAME_FORMAT.to_le_bytes());
    let length = frame.len() as u32;
    frame[8..12].copy_from_slice(&length.to_le_bytes());
    frame[12..16].copy_from_slice(&(header as u32).to_le_bytes());
    let padding = u32::from_le_bytes(frame[16..20].try_into().expect("four bytes"));
    // Raw bytes may end up to 15 bytes before the checksum.
    let raw = if raw.checked_sub(padding).is_some_and(|padding| padding < FRAME_ALIGN as u32) {
        padding
    } else {
        raw
    };
    frame[16..20].copy_from_slice(&raw.to_le_bytes());
    let crc = crc32fast::hash(&frame[..PREFIX_BODY_BYTES]);
    frame[PREFIX_BODY_BYTES..PREFIX_BYTES].copy_from_slice(&crc.to_le_bytes());
    let body = frame.len() - CRC_BYTES;
    let crc = crc32fast::hash(&frame[..body]);
    frame[body..].copy_from_slice(&crc.to_le_bytes());
    frame
}

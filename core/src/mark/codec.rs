//! The bytes of a mark's body. Format version 1.
//!
//! Varints are unsigned LEB128 of at most ten bytes. The offset table:
//!
//! | part | content |
//! |---|---|
//! | byte 0 | format version, 1 |
//! | bytes 1..5 | source instance, `u32` little-endian |
//! | from 5 | watermark (*SCN* after [`Scn::ZERO`]), then its time (varint, microseconds) |
//! | runs | varint count; each: `first` (*SCN* after the bound before it), `last` (*SCN* after `first`) |
//! | named | varint count of groups; each: *version*, varint count, keys of 16 bytes big-endian |
//! | evictions | varint count; each: key (16 bytes), *version*, varint length of events, the events |
//!
//! *SCN*: one byte that says which is the first field to differ from the SCN before it, then from
//! that field on: the field's growth, and the fields after it as they are; all varints.
//!
//! | tag | follows |
//! |---|---|
//! | 0 | epoch, log_index, log_pos, row as they are |
//! | 1 | growth of log_index, log_pos, row |
//! | 2 | growth of log_pos, row |
//! | 3 | growth of row |
//! | 4 | nothing: equal |
//!
//! *Version*: varint time in microseconds, below [`TIME_MAX`]; origin `u32` little-endian; one byte,
//! 1 if removed, else 0.

use super::{Eviction, Mark, Named, Run};
use crate::instance::InstanceId;
use crate::key::KeyHash;
use crate::scn::Scn;
use crate::time::Micros;
use crate::version::Version;

/// First byte of every mark that this release writes.
pub const FORMAT: u8 = 1;
/// Times at or above this (in the year 148,108) are refused, so that a damaged mark cannot push the
/// stamps of a site to the end of time.
pub const TIME_MAX: Micros = Micros(1 << 62);

/// Bytes that a key takes.
const KEY_BYTES: usize = 16;
/// The smallest version: one byte of time, four of origin, one of `removed`.
const VERSION_BYTES_MIN: usize = 6;

/// Why a mark's body cannot be read. None of them is worth a retry: the row is damaged, or a newer
/// release wrote it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MarkError {
    #[error(
        "a mark of format {0} is newer than this release, which reads format {FORMAT}; upgrade this node"
    )]
    UnknownFormat(u8),
    #[error("a mark ends in the middle of its {0}")]
    CutShort(&'static str),
    #[error("a mark has {0} bytes behind its end")]
    TrailingBytes(usize),
    #[error("a mark holds a number that is out of range in its {0}")]
    OutOfRange(&'static str),
}

impl Mark {
    /// The bytes of the body.
    pub fn encode(&self) -> Vec<u8> {
        let keys: usize = self.named.iter().map(|named| named.keys.len()).sum();
        let events: usize = self.evictions.iter().map(|eviction| eviction.events.len() + 40).sum();
        let mut out =
            Vec::with_capacity(64 + self.runs.len() * 8 + self.named.len() * 16 + keys * 16 + events);
        out.push(FORMAT);
        out.extend_from_slice(&self.source.0.to_le_bytes());
        put_scn(&mut out, Scn::ZERO, self.watermark);
        put_varint(&mut out, self.watermark_time.0);
        put_varint(&mut out, self.runs.len() as u64);
        let mut before = self.watermark;
        for run in &self.runs {
            put_scn(&mut out, before, run.first);
            put_scn(&mut out, run.first, run.last);
            before = run.last;
        }
        put_varint(&mut out, self.named.len() as u64);
        for named in &self.named {
            put_version(&mut out, named.version);
            put_varint(&mut out, named.keys.len() as u64);
            for key in &named.keys {
                out.extend_from_slice(&key.0.to_be_bytes());
            }
        }
        put_varint(&mut out, self.evictions.len() as u64);
        for eviction in &self.evictions {
            out.extend_from_slice(&eviction.key.0.to_be_bytes());
            put_version(&mut out, eviction.version);
            put_varint(&mut out, eviction.events.len() as u64);
            out.extend_from_slice(&eviction.events);
        }
        out
    }

    /// Reads a body. Memory taken is at most a small multiple of `bytes`.
    ///
    /// # Errors
    /// Every damage that can be seen; see [`MarkError`].
    pub fn decode(bytes: &[u8]) -> Result<Mark, MarkError> {
        let mut input = Input { bytes };
        let format = input.byte("format")?;
        if format != FORMAT {
            return Err(MarkError::UnknownFormat(format));
        }
        let source = InstanceId(input.u32("source")?);
        let watermark = input.scn(Scn::ZERO, "watermark")?;
        let watermark_time = input.time("watermark")?;
        let runs = input.runs(watermark)?;
        let named = input.named()?;
        let evictions = input.evictions()?;
        if !input.bytes.is_empty() {
            return Err(MarkError::TrailingBytes(input.bytes.len()));
        }
        Ok(Mark { source, watermark, watermark_time, runs, named, evictions })
    }
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_version(out: &mut Vec<u8>, version: Version) {
    put_varint(out, version.time.0);
    out.extend_from_slice(&version.origin.0.to_le_bytes());
    out.push(u8::from(version.removed));
}

fn put_scn(out: &mut Vec<u8>, before: Scn, scn: Scn) {
    let fields = |scn: Scn| [u64::from(scn.epoch), u64::from(scn.log_index), scn.log_pos, u64::from(scn.row)];
    let (old, new) = (fields(before), fields(scn));
    let differs = (0..4).find(|&i| old[i] != new[i]).unwrap_or(4);
    // A field that falls has no growth: written whole, under tag 0.
    let tag = if differs < 4 && new[differs] < old[differs] { 0 } else { differs };
    out.push(tag as u8);
    for i in tag..4 {
        let growth = if i == tag && tag > 0 { new[i] - old[i] } else { new[i] };
        put_varint(out, growth);
    }
}

/// What is left to read.
struct Input<'a> {
    bytes: &'a [u8],
}

impl<'a> Input<'a> {
    fn take(&mut self, len: usize, what: &'static str) -> Result<&'a [u8], MarkError> {
        let (taken, rest) = self.bytes.split_at_checked(len).ok_or(MarkError::CutShort(what))?;
        self.bytes = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], MarkError> {
        let (taken, rest) = self.bytes.split_first_chunk::<N>().ok_or(MarkError::CutShort(what))?;
        self.bytes = rest;
        Ok(*taken)
    }

    fn byte(&mut self, what: &'static str) -> Result<u8, MarkError> {
        Ok(self.array::<1>(what)?[0])
    }

    fn u32(&mut self, what: &'static str) -> Result<u32, MarkError> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    fn varint(&mut self, what: &'static str) -> Result<u64, MarkError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte(what)?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(MarkError::OutOfRange(what));
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(MarkError::OutOfRange(what))
    }

    /// A count of things of at least `bytes_each` bytes: never more than the rest can hold, so that
    /// a damaged count reserves nothing.
    fn count(&mut self, bytes_each: usize, what: &'static str) -> Result<usize, MarkError> {
        let count = self.varint(what)?;
        if count > (self.bytes.len() / bytes_each) as u64 {
            return Err(MarkError::CutShort(what));
        }
        Ok(count as usize)
    }

    fn time(&mut self, what: &'static str) -> Result<Micros, MarkError> {
        let time = Micros(self.varint(what)?);
        if time < TIME_MAX { Ok(time) } else { Err(MarkError::OutOfRange(what)) }
    }

    fn version(&mut self, what: &'static str) -> Result<Version, MarkError> {
        let time = self.time(what)?;
        let origin = InstanceId(self.u32(what)?);
        let removed = match self.byte(what)? {
            0 => false,
            1 => true,
            _ => return Err(MarkError::OutOfRange(what)),
        };
        Ok(Version { time, origin, removed })
    }

    fn key(&mut self, what: &'static str) -> Result<KeyHash, MarkError> {
        Ok(KeyHash(u128::from_be_bytes(self.array::<KEY_BYTES>(what)?)))
    }

    fn scn(&mut self, before: Scn, what: &'static str) -> Result<Scn, MarkError> {
        let old =
            [u64::from(before.epoch), u64::from(before.log_index), before.log_pos, u64::from(before.row)];
        let tag = usize::from(self.byte(what)?);
        if tag > 4 {
            return Err(MarkError::OutOfRange(what));
        }
        let mut fields = [0; 4];
        fields[..tag].copy_from_slice(&old[..tag]);
        for i in tag..4 {
            let value = self.varint(what)?;
            let from = if i == tag && tag > 0 { old[i] } else { 0 };
            fields[i] = from.checked_add(value).ok_or(MarkError::OutOfRange(what))?;
        }
        let small = |value: u64| u32::try_from(value).map_err(|_| MarkError::OutOfRange(what));
        let scn = Scn {
            epoch: small(fields[0])?,
            log_index: small(fields[1])?,
            log_pos: fields[2],
            row: small(fields[3])?,
        };
        if scn.epoch > Scn::EPOCH_MAX || scn.log_pos > Scn::LOG_POS_MAX {
            return Err(MarkError::OutOfRange(what));
        }
        Ok(scn)
    }

    fn runs(&mut self, watermark: Scn) -> Result<Vec<Run>, MarkError> {
        let count = self.count(2, "runs")?;
        let mut runs = Vec::with_capacity(count);
        let mut before = watermark;
        for _ in 0..count {
            let first = self.scn(before, "runs")?;
            let last = self.scn(first, "runs")?;
            if last < first {
                return Err(MarkError::OutOfRange("runs"));
            }
            runs.push(Run { first, last });
            before = last;
        }
        Ok(runs)
    }

    fn named(&mut self) -> Result<Vec<Named>, MarkError> {
        let groups = self.count(VERSION_BYTES_MIN + 1, "named keys")?;
        let mut named = Vec::with_capacity(groups);
        for _ in 0..groups {
            let version = self.version("named keys")?;
            let count = self.count(KEY_BYTES, "named keys")?;
            let keys = (0..count).map(|_| self.key("named keys")).collect::<Result<_, _>>()?;
            named.push(Named { version, keys });
        }
        Ok(named)
    }

    fn evictions(&mut self) -> Result<Vec<Eviction>, MarkError> {
        let count = self.count(KEY_BYTES + VERSION_BYTES_MIN + 1, "evictions")?;
        let mut evictions = Vec::with_capacity(count);
        for _ in 0..count {
            let key = self.key("evictions")?;
            let version = self.version("evictions")?;
            let len = self.count(1, "evictions")?;
            evictions.push(Eviction { key, version, events: self.take(len, "evictions")?.to_vec() });
        }
        Ok(evictions)
    }
}

#[cfg(test)]
#[path = "codec_tests.rs"]
mod tests;

//! Bytes of the peer link: the preamble, and the messages behind their lengths.
//!
//! A connection begins with eight bytes of the connecting side, which stay the same in every
//! protocol to come, so that a peer that cannot be understood is still named:
//!
//! | bytes | meaning |
//! |---|---|
//! | 0..4 | `WEFT` |
//! | 4..6 | protocol, little-endian |
//! | 6..8 | zero |
//!
//! Then, both ways, messages:
//!
//! | bytes | meaning |
//! |---|---|
//! | 0..4 | length `n` of the archive, little-endian |
//! | 4..4+n | rkyv archive of the message |

use bytes::Buf;
use rkyv::api::high::{HighDeserializer, HighSerializer, HighValidator};
use rkyv::rancor::Error as Rancor;
use rkyv::ser::allocator::ArenaHandle;
use rkyv::util::AlignedVec;
use rkyv::{Archive, Deserialize, Serialize};

use super::message::MESSAGE_BYTES_MAX;

/// Length of the preamble in bytes.
pub const PREAMBLE_BYTES: usize = 8;
const MAGIC: [u8; 4] = *b"WEFT";
const LENGTH_BYTES: usize = 4;
/// A buffer that one long message made larger than this is not kept for the next.
const KEPT_BYTES_MAX: usize = 1 << 20;

/// What arrived, or was to be sent, is not a message of this protocol. The connection is of no
/// further use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    #[error("a message of {bytes} bytes is longer than the {max} allowed")]
    TooLong { bytes: u64, max: u32 },
    #[error("{bytes} bytes that are no message of this protocol")]
    NotAMessage { bytes: usize },
    #[error("the other side does not speak Weft's peer protocol")]
    NotWeft,
}

/// The first bytes of a connection.
pub fn preamble(protocol: u16) -> [u8; PREAMBLE_BYTES] {
    let mut bytes = [0; PREAMBLE_BYTES];
    bytes[..4].copy_from_slice(&MAGIC);
    bytes[4..6].copy_from_slice(&protocol.to_le_bytes());
    bytes
}

/// The protocol that the connecting side speaks.
///
/// # Errors
/// [`CodecError::NotWeft`] if the bytes are not a preamble. The last two bytes are not looked at.
pub fn read_preamble(bytes: [u8; PREAMBLE_BYTES]) -> Result<u16, CodecError> {
    if bytes[..4] != MAGIC {
        return Err(CodecError::NotWeft);
    }
    Ok(u16::from_le_bytes([bytes[4], bytes[5]]))
}

/// Appends the message and its length to `out`; on an error `out` is as it was.
///
/// # Errors
/// [`CodecError::TooLong`] if the archive is longer than [`MESSAGE_BYTES_MAX`].
pub fn encode_into<T>(message: &T, out: &mut Vec<u8>) -> Result<(), CodecError>
where
    T: for<'a> Serialize<HighSerializer<AlignedVec, ArenaHandle<'a>, Rancor>>,
{
    let archive =
        rkyv::to_bytes::<Rancor>(message).expect("serializing into memory fails only without memory");
    let length = u32::try_from(archive.len())
        .ok()
        .filter(|length| *length <= MESSAGE_BYTES_MAX)
        .ok_or(CodecError::TooLong { bytes: archive.len() as u64, max: MESSAGE_BYTES_MAX })?;
    out.reserve(LENGTH_BYTES + archive.len());
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&archive);
    Ok(())
}

/// The message behind its length.
///
/// # Errors
/// As [`encode_into`].
pub fn encode<T>(message: &T) -> Result<Vec<u8>, CodecError>
where
    T: for<'a> Serialize<HighSerializer<AlignedVec, ArenaHandle<'a>, Rancor>>,
{
    let mut out = Vec::new();
    encode_into(message, &mut out)?;
    Ok(out)
}

/// Puts messages together from the pieces in which a stream hands them over.
///
/// It holds at most one message, and of that no more than what has arrived (with the usual slack of
/// a growing vector): an announced length reserves nothing.
#[derive(Debug)]
pub struct Decoder {
    length: [u8; LENGTH_BYTES],
    length_have: usize,
    archive: AlignedVec,
    max: u32,
}

impl Decoder {
    /// A decoder that refuses messages longer than `max_bytes`, which is itself held to
    /// [`MESSAGE_BYTES_MAX`].
    pub fn new(max_bytes: u32) -> Decoder {
        Decoder {
            length: [0; LENGTH_BYTES],
            length_have: 0,
            archive: AlignedVec::new(),
            max: max_bytes.min(MESSAGE_BYTES_MAX),
        }
    }

    /// Changes the longest message from the next message on.
    pub fn set_max(&mut self, max_bytes: u32) {
        self.max = max_bytes.min(MESSAGE_BYTES_MAX);
    }

    /// Whether a message has begun and is not whole yet.
    pub fn is_midway(&self) -> bool {
        self.length_have > 0
    }

    /// Takes from `input` up to the end of the message under way and returns it once whole; None
    /// when all of `input` was taken before that.
    ///
    /// # Errors
    /// A length or an archive that is none of this protocol; the decoder is of no further use then.
    pub fn feed<T>(&mut self, input: &mut impl Buf) -> Result<Option<T>, CodecError>
    where
        T: Archive,
        T::Archived: for<'a> rkyv::bytecheck::CheckBytes<HighValidator<'a, Rancor>>
            + Deserialize<T, HighDeserializer<Rancor>>,
    {
        while self.length_have < LENGTH_BYTES {
            if !input.has_remaining() {
                return Ok(None);
            }
            self.length[self.length_have] = input.get_u8();
            self.length_have += 1;
        }
        let length = u32::from_le_bytes(self.length);
        if length > self.max {
            return Err(CodecError::TooLong { bytes: u64::from(length), max: self.max });
        }
        let length = length as usize;
        while self.archive.len() < length && input.has_remaining() {
            let chunk = input.chunk();
            let take = chunk.len().min(length - self.archive.len());
            self.archive.extend_from_slice(&chunk[..take]);
            input.advance(take);
        }
        if self.archive.len() < length {
            return Ok(None);
        }
        let message = rkyv::from_bytes::<T, Rancor>(&self.archive)
            .map_err(|_| CodecError::NotAMessage { bytes: length });
        self.length_have = 0;
        self.archive.clear();
        if self.archive.capacity() > KEPT_BYTES_MAX {
            self.archive = AlignedVec::new();
        }
        message.map(Some)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::instance::InstanceId;
    use crate::link::message::{FromClient, FromServer, Hello, PROTOCOL, Pull, Purpose, RowFilter};
    use crate::scn::Scn;
    use crate::tables::TableFilter;
    use crate::time::Micros;
    use proptest::prelude::*;

    fn any_message() -> impl Strategy<Value = FromServer> {
        prop_oneof![
            (any::<u16>(), ".{0,20}").prop_map(|(protocol, node)| FromServer::Welcome { protocol, node }),
            (".{0,40}", any::<bool>()).prop_map(|(reason, retry)| FromServer::Refused { reason, retry }),
            proptest::collection::vec(any::<u8>(), 0..3000).prop_map(FromServer::Frame),
            (any::<u32>(), any::<u64>()).prop_map(|(pos, time)| FromServer::Progress {
                scn: Scn { epoch: 1, log_index: 2, log_pos: u64::from(pos), row: 0 },
                source_time: Micros(time),
                sent_at: Micros(time / 2),
                behind_bytes: time / 3,
            }),
            ".{0,100}".prop_map(FromServer::Status),
        ]
    }

    fn feed_all(decoder: &mut Decoder, pieces: &[&[u8]]) -> Result<Vec<FromServer>, CodecError> {
        let mut messages = Vec::new();
        for piece in pieces {
            let mut input = *piece;
            while let Some(message) = decoder.feed(&mut input)? {
                messages.push(message);
            }
            assert!(input.is_empty());
        }
        Ok(messages)
    }

    proptest! {
        #[test]
        fn messages_come_back_however_the_stream_is_cut(
            messages in proptest::collection::vec(any_message(), 0..6),
            cut in 1usize..700,
        ) {
            let mut bytes = Vec::new();
            for message in &messages {
                encode_into(message, &mut bytes).unwrap();
            }
            let pieces: Vec<&[u8]> = bytes.chunks(cut).collect();
            let mut decoder = Decoder::new(MESSAGE_BYTES_MAX);
            prop_assert_eq!(feed_all(&mut decoder, &pieces).unwrap(), messages);
            prop_assert!(!decoder.is_midway());
        }

        #[test]
        fn no_bytes_make_the_decoder_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
            honest_length in any::<bool>(),
        ) {
            let mut stream = Vec::new();
            if honest_length {
                stream.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
            }
            stream.extend_from_slice(&bytes);
            let mut server = &stream[..];
            let _ = Decoder::new(1 << 16).feed::<FromServer>(&mut server);
            let mut client = &stream[..];
            let _ = Decoder::new(1 << 16).feed::<FromClient>(&mut client);
            let mut hello = &stream[..];
            let _ = Decoder::new(1 << 16).feed::<Hello>(&mut hello);
        }

        #[test]
        fn a_flipped_byte_gives_a_message_or_an_error_but_no_panic(
            message in any_message(), at in any::<prop::sample::Index>(), flip in 1u8..,
        ) {
            let mut bytes = encode(&message).unwrap();
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            let mut input = &bytes[..];
            let _ = Decoder::new(1 << 16).feed::<FromServer>(&mut input);
        }
    }

    #[test]
    fn an_announced_length_reserves_nothing() {
        let mut decoder = Decoder::new(MESSAGE_BYTES_MAX);
        let mut bytes = MESSAGE_BYTES_MAX.to_le_bytes().to_vec();
        bytes.extend_from_slice(&[0; 100]);
        assert_eq!(decoder.feed::<FromServer>(&mut &bytes[..]), Ok(None));
        assert!(decoder.archive.capacity() < 4096, "{}", decoder.archive.capacity());
        assert!(decoder.is_midway());
    }

    #[test]
    fn a_length_over_the_limit_is_refused_before_its_bytes_come() {
        let mut decoder = Decoder::new(100);
        let refused = decoder.feed::<Hello>(&mut &101u32.to_le_bytes()[..]);
        assert_eq!(refused, Err(CodecError::TooLong { bytes: 101, max: 100 }));
    }

    #[test]
    fn a_hello_comes_back_and_the_preamble_names_the_protocol() {
        let pull = Pull {
            source: "sh.main".into(),
            channel: "orders".into(),
            filter: RowFilter {
                tables: TableFilter::new(["shop.*", "!shop.audit_*"]),
                target: InstanceId(7),
                direct: vec![(InstanceId(9), TableFilter::new(["*"]))],
            },
            after: Some(Scn::of_transaction(1, 2, 3)),
            credit_bytes: 1 << 20,
        };
        let hello = Hello {
            protocol: PROTOCOL,
            cluster: "shop".into(),
            node: "bj-1".into(),
            purpose: Purpose::Pull(pull),
        };
        let bytes = encode(&hello).unwrap();
        assert_eq!(Decoder::new(4096).feed(&mut &bytes[..]), Ok(Some(hello)));
        assert_eq!(read_preamble(preamble(PROTOCOL)), Ok(PROTOCOL));
        assert_eq!(read_preamble(*b"GET / HT"), Err(CodecError::NotWeft));
    }
}

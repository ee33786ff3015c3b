//! Messages over any byte stream.

use std::time::Duration;

use bytes::BytesMut;
use rkyv::Archive;
use rkyv::api::high::{HighDeserializer, HighSerializer, HighValidator};
use rkyv::rancor::Error as Rancor;
use rkyv::ser::allocator::ArenaHandle;
use rkyv::util::AlignedVec;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use weft_core::link::codec::{CodecError, Decoder, PREAMBLE_BYTES, encode_into, read_preamble};
use weft_core::link::handshake::Refusal;

const READ_BYTES: usize = 64 << 10;
/// Messages are gathered up to this before they are written.
const WRITE_BYTES: usize = 256 << 10;

/// Why a connection of the peer link ended.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    #[error("the connection was closed by the other side")]
    Closed,
    #[error("the connection failed: {0}")]
    Io(#[from] std::io::Error),
    #[error("nothing was heard for {} s", .0.as_secs())]
    Silent(Duration),
    #[error(transparent)]
    Codec(#[from] CodecError),
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A channel that cannot begin until a person sees to it, in one line.
    #[error("{0}")]
    CannotBegin(String),
    /// A pull that cannot be served now, in one line.
    #[error("{0}")]
    CannotServe(String),
}

/// A type that is sent as a message.
pub trait Outbound: for<'a> rkyv::Serialize<HighSerializer<AlignedVec, ArenaHandle<'a>, Rancor>> {}
impl<T> Outbound for T where T: for<'a> rkyv::Serialize<HighSerializer<AlignedVec, ArenaHandle<'a>, Rancor>> {}

/// Reads messages. [`MessageReader::next`] may be dropped at any point without losing bytes.
pub struct MessageReader<R> {
    read: R,
    buffer: BytesMut,
    decoder: Decoder,
    bytes_read: u64,
}

impl<R: AsyncRead + Unpin> MessageReader<R> {
    /// A reader that refuses messages longer than `max_bytes`.
    pub fn new(read: R, max_bytes: u32) -> MessageReader<R> {
        MessageReader { read, buffer: BytesMut::new(), decoder: Decoder::new(max_bytes), bytes_read: 0 }
    }

    /// Bytes read so far, those of a message under way included.
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read
    }

    /// Changes the longest message.
    pub fn set_max(&mut self, max_bytes: u32) {
        self.decoder.set_max(max_bytes);
    }

    /// The protocol that the connecting side's first bytes name.
    ///
    /// # Errors
    /// The stream ended or failed, or is not one of Weft's.
    pub async fn preamble(&mut self) -> Result<u16, LinkError> {
        while self.buffer.len() < PREAMBLE_BYTES {
            self.fill().await?;
        }
        let mut bytes = [0; PREAMBLE_BYTES];
        bytes.copy_from_slice(&self.buffer.split_to(PREAMBLE_BYTES));
        Ok(read_preamble(bytes)?)
    }

    /// The next message.
    ///
    /// # Errors
    /// The stream ended or failed, or holds no message.
    pub async fn next<T>(&mut self) -> Result<T, LinkError>
    where
        T: Archive,
        T::Archived: for<'a> rkyv::bytecheck::CheckBytes<HighValidator<'a, Rancor>>
            + rkyv::Deserialize<T, HighDeserializer<Rancor>>,
    {
        loop {
            if let Some(message) = self.decoder.feed(&mut self.buffer)? {
                return Ok(message);
            }
            self.fill().await?;
        }
    }

    /// Reads and throws away until the other side closes.
    pub async fn drain(&mut self) {
        while self.fill().await.is_ok() {
            self.buffer.clear();
        }
    }

    async fn fill(&mut self) -> Result<(), LinkError> {
        self.buffer.reserve(READ_BYTES);
        match self.read.read_buf(&mut self.buffer).await? {
            0 => Err(LinkError::Closed),
            bytes => {
                self.bytes_read += bytes as u64;
                Ok(())
            }
        }
    }
}

/// Writes messages, gathered until [`MessageWriter::flush`].
pub struct MessageWriter<W> {
    write: W,
    out: Vec<u8>,
}

impl<W: AsyncWrite + Unpin> MessageWriter<W> {
    pub fn new(write: W) -> MessageWriter<W> {
        MessageWriter { write, out: Vec::new() }
    }

    /// Gathers bytes that are no message: the preamble.
    pub fn put(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Gathers a message; writes when enough is gathered. Not to be dropped midway.
    ///
    /// # Errors
    /// The message is too long or the stream failed.
    pub async fn queue<T: Outbound>(&mut self, message: &T) -> Result<(), LinkError> {
        encode_into(message, &mut self.out)?;
        if self.out.len() >= WRITE_BYTES { self.flush().await } else { Ok(()) }
    }

    /// Writes all that was gathered. Not to be dropped midway.
    ///
    /// # Errors
    /// The stream failed.
    pub async fn flush(&mut self) -> Result<(), LinkError> {
        if !self.out.is_empty() {
            self.write.write_all(&self.out).await?;
            self.out.clear();
            self.out.shrink_to(2 * WRITE_BYTES);
            self.write.flush().await?;
        }
        Ok(())
    }

    /// Gathers a message and writes all.
    ///
    /// # Errors
    /// As [`MessageWriter::queue`].
    pub async fn send<T: Outbound>(&mut self, message: &T) -> Result<(), LinkError> {
        self.queue(message).await?;
        self.flush().await
    }

    /// Writes all and tells the other side that nothing more comes.
    ///
    /// # Errors
    /// The stream failed.
    pub async fn finish(&mut self) -> Result<(), LinkError> {
        self.flush().await?;
        Ok(self.write.shutdown().await?)
    }
}

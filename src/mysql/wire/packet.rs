//! Packets: what both sides say, framed.
//!
//! A packet comes in chunks, each behind a header of four bytes: the chunk's length in three, little-endian,
//! and a number that counts the chunks of both sides since the last command. A chunk of the greatest length is
//! followed by another one, which may be empty.
//! Source: <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_packets.html>.

use std::io;
use std::mem;

use bytes::{Buf, BytesMut};
use mysql_async::{DriverError, Error};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Link;

const HEADER_BYTES: usize = 4;
const CHUNK_BYTES_MAX: usize = 0xff_ffff;
/// The protocol's own bound on a packet; binlog events come in packets larger than `max_allowed_packet`.
const PACKET_BYTES_MAX: usize = 1 << 30;
/// What is asked of the connection at a time.
const READ_BYTES: usize = 64 << 10;

/// One end of a connection.
pub(super) struct Packets<L> {
    link: L,
    /// Number of the next chunk, whoever sends it.
    number: u8,
    /// Read and not looked at yet.
    input: BytesMut,
    /// What has come of the packet that is being read.
    packet: Vec<u8>,
    chunk: Option<Chunk>,
}

/// The chunk that is being read.
#[derive(Debug, Clone, Copy)]
struct Chunk {
    left: usize,
    is_last: bool,
}

impl<L: Link> Packets<L> {
    pub(super) fn new(link: L) -> Packets<L> {
        Packets { link, number: 0, input: BytesMut::new(), packet: Vec::new(), chunk: None }
    }

    /// The same conversation over what is made of the connection.
    ///
    /// # Errors
    /// Something was sent that does not belong to the new connection, or `wrap` fails.
    pub(super) async fn over<M, F>(self, wrap: impl FnOnce(L) -> F) -> Result<Packets<M>, Error>
    where
        M: Link,
        F: Future<Output = Result<M, Error>>,
    {
        if !self.input.is_empty() {
            return Err(DriverError::PacketOutOfOrder.into());
        }
        Ok(Packets { number: self.number, ..Packets::new(wrap(self.link).await?) })
    }

    /// The next packet. Cancel-safe: what has come of it stays.
    ///
    /// # Errors
    /// The connection is lost, or the packet is not the next one or too large.
    pub(super) async fn read(&mut self) -> Result<Vec<u8>, Error> {
        loop {
            match self.chunk {
                None if self.input.len() >= HEADER_BYTES => self.chunk = Some(self.begin_chunk()?),
                Some(Chunk { left: 0, is_last }) => {
                    self.chunk = None;
                    if is_last {
                        return Ok(mem::take(&mut self.packet));
                    }
                }
                Some(Chunk { left, is_last }) if !self.input.is_empty() => {
                    let taken = self.input.split_to(left.min(self.input.len()));
                    self.packet.extend_from_slice(&taken);
                    self.chunk = Some(Chunk { left: left - taken.len(), is_last });
                }
                None | Some(_) => self.fill().await?,
            }
        }
    }

    fn begin_chunk(&mut self) -> Result<Chunk, Error> {
        let header = self.input.get_u32_le();
        let (length, number) = (header as usize & CHUNK_BYTES_MAX, (header >> 24) as u8);
        if number != self.number {
            return Err(DriverError::PacketOutOfOrder.into());
        }
        self.number = number.wrapping_add(1);
        if self.packet.len() + length > PACKET_BYTES_MAX {
            return Err(DriverError::PacketTooLarge.into());
        }
        Ok(Chunk { left: length, is_last: length < CHUNK_BYTES_MAX })
    }

    async fn fill(&mut self) -> Result<(), Error> {
        self.input.reserve(READ_BYTES);
        if self.link.read_buf(&mut self.input).await.map_err(broken)? == 0 {
            return Err(DriverError::ConnectionClosed.into());
        }
        Ok(())
    }

    /// Sends a packet that begins a command.
    ///
    /// # Errors
    /// The connection is lost.
    pub(super) async fn command(&mut self, packet: &[u8]) -> Result<(), Error> {
        self.number = 0;
        self.write(packet).await
    }

    /// Sends a packet that answers the last one.
    ///
    /// # Errors
    /// The connection is lost.
    pub(super) async fn write(&mut self, packet: &[u8]) -> Result<(), Error> {
        let mut bytes = Vec::with_capacity(packet.len() + HEADER_BYTES);
        let mut rest = packet;
        loop {
            let (chunk, behind) = rest.split_at(rest.len().min(CHUNK_BYTES_MAX));
            bytes.extend_from_slice(&(chunk.len() as u32 | u32::from(self.number) << 24).to_le_bytes());
            bytes.extend_from_slice(chunk);
            self.number = self.number.wrapping_add(1);
            rest = behind;
            if chunk.len() < CHUNK_BYTES_MAX {
                break;
            }
        }
        self.link.write_all(&bytes).await.map_err(broken)?;
        self.link.flush().await.map_err(broken)
    }
}

fn broken(error: io::Error) -> Error {
    Error::Io(error.into())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::FutureExt;
    use proptest::prelude::*;
    use tokio::io::duplex;

    use super::*;

    /// Sends packets, as a server does behind a command.
    async fn sent(packets: &[Vec<u8>]) -> Vec<u8> {
        let (near, mut far) = duplex(1 << 30);
        let mut sender = Packets::new(near);
        for packet in packets {
            sender.write(packet).await.expect("the other end is open");
        }
        drop(sender);
        let mut bytes = Vec::new();
        far.read_to_end(&mut bytes).await.expect("the other end closed");
        bytes
    }

    #[tokio::test]
    async fn packets_around_the_greatest_chunk_come_whole() {
        let sizes = [0, 1, CHUNK_BYTES_MAX - 1, CHUNK_BYTES_MAX, CHUNK_BYTES_MAX + 1, 2 * CHUNK_BYTES_MAX];
        let packets: Vec<Vec<u8>> = sizes.iter().map(|&size| vec![7; size]).collect();
        let mut reader = Packets::new(io::Cursor::new(sent(&packets).await));
        for packet in &packets {
            assert!(reader.read().await.expect("it is whole") == *packet, "{} bytes", packet.len());
        }
        let end = reader.read().await.expect_err("nothing follows");
        assert!(matches!(end, Error::Driver(DriverError::ConnectionClosed)), "{end:?}");
    }

    #[tokio::test]
    async fn a_packet_out_of_order_or_too_large_is_refused() {
        let mut reader = Packets::new(io::Cursor::new(b"\x01\0\0\x05x".to_vec()));
        let error = reader.read().await.expect_err("the first has number 0");
        assert!(matches!(error, Error::Driver(DriverError::PacketOutOfOrder)), "{error:?}");
        // Its sender can go on for ever.
        let chunks = (0..65u8).map(|number| {
            let header = [0xff, 0xff, 0xff, number];
            tokio::io::AsyncReadExt::chain(
                io::Cursor::new(header),
                tokio::io::repeat(0).take(CHUNK_BYTES_MAX as u64),
            )
        });
        let endless = chunks.fold(
            Box::new(tokio::io::empty()) as Box<dyn tokio::io::AsyncRead + Send + Unpin>,
            |all, chunk| Box::new(tokio::io::AsyncReadExt::chain(all, chunk)),
        );
        let mut reader = Packets::new(tokio::io::join(endless, tokio::io::sink()));
        let error = reader.read().await.expect_err("it has 65 chunks of 16 MiB");
        assert!(matches!(error, Error::Driver(DriverError::PacketTooLarge)), "{error:?}");
    }

    #[tokio::test]
    async fn what_was_sent_before_tls_is_not_taken_for_what_came_over_it() {
        let mut reader = Packets::new(io::Cursor::new(sent(&[vec![1], vec![2]]).await));
        reader.read().await.expect("the greeting");
        let outcome = reader.over(async |link| Ok(link)).await;
        assert!(matches!(outcome.err(), Some(Error::Driver(DriverError::PacketOutOfOrder))));
    }

    proptest! {
        #[test]
        fn packets_come_whole_however_they_are_cut_and_whoever_gave_up_waiting(
            sizes in proptest::collection::vec(0usize..300, 0..20), cuts in proptest::collection::vec(1usize..90, 1..200),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let packets: Vec<Vec<u8>> = sizes.iter().enumerate().map(|(i, &size)| vec![i as u8; size]).collect();
                let bytes = sent(&packets).await;
                let (near, mut far) = duplex(1 << 20);
                let mut reader = Packets::new(near);
                let (mut rest, mut read) = (&bytes[..], Vec::new());
                for cut in cuts.iter().cycle() {
                    while let Some(packet) = tokio::task::unconstrained(reader.read()).now_or_never() {
                        read.push(packet.expect("it is whole"));
                    }
                    if rest.is_empty() {
                        break;
                    }
                    let (now, later) = rest.split_at(rest.len().min(*cut));
                    far.write_all(now).await.expect("the reader is there");
                    rest = later;
                }
                assert_eq!(read, packets);
                let wait = tokio::time::timeout(Duration::ZERO, reader.read()).await;
                assert!(wait.is_err(), "nothing is left");
            });
        }
    }
}

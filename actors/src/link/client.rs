//! The connecting side of one connection.

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite, ReadHalf, WriteHalf};
use tokio::time::timeout;
use weft_core::link::codec::preamble;
use weft_core::link::message::{FromClient, FromServer, Hello, MESSAGE_BYTES_MAX};

use super::DEAD_AFTER;
use super::stream::{LinkError, MessageReader, MessageWriter};
use crate::ports::{PeerError, PeerStream};

/// A [`PeerStream`] over any byte stream.
pub struct Connection<S> {
    reader: MessageReader<ReadHalf<S>>,
    writer: MessageWriter<WriteHalf<S>>,
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Connection<S> {
    /// Says hello. The answer is the first message received.
    ///
    /// # Errors
    /// The stream failed, or took none of it for [`DEAD_AFTER`].
    pub async fn open(stream: S, hello: &Hello) -> Result<Connection<S>, PeerError> {
        let (read, write) = tokio::io::split(stream);
        let mut writer = MessageWriter::new(write);
        writer.put(&preamble(hello.protocol));
        within(writer.send(hello)).await?;
        Ok(Connection { reader: MessageReader::new(read, MESSAGE_BYTES_MAX), writer })
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> PeerStream for Connection<S> {
    fn receive(&mut self) -> BoxFuture<'_, Result<FromServer, PeerError>> {
        async move { self.reader.next().await.map_err(unreachable) }.boxed()
    }

    fn send(&mut self, message: FromClient) -> BoxFuture<'_, Result<(), PeerError>> {
        async move { within(self.writer.send(&message)).await }.boxed()
    }

    fn bytes_received(&self) -> u64 {
        self.reader.bytes_read()
    }
}

async fn within(sending: impl Future<Output = Result<(), LinkError>>) -> Result<(), PeerError> {
    match timeout(DEAD_AFTER, sending).await {
        Ok(sent) => sent.map_err(unreachable),
        Err(_) => Err(unreachable(LinkError::Silent(DEAD_AFTER))),
    }
}

fn unreachable(cause: LinkError) -> PeerError {
    PeerError::Unreachable(cause.to_string())
}

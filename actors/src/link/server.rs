//! The serving side: one connection from its first byte to its end.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use weft_core::link::handshake::{Own, accept, accept_protocol};
use weft_core::link::message::{FromClient, FromServer, Hello, Purpose};

use super::serve_pull::serve_pull;
use super::stream::{LinkError, MessageReader, MessageWriter};
use super::{DEAD_AFTER, Sources};
use crate::ports::Clock;

/// Longest hello: filters may name many tables.
const HELLO_BYTES_MAX: u32 = 4 << 20;
/// Longest message after it.
const CLIENT_MESSAGE_BYTES_MAX: u32 = 64 << 10;
/// How long a refused peer may take to read why.
const REFUSAL_READ_MAX: Duration = Duration::from_secs(2);

/// What a node serves to its peers.
#[derive(Clone)]
pub struct LinkServer {
    pub own: Own,
    pub sources: Arc<dyn Sources>,
    pub clock: Arc<dyn Clock>,
    /// The node's own part of `/v1/status`, as JSON.
    pub status: Arc<dyn Fn() -> String + Send + Sync>,
}

impl LinkServer {
    /// Serves one connection until it ends. To stop it early, drop the future.
    ///
    /// # Errors
    /// Why it ended; [`LinkError::Closed`] is the ordinary end. A peer that can still hear it has
    /// been told.
    pub async fn serve<S>(&self, stream: S) -> Result<(), LinkError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin,
    {
        let (read, write) = tokio::io::split(stream);
        let mut reader = MessageReader::new(read, HELLO_BYTES_MAX);
        let mut writer = MessageWriter::new(write);
        let outcome = self.converse(&mut reader, &mut writer).await;
        if let Err(cause) = &outcome
            && let Some((reason, retry)) = worth_telling(cause)
        {
            // The stream is drained, or the kernel would answer unread bytes with a reset that
            // overtakes the reason.
            let _ = timeout(REFUSAL_READ_MAX, async {
                writer.queue(&FromServer::Refused { reason, retry }).await?;
                writer.finish().await?;
                reader.drain().await;
                Ok::<(), LinkError>(())
            })
            .await;
        }
        outcome
    }

    async fn converse<R, W>(
        &self,
        reader: &mut MessageReader<R>,
        writer: &mut MessageWriter<W>,
    ) -> Result<(), LinkError>
    where
        R: AsyncRead + Send + Unpin,
        W: AsyncWrite + Send + Unpin,
    {
        let hello =
            timeout(DEAD_AFTER, self.greet(reader)).await.unwrap_or(Err(LinkError::Silent(DEAD_AFTER)))?;
        reader.set_max(CLIENT_MESSAGE_BYTES_MAX);
        writer.send(&FromServer::Welcome { protocol: hello.protocol, node: self.own.node.clone() }).await?;
        match hello.purpose {
            Purpose::Status => self.serve_status(reader, writer).await,
            Purpose::Pull(pull) => {
                let source = self.sources.source(&pull.source).ok_or_else(|| {
                    LinkError::CannotServe(format!(
                        "node {} does not read source {} now",
                        self.own.node, pull.source
                    ))
                })?;
                serve_pull(pull, &source, self.clock.as_ref(), reader, writer).await
            }
        }
    }

    async fn greet<R: AsyncRead + Unpin>(&self, reader: &mut MessageReader<R>) -> Result<Hello, LinkError> {
        accept_protocol(reader.preamble().await?, &self.own)?;
        let hello: Hello = reader.next().await?;
        accept(&hello, &self.own)?;
        Ok(hello)
    }

    async fn serve_status<R, W>(
        &self,
        reader: &mut MessageReader<R>,
        writer: &mut MessageWriter<W>,
    ) -> Result<(), LinkError>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        loop {
            match hear(reader).await? {
                FromClient::StatusRequest => {
                    timeout(DEAD_AFTER, writer.send(&FromServer::Status((self.status)())))
                        .await
                        .unwrap_or(Err(LinkError::Silent(DEAD_AFTER)))?;
                }
                FromClient::Credit { .. } => {}
            }
        }
    }
}

/// The client's next message; an error once it has been silent for [`DEAD_AFTER`].
pub(super) async fn hear<R: AsyncRead + Unpin>(
    reader: &mut MessageReader<R>,
) -> Result<FromClient, LinkError> {
    timeout(DEAD_AFTER, reader.next()).await.unwrap_or(Err(LinkError::Silent(DEAD_AFTER)))
}

/// The line for the peer and whether the cause may pass; None where nobody listens any more.
fn worth_telling(cause: &LinkError) -> Option<(String, bool)> {
    let retry = match cause {
        LinkError::Closed | LinkError::Io(_) => return None,
        LinkError::Silent(_) | LinkError::CannotServe(_) => true,
        LinkError::Codec(_) | LinkError::Refused(_) | LinkError::CannotBegin(_) => false,
    };
    Some((cause.to_string(), retry))
}

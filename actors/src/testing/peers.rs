//! Peers without sockets: every connection is a pipe to a [`LinkServer`] in the same process, and can
//! be cut after any number of bytes.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use weft_core::link::message::Hello;

use crate::link::client::Connection;
use crate::link::server::LinkServer;
use crate::ports::{PeerError, PeerStream, Peers};

/// Connects every address to the same server.
pub struct PipePeers {
    server: LinkServer,
    /// Bytes that the pipe itself holds.
    pipe_bytes: usize,
    /// For each connection to come, how many bytes its client reads before it is cut; afterwards
    /// connections live on.
    cuts: Mutex<VecDeque<u64>>,
}

impl PipePeers {
    pub fn new(server: LinkServer, pipe_bytes: usize, cuts: impl IntoIterator<Item = u64>) -> Arc<PipePeers> {
        Arc::new(PipePeers { server, pipe_bytes, cuts: Mutex::new(cuts.into_iter().collect()) })
    }

    /// How many cuts are still to come.
    pub fn cuts_left(&self) -> usize {
        self.cuts.lock().expect("no holder of the lock panics").len()
    }
}

impl Peers for PipePeers {
    fn connect(
        &self,
        _address: String,
        hello: Hello,
    ) -> BoxFuture<'_, Result<Box<dyn PeerStream>, PeerError>> {
        async move {
            let (near, far) = tokio::io::duplex(self.pipe_bytes);
            let server = self.server.clone();
            tokio::spawn(async move { server.serve(far).await });
            let left = self.cuts.lock().expect("no holder of the lock panics").pop_front();
            let stream = Connection::open(CutAfter { stream: near, left }, &hello).await?;
            Ok(Box::new(stream) as Box<dyn PeerStream>)
        }
        .boxed()
    }
}

/// A stream whose reads end after so many bytes.
struct CutAfter {
    stream: DuplexStream,
    left: Option<u64>,
}

impl AsyncRead for CutAfter {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let Some(left) = self.left else {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        };
        let most = buf.remaining().min(usize::try_from(left).unwrap_or(usize::MAX));
        let mut part = vec![0; most];
        let mut part = ReadBuf::new(&mut part);
        std::task::ready!(Pin::new(&mut self.stream).poll_read(cx, &mut part))?;
        buf.put_slice(part.filled());
        self.left = Some(left - part.filled().len() as u64);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for CutAfter {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

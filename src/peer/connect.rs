//! Calls other nodes.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::time::timeout;
use weft_actors::link::client::Connection;
use weft_actors::ports::{PeerError, PeerStream, Peers};
use weft_core::link::message::Hello;

/// Finding the address and connecting to one of its hosts takes at most this.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// Connects over TCP. Without state: one serves a whole node.
#[derive(Debug, Clone, Copy, Default)]
pub struct TcpPeers;

impl Peers for TcpPeers {
    fn connect(
        &self,
        address: String,
        hello: Hello,
    ) -> BoxFuture<'_, Result<Box<dyn PeerStream>, PeerError>> {
        async move {
            let failed = |cause: String| PeerError::Unreachable(format!("cannot connect: {cause}"));
            let stream = timeout(CONNECT_MAX, dial(&address))
                .await
                .map_err(|_| failed(format!("no answer in {} s", CONNECT_MAX.as_secs())))?
                .map_err(|cause| failed(cause.to_string()))?;
            Ok(Box::new(Connection::open(stream, &hello).await?) as Box<dyn PeerStream>)
        }
        .boxed()
    }
}

/// Tries the host's addresses in turn; the error is the last one's.
async fn dial(address: &str) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for to in lookup_host(address).await? {
        match dial_one(to).await {
            Ok(stream) => return Ok(stream),
            Err(cause) => last = cause,
        }
    }
    Err(last)
}

async fn dial_one(to: SocketAddr) -> io::Result<TcpStream> {
    let socket = if to.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // The link has a keep-alive of its own, which is faster; the kernel's keeps firewalls from
    // forgetting the connection while this process is stopped.
    socket.set_keepalive(true)?;
    socket.set_nodelay(true)?;
    socket.connect(to).await
}

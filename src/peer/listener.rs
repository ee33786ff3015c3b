//! Listens at the node's peer address and serves each connection in a task of its own.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use weft_actors::link::server::LinkServer;
use weft_actors::link::stream::LinkError;
use weft_actors::metrics;

/// Most connections served at once; a deployment has a few for each pair of nodes and channel.
pub const CONNECTIONS_MAX: usize = 4096;
/// The wait after an accept that failed for want of file descriptors or memory.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(200);
/// How long a stop waits for the connections to be gone.
const STOP_MAX: Duration = Duration::from_secs(2);

/// The node cannot listen at its peer address.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error(
        "config key {key}: the address {address} is in use; stop what listens there or choose another port"
    )]
    InUse { key: String, address: String },
    #[error("config key {key}: cannot listen at {address}: {cause}; choose an address of this machine")]
    Bind { key: String, address: String, cause: io::Error },
}

/// A listening node. Dropping it stops it at once; [`PeerListener::stop`] waits.
#[derive(Debug)]
pub struct PeerListener {
    address: SocketAddr,
    stopping: CancellationToken,
    task: JoinHandle<()>,
}

impl PeerListener {
    /// Listens at `address`; `key` is where the configuration names it, for example
    /// `sites.sh.nodes.sh-1.peer`.
    ///
    /// # Errors
    /// The port is in use, or the address is not this machine's or not an address at all.
    pub async fn bind(address: &str, key: &str, server: LinkServer) -> Result<PeerListener, ListenError> {
        let bound = async {
            let listener = TcpListener::bind(address).await?;
            let address = listener.local_addr()?;
            Ok((listener, address))
        };
        let (listener, local) = bound.await.map_err(|cause: io::Error| match cause.kind() {
            io::ErrorKind::AddrInUse => ListenError::InUse { key: key.into(), address: address.into() },
            _ => ListenError::Bind { key: key.into(), address: address.into(), cause },
        })?;
        let stopping = CancellationToken::new();
        let task = tokio::spawn(accept_until(listener, server, stopping.clone()));
        tracing::info!(address = %local, "listening for other nodes");
        Ok(PeerListener { address: local, stopping, task })
    }

    /// Where it listens: the port is known even if 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops listening and closes every connection; the others see an end of stream.
    pub async fn stop(mut self) {
        self.stopping.cancel();
        if timeout(STOP_MAX, &mut self.task).await.is_err() {
            tracing::warn!("connections of other nodes did not close in time");
        }
    }
}

impl Drop for PeerListener {
    fn drop(&mut self) {
        self.stopping.cancel();
        self.task.abort();
    }
}

async fn accept_until(listener: TcpListener, server: LinkServer, stopping: CancellationToken) {
    let peers = metrics::LINK_PEERS.gauge(&[]);
    let mut connections = JoinSet::new();
    loop {
        peers.set(connections.len() as f64);
        tokio::select! {
            () = stopping.cancelled() => break,
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => match accepted {
                Ok((stream, from)) => {
                    connections.spawn(serve(server.clone(), stream, from, stopping.clone()));
                }
                Err(cause) => {
                    tracing::warn!(%cause, "cannot accept a connection now");
                    tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
                }
            },
            Some(ended) = connections.join_next() => {
                if let Err(cause) = ended {
                    tracing::error!(%cause, "serving a connection broke");
                }
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
    peers.set(0.0);
}

async fn serve(server: LinkServer, stream: TcpStream, from: SocketAddr, stopping: CancellationToken) {
    if let Err(cause) = stream.set_nodelay(true) {
        tracing::debug!(%from, %cause, "a connection went before it was served");
        return;
    }
    let ended = tokio::select! {
        () = stopping.cancelled() => return,
        ended = server.serve(stream) => ended,
    };
    match ended {
        Ok(()) | Err(LinkError::Closed | LinkError::Io(_)) => tracing::debug!(%from, "a node hung up"),
        Err(cause) => tracing::warn!(%from, %cause, "a connection was closed"),
    }
}

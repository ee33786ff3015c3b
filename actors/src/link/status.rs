//! Asks another node for its part of `/v1/status`.

use tokio::time::timeout;
use weft_core::link::handshake::Own;
use weft_core::link::message::{FromClient, FromServer, Hello, Purpose};

use super::DEAD_AFTER;
use crate::ports::{PeerError, Peers};

/// The node's own part of `/v1/status`, as JSON that it wrote. One connection for one question;
/// takes at most [`DEAD_AFTER`].
///
/// # Errors
/// The node is not reachable, or refuses with the reason.
pub async fn ask_status(peers: &dyn Peers, address: &str, own: &Own) -> Result<String, PeerError> {
    let hello = Hello {
        protocol: own.protocol,
        cluster: own.cluster.clone(),
        node: own.node.clone(),
        purpose: Purpose::Status,
    };
    let asking = async {
        let mut stream = peers.connect(address.to_owned(), hello).await?;
        stream.send(FromClient::StatusRequest).await?;
        loop {
            match stream.receive().await? {
                FromServer::Welcome { .. } => {}
                FromServer::Status(json) => return Ok(json),
                FromServer::Refused { reason, .. } => return Err(PeerError::Refused(reason)),
                FromServer::Begins { .. }
                | FromServer::Catalog(_)
                | FromServer::Frame(_)
                | FromServer::Progress { .. } => {
                    return Err(PeerError::Unreachable("it answered what was not asked".into()));
                }
            }
        }
    };
    timeout(DEAD_AFTER, asking)
        .await
        .unwrap_or_else(|_| Err(PeerError::Unreachable(format!("no answer in {} s", DEAD_AFTER.as_secs()))))
}

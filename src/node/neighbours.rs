//! Asks the other nodes, once a second, what they say of themselves.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use weft_actors::ports::{PeerError, PeerStream, Peers};
use weft_actors::status::StatusReport;
use weft_core::link::message::{FromClient, FromServer, Hello, PROTOCOL, Purpose};

use super::status::NodeState;

const INTERVAL: Duration = Duration::from_secs(1);
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Starts asking; abort the handle to end it.
pub fn start(state: Arc<NodeState>, peers: Arc<dyn Peers>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let others = state.others();
        let asking =
            others.into_iter().map(|(id, address)| ask_for_ever(&state, peers.as_ref(), id, address));
        futures::future::join_all(asking).await;
    })
}

async fn ask_for_ever(state: &NodeState, peers: &dyn Peers, id: String, address: String) {
    loop {
        if let Err(error) = ask(state, peers, &id, &address).await {
            tracing::debug!(node = id, %error, "did not answer");
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Asks on one connection until it fails.
async fn ask(state: &NodeState, peers: &dyn Peers, id: &str, address: &str) -> Result<(), PeerError> {
    let hello = Hello {
        protocol: PROTOCOL,
        cluster: state.cluster().to_owned(),
        node: state.node_id().to_owned(),
        purpose: Purpose::Status,
    };
    let mut stream = peers.connect(address.to_owned(), hello).await?;
    loop {
        stream.send(FromClient::StatusRequest).await?;
        let report = tokio::time::timeout(ANSWER_MAX, answer(stream.as_mut()))
            .await
            .map_err(|_| PeerError::Unreachable(format!("{address} did not answer in time")))??;
        state.heard(id, report);
        tokio::time::sleep(INTERVAL).await;
    }
}

async fn answer(stream: &mut dyn PeerStream) -> Result<StatusReport, PeerError> {
    loop {
        match stream.receive().await? {
            FromServer::Status(json) => {
                return serde_json::from_str(&json)
                    .map_err(|error| PeerError::Refused(format!("its status cannot be read: {error}")));
            }
            FromServer::Refused { reason, .. } => return Err(PeerError::Refused(reason)),
            _ => {}
        }
    }
}

//! The channel's side of a pull: a task that keeps it going for ever, whatever happens to the
//! connection, and hands over what arrives, in order and without repeats.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use weft_core::channel::delivery::Delivery;
use weft_core::link::credit::Window;
use weft_core::link::incoming::Incoming;
use weft_core::link::message::{Hello, PROTOCOL, Pull, Purpose, RowFilter};
use weft_core::scn::Scn;
use weft_core::time::Micros;

use super::backoff::Backoff;
use super::pull_session::{Ended, Session};
use crate::metrics;
use crate::ports::Peers;

/// Messages that may wait for the consumer; their bytes are bounded by the window.
const PULLED_MAX: usize = 256;

/// What to pull, and how.
#[derive(Debug, Clone)]
pub struct PullerConfig {
    /// Peer addresses of the nodes that may serve the source, tried in turn; at least one.
    pub addresses: Vec<String>,
    pub cluster: String,
    /// This node.
    pub node: String,
    /// Full name of the source instance.
    pub source: String,
    pub channel: String,
    pub filter: RowFilter,
    /// Everything after this (exclusive); None: from where the source's node says.
    pub after: Option<Scn>,
    /// Bytes of frames that the consumer may hold; one frame may exceed it.
    pub window_bytes: u64,
}

/// What a puller hands over, in this order: `Begins` once, and again when another server id is heard of,
/// then deliveries in SCN order and progress between them; the others whenever they happen.
#[derive(Debug, Clone)]
pub enum Pulled {
    /// What follows begins after this (exclusive); server id of the source's server, 0: not known yet.
    Begins { after: Scn, server_id: u32 },
    /// A frame; the bytes that it takes of the window until they are given back by
    /// [`PullControl::credit`].
    Delivery(Arc<Delivery>, u64),
    /// Everything up to `scn` (inclusive) was handed over, as far as it was wanted. `source_time` is
    /// [`Micros::ZERO`] while the server has not read anything on this connection; `sent_at` is the
    /// serving node's clock; `behind_bytes` what the source's binlog is ahead of `scn`.
    Progress { scn: Scn, source_time: Micros, sent_at: Micros, behind_bytes: u64 },
    /// A large transaction was cut off: the parts of it that were handed over are void and come again,
    /// after `after`. Their bytes are still the consumer's to give back.
    Restarted { after: Scn },
    /// The source's node cannot be reached or the connection ended; said once until the reason
    /// changes or frames come again.
    Disconnected { reason: String },
    /// The source's node refused, or (`retry`) cannot serve this pull now; said as `Disconnected` is. Both
    /// are tried again for ever.
    Refused { reason: String, retry: bool },
}

/// Gives credit back. Cheap to clone and never waits.
#[derive(Debug, Clone, Default)]
pub struct PullControl {
    inner: Arc<ControlInner>,
}

#[derive(Debug, Default)]
struct ControlInner {
    returned: AtomicU64,
    more: Notify,
}

impl PullControl {
    /// The consumer is done with so many bytes of deliveries.
    pub fn credit(&self, bytes: u64) {
        self.inner.returned.fetch_add(bytes, Ordering::Relaxed);
        self.inner.more.notify_one();
    }

    /// Waits for credit and takes all of it; may be dropped at any point without losing any.
    pub(super) async fn returned(&self) -> u64 {
        loop {
            let bytes = self.inner.returned.swap(0, Ordering::Relaxed);
            if bytes > 0 {
                return bytes;
            }
            self.inner.more.notified().await;
        }
    }
}

/// A running pull; dropping it ends the task and the connection.
#[derive(Debug)]
pub struct PullHandle {
    pub pulled: mpsc::Receiver<Pulled>,
    pub control: PullControl,
    task: JoinHandle<()>,
}

impl Drop for PullHandle {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Starts a pull that goes on until the handle is dropped. Within a tokio runtime.
pub fn spawn(peers: Arc<dyn Peers>, config: PullerConfig) -> PullHandle {
    assert!(!config.addresses.is_empty(), "a channel's source has a node that serves it");
    let (output, pulled) = mpsc::channel(PULLED_MAX);
    let control = PullControl::default();
    let puller = Puller {
        peers,
        incoming: Incoming::new(config.after),
        window: Window::new(config.window_bytes),
        begun: None,
        config,
        output,
        control: control.clone(),
        trouble: None,
    };
    PullHandle { pulled, control, task: tokio::spawn(puller.run()) }
}

/// The consumer is gone: the pull is over.
#[derive(Debug)]
pub(super) struct ConsumerGone;

/// The state that outlives connections.
pub(super) struct Puller {
    peers: Arc<dyn Peers>,
    pub(super) config: PullerConfig,
    pub(super) incoming: Incoming,
    pub(super) window: Window,
    pub(super) output: mpsc::Sender<Pulled>,
    pub(super) control: PullControl,
    /// What the consumer was told last, while frames do not come.
    pub(super) trouble: Option<Ended>,
    /// The server id in the last `Begins` that was handed over.
    pub(super) begun: Option<u32>,
}

impl Puller {
    async fn run(mut self) {
        // The only way out is that nobody listens.
        let ConsumerGone = self.pull_for_ever().await;
    }

    async fn pull_for_ever(&mut self) -> ConsumerGone {
        let mut backoff = Backoff::default();
        let connected = metrics::LINK_CONNECTED
            .gauge(&[("channel", &self.config.channel), ("source", &self.config.source)]);
        for attempt in 0usize.. {
            connected.set(0.0);
            let address = self.config.addresses[attempt % self.config.addresses.len()].clone();
            let ended = match self.connect(address).await {
                Ok(session) => session.run(self, &mut backoff, &connected).await,
                Err(ended) => Ok(ended),
            };
            connected.set(0.0);
            let Ok(ended) = ended else { return ConsumerGone };
            if self.settle(ended).await.is_err() {
                return ConsumerGone;
            }
            let wait = backoff.next(rand::random());
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.output.closed() => return ConsumerGone,
            }
        }
        ConsumerGone
    }

    async fn connect(&mut self, address: String) -> Result<Session, Ended> {
        let hello = Hello {
            protocol: PROTOCOL,
            cluster: self.config.cluster.clone(),
            node: self.config.node.clone(),
            purpose: Purpose::Pull(Pull {
                source: self.config.source.clone(),
                channel: self.config.channel.clone(),
                filter: self.config.filter.clone(),
                after: self.incoming.position(),
                credit_bytes: self.window.connect(),
            }),
        };
        let stream = tokio::select! {
            stream = self.peers.connect(address.clone(), hello) => stream,
            () = self.output.closed() => return Err(Ended::unreachable("nobody listens any more")),
        };
        match stream {
            Ok(stream) => Ok(Session::new(stream, &self.config)),
            Err(cause) => Err(Ended::from_peer(&address, cause)),
        }
    }

    /// Takes note of a connection's end and tells the consumer.
    async fn settle(&mut self, ended: Ended) -> Result<(), ConsumerGone> {
        metrics::LINK_RECONNECTS
            .counter(&[
                ("channel", &self.config.channel),
                ("source", &self.config.source),
                ("reason", ended.kind.as_str()),
            ])
            .increment(1);
        if let Some(after) = self.incoming.disconnected() {
            self.tell(Pulled::Restarted { after }).await?;
        }
        if self.trouble.as_ref() != Some(&ended) {
            tracing::warn!(
                channel = %self.config.channel, source = %self.config.source, reason = %ended.reason,
                "the pull was interrupted; it goes on by itself"
            );
            self.trouble = Some(ended.clone());
            self.tell(ended.into_pulled()).await?;
        }
        Ok(())
    }

    async fn tell(&mut self, pulled: Pulled) -> Result<(), ConsumerGone> {
        self.output.send(pulled).await.map_err(|_| ConsumerGone)
    }
}

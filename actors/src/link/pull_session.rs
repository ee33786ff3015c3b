//! One connection of a pull, from its welcome to its end.

use std::time::Duration;

use ::metrics::{Counter, Gauge};
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::{Instant, sleep_until};
use weft_core::link::message::{FromClient, FromServer};

use super::backoff::Backoff;
use super::puller::{ConsumerGone, Pulled, Puller, PullerConfig};
use super::{DEAD_AFTER, KEEPALIVE};
use crate::metrics;
use crate::ports::{PeerError, PeerStream};

/// A connection that lived so long works, even if there was nothing to send.
const PROVEN_AFTER: Duration = Duration::from_secs(5);

/// Why a connection ended, or was never made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) kind: EndKind,
    pub(super) reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EndKind {
    Unreachable,
    Refused,
    /// Refused for a cause that may pass by itself.
    NotNow,
    /// Nothing came for [`DEAD_AFTER`].
    Silent,
    /// What came was not what must come.
    Protocol,
}

impl EndKind {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            EndKind::Unreachable => "unreachable",
            EndKind::Refused | EndKind::NotNow => "refused",
            EndKind::Silent => "silent",
            EndKind::Protocol => "protocol",
        }
    }
}

impl Ended {
    pub(super) fn unreachable(reason: &str) -> Ended {
        Ended { kind: EndKind::Unreachable, reason: reason.to_owned() }
    }

    pub(super) fn from_peer(address: &str, cause: PeerError) -> Ended {
        match cause {
            PeerError::Unreachable(cause) => Ended::unreachable(&format!("{address}: {cause}")),
            PeerError::Refused(cause) => {
                Ended { kind: EndKind::Refused, reason: format!("{address}: {cause}") }
            }
        }
    }

    fn protocol(cause: impl std::fmt::Display) -> Ended {
        Ended { kind: EndKind::Protocol, reason: cause.to_string() }
    }

    pub(super) fn into_pulled(self) -> Pulled {
        match self.kind {
            EndKind::Refused => Pulled::Refused { reason: self.reason, retry: false },
            EndKind::NotNow => Pulled::Refused { reason: self.reason, retry: true },
            EndKind::Unreachable | EndKind::Silent | EndKind::Protocol => {
                Pulled::Disconnected { reason: self.reason }
            }
        }
    }
}

/// Either the connection ended or the consumer did.
enum Stop {
    Ended(Ended),
    ConsumerGone,
}

impl From<Ended> for Stop {
    fn from(ended: Ended) -> Stop {
        Stop::Ended(ended)
    }
}

impl From<PeerError> for Stop {
    fn from(cause: PeerError) -> Stop {
        Stop::Ended(match cause {
            PeerError::Unreachable(reason) => Ended { kind: EndKind::Unreachable, reason },
            PeerError::Refused(reason) => Ended { kind: EndKind::Refused, reason },
        })
    }
}

/// One connection.
pub(super) struct Session {
    stream: Box<dyn PeerStream>,
    welcome: bool,
    opened: Instant,
    keepalive_due: Instant,
    frames: Counter,
    bytes: Counter,
}

impl Session {
    pub(super) fn new(stream: Box<dyn PeerStream>, config: &PullerConfig) -> Session {
        let labels = [("channel", config.channel.as_str()), ("source", config.source.as_str())];
        Session {
            stream,
            welcome: false,
            opened: Instant::now(),
            keepalive_due: Instant::now() + KEEPALIVE,
            frames: metrics::LINK_FRAMES_RECEIVED.counter(&labels),
            bytes: metrics::LINK_BYTES_RECEIVED.counter(&labels),
        }
    }

    /// Hands over what comes until the connection ends.
    pub(super) async fn run(
        mut self,
        puller: &mut Puller,
        backoff: &mut Backoff,
        connected: &Gauge,
    ) -> Result<Ended, ConsumerGone> {
        loop {
            match self.step(puller).await {
                Ok(false) => {}
                Ok(true) => {
                    backoff.reset();
                    connected.set(1.0);
                    puller.trouble = None;
                }
                Err(Stop::Ended(ended)) => return Ok(ended),
                Err(Stop::ConsumerGone) => return Err(ConsumerGone),
            }
        }
    }

    /// Takes one message; true if it proves that the pull works.
    async fn step(&mut self, puller: &mut Puller) -> Result<bool, Stop> {
        let mut dead_at = Instant::now() + DEAD_AFTER;
        let mut heard = self.stream.bytes_received();
        let message = loop {
            tokio::select! {
                message = self.stream.receive() => break message?,
                bytes = puller.control.returned() => {
                    puller.window.give_back(bytes);
                    self.grant(puller).await?;
                }
                () = sleep_until(self.keepalive_due) => self.keep_alive(puller).await?,
                () = puller.output.closed() => return Err(Stop::ConsumerGone),
                () = sleep_until(dead_at) => {
                    // A long message over a slow line may take longer; its bytes show that it comes.
                    if self.stream.bytes_received() > heard {
                        heard = self.stream.bytes_received();
                        dead_at = Instant::now() + DEAD_AFTER;
                        continue;
                    }
                    let reason = format!("the source's node said nothing for {} s", DEAD_AFTER.as_secs());
                    return Err(Ended { kind: EndKind::Silent, reason }.into());
                }
            }
        };
        self.take(puller, message).await
    }

    async fn take(&mut self, puller: &mut Puller, message: FromServer) -> Result<bool, Stop> {
        if let FromServer::Refused { reason, retry } = message {
            let kind = if retry { EndKind::NotNow } else { EndKind::Refused };
            return Err(Ended { kind, reason }.into());
        }
        if !self.welcome {
            let FromServer::Welcome { .. } = message else {
                return Err(Ended::protocol("the source's node did not say welcome").into());
            };
            self.welcome = true;
            return Ok(false);
        }
        match message {
            FromServer::Begins { after, server_id } => {
                puller.incoming.begins(after).map_err(Ended::protocol)?;
                if puller.begun.replace(server_id) != Some(server_id) {
                    self.hand_over(puller, Pulled::Begins { after, server_id }).await?;
                }
                Ok(false)
            }
            FromServer::Catalog(entries) => {
                puller.incoming.catalog(entries).map_err(Ended::protocol)?;
                Ok(false)
            }
            FromServer::Frame(bytes) => {
                let length = bytes.len() as u64;
                let delivery = puller.incoming.frame(bytes.into()).map_err(Ended::protocol)?;
                puller.window.receive(length);
                self.frames.increment(1);
                self.bytes.increment(length);
                self.hand_over(puller, Pulled::Delivery(delivery.into(), length)).await?;
                Ok(true)
            }
            FromServer::Progress { scn, source_time, sent_at, behind_bytes } => {
                let before = puller.incoming.position();
                puller.incoming.progress(scn).map_err(Ended::protocol)?;
                let moved = puller.incoming.position() > before;
                let progress = Pulled::Progress { scn, source_time, sent_at, behind_bytes };
                self.hand_over(puller, progress).await?;
                // A server that fails at its first read says progress too, each time anew.
                Ok(moved || self.opened.elapsed() >= PROVEN_AFTER)
            }
            FromServer::Welcome { .. } | FromServer::Status(_) | FromServer::Refused { .. } => {
                Err(Ended::protocol("the source's node said what is no part of a pull").into())
            }
        }
    }

    /// Hands over, keeping the connection alive while the consumer takes its time. What was received
    /// is never dropped: a connection that fails meanwhile is noticed by the next step.
    async fn hand_over(&mut self, puller: &mut Puller, pulled: Pulled) -> Result<(), Stop> {
        let pulled = match puller.output.try_send(pulled) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Closed(_)) => return Err(Stop::ConsumerGone),
            Err(TrySendError::Full(pulled)) => pulled,
        };
        let output = puller.output.clone();
        let mut failed = None;
        loop {
            tokio::select! {
                permit = output.reserve() => {
                    permit.map_err(|_| Stop::ConsumerGone)?.send(pulled);
                    return failed.map_or(Ok(()), Err);
                }
                bytes = puller.control.returned() => {
                    puller.window.give_back(bytes);
                    if failed.is_none() {
                        failed = self.grant(puller).await.err();
                    }
                }
                () = sleep_until(self.keepalive_due), if failed.is_none() => {
                    failed = self.keep_alive(puller).await.err();
                }
            }
        }
    }

    /// Tells the server of new credit once it is worth a message.
    async fn grant(&mut self, puller: &mut Puller) -> Result<(), Stop> {
        match puller.window.grant() {
            Some(bytes) => self.send_credit(bytes).await,
            None => Ok(()),
        }
    }

    async fn keep_alive(&mut self, puller: &mut Puller) -> Result<(), Stop> {
        let bytes = puller.window.grant().unwrap_or(0);
        self.send_credit(bytes).await
    }

    async fn send_credit(&mut self, bytes: u64) -> Result<(), Stop> {
        self.stream.send(FromClient::Credit { bytes }).await?;
        self.keepalive_due = Instant::now() + KEEPALIVE;
        Ok(())
    }
}

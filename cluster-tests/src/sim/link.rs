//! A pull: the real engines of both ends of the peer link, without the network between them.

use std::collections::VecDeque;

use bytes::Bytes;
use weft_core::link::incoming::Incoming;
use weft_core::link::message::RowFilter;
use weft_core::link::outgoing::Outgoing;
use weft_core::scn::Scn;

use super::capture::Replicator;
use super::coverage::{Coverage, Situation};
use super::database::Database;
use super::row;
use weft_core::channel::delivery::Delivery;
use weft_core::time::Micros;

/// What one move of the link brought.
#[derive(Debug)]
pub enum Pulled {
    Delivery(Box<Delivery>),
    Progress(Scn, Micros),
    Nothing,
}

/// The pull of one life of a direction.
#[derive(Debug)]
pub struct Link {
    filter: RowFilter,
    incoming: Incoming,
    connection: Option<Connection>,
    /// Why the source's node does not serve, and never will.
    pub refused: Option<String>,
}

/// One connection to a node of the source's site.
#[derive(Debug)]
struct Connection {
    node: usize,
    /// Life of that node when the connection was made.
    life: u64,
    next: usize,
    /// History that the buffer does not hold any more, and where it ends.
    refill: Option<(VecDeque<Bytes>, Scn)>,
    outgoing: Outgoing,
}

impl Link {
    pub fn new(filter: RowFilter, after: Scn) -> Link {
        Link { filter, incoming: Incoming::new(Some(after)), connection: None, refused: None }
    }

    /// The node that the link is connected to, and its life.
    pub fn peer(&self) -> Option<(usize, u64)> {
        self.connection.as_ref().map(|connection| (connection.node, connection.life))
    }

    /// Connects. What the node's buffer does not hold any more is read from its instance again.
    pub fn connect(
        &mut self,
        node: usize,
        life: u64,
        replicator: &Replicator,
        database: &Database,
        coverage: &mut Coverage,
    ) {
        let after = self.incoming.position().expect("named when the link was made");
        let oldest = replicator.oldest();
        let mut refill = None;
        if after < oldest {
            match replicator.refill(database, after, oldest) {
                Ok(frames) => refill = Some((frames.into(), oldest)),
                Err(reason) => {
                    // Of the server that is captured it will come; of one before it, or of one that lost it,
                    // it never will.
                    let lost = after.epoch < replicator.server().epoch || replicator.halted.is_some();
                    coverage.saw_times(Situation::RefillRefused, u64::from(lost && self.refused.is_none()));
                    self.refused = lost.then_some(reason);
                    return;
                }
            }
            coverage.saw(Situation::Refilled);
        }
        self.refused = None;
        self.incoming.begins(after).expect("begins where it was to go on");
        self.incoming.catalog(row::catalog()).expect("a small catalog");
        let next = replicator.frame_after(after.max(oldest));
        let outgoing = Outgoing::new(self.filter.clone(), after);
        self.connection = Some(Connection { node, life, next, refill, outgoing });
    }

    /// The connection breaks. True: a large transaction was cut off, so the direction must recover.
    pub fn cut(&mut self) -> bool {
        self.connection = None;
        self.incoming.disconnected().is_some()
    }

    /// Whether the ring has turned over what the connection would send next: it has to begin again.
    pub fn is_overrun(&self, replicator: &Replicator) -> bool {
        let next = |connection: &Connection| connection.refill.is_none().then_some(connection.next);
        self.connection.as_ref().and_then(next).is_some_and(|next| next < replicator.oldest)
    }

    /// Moves the next frame over the connection.
    pub fn pull(&mut self, replicator: &Replicator) -> Pulled {
        let Some(connection) = &mut self.connection else { return Pulled::Nothing };
        if let Some((frames, until)) = &mut connection.refill {
            match frames.pop_front() {
                Some(frame) => return self.pass(&frame),
                None => {
                    connection.outgoing.passed_up_to(*until);
                    connection.refill = None;
                }
            }
        } else if let Some(frame) = replicator.frames.get(connection.next) {
            let whole = frame.completes.is_some()
                || replicator.frames[connection.next..].iter().any(|frame| frame.completes.is_some());
            if whole {
                connection.next += 1;
                return self.pass(&frame.bytes);
            }
        }
        self.progress()
    }

    fn pass(&mut self, frame: &Bytes) -> Pulled {
        let connection = self.connection.as_mut().expect("a frame came over it");
        let passed = connection.outgoing.pass(frame).expect("a sound frame");
        match passed.frame {
            Some(frame) => Pulled::Delivery(Box::new(self.incoming.frame(frame).expect("a sound frame"))),
            None => self.progress(),
        }
    }

    fn progress(&mut self) -> Pulled {
        let connection = self.connection.as_ref().expect("looked at before");
        let (scn, time) = (connection.outgoing.completed(), connection.outgoing.source_time());
        if connection.outgoing.is_midway() || self.incoming.position().is_some_and(|here| here >= scn) {
            return Pulled::Nothing;
        }
        self.incoming.progress(scn).expect("progress rises");
        Pulled::Progress(scn, time)
    }
}

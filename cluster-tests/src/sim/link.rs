//! A pull: the real engines of both ends of the peer link, without the network between them.

use weft_core::link::incoming::Incoming;
use weft_core::link::message::RowFilter;
use weft_core::link::outgoing::Outgoing;
use weft_core::scn::Scn;

use super::capture::Replicator;
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
}

/// One connection to a node of the source's site.
#[derive(Debug)]
struct Connection {
    node: usize,
    /// Life of that node when the connection was made.
    life: u64,
    next: usize,
    outgoing: Outgoing,
}

impl Link {
    pub fn new(filter: RowFilter, after: Scn) -> Link {
        Link { filter, incoming: Incoming::new(Some(after)), connection: None }
    }

    /// The node that the link is connected to, and its life.
    pub fn peer(&self) -> Option<(usize, u64)> {
        self.connection.as_ref().map(|connection| (connection.node, connection.life))
    }

    /// Connects, if the node has not lost what was pulled already.
    pub fn connect(&mut self, node: usize, life: u64, replicator: &Replicator) {
        let after = self.incoming.position().expect("named when the link was made");
        self.incoming.begins(after).expect("begins where it was to go on");
        self.incoming.catalog(row::catalog()).expect("a small catalog");
        let outgoing = Outgoing::new(self.filter.clone(), after);
        self.connection = Some(Connection { node, life, next: replicator.frame_after(after), outgoing });
    }

    /// The connection breaks. True: a large transaction was cut off, so the direction must recover.
    pub fn cut(&mut self) -> bool {
        self.connection = None;
        self.incoming.disconnected().is_some()
    }

    /// Moves the next frame over the connection.
    pub fn pull(&mut self, replicator: &Replicator) -> Pulled {
        let Some(connection) = &mut self.connection else { return Pulled::Nothing };
        if let Some(frame) = replicator.frames.get(connection.next) {
            let whole = frame.completes.is_some()
                || replicator.frames[connection.next..].iter().any(|frame| frame.completes.is_some());
            if whole {
                connection.next += 1;
                let passed = connection.outgoing.pass(&frame.bytes).expect("a sound frame");
                if let Some(frame) = passed.frame {
                    return Pulled::Delivery(Box::new(self.incoming.frame(frame).expect("a sound frame")));
                }
            }
        }
        let (scn, time) = (connection.outgoing.completed(), connection.outgoing.source_time());
        if connection.outgoing.is_midway() || self.incoming.position().is_some_and(|here| here >= scn) {
            return Pulled::Nothing;
        }
        self.incoming.progress(scn).expect("progress rises");
        Pulled::Progress(scn, time)
    }
}

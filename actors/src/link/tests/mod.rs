//! Both sides together, over pipes, on paused time.

mod connection;
mod pull;
mod resume;
mod serving;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use futures::FutureExt;
use futures::future::BoxFuture;
use weft_core::instance::InstanceId;
use weft_core::link::handshake::Own;
use weft_core::link::message::{Hello, PROTOCOL, Pull, Purpose, RowFilter};
use weft_core::scn::Scn;
use weft_core::tables::{TableFilter, TableName};
use weft_core::time::Micros;

use super::puller::{Pulled, PullerConfig};
use super::server::LinkServer;
use super::{FrameStream, Refill, SourceHandle, Sources, StartPositions};
use crate::ports::{EventBuffer, FrameRef, SourceError};
use crate::testing::buffer::ModelBuffer;
use crate::testing::clock::ModelClock;
use crate::testing::transactions::{format_entry, inserts, scn, table_entry};

pub(super) const SOURCE: &str = "sh.main";
pub(super) const LOCAL: InstanceId = InstanceId(1);
pub(super) const TARGET: InstanceId = InstanceId(2);

/// A source instance's node with tables `shop.a`, `shop.b` and `shop.audit_x` (catalog 1, 2, 3).
pub(super) struct Fixture {
    pub(super) buffer: ModelBuffer,
    pub(super) history: History,
    pub(super) server: LinkServer,
}

/// Stands for the source instance: what the buffer forgot, and where channels begin.
#[derive(Clone, Default)]
pub(super) struct History {
    pub(super) forgotten: Arc<Mutex<Vec<FrameRef>>>,
    /// The source does not answer.
    pub(super) failing: Arc<Mutex<Option<SourceError>>>,
    pub(super) server_id: Arc<AtomicU32>,
}

struct OneSource(HashMap<String, Arc<SourceHandle>>);

impl Sources for OneSource {
    fn source(&self, full_name: &str) -> Option<Arc<SourceHandle>> {
        self.0.get(full_name).cloned()
    }
}

impl StartPositions for History {
    fn channel_start<'a>(&'a self, _channel: &'a str) -> BoxFuture<'a, Result<Scn, SourceError>> {
        async { Ok(scn(2)) }.boxed()
    }

    fn server_id(&self) -> u32 {
        self.server_id.load(Ordering::Relaxed)
    }
}

impl Refill for History {
    fn refill(&self, after: Scn, until: Scn) -> BoxFuture<'_, Result<Box<dyn FrameStream>, SourceError>> {
        async move {
            if let Some(cause) = self.failing.lock().expect("no panic").clone() {
                return Err(cause);
            }
            let frames = self.forgotten.lock().expect("no panic").clone();
            let wanted = frames.into_iter().filter(move |frame| {
                let at = weft_core::buffer::frame::peek(frame).expect("a sound frame").scn.transaction();
                at > after && at <= until
            });
            Ok(Box::new(Frames(wanted.collect::<Vec<_>>().into_iter())) as Box<dyn FrameStream>)
        }
        .boxed()
    }
}

struct Frames(std::vec::IntoIter<FrameRef>);

impl FrameStream for Frames {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<FrameRef>, SourceError>> {
        async { Ok(self.0.next()) }.boxed()
    }
}

impl Fixture {
    pub(super) fn new() -> Fixture {
        let buffer = ModelBuffer::default();
        let entries = [
            format_entry(),
            table_entry(1, "shop", "a"),
            table_entry(2, "shop", "b"),
            table_entry(3, "shop", "audit_x"),
        ];
        for entry in entries {
            buffer.add_catalog(entry).expect("memory takes it");
        }
        let history = History::default();
        let handle = SourceHandle {
            buffer: Arc::new(buffer.clone()),
            newest: buffer.watch(),
            starts: Arc::new(history.clone()),
            refill: Arc::new(history.clone()),
        };
        let server = LinkServer {
            own: Own::new("shop", "sh-1"),
            sources: Arc::new(OneSource([(SOURCE.to_owned(), Arc::new(handle))].into())),
            clock: Arc::new(ModelClock::at(Micros::from_secs(1000))),
            status: Arc::new(|| r#"{"node":"sh-1"}"#.to_owned()),
        };
        Fixture { buffer, history, server }
    }

    /// Appends transactions `from..=to`, one row of `image_bytes` in `shop.a` each.
    pub(super) fn append(&self, numbers: std::ops::RangeInclusive<u64>, image_bytes: u32) {
        for n in numbers {
            let row = (1, TableName::new("shop", "a"), LOCAL);
            self.buffer.append(&inserts(scn(n), &[row], image_bytes)).expect("rising");
        }
    }
}

pub(super) fn filter() -> RowFilter {
    RowFilter { tables: TableFilter::new(["shop.*", "!shop.audit_*"]), target: TARGET, direct: Vec::new() }
}

pub(super) fn hello(purpose: Purpose) -> Hello {
    Hello { protocol: PROTOCOL, cluster: "shop".into(), node: "bj-1".into(), purpose }
}

pub(super) fn pull_hello(after: Option<Scn>, credit_bytes: u64) -> Hello {
    hello(Purpose::Pull(Pull {
        source: SOURCE.into(),
        channel: "orders".into(),
        filter: filter(),
        after,
        credit_bytes,
    }))
}

pub(super) fn config(after: Option<Scn>, window_bytes: u64) -> PullerConfig {
    PullerConfig {
        addresses: vec!["sh-1".into()],
        cluster: "shop".into(),
        node: "bj-1".into(),
        source: SOURCE.into(),
        channel: "orders".into(),
        filter: filter(),
        after,
        window_bytes,
    }
}

/// SCN of a delivery; None for anything else.
pub(super) fn delivered(pulled: &Pulled) -> Option<Scn> {
    match pulled {
        Pulled::Delivery(delivery, _) => Some(delivery.transaction.header.scn),
        _ => None,
    }
}

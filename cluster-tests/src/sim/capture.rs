//! The replicator of one instance at one node: reads the binlog, stamps, fills the event buffer, and
//! keeps the ledger. Mirrors `weft_actors::binlog`, over the same engines.

mod pipe;
mod place;
mod scan;

use std::collections::BTreeMap;

use bytes::Bytes;
use weft_core::buffer::frame;
use weft_core::catalog::CatalogEntry;
use weft_core::gtid::{Gtid, GtidPosition};
use weft_core::instance::InstanceId;
use weft_core::ledger::checkpoint::Loader;
use weft_core::ledger::{Ledger, LedgerView};
use weft_core::mark::Epoch;
use weft_core::scn::Scn;
use weft_core::sink::step::LogPosition;
use weft_core::stamp;
use weft_core::time::Micros;
use weft_core::transaction::{Body, Transaction};

use super::coverage::{Coverage, Situation};
use super::database::{Database, Event, Logged, MarkId};
use super::setup::{Mutation, Setup};
use pipe::{Pipe, Stamped};

/// A frame of the event buffer.
#[derive(Debug, Clone)]
pub struct Frame {
    pub bytes: Bytes,
    /// It ends a transaction.
    pub completes: Option<Scn>,
    heartbeat: bool,
}

/// A dump under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dump {
    pub server_id: u32,
    /// Life of the server when the dump was opened.
    pub life: u64,
    /// Transaction of the server's binlog that comes next.
    pub next: usize,
}

/// The ledger and the GTIDs of one SCN.
#[derive(Debug)]
struct Checkpoint {
    gtids: GtidPosition,
    chunks: Vec<Vec<u8>>,
}

/// Capture, event buffer and ledger of an instance at a node.
#[derive(Debug)]
pub struct Replicator {
    origin: InstanceId,
    pub dump: Option<Dump>,
    /// Why capture stands still until a person comes.
    pub halted: Option<String>,
    /// The epoch whose server was seen to lack what was captured of it; durable.
    lost: Option<u32>,
    /// Whose binlog is read, and how far: positions of two servers say nothing about each other.
    pub reads_server: u32,
    pub read_to: LogPosition,
    pub ledger: Ledger,
    pub gtids: GtidPosition,
    /// The newest epoch that came back in each mark, from this server.
    pub probes: BTreeMap<MarkId, Epoch>,
    /// The whole history; what is before `oldest` is not in the buffer any more.
    pub frames: Vec<Frame>,
    pub oldest: usize,
    /// Most frames that the buffer holds, about.
    frames_max: Option<usize>,
    /// So many frames survive a crash of the node.
    durable: usize,
    checkpoint: Option<Checkpoint>,
    /// The servers in the schema history; they survive a crash.
    servers: Vec<CatalogEntry>,
    /// Version times that are not commit times; they survive a crash.
    stamps: BTreeMap<Scn, Micros>,
    part_rows: usize,
    /// Conflict window in microseconds; entries older than it are let go. None: never.
    window_us: Option<u64>,
    mutation: Mutation,
}

/// Where every instance's captured history begins.
pub const BEGINNING: Scn = Scn::of_transaction(1, 1, 4);

/// Server id of each instance's first server.
pub const FIRST_SERVER: u32 = 1;

impl Replicator {
    pub fn new(origin: InstanceId, setup: &Setup) -> Replicator {
        let mut replicator = Replicator {
            origin,
            dump: None,
            halted: None,
            lost: None,
            reads_server: 0,
            read_to: LogPosition { log_index: 0, log_pos: 0 },
            ledger: Ledger::default(),
            gtids: GtidPosition::default(),
            probes: BTreeMap::new(),
            frames: Vec::new(),
            oldest: 0,
            frames_max: setup.buffer_frames,
            durable: 0,
            checkpoint: None,
            servers: Vec::new(),
            stamps: BTreeMap::new(),
            part_rows: setup.part_rows,
            window_us: setup.window_us,
            mutation: setup.mutation,
        };
        replicator.note_server(&Replicator::first_server());
        replicator
    }

    /// Whether it reads this server, as it lives now.
    pub fn reads(&self, database: &Database) -> bool {
        self.dump.is_some_and(|dump| dump.server_id == database.server_id && dump.life == database.life)
    }

    /// Reads the next transaction of the binlog, or, where there is none, how far it goes. Gives it, and
    /// what was captured of it: for the oracles.
    pub fn read_one(
        &mut self,
        database: &Database,
        inbound_time: Micros,
        coverage: &mut Coverage,
    ) -> Option<(Logged, Vec<Transaction>)> {
        let dump = self.dump.as_mut()?;
        let Some(logged) = database.binlog.get(dump.next) else {
            self.read_to = database.position();
            return None;
        };
        dump.next += 1;
        let pipe = self.pipe();
        let scn = pipe.scn(logged);
        let Stamped { frames, bumped } = pipe.stamp(logged, &mut self.ledger);
        if let Some(time) = bumped {
            coverage.saw(Situation::StampRaised);
            self.stamps.insert(scn, time);
        }
        for transaction in &frames {
            self.append(transaction, inbound_time, coverage);
        }
        self.ledger.advance(scn);
        self.gtids.advance(&Gtid::MariaDb(logged.gtid));
        self.read_to = logged.end;
        for event in &logged.events {
            if let Event::Mark { of, epoch, .. } = event {
                let newest = self.probes.entry(*of).or_insert(*epoch);
                *newest = (*newest).max(*epoch);
            }
        }
        self.reclaim();
        Some((logged.clone(), frames))
    }

    fn pipe(&self) -> Pipe<'static> {
        let server = self.server();
        Pipe {
            origin: self.origin,
            epoch: server.epoch,
            server_id: server.server_id,
            part_rows: self.part_rows,
            replayed: None,
        }
    }

    fn append(&mut self, transaction: &Transaction, inbound_time: Micros, coverage: &mut Coverage) {
        let heartbeat = match transaction.header.body {
            Body::Heartbeat { written } => {
                self.expire(written, inbound_time, coverage);
                true
            }
            Body::Rows(_) | Body::Ddl(_) => false,
        };
        if transaction.rows().is_some_and(|rows| rows.part.is_some_and(|part| part.last)) {
            coverage.saw(Situation::LargeTransaction);
        }
        let bytes = Bytes::from(frame::encode(transaction).expect("a sound frame"));
        let scn = transaction.header.scn;
        assert!(
            self.frames.last().is_none_or(|last| frame::peek(&last.bytes).expect("a sound frame").scn < scn),
            "the buffer refuses {scn}: it does not rise"
        );
        self.frames.push(Frame { bytes, completes: transaction.completes(), heartbeat });
    }

    /// Lets entries go that are older than the window and that every inbound channel has passed.
    fn expire(&mut self, heartbeat: Micros, inbound_time: Micros, coverage: &mut Coverage) {
        let Some(window_us) = self.window_us else { return };
        let before = Ledger::horizon_at(heartbeat, inbound_time, window_us);
        self.ledger.set_window(window_us);
        if before > self.ledger.horizon() {
            self.ledger.raise_horizon(before);
            coverage.saw(Situation::HorizonRaised);
        }
        for _ in 0..8 {
            let gone = self.ledger.sweep().unwrap_or(0);
            coverage.saw_times(Situation::EntriesExpired, gone as u64);
        }
    }

    /// The ring turns: its oldest half goes once it is full. A checkpoint is there long before.
    fn reclaim(&mut self) {
        let Some(frames_max) = self.frames_max else { return };
        if self.frames.len() - self.oldest < frames_max {
            return;
        }
        self.write_checkpoint();
        let mut gone = self.frames[..self.frames.len() - frames_max / 2].iter();
        let last = gone.rposition(|frame| frame.completes.is_some());
        self.oldest = self.oldest.max(last.map_or(0, |last| last + 1));
    }

    /// The buffer holds everything after this (exclusive).
    pub fn oldest(&self) -> Scn {
        self.oldest.checked_sub(1).and_then(|last| self.frames[last].completes).unwrap_or(BEGINNING)
    }

    /// Makes all frames survive a crash of the node.
    pub fn sync(&mut self) {
        self.durable = self.frames.len();
    }

    /// Writes a ledger checkpoint, once every frame that left entries in it is durable.
    pub fn write_checkpoint(&mut self) {
        self.sync();
        let chunks = self.ledger.checkpoint().chunks().collect();
        self.checkpoint = Some(Checkpoint { gtids: self.gtids.clone(), chunks });
    }

    /// Volatile frames, of which a crash may take any number from the end.
    pub fn volatile(&self) -> usize {
        self.frames.len() - self.durable
    }

    /// The node dies, and with it the last `lost` frames, and comes back: the ledger is read from its
    /// checkpoint and rolled forward over the buffer, and capture goes on behind it.
    pub fn restart(&mut self, lost: usize) {
        self.frames.truncate(self.frames.len() - lost.min(self.volatile()));
        while self.frames.last().is_some_and(|frame| frame.completes.is_none()) {
            self.frames.pop();
        }
        (self.ledger, self.gtids) = match &self.checkpoint {
            Some(checkpoint) => (load(&checkpoint.chunks), checkpoint.gtids.clone()),
            None => (Ledger::default(), GtidPosition::default()),
        };
        let after = self.ledger.scn();
        for frame in &self.frames[self.oldest..] {
            let transaction = frame::decode(&frame.bytes).expect("a sound frame");
            if transaction.header.scn.transaction() <= after {
                continue;
            }
            stamp::record_captured(&transaction, &mut self.ledger);
            transaction.header.gtid.iter().for_each(|gtid| self.gtids.advance(gtid));
        }
        self.dump = None;
        self.halted = None;
        self.probes.clear();
        (self.reads_server, self.read_to) = (0, LogPosition { log_index: 0, log_pos: 0 });
        self.durable = self.frames.len();
    }

    /// SCN of the newest whole transaction in the buffer.
    pub fn newest(&self) -> Scn {
        self.frames.iter().rev().find_map(|frame| frame.completes).unwrap_or(BEGINNING)
    }

    /// SCN of the newest that is more than a heartbeat.
    pub fn newest_change(&self) -> Option<Scn> {
        self.frames.iter().rev().filter(|frame| !frame.heartbeat).find_map(|frame| frame.completes)
    }

    /// Whether all changes in the server's binlog are captured.
    /// Whether the ledger has passed this position of the server's binlog.
    pub fn has_passed(&self, server_id: u32, position: LogPosition) -> bool {
        let same = self.reads_server == server_id || !self.mutation.tells_servers_apart();
        same && self.read_to >= position
    }

    pub fn is_up_to_date(&self, database: &Database) -> bool {
        let left = |next: usize| database.binlog[next..].iter();
        let heartbeat = |logged: &Logged| matches!(logged.events[..], [Event::Heartbeat(_)]);
        self.reads(database) && self.dump.is_some_and(|dump| left(dump.next).all(heartbeat))
    }

    /// The first frame behind this SCN.
    pub fn frame_after(&self, after: Scn) -> usize {
        self.frames.partition_point(|frame| {
            let scn = frame::peek(&frame.bytes).expect("a sound frame").scn;
            scn.transaction() <= after
        })
    }
}

fn load(chunks: &[Vec<u8>]) -> Ledger {
    let mut loader = Loader::new(&chunks[0]).expect("a sound checkpoint");
    for chunk in &chunks[1..] {
        loader.load(chunk).expect("a sound checkpoint");
    }
    loader.finish().expect("a whole checkpoint")
}

//! The replicator of one instance at one node: reads the binlog, stamps, fills the event buffer, and
//! keeps the ledger. Mirrors `weft_actors::binlog`, over the same engines.

use bytes::Bytes;
use weft_core::buffer::frame;
use weft_core::instance::InstanceId;
use weft_core::key::KeyHash;
use weft_core::ledger::checkpoint::Loader;
use weft_core::ledger::{Ledger, LedgerView};
use weft_core::scn::Scn;
use weft_core::sink::step::LogPosition;
use weft_core::stamp::{self, Naming, PlacedMark};
use weft_core::time::Micros;
use weft_core::transaction::{
    Body, Part, RowKind, RowStamp, Rows, Span, TableUse, Transaction, TransactionHeader, UniqueStamp,
};
use weft_core::version::Version;

use super::database::{Database, Event, Logged};
use super::row::{self, IMAGE_BYTES, Row, TABLES, TableId};

/// A frame of the event buffer.
#[derive(Debug, Clone)]
pub struct Frame {
    pub bytes: Bytes,
    /// It ends a transaction.
    pub completes: Option<Scn>,
}

/// Capture, event buffer and ledger of an instance at a node.
#[derive(Debug)]
pub struct Replicator {
    origin: InstanceId,
    /// Transactions of the binlog that were read.
    read: usize,
    pub read_to: LogPosition,
    pub ledger: Ledger,
    pub frames: Vec<Frame>,
    /// So many frames survive a crash of the node.
    durable: usize,
    checkpoint: Option<Vec<Vec<u8>>>,
    /// Rows of one part of a transaction; larger ones are cut.
    part_rows: usize,
    /// Conflict window in microseconds; entries older than it are let go. None: never.
    window_us: Option<u64>,
}

/// The SCN of a transaction of the binlog.
pub fn scn_of(logged: &Logged) -> Scn {
    Scn::of_transaction(1, logged.end.log_index, logged.end.log_pos)
}

/// Where every instance's captured history begins.
pub const BEGINNING: Scn = Scn::of_transaction(1, 1, 4);

impl Replicator {
    pub fn new(origin: InstanceId, part_rows: usize, window_us: Option<u64>) -> Replicator {
        Replicator {
            origin,
            read: 0,
            read_to: LogPosition { log_index: 1, log_pos: 4 },
            ledger: Ledger::default(),
            frames: Vec::new(),
            durable: 0,
            checkpoint: None,
            part_rows,
            window_us,
        }
    }

    /// Whether everything in the binlog was read.
    pub fn is_up_to_date(&self, database: &Database) -> bool {
        self.read == database.binlog.len() && self.read_to == database.position()
    }

    /// Reads the next transaction of the binlog, or, where there is none, how far it goes. Gives what
    /// was captured: the frames of one transaction, for the oracles.
    pub fn read_one(&mut self, database: &Database, inbound_time: Micros) -> Vec<Transaction> {
        let Some(logged) = database.binlog.get(self.read) else {
            self.read_to = database.position();
            return Vec::new();
        };
        let captured = self.capture(logged);
        for transaction in &captured {
            if let Body::Heartbeat { written } = transaction.header.body {
                self.expire(written, inbound_time);
            }
            let bytes = Bytes::from(frame::encode(transaction).expect("a sound frame"));
            self.frames.push(Frame { bytes, completes: transaction.completes() });
        }
        let scn = scn_of(logged);
        self.ledger.advance(scn.max(self.ledger.scn()));
        self.read_to = logged.end;
        self.read += 1;
        captured
    }

    fn capture(&mut self, logged: &Logged) -> Vec<Transaction> {
        if let [Event::Heartbeat(written)] = logged.events[..] {
            self.ledger.note_heartbeat(written);
            return vec![self.transaction(logged, 0, Body::Heartbeat { written }, Vec::new())];
        }
        let rows = logged.events.iter().filter(|event| matches!(event, Event::Row { .. })).count();
        if rows > self.part_rows { self.large(logged) } else { self.small(logged) }
    }

    fn small(&mut self, logged: &Logged) -> Vec<Transaction> {
        let (mut rows, raw, marks) = scan(&logged.events, 0);
        stamp::stamp(&mut rows, &marks, &mut self.ledger, self.origin, logged.time);
        rows.silent.sort_by_key(|silent| silent.key);
        if rows.rows.is_empty() && rows.silent.is_empty() {
            return Vec::new();
        }
        vec![self.transaction(logged, 0, Body::Rows(rows), raw)]
    }

    /// The chunks of a large transaction pass twice: for the one time of its local rows, then to be
    /// stamped and sent.
    fn large(&mut self, logged: &Logged) -> Vec<Transaction> {
        let chunks: Vec<&[Event]> = logged.events.chunks(self.part_rows.max(1)).collect();
        let mut naming = Naming::default();
        let mut greatest = None;
        for chunk in &chunks {
            let (rows, _, marks) = scan(chunk, 0);
            greatest = greatest.max(stamp::max_known(&rows, &marks, &mut naming, &self.ledger));
        }
        let time = stamp::stamp_time(logged.time, greatest, &self.ledger);
        let local = Version::new(time.time, self.origin);
        let (mut naming, mut rows_before) = (Naming::default(), 0);
        let mut parts: Vec<Transaction> = Vec::new();
        let last = chunks.len() - 1;
        for (index, chunk) in chunks.into_iter().enumerate() {
            let (mut rows, raw, marks) = scan(chunk, rows_before);
            stamp::stamp_rows(&mut rows, &marks, &mut naming, &mut self.ledger, local);
            if index == last {
                stamp::finish(&mut rows, &mut naming, &mut self.ledger);
            }
            rows.silent.sort_by_key(|silent| silent.key);
            let count = rows.rows.len() as u32;
            match parts.last_mut().map(|before| &mut before.header.body) {
                Some(Body::Rows(before)) if count == 0 => before.silent.extend(rows.silent),
                _ => parts.push(self.transaction(logged, rows_before, Body::Rows(rows), raw)),
            }
            rows_before += count;
        }
        let count = parts.len();
        if count > 1 {
            for (index, part) in parts.iter_mut().enumerate() {
                let Body::Rows(rows) = &mut part.header.body else { unreachable!("parts have rows") };
                rows.part = Some(Part { index: index as u32, last: index + 1 == count });
            }
        }
        parts
    }

    fn transaction(&self, logged: &Logged, rows_before: u32, body: Body, raw: Vec<u8>) -> Transaction {
        let header = TransactionHeader {
            scn: scn_of(logged).with_row(rows_before),
            server_id: 1,
            gtid: None,
            commit_time: logged.time,
            format: row::FORMAT,
            body,
        };
        Transaction { header, raw: Bytes::from(raw) }
    }

    /// Lets entries go that are older than the window and that every inbound channel has passed.
    fn expire(&mut self, heartbeat: Micros, inbound_time: Micros) {
        let Some(window_us) = self.window_us else { return };
        let before = Ledger::horizon_at(heartbeat, inbound_time, window_us);
        self.ledger.set_window(window_us);
        if before > self.ledger.horizon() {
            self.ledger.raise_horizon(before);
        }
        for _ in 0..8 {
            self.ledger.sweep();
        }
    }

    /// Makes all frames survive a crash of the node.
    pub fn sync(&mut self) {
        self.durable = self.frames.len();
    }

    /// Writes a ledger checkpoint, once every frame that left entries in it is durable.
    pub fn write_checkpoint(&mut self) {
        self.sync();
        self.checkpoint = Some(self.ledger.checkpoint().chunks().collect());
    }

    /// Volatile frames, of which a crash may take any number from the end.
    pub fn volatile(&self) -> usize {
        self.frames.len() - self.durable
    }

    /// The node dies, and with it the last `lost` frames, and comes back: the ledger is read from its
    /// checkpoint and rolled forward over the buffer, and capture goes on behind it.
    pub fn restart(&mut self, database: &Database, lost: usize) {
        self.frames.truncate(self.frames.len() - lost.min(self.volatile()));
        while self.frames.last().is_some_and(|frame| frame.completes.is_none()) {
            self.frames.pop();
        }
        self.ledger = self.checkpoint.as_ref().map_or_else(Ledger::default, |chunks| load(chunks));
        let after = self.ledger.scn();
        for frame in &self.frames {
            let transaction = frame::decode(&frame.bytes).expect("a sound frame");
            if transaction.header.scn.transaction() <= after {
                continue;
            }
            match &transaction.header.body {
                Body::Rows(rows) => stamp::record_stamped(rows, &mut self.ledger),
                Body::Heartbeat { written } => self.ledger.note_heartbeat(*written),
                Body::Ddl(_) => {}
            }
            if let Some(scn) = transaction.completes() {
                self.ledger.advance(scn.max(self.ledger.scn()));
            }
        }
        let newest = self.newest();
        self.read = database.binlog.iter().filter(|logged| scn_of(logged) <= newest).count();
        self.read_to = match self.read.checked_sub(1) {
            Some(last) => database.binlog[last].end,
            None => LogPosition { log_index: 1, log_pos: 4 },
        };
        self.durable = self.frames.len();
    }

    /// SCN of the newest whole transaction in the buffer.
    pub fn newest(&self) -> Scn {
        self.frames.iter().rev().find_map(|frame| frame.completes).unwrap_or(BEGINNING)
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

/// What the scan of the binlog finds: rows without versions, their images, the marks.
fn scan(events: &[Event], rows_before: u32) -> (Rows, Vec<u8>, Vec<PlacedMark>) {
    let mut scan = Scan { rows: Rows::default(), raw: Vec::new(), rows_before };
    for table in 0..TABLES {
        let version = weft_core::catalog::CatalogId(u32::from(table));
        scan.rows.tables.push(TableUse { name: row::name(table), version, table_map: Span::NONE });
    }
    let mut marks = Vec::new();
    for event in events {
        match event {
            Event::Mark { mark, .. } => {
                let rows_before = scan.rows.rows.len();
                marks.push(PlacedMark { rows_before, mark: mark.clone() });
            }
            Event::Row { table, before, after } => scan.row(*table, *before, *after, false),
            Event::Heartbeat(_) => {}
        }
    }
    let evictions = || marks.iter().flat_map(|placed| &placed.mark.evictions);
    for eviction in evictions() {
        let version = eviction.version.evicted();
        let stands = greatest_named(&marks, eviction.key) == Some(version);
        if stands && !eviction.events.is_empty() {
            let (table, row) = Row::read(&eviction.events);
            scan.row(table, Some(row), None, true);
            scan.rows.rows.last_mut().expect("just added").version = version;
        }
    }
    (scan.rows, scan.raw, marks)
}

/// The greatest version that the marks give the key.
fn greatest_named(marks: &[PlacedMark], key: KeyHash) -> Option<Version> {
    let named = marks.iter().flat_map(|placed| &placed.mark.named);
    let named = named.filter(|named| named.keys.contains(&key)).map(|named| named.version);
    let evictions = marks.iter().flat_map(|placed| &placed.mark.evictions);
    let evicted = evictions.filter(|one| one.key == key).map(|one| one.version.evicted());
    named.chain(evicted).max()
}

struct Scan {
    rows: Rows,
    raw: Vec<u8>,
    rows_before: u32,
}

impl Scan {
    fn span(&mut self, table: TableId, row: Option<Row>) -> Span {
        let Some(row) = row else { return Span::NONE };
        self.raw.extend(row.image(table));
        Span { at: (self.raw.len() - IMAGE_BYTES) as u32, len: IMAGE_BYTES as u32 }
    }

    fn row(&mut self, table: TableId, before: Option<Row>, after: Option<Row>, evict: bool) {
        let index = self.rows.rows.len() as u32;
        let id = after.or(before).map_or(0, |row| row.id);
        let kind = match (before, after) {
            (None, _) => RowKind::Insert,
            (Some(_), Some(_)) => RowKind::Update,
            (Some(_), None) if evict => RowKind::Evict,
            (Some(_), None) => RowKind::Delete,
        };
        let old = before.filter(|before| before.id != id);
        let (before_span, after_span) = (self.span(table, before), self.span(table, after));
        self.rows.rows.push(RowStamp {
            row: self.rows_before + index + 1,
            table,
            kind,
            key: row::key(table, id),
            old_key: old.map(|old| row::key(table, old.id)),
            version: Version::new(Micros::ZERO, InstanceId(0)),
            base: None,
            old_base: None,
            before: before_span,
            after: after_span,
        });
        if table == row::WITH_UNIQUE {
            self.unique(index, before, after);
        }
    }

    fn unique(&mut self, row: u32, before: Option<Row>, after: Option<Row>) {
        let hash = |row: Option<Row>| {
            let value = row.map(|row| row.unique).filter(|value| *value != 0)?;
            Some(row::unique_hash(row::WITH_UNIQUE, value))
        };
        let (old, new) = (hash(before), hash(after));
        let changed = old != new;
        let given_up = old.filter(|_| changed).map(|hash| UniqueStamp { row, hash, after: false, changed });
        self.rows.unique.extend(given_up);
        self.rows.unique.extend(new.map(|hash| UniqueStamp { row, hash, after: true, changed }));
    }
}

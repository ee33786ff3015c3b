//! The metrics of one instance's capture, looked up once.

use ::metrics::{Counter, Gauge};
use weft_core::buffer::frame;
use weft_core::ledger::LedgerView;
use weft_core::scn::Scn;
use weft_core::time::Micros;
use weft_core::transaction::{Body, RowKind, Transaction};

use super::args::ReplicatorArgs;
use crate::metrics;

/// What capturing counts.
#[derive(Clone)]
pub struct CaptureMetrics {
    events: Counter,
    bytes: Counter,
    transactions: Counter,
    /// In the order of [`kind_index`].
    rows: [Counter; 4],
    bumps: Counter,
    write_failures: Counter,
}

impl CaptureMetrics {
    /// For the instance with this full name.
    pub fn new(instance: &str) -> CaptureMetrics {
        let of = [("database", instance)];
        let rows = ["insert", "update", "delete", "evict"]
            .map(|kind| metrics::BINLOG_ROWS.counter(&[("database", instance), ("kind", kind)]));
        CaptureMetrics {
            events: metrics::BINLOG_EVENTS.counter(&of),
            bytes: metrics::BINLOG_BYTES.counter(&of),
            transactions: metrics::BINLOG_TRANSACTIONS.counter(&of),
            rows,
            bumps: metrics::STAMP_BUMPS.counter(&of),
            write_failures: metrics::BUFFER_WRITE_FAILURES.counter(&of),
        }
    }

    /// A batch of events was read.
    pub fn read(&self, events: usize, bytes: usize) {
        self.events.increment(events as u64);
        self.bytes.increment(bytes as u64);
    }

    /// A transaction, or a part of one, is in the buffer.
    pub fn captured(&self, transaction: &Transaction) {
        self.transactions.increment(u64::from(transaction.completes().is_some()));
        if let Body::Rows(rows) = &transaction.header.body {
            let mut counts = [0; 4];
            rows.rows.iter().for_each(|row| counts[kind_index(row.kind)] += 1);
            self.rows.iter().zip(counts).for_each(|(counter, count)| counter.increment(count));
        }
    }

    /// The event buffer could not be written.
    pub fn write_failed(&self) {
        self.write_failures.increment(1);
    }

    /// A stamp was raised above its commit time.
    pub fn bumped(&self) {
        self.bumps.increment(1);
    }
}

fn kind_index(kind: RowKind) -> usize {
    match kind {
        RowKind::Insert => 0,
        RowKind::Update => 1,
        RowKind::Delete => 2,
        RowKind::Evict => 3,
    }
}

/// What is read off an instance's buffer and ledger now and then.
pub struct SourceGauges {
    lag: Gauge,
    keys: Gauge,
    horizon: Gauge,
    buffer_bytes: Gauge,
    buffer_transactions: Gauge,
    buffer_limit: Gauge,
    buffer_oldest_age: Gauge,
    clock_skew: Gauge,
    stamp_ahead: Gauge,
    /// The commit time of the oldest transaction in the buffer, and where the buffer began then.
    oldest: Option<(Scn, Micros)>,
}

impl SourceGauges {
    /// For the instance with this full name.
    pub fn new(instance: &str) -> SourceGauges {
        let of = [("database", instance)];
        SourceGauges {
            lag: metrics::BINLOG_LAG.gauge(&of),
            keys: metrics::LEDGER_KEYS.gauge(&of),
            horizon: metrics::LEDGER_HORIZON.gauge(&of),
            buffer_bytes: metrics::BUFFER_BYTES.gauge(&of),
            buffer_transactions: metrics::BUFFER_TRANSACTIONS.gauge(&of),
            buffer_limit: metrics::BUFFER_LIMIT.gauge(&of),
            buffer_oldest_age: metrics::BUFFER_OLDEST_AGE.gauge(&of),
            clock_skew: metrics::BINLOG_CLOCK_SKEW.gauge(&of),
            stamp_ahead: metrics::STAMP_AHEAD.gauge(&of),
            oldest: None,
        }
    }

    /// Brings them up to date.
    pub fn show(&mut self, args: &ReplicatorArgs) {
        let (keys, horizon) = {
            let ledger = args.ledger.read();
            (ledger.len(), ledger.horizon())
        };
        let (bytes, transactions) = args.buffer.size();
        let (status, now) = (args.board.get(), args.clock.now());
        self.lag.set(status.lag_us(now) as f64 / 1e6);
        self.clock_skew.set(status.clock_skew_us as f64 / 1e6);
        let ahead_us = status.heartbeat.map_or(0, |(written, _)| status.raised_stamp.since(written));
        self.stamp_ahead.set(ahead_us as f64 / 1e6);
        self.buffer_limit.set(args.buffer.limit_bytes() as f64);
        let oldest = self.oldest_time(args);
        self.buffer_oldest_age.set(oldest.map_or(0.0, |oldest| now.since(oldest) as f64 / 1e6));
        self.keys.set(keys as f64);
        self.horizon.set(horizon.0 as f64 / 1e6);
        self.buffer_bytes.set(bytes as f64);
        self.buffer_transactions.set(transactions as f64);
    }

    /// Commit time of the oldest transaction held; read again only when the buffer begins elsewhere.
    fn oldest_time(&mut self, args: &ReplicatorArgs) -> Option<Micros> {
        let begins = args.buffer.oldest()?;
        if let Some((_, time)) = self.oldest.filter(|(at, _)| *at == begins) {
            return Some(time);
        }
        let frame = args.buffer.reader(begins).ok()?.next().ok()??;
        let time = frame::decode(&frame).ok()?.header.commit_time;
        self.oldest = Some((begins, time));
        Some(time)
    }
}

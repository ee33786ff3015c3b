//! The metrics of one instance's capture, looked up once.

use ::metrics::{Counter, Gauge};
use weft_core::ledger::LedgerView;
use weft_core::transaction::{Body, RowKind, Transaction};

use super::actor::ReplicatorArgs;
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
        }
    }

    /// Brings them up to date.
    pub fn show(&self, args: &ReplicatorArgs) {
        let (keys, horizon) = {
            let ledger = args.ledger.read();
            (ledger.len(), ledger.horizon())
        };
        let (bytes, transactions) = args.buffer.size();
        self.lag.set(args.board.get().lag_us(args.clock.now()) as f64 / 1e6);
        self.keys.set(keys as f64);
        self.horizon.set(horizon.0 as f64 / 1e6);
        self.buffer_bytes.set(bytes as f64);
        self.buffer_transactions.set(transactions as f64);
    }
}

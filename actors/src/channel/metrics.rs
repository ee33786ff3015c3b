//! The metrics of one direction, looked up once.

use std::time::Duration;

use ::metrics::{Counter, Gauge, Histogram};
use weft_core::sink::step::{Report, RetryCause, StopKind, Verdict};
use weft_core::time::Micros;

use super::status::{DirectionStatus, Phase};
use crate::metrics;

/// Labels of one direction, and the metrics that are touched often.
#[derive(Clone)]
pub struct DirectionMetrics {
    labels: [(&'static str, String); 3],
    batches: Counter,
    applied: Counter,
    skipped: Counter,
    mended: Counter,
    transactions: Counter,
    batch_duration: Histogram,
    fence_wait: Histogram,
    lag: Gauge,
    queued: Gauge,
    behind: Gauge,
    watermark_age: Gauge,
}

impl DirectionMetrics {
    pub fn new(channel: &str, source: &str, target: &str) -> DirectionMetrics {
        let of = [("channel", channel), ("source", source), ("target", target)];
        let metrics = DirectionMetrics {
            labels: of.map(|(name, value)| (name, value.to_owned())),
            batches: metrics::SHARD_BATCHES.counter(&of),
            applied: metrics::SHARD_ROWS_APPLIED.counter(&of),
            skipped: metrics::SHARD_ROWS_SKIPPED.counter(&of),
            mended: metrics::SHARD_ROWS_MENDED.counter(&of),
            transactions: metrics::CHANNEL_TRANSACTIONS.counter(&of),
            batch_duration: metrics::SHARD_BATCH_DURATION.histogram(&of),
            fence_wait: metrics::SHARD_FENCE_WAIT.histogram(&of),
            lag: metrics::CHANNEL_LAG.gauge(&of),
            queued: metrics::CHANNEL_QUEUED.gauge(&of),
            behind: metrics::CHANNEL_BEHIND.gauge(&of),
            watermark_age: metrics::CHANNEL_WATERMARK_AGE.gauge(&of),
        };
        metrics.begin_at_zero();
        metrics
    }

    /// A counter that is there only once it counted hides its first step from whoever watches it rise.
    fn begin_at_zero(&self) {
        for cause in [RetryCause::Raced, RetryCause::FenceTimedOut, RetryCause::Deadlock] {
            metrics::SHARD_RETRIES.counter(&self.with("cause", cause_label(cause))).increment(0);
        }
        for kind in STOPS {
            metrics::SHARD_STOPS.counter(&self.with("reason", stop_label(kind))).increment(0);
        }
        for verdict in VERDICTS {
            metrics::SHARD_CONFLICTS.counter(&self.with("verdict", verdict.as_str())).increment(0);
        }
        metrics::CHANNEL_RECOVERIES.counter(&self.borrowed()).increment(0);
    }

    /// A batch was committed.
    pub fn applied(&self, report: &Report, transactions: u64, took: Duration) {
        self.batches.increment(1);
        self.applied.increment(report.rows_applied);
        self.skipped.increment(report.rows_skipped);
        self.mended.increment(report.rows_mended);
        self.transactions.increment(transactions);
        self.batch_duration.record(took.as_secs_f64());
        for (verdict, count) in &report.conflicts {
            metrics::SHARD_CONFLICTS.counter(&self.with("verdict", verdict.as_str())).increment(*count);
        }
    }

    pub fn fence_waited(&self, waited: Duration) {
        self.fence_wait.record(waited.as_secs_f64());
    }

    pub fn retried(&self, cause: RetryCause) {
        metrics::SHARD_RETRIES.counter(&self.with("cause", cause_label(cause))).increment(1);
    }

    pub fn stopped(&self, kind: StopKind) {
        metrics::SHARD_STOPS.counter(&self.with("reason", stop_label(kind))).increment(1);
    }

    pub fn recovered(&self) {
        metrics::CHANNEL_RECOVERIES.counter(&self.borrowed()).increment(1);
    }

    /// Twice a second; `now` is the node's clock.
    pub fn show(&self, status: &DirectionStatus, now: Micros) {
        self.lag.set(status.lag_us as f64 / 1e6);
        self.queued.set(status.lag_bytes.saturating_sub(status.behind_bytes) as f64);
        self.behind.set(status.behind_bytes as f64);
        self.watermark_age.set(now.since(status.watermark_moved) as f64 / 1e6);
        for (phase, state) in [
            (Phase::Starting, "starting"),
            (Phase::Running, "running"),
            (Phase::Paused, "paused"),
            (Phase::Stopped, "stopped"),
        ] {
            let now = if status.phase == phase { 1.0 } else { 0.0 };
            metrics::CHANNEL_STATE.gauge(&self.with("state", state)).set(now);
        }
    }

    fn borrowed(&self) -> [(&'static str, &str); 3] {
        let [a, b, c] = &self.labels;
        [(a.0, &a.1), (b.0, &b.1), (c.0, &c.1)]
    }

    fn with<'a>(&'a self, name: &'static str, value: &'a str) -> [(&'static str, &'a str); 4] {
        let [a, b, c] = self.borrowed();
        [a, b, c, (name, value)]
    }
}

const STOPS: [StopKind; 7] = [
    StopKind::DoesNotFit,
    StopKind::Fenced,
    StopKind::ConnectionLost,
    StopKind::TooOld,
    StopKind::Ddl,
    StopKind::Refused,
    StopKind::SameServer,
];

const VERDICTS: [Verdict; 4] =
    [Verdict::IncomingWon, Verdict::LocalWon, Verdict::IncomingEvicted, Verdict::LocalEvicted];

fn stop_label(kind: StopKind) -> &'static str {
    match kind {
        StopKind::DoesNotFit => "does-not-fit",
        StopKind::Fenced => "fenced",
        StopKind::ConnectionLost => "connection-lost",
        StopKind::TooOld => "too-old",
        StopKind::Ddl => "ddl",
        StopKind::Refused => "refused",
        StopKind::SameServer => "same-server",
    }
}

/// As metrics and reasons spell it.
pub fn cause_label(cause: RetryCause) -> &'static str {
    match cause {
        RetryCause::Raced => "raced",
        RetryCause::FenceTimedOut => "fence-timed-out",
        RetryCause::Deadlock => "deadlock",
    }
}

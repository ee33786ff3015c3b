//! Every metric there is, each declared and described in one expression.
//!
//! Names are `weft_<stage>_<noun>_<unit>[_total]` in base units. Labels come from closed sets (names
//! out of the configuration, enums), never from rows, GTIDs or error texts. `database` is an instance's
//! full name: Prometheus has a label `instance` of its own.

use ::metrics::{Counter, Gauge, Histogram, Label};

/// What a metric measures and what may be asked of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only rises; the name ends in `_total`.
    Counter,
    Gauge,
    Histogram,
}

/// One metric.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    pub name: &'static str,
    pub kind: Kind,
    /// Label names; each use gives all of them, in this order.
    pub labels: &'static [&'static str],
    pub help: &'static str,
}

impl Metric {
    /// The counter with these labels; look it up once and keep it.
    pub fn counter(&self, labels: &[(&'static str, &str)]) -> Counter {
        self.check(Kind::Counter, labels);
        ::metrics::counter!(self.name, owned(labels))
    }

    /// The gauge with these labels; look it up once and keep it.
    pub fn gauge(&self, labels: &[(&'static str, &str)]) -> Gauge {
        self.check(Kind::Gauge, labels);
        ::metrics::gauge!(self.name, owned(labels))
    }

    /// The histogram with these labels; look it up once and keep it.
    pub fn histogram(&self, labels: &[(&'static str, &str)]) -> Histogram {
        self.check(Kind::Histogram, labels);
        ::metrics::histogram!(self.name, owned(labels))
    }

    fn check(&self, kind: Kind, labels: &[(&'static str, &str)]) {
        debug_assert_eq!(self.kind, kind, "{}", self.name);
        debug_assert!(
            labels.iter().map(|(name, _)| name).eq(self.labels),
            "{} has the labels {:?}",
            self.name,
            self.labels
        );
    }
}

fn owned(labels: &[(&'static str, &str)]) -> Vec<Label> {
    labels.iter().map(|(name, value)| Label::new(*name, (*value).to_owned())).collect()
}

/// Tells the recorder what each metric is; once, after it was installed.
pub fn describe_all() {
    for metric in ALL {
        match metric.kind {
            Kind::Counter => ::metrics::describe_counter!(metric.name, metric.help),
            Kind::Gauge => ::metrics::describe_gauge!(metric.name, metric.help),
            Kind::Histogram => ::metrics::describe_histogram!(metric.name, metric.help),
        }
    }
}

/// The metric with this name.
pub fn by_name(name: &str) -> Option<&'static Metric> {
    ALL.iter().copied().find(|metric| metric.name == name)
}

macro_rules! declare {
    ($($id:ident = $kind:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(
            #[doc = $help]
            pub const $id: Metric =
                Metric { name: $name, kind: Kind::$kind, labels: &[$($label),*], help: $help };
        )*
        /// All of them.
        pub const ALL: &[&Metric] = &[$(&$id),*];
    };
}

declare! {
    BINLOG_EVENTS = Counter "weft_binlog_events_total" ["database"]
        "Binlog events read from the instance.";
    BINLOG_BYTES = Counter "weft_binlog_read_bytes_total" ["database"]
        "Bytes of binlog events read from the instance.";
    BINLOG_TRANSACTIONS = Counter "weft_binlog_transactions_total" ["database"]
        "Transactions captured from the binlog, heartbeats included.";
    BINLOG_ROWS = Counter "weft_binlog_rows_total" ["database", "kind"]
        "Row changes captured, by kind: insert, update, delete, evict.";
    BINLOG_RECONNECTS = Counter "weft_binlog_reconnects_total" ["database"]
        "Times that the binlog dump was opened again.";
    BINLOG_SOURCE_SWITCHES = Counter "weft_binlog_source_switches_total" ["database"]
        "Times that capture moved to another server of the instance, in the next SCN epoch.";
    BINLOG_LAG = Gauge "weft_binlog_lag_seconds" ["database"]
        "Now less the time of the newest change read from the instance.";
    BINLOG_CLOCK_SKEW = Gauge "weft_binlog_clock_skew_seconds" ["database"]
        "The instance's clock less this node's, measured by heartbeats.";
    STAMP_BUMPS = Counter "weft_stamp_bumps_total" ["database"]
        "Transactions stamped later than their commit time, to rise above a version known before.";
    STAMP_AHEAD = Gauge "weft_stamp_ahead_seconds" ["database"]
        "How far the newest stamp is ahead of the last heartbeat in the same binlog; 0 if it is not.";
    LEDGER_KEYS = Gauge "weft_ledger_keys" ["database"]
        "Row keys whose newest version the ledger knows.";
    LEDGER_HORIZON = Gauge "weft_ledger_horizon_timestamp_seconds" ["database"]
        "Changes older than this time (since the Unix epoch) cannot be decided any more.";
    BUFFER_BYTES = Gauge "weft_buffer_held_bytes" ["database"]
        "Bytes that the event buffer holds.";
    BUFFER_LIMIT = Gauge "weft_buffer_limit_bytes" ["database"]
        "Bytes that the event buffer may hold.";
    BUFFER_TRANSACTIONS = Gauge "weft_buffer_transactions" ["database"]
        "Transactions that the event buffer holds.";
    BUFFER_OLDEST_AGE = Gauge "weft_buffer_oldest_age_seconds" ["database"]
        "Age of the oldest transaction in the event buffer.";
    BUFFER_WRITE_FAILURES = Counter "weft_buffer_write_failures_total" ["database"]
        "Appends that failed, for example on a full disk; capture waits meanwhile.";
    LINK_FRAMES_SENT = Counter "weft_link_sent_frames_total" ["channel"]
        "Frames sent to pulling nodes.";
    LINK_BYTES_SENT = Counter "weft_link_sent_bytes_total" ["channel"]
        "Bytes of frames sent to pulling nodes.";
    LINK_ROWS_FILTERED = Counter "weft_link_filtered_rows_total" ["channel"]
        "Rows that a pull's filter held back.";
    LINK_REFILLS = Counter "weft_link_refills_total" ["channel"]
        "Pulls served from the source again because they were older than the event buffer.";
    LINK_FRAMES_RECEIVED = Counter "weft_link_received_frames_total" ["channel", "source"]
        "Frames received from the source's node.";
    LINK_BYTES_RECEIVED = Counter "weft_link_received_bytes_total" ["channel", "source"]
        "Bytes of frames received from the source's node.";
    LINK_RECONNECTS = Counter "weft_link_reconnects_total" ["channel", "source", "reason"]
        "Connections to the source's node that failed or ended, by reason: unreachable, refused, silent, protocol.";
    LINK_CONNECTED = Gauge "weft_link_connected" ["channel", "source"]
        "1 while frames can come from the source's node, else 0.";
    LINK_PEERS = Gauge "weft_link_peers" []
        "Connections of other nodes that are served now.";
    CHANNEL_LAG = Gauge "weft_channel_lag_seconds" ["channel", "source", "target"]
        "End to end: now less the source time up to which everything is applied. True when idle and when stopped.";
    CHANNEL_STATE = Gauge "weft_channel_state" ["channel", "source", "target", "state"]
        "1 for the state that the channel is in (starting, copying, running, paused, stopped), else 0.";
    CHANNEL_WATERMARK_AGE = Gauge "weft_channel_watermark_age_seconds" ["channel", "source", "target"]
        "Time since the watermark last moved.";
    CHANNEL_QUEUED = Gauge "weft_channel_queued_bytes" ["channel", "source", "target"]
        "Bytes received and not applied yet.";
    CHANNEL_BEHIND = Gauge "weft_channel_behind_bytes" ["channel", "source", "target"]
        "Bytes of the source's binlog that were not received yet.";
    CHANNEL_TRANSACTIONS = Counter "weft_channel_transactions_total" ["channel", "source", "target"]
        "Source transactions applied or passed over.";
    CHANNEL_RECOVERIES = Counter "weft_channel_recoveries_total" ["channel", "source", "target"]
        "Take-overs of the target: at starts and at every reconnection.";
    SHARD_BATCHES = Counter "weft_shard_batches_total" ["channel", "source", "target"]
        "Target transactions committed.";
    SHARD_ROWS_APPLIED = Counter "weft_shard_applied_rows_total" ["channel", "source", "target"]
        "Row changes written to the target.";
    SHARD_ROWS_SKIPPED = Counter "weft_shard_skipped_rows_total" ["channel", "source", "target"]
        "Row changes passed over: applied before, or the target's row is newer.";
    SHARD_ROWS_MENDED = Counter "weft_shard_mended_rows_total" ["channel", "source", "target"]
        "Harmless differences passed over: deletes of rows already gone, inserts of rows already there.";
    SHARD_CONFLICTS = Counter "weft_shard_conflicts_total" ["channel", "source", "target", "verdict"]
        "Conflicts by verdict: incoming-won, local-won, incoming-evicted, local-evicted.";
    SHARD_BATCH_DURATION = Histogram "weft_shard_batch_duration_seconds" ["channel", "source", "target"]
        "From the first statement of a target transaction to its commit.";
    SHARD_FENCE_WAIT = Histogram "weft_shard_fence_wait_seconds" ["channel", "source", "target"]
        "Wait until the ledger had read what the target committed before the lock.";
    SHARD_RETRIES = Counter "weft_shard_retries_total" ["channel", "source", "target", "cause"]
        "Batches rolled back and run again, by cause: raced, fence-timed-out, deadlock.";
    SHARD_STOPS = Counter "weft_shard_stops_total" ["channel", "source", "target", "reason"]
        "Times that a shard stopped at a change, by reason.";
    REFEREE_OPEN = Gauge "weft_referee_open_conflicts" ["database"]
        "Conflicts that a channel's rule has not decided yet; until then the last write holds.";
    REFEREE_OLDEST_AGE = Gauge "weft_referee_oldest_open_age_seconds" ["database"]
        "Time since the oldest conflict that is still open was recorded; 0 if none is open.";
    REFEREE_RULINGS = Counter "weft_referee_rulings_total" ["database", "ruling"]
        "Conflicts decided by a channel's rule: upheld, overturned, superseded, abandoned.";
    REFEREE_WEBHOOK_FAILURES = Counter "weft_referee_webhook_failures_total" ["channel", "database", "reason"]
        "Tries of a webhook that brought no answer, by reason: timeout, unreachable, status, bad-answer.";
    REFEREE_FALLBACKS = Counter "weft_referee_fallbacks_total" ["channel", "database"]
        "Conflicts decided by the fallback of a webhook.";
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_follow_the_convention_and_are_unique() {
        let stages = ["binlog", "stamp", "ledger", "buffer", "link", "channel", "shard", "referee"];
        let mut seen = HashSet::new();
        for metric in ALL {
            let parts: Vec<&str> = metric.name.split('_').collect();
            assert_eq!(parts[0], "weft", "{}", metric.name);
            assert!(stages.contains(&parts[1]), "{}", metric.name);
            assert_eq!(parts.last() == Some(&"total"), metric.kind == Kind::Counter, "{}", metric.name);
            assert!(metric.kind != Kind::Histogram || metric.name.ends_with("_seconds"), "{}", metric.name);
            assert!(metric.help.ends_with('.') && seen.insert(metric.name), "{}", metric.name);
        }
    }
}

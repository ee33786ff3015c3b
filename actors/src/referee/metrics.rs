//! The metrics of one referee.

use weft_core::filter::referee::{Close, Ruling};

use crate::metrics;
use crate::referee::ports::{ArbiterError, Backlog};

const FAILURES: [ArbiterError; 4] =
    [ArbiterError::Timeout, ArbiterError::Unreachable, ArbiterError::Status, ArbiterError::BadAnswer];

/// Labels of one referee.
#[derive(Debug, Clone)]
pub struct RefereeMetrics {
    /// Full name of the instance.
    database: String,
}

impl RefereeMetrics {
    /// `asking`: the channels whose rule asks a user's program.
    pub fn new<'a>(database: &str, asking: impl Iterator<Item = &'a str>) -> RefereeMetrics {
        let metrics = RefereeMetrics { database: database.to_owned() };
        // A counter that is there only once it counted hides its first step.
        for ruling in Ruling::GIVEN {
            metrics.rulings(ruling).increment(0);
        }
        for channel in asking {
            for error in FAILURES {
                metrics.failures(channel, error).increment(0);
            }
            metrics.fallbacks(channel).increment(0);
        }
        metrics
    }

    fn rulings(&self, ruling: Ruling) -> ::metrics::Counter {
        metrics::REFEREE_RULINGS.counter(&[("database", &self.database), ("ruling", ruling.as_str())])
    }

    fn failures(&self, channel: &str, error: ArbiterError) -> ::metrics::Counter {
        let labels = [("channel", channel), ("database", &self.database), ("reason", reason(error))];
        metrics::REFEREE_WEBHOOK_FAILURES.counter(&labels)
    }

    fn fallbacks(&self, channel: &str) -> ::metrics::Counter {
        metrics::REFEREE_FALLBACKS.counter(&[("channel", channel), ("database", &self.database)])
    }

    pub fn closed(&self, closes: &[Close]) {
        closes.iter().for_each(|close| self.rulings(close.ruling).increment(1));
    }

    pub fn backlog(&self, backlog: Backlog) {
        let labels = [("database", self.database.as_str())];
        metrics::REFEREE_OPEN.gauge(&labels).set(backlog.open as f64);
        metrics::REFEREE_OLDEST_AGE.gauge(&labels).set(backlog.oldest_age.as_secs_f64());
    }

    pub fn ask_failed(&self, channel: &str, error: ArbiterError) {
        self.failures(channel, error).increment(1);
    }

    pub fn fell_back(&self, channel: &str) {
        self.fallbacks(channel).increment(1);
    }
}

fn reason(error: ArbiterError) -> &'static str {
    match error {
        ArbiterError::Timeout => "timeout",
        ArbiterError::Unreachable => "unreachable",
        ArbiterError::Status => "status",
        ArbiterError::BadAnswer => "bad-answer",
    }
}

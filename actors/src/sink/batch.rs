//! One batch at the target: asks the apply engine for the next step, has it carried out, and tells
//! the engine what came back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use weft_core::sink::apply::Apply;
use weft_core::sink::step::{Outcome, Report, RetryCause, Step, Stop};

use crate::binlog::ledger::SharedLedger;
use crate::channel::metrics::DirectionMetrics;
use crate::ports::Session;

/// How a batch ended.
#[derive(Debug)]
pub enum BatchEnd {
    Done(Report),
    /// Run the same units again, after a backoff.
    Retry(RetryCause),
    Stop(Stop),
    /// A large transaction goes on: the target transaction is open, and `Apply` waits for the next
    /// part.
    NeedPart,
}

/// What the steps need of the shard.
pub struct BatchContext {
    /// Of the target; an empty one for one-way channels.
    pub ledger: Arc<SharedLedger>,
    /// The target's server, as the recovery met it.
    pub server_id: u32,
    pub fence_timeout: Duration,
    pub metrics: DirectionMetrics,
}

/// Runs steps from `step` on until the batch ends or wants the next part.
pub async fn run(
    context: &BatchContext,
    session: &mut dyn Session,
    apply: &mut Apply,
    mut step: Step,
) -> BatchEnd {
    loop {
        let outcome = match step {
            Step::Done(report) => return BatchEnd::Done(report),
            Step::Retry(cause) => return BatchEnd::Retry(cause),
            Step::Stop(stop) => return BatchEnd::Stop(stop),
            Step::NeedPart => return BatchEnd::NeedPart,
            Step::AwaitLedger(position) => {
                let began = Instant::now();
                let passed = context.ledger.passed(context.server_id, position, context.fence_timeout).await;
                context.metrics.fence_waited(began.elapsed());
                match passed {
                    true => Outcome::Ok,
                    // The instance is another server now: its ledger will never pass our position.
                    false if context.ledger.server_id() != context.server_id => Outcome::ConnectionLost,
                    false => Outcome::FenceTimedOut,
                }
            }
            other => session.run(other).await,
        };
        step = apply.next(outcome, &*context.ledger.read());
    }
}

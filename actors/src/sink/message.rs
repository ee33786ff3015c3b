//! What may be said to a shard, and by whom.

use weft_core::channel::delivery::Unit;

use crate::ports::{Session, TargetError};
use crate::sink::batch::BatchEnd;
use weft_core::sink::apply::Apply;
use weft_core::sink::step::Outcome;

/// Messages to a shard.
pub enum ShardMessage {
    /// From the channel: apply these units, after all that were given before. Carries its share of
    /// the channel's byte budget, returned with [`super::shard::FromShard::Applied`].
    Work(Vec<Unit>),
    /// From the shard's own task: the session is open, or why not.
    Session(Result<Box<dyn Session>, TargetError>),
    /// From the shard's own task: the batch under way ended. Brings the session back.
    Ended { session: Box<dyn Session>, apply: Box<Apply>, end: BatchEnd },
    /// From the shard's own timer: the backoff is over.
    Again,
    /// From the shard's own timer: look after a session that does nothing.
    Look,
    /// From the shard's own task: what the look saw. Brings the session back.
    Looked(Box<dyn Session>, Outcome),
}

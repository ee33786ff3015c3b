//! What may be said to a referee, and by whom.

use weft_core::key::KeyHash;

use crate::ports::TargetError;
use crate::referee::hearing::Heard;
use crate::referee::ports::{Backlog, OpenCase};

/// Messages to a referee.
pub enum RefereeMessage {
    /// From the referee's own timer: look what is open.
    Tick,
    /// From the referee's own task: what is open, and how much that is together.
    Listed(Result<(Vec<OpenCase>, Backlog), TargetError>),
    /// From the task of a hearing: it ended.
    Heard(KeyHash, Result<Heard, TargetError>),
}

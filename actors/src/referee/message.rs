//! What may be said to a referee, and by whom.

use weft_core::key::KeyHash;

use crate::ports::TargetError;
use crate::referee::hearing::Heard;
use crate::referee::ports::OpenCase;

/// Messages to a referee.
pub enum RefereeMessage {
    /// From the referee's own timer: look what is open.
    Tick,
    /// From the referee's own task: what is open, and how many conflicts that are.
    Listed(Result<(Vec<OpenCase>, u64), TargetError>),
    /// From the task of a hearing: it ended.
    Heard(KeyHash, Result<Heard, TargetError>),
}

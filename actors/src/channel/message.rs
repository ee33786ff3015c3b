//! What may be said to a channel, and by whom.

use ractor::RpcReplyPort;
use weft_core::scn::Scn;

use crate::channel::recovery::{Ready, RecoveryError};
use crate::link::puller::Pulled;
use crate::sink::shard::FromShard;

/// Which life of the channel a message belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Incarnation(pub u64);

/// Messages to a channel.
pub enum ChannelMessage {
    /// From the operator, or at the actor's start: recover and run.
    Begin,
    /// From the channel's own timer: recover and run, if nothing began since the stop that set it.
    Again(Incarnation),
    /// From the recovery task: the marks are read and the probe came back, or why not.
    Recovered(Incarnation, Result<Ready, RecoveryError>),
    /// From the pull: bounded by the credit that the channel gave.
    Pulled(Incarnation, Vec<Pulled>),
    /// From a shard.
    Shard(Incarnation, FromShard),
    /// From the channel's own timer, twice a second: lag and stored watermark.
    Tick,
    /// From the operator, through the admin API.
    Command(Command, RpcReplyPort<Result<(), String>>),
    /// From the node: finish what is in flight, commit it, and stop.
    Drain(RpcReplyPort<()>),
}

/// What an operator may ask of one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    Pause,
    Resume,
    /// Pass over the change that the direction stopped at.
    Skip(Option<Scn>),
}

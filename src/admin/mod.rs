//! Admin HTTP: health, readiness, metrics, status and the operator's channel commands.
//!
//! It knows nothing of the node but [`AdminState`]; it decides nothing.

pub mod metrics;
mod problem;
mod routes;
mod server;

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use weft_actors::status::StatusReport;

pub use problem::Problem;
pub use server::{AdminError, AdminServer, serve};

/// What admin HTTP needs of the node. Called from the server's own threads; `status` and `ready` only
/// read what is at hand.
pub trait AdminState: Send + Sync {
    /// The deployment as this node knows it now.
    fn status(&self) -> StatusReport;
    /// Whether the node does what it is there for.
    ///
    /// # Errors
    /// The reasons why it does not, each a line; never empty.
    fn ready(&self) -> Result<(), Vec<String>>;
    /// Carries out an operator's command.
    fn channel_command(&self, command: ChannelCommand) -> BoxFuture<'_, Result<(), CommandError>>;
}

/// An operator's command for one direction of a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelCommand {
    /// The channel's name.
    pub channel: String,
    pub verb: ChannelVerb,
    /// Full name of the direction's target; None where the channel has one direction here.
    pub to: Option<String>,
    /// With `skip`: the change that is meant, as the reason names it; None: the one it stopped at.
    pub scn: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChannelVerb {
    Pause,
    Resume,
    /// Passes over the change that stopped the direction, on the record.
    Skip,
}

impl ChannelVerb {
    /// As the command line and the url spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            ChannelVerb::Pause => "pause",
            ChannelVerb::Resume => "resume",
            ChannelVerb::Skip => "skip",
        }
    }
}

/// Body of a channel command's request; everything may be left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandBody {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scn: Option<String>,
}

/// Why a channel command was refused; each text is a line that says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// No such channel or direction at this node.
    #[error("{0}")]
    NotFound(String),
    /// It does not fit the state that the direction is in.
    #[error("{0}")]
    Conflict(String),
}

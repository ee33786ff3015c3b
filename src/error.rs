//! How a command ends when it does not end well: one line for a person and an exit status.

use crate::config::ConfigError;
use crate::node::NodeError;

/// A command's failure. Its text says what, where and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The command line or the configuration must be changed: exit status 2.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The command line is not understood or asks for what is not there: exit status 2.
    #[error("{0}")]
    Usage(String),
    /// A command that this build does not have: exit status 2.
    #[error("{command} is not built yet; {instead}")]
    NotBuilt { command: &'static str, instead: &'static str },
    /// Anything else, in one line: exit status 1.
    #[error("{0}")]
    Failed(String),
}

impl Failure {
    /// The exit status of the documented contract.
    pub fn exit_status(&self) -> u8 {
        match self {
            Failure::Config(_) | Failure::Usage(_) | Failure::NotBuilt { .. } => 2,
            Failure::Failed(_) => 1,
        }
    }
}

impl From<NodeError> for Failure {
    fn from(error: NodeError) -> Failure {
        match error {
            NodeError::Config(error) => Failure::Config(error),
            other => Failure::Failed(other.to_string()),
        }
    }
}

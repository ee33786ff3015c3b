//! Logs: human on a terminal, JSON lines for machines.

use std::io::{self, IsTerminal};

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

use crate::error::Failure;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For a person to read.
    Human,
    /// One JSON object a line.
    Json,
}

/// What is logged when nothing else is said: the chatter of network and actors from warnings up. The
/// database driver repeats as a warning every error that a server answers with; those that matter are
/// logged by whoever asked, with what they mean.
const DEFAULT_LEVELS: &str = "info,mysql_async=off,actix_server=warn,actix_web=warn,ractor=warn";

/// Installs the log. `levels` is a level (`debug`) or a filter (`info,weft::peer=debug`); logs go to
/// standard error, so that a command's output stays clean.
///
/// # Errors
/// Levels that cannot be read.
pub fn install(levels: Option<&str>, format: LogFormat) -> Result<(), Failure> {
    let levels = levels.filter(|text| !text.is_empty());
    let filter = EnvFilter::try_new(levels.unwrap_or(DEFAULT_LEVELS)).map_err(|error| {
        Failure::Usage(format!(
            "--log {}: {error}; write a level such as info or debug",
            levels.unwrap_or("")
        ))
    })?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let installed = match format {
        LogFormat::Human => builder.with_ansi(io::stderr().is_terminal()).with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(false).try_init(),
    };
    installed.map_err(|error| Failure::Failed(format!("the log cannot be installed: {error}")))
}

//! Commands and their flags.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::admin::ChannelVerb;
use crate::config::Span;
use crate::log::LogFormat;

/// Keeps MySQL and MariaDB databases in several data centres identical while every one of them takes writes.
#[derive(Debug, Parser)]
#[command(
    name = "weft",
    version,
    propagate_version = true,
    after_help = "Example:\n  weft check --config weft.toml"
)]
pub struct Args {
    /// Log level (error, warn, info, debug, trace) or filter (info,weft::peer=debug)
    #[arg(long, global = true, env = "WEFT_LOG", value_name = "LEVEL")]
    pub log: Option<String>,
    /// How log lines look
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Human, value_name = "FORMAT")]
    pub log_format: LogFormat,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run one node until SIGTERM or SIGINT
    Node(NodeArgs),
    /// Look at every instance and channel before (or while) Weft runs, and say what to fix
    Check(CheckArgs),
    /// Show what a node knows of the deployment
    Status(StatusArgs),
    /// Pause, resume or skip one direction of a channel
    Channel(ChannelArgs),
    /// Compare the tables of channels on both sides, also while they are live
    Verify(VerifyArgs),
    /// Take Weft out of an instance: print positions to go on from, then drop its schema
    Uninstall(UninstallArgs),
    /// Start two MariaDB servers and two sites, write on both, and show that they end identical
    Demo(DemoArgs),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  weft node --config weft.toml --node sh-1")]
pub struct NodeArgs {
    /// The deployment; relative paths in it begin at its directory
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Which of its nodes this process is
    #[arg(long, value_name = "ID")]
    pub node: String,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  weft check --config weft.toml --site sh\n\n\
                        Exit status: 0 ready (warnings allowed), 1 an error stands, 2 bad configuration")]
pub struct CheckArgs {
    /// The deployment
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Only the instances of this site
    #[arg(long, value_name = "SITE")]
    pub site: Option<String>,
    /// Print a JSON array
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, clap::Args)]
pub struct AdminArgs {
    /// Admin address of a node
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:7480")]
    pub admin: String,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  weft status --admin http://127.0.0.1:7481")]
pub struct StatusArgs {
    #[command(flatten)]
    pub admin: AdminArgs,
    /// Print the node's JSON as it is
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  weft channel pause orders --to bj.main --admin http://127.0.0.1:7482\n\n\
                        The node that applies the direction takes the command: a node at the target's site."
)]
pub struct ChannelArgs {
    #[command(subcommand)]
    pub verb: ChannelVerbArgs,
}

#[derive(Debug, Subcommand)]
pub enum ChannelVerbArgs {
    /// Stop applying after what is in flight
    #[command(after_help = "Example:\n  weft channel pause orders --to bj.main")]
    Pause(DirectionArgs),
    /// Go on from where it stands
    #[command(after_help = "Example:\n  weft channel resume orders --to bj.main")]
    Resume(DirectionArgs),
    /// Pass over the one change that it stopped at, on the record
    #[command(after_help = "Example:\n  weft channel skip orders --to bj.main")]
    Skip(SkipArgs),
}

#[derive(Debug, Clone, clap::Args)]
pub struct DirectionArgs {
    /// The channel
    pub name: String,
    /// The target of the direction that is meant
    #[arg(long, value_name = "INSTANCE")]
    pub to: Option<String>,
    #[command(flatten)]
    pub admin: AdminArgs,
}

#[derive(Debug, Clone, clap::Args)]
pub struct SkipArgs {
    #[command(flatten)]
    pub direction: DirectionArgs,
    /// The change that is meant, as the reason names it; refused if the channel stopped at another
    #[arg(long, value_name = "SCN")]
    pub scn: Option<String>,
}

impl ChannelVerbArgs {
    /// Verb, direction and the change that is meant.
    pub fn parts(&self) -> (ChannelVerb, &DirectionArgs, Option<&str>) {
        match self {
            ChannelVerbArgs::Pause(direction) => (ChannelVerb::Pause, direction, None),
            ChannelVerbArgs::Resume(direction) => (ChannelVerb::Resume, direction, None),
            ChannelVerbArgs::Skip(skip) => (ChannelVerb::Skip, &skip.direction, skip.scn.as_deref()),
        }
    }
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  weft verify --config weft.toml --channel orders\n\n\
                        Exit status: 0 identical, 1 differences, 2 bad configuration, 3 could not compare")]
pub struct VerifyArgs {
    /// The deployment
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Only this channel
    #[arg(long, value_name = "NAME")]
    pub channel: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  weft uninstall --config weft.toml --instance sh.main")]
pub struct UninstallArgs {
    /// The deployment
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Full name of the instance
    #[arg(long, value_name = "INSTANCE")]
    pub instance: String,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  weft demo --for 20s --dir /tmp/weft-demo\n\n\
                        Exit status: 0 identical, 1 not")]
pub struct DemoArgs {
    /// How long to write (ms, s, m)
    #[arg(long = "for", value_name = "TIME", default_value = "20s", value_parser = span)]
    pub duration: Duration,
    /// Where its files go and stay, an empty or new directory; a temporary one if left out
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

fn span(text: &str) -> Result<Duration, String> {
    text.parse::<Span>().map(|span| span.0)
}

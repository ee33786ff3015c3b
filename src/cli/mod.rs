//! The command line: what each command takes, and how each ends.

mod args;
mod channel;
mod check;
mod client;
mod out;
mod status;
mod verify;

use std::ffi::OsString;
use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use crate::config::{Deployment, Instance, Server};
use crate::demo::{self, DemoOptions};
use crate::error::Failure;
use crate::mysql::connect::Endpoint;
use crate::mysql::servers::Servers;
use crate::{log, node, uninstall};
use args::{Args, Command};

/// Runs the command line `arguments`, the program's name first, and says how the process ends.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args = match Args::try_parse_from(arguments) {
        Ok(args) => args,
        Err(error) => return end_of_parsing(&error),
    };
    let run = || log::install(args.log.as_deref(), args.log_format).and_then(|()| run(args.command));
    // What was unforeseen ends with 1, as documented, and not with the runtime's own status.
    let ended = panic::catch_unwind(AssertUnwindSafe(run))
        .unwrap_or_else(|_| Err(Failure::Failed("an invariant is broken; report the line above".to_owned())));
    match ended {
        Ok(status) => ExitCode::from(status),
        Err(failure) => {
            eprintln!("weft: {}", one_line(&failure.to_string()));
            ExitCode::from(failure.exit_status())
        }
    }
}

/// Runs the command on a runtime of its own. `Ok` holds the exit status.
fn run(command: Command) -> Result<u8, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Failed(format!("no threads or sockets to run with: {error}")))?;
    runtime.block_on(async {
        match command {
            Command::Node(node) => {
                let deployment = Deployment::load(&node.config)?;
                deployment.node(&node.node)?;
                node::run(deployment, &node.node).await.map(|()| 0).map_err(Failure::from)
            }
            Command::Check(check) => check::run(&check).await,
            Command::Status(status) => status::run(&status).await,
            Command::Channel(channel) => channel::run(&channel).await,
            Command::Verify(verify) => verify::run(&verify).await,
            Command::Uninstall(args) => {
                let deployment = Deployment::load(&args.config)?;
                let endpoint = primary_of(known_instance(&deployment, &args.instance)?).await?;
                let done = uninstall::run(&endpoint, |report| print!("{report}")).await;
                done.map(|()| 0).map_err(|error| Failure::Failed(error.to_string()))
            }
            Command::Demo(args) => {
                let options = DemoOptions { write_for: args.duration, directory: args.dir };
                let identical = demo::run(&options).await;
                identical.map(|same| u8::from(!same)).map_err(|error| Failure::Failed(error.to_string()))
            }
        }
    })
}

/// Where the instance's primary is. An only server is taken for it without asking: whoever connects
/// says what is wrong with it.
async fn primary_of(instance: &Instance) -> Result<Endpoint, Failure> {
    let endpoints: Vec<Endpoint> = instance.servers()?.iter().map(Server::endpoint).collect();
    let servers = Servers::new(&instance.name, endpoints);
    if !servers.is_known() {
        servers.find(None).await.map_err(|error| Failure::Failed(error.to_string()))?;
    }
    Ok(servers.primary().endpoint)
}

/// Refuses an instance that the configuration does not have.
fn known_instance<'a>(deployment: &'a Deployment, name: &str) -> Result<&'a Instance, Failure> {
    if let Some(instance) = deployment.instances.get(name) {
        return Ok(instance);
    }
    let known: Vec<&str> = deployment.instances.keys().map(String::as_str).collect();
    Err(Failure::Usage(format!(
        "{}: there is no instance {name} in it; known: {}",
        deployment.file.display(),
        known.join(", ")
    )))
}

/// Help and version are answers; everything else is a bad command line, told in one line.
fn end_of_parsing(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            print!("{}", error.render());
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            eprint!("{}", error.render());
            ExitCode::from(2)
        }
        _ => {
            let text = error.render().to_string();
            let what = text.split("\n\nUsage:").next().unwrap_or(&text);
            let what = what.split("\n\nFor more information").next().unwrap_or(what);
            let what = one_line(what.trim_start_matches("error: "));
            eprintln!("weft: {what}; see weft --help");
            ExitCode::from(2)
        }
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

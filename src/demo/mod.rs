//! `weft demo`: two MariaDB servers and two sites on one machine, writes on both sides, and at the
//! end the question whether they are identical.
//!
//! Nothing in it is special: servers and nodes are ordinary processes, the nodes and the comparison
//! are this same program's `weft node` and `weft verify`, and what is measured is measured from
//! outside, as an application would see it.
//!
//! | part | does |
//! |---|---|
//! | [`servers`], [`sites`] | starts and stops what runs |
//! | [`plan`], [`writer`] | what is written, and writing it |
//! | [`probe`] | measures lag |
//! | [`settle`], [`compare`] | waits for the end and compares |
//! | [`progress`], [`report`] | what a person sees |

mod compare;
mod directory;
mod error;
mod plan;
mod probe;
mod progress;
mod report;
mod run;
mod servers;
mod settle;
mod sites;
mod writer;

use std::path::PathBuf;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use directory::Directory;
pub use error::DemoError;
use progress::Progress;
use servers::Server;
use sites::Node;

/// What the user asked for.
#[derive(Debug, Clone)]
pub struct DemoOptions {
    pub write_for: Duration,
    /// Files stay there; None: in a temporary directory that is removed.
    pub directory: Option<PathBuf>,
}

/// What runs, as far as it was started.
#[derive(Debug, Default)]
struct Stage {
    servers: Vec<Server>,
    nodes: Vec<Node>,
}

impl Stage {
    /// # Errors
    /// A node ended by itself.
    fn check_alive(&mut self) -> Result<(), DemoError> {
        self.nodes.iter_mut().try_for_each(Node::check_alive)
    }

    /// Stops the nodes first, which need their servers to drain, then the servers.
    ///
    /// # Errors
    /// A node did not end well; everything is stopped all the same.
    async fn clear(&mut self) -> Result<(), DemoError> {
        let nodes = futures::future::join_all(self.nodes.drain(..).map(Node::stop)).await;
        futures::future::join_all(self.servers.drain(..).map(Server::stop)).await;
        nodes.into_iter().collect()
    }
}

/// Runs the demo and prints its report. `Ok(true)`: both sides ended identical. SIGINT and SIGTERM
/// end it early; whatever happens, nothing is left running.
///
/// # Errors
/// One line: what kept the demo from being shown to its end.
pub async fn run(options: &DemoOptions) -> Result<bool, DemoError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(DemoError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(DemoError::Signals)?;
    servers::require()?;
    let directory = Directory::open(options.directory.clone())?;
    let progress = Progress::new();
    let mut stage = Stage::default();
    let shown = tokio::select! {
        shown = run::show(&mut stage, directory.path(), options.write_for, &progress) => shown,
        _ = terminate.recv() => Err(DemoError::Interrupted),
        _ = interrupt.recv() => Err(DemoError::Interrupted),
    };
    let is_fine = match &shown {
        Ok(report) => report.is_identical(),
        Err(error) => matches!(error, DemoError::Interrupted),
    };
    if !is_fine {
        for (node, log) in stage.nodes.iter().map(Node::log_end) {
            progress.step(&format!("end of the log of {node}: {log}"));
        }
    }
    progress.step("stopping nodes and servers");
    let cleared = stage.clear().await;
    progress.clear();
    let report = shown?;
    print!("\n{}", report.render());
    cleared?;
    if let Some(kept) = directory.kept() {
        println!("files: {}", kept.display());
    }
    Ok(report.is_identical())
}

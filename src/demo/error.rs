//! Why a demo could not be shown to its end.

use std::io;
use std::path::PathBuf;

use crate::mysql::connect;

/// Each is one line for a person.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    #[error(
        "{program} is not on this machine; install Debian's package mariadb-server (apt-get install mariadb-server)"
    )]
    NoMariaDb { program: &'static str },
    #[error("{path}: {cause}; name another directory with --dir", path = path.display())]
    Files { path: PathBuf, cause: io::Error },
    #[error("{path} is not empty; name another directory with --dir", path = .0.display())]
    NotEmpty(PathBuf),
    #[error("no free ports of 127.0.0.1 from {first} to {last}; stop what listens there")]
    NoPorts { first: u16, last: u16 },
    #[error("cannot start {program}: {cause}")]
    Start { program: String, cause: io::Error },
    #[error("{what} ended by itself ({status}); the end of its log: {log}")]
    Ended { what: String, status: String, log: String },
    #[error("{what} was not ready within {waited_s} s: {seen}; the end of its log: {log}")]
    NotReady { what: String, waited_s: u64, seen: String, log: String },
    #[error("the server of {site}, {doing}: {}", connect::cause(cause))]
    Query { site: &'static str, doing: &'static str, cause: mysql_async::Error },
    #[error("no HTTP client: {0}")]
    Http(#[from] reqwest::Error),
    #[error("{0} did not end with status 0 within 10 s of SIGTERM: {1}")]
    NotDrained(String, String),
    #[error("interrupted")]
    Interrupted,
    #[error("signals cannot be heard: {0}")]
    Signals(io::Error),
}

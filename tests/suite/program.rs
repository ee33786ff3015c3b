//! Runs the `weft` program and looks at how it ends.

use std::path::PathBuf;
use std::process::Command;

/// How a run ended.
#[derive(Debug)]
pub struct Ended {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// Standard error, which must be one line.
    pub fn one_line(&self) -> &str {
        assert_eq!(self.stderr.trim_end().lines().count(), 1, "{self:?}");
        self.stderr.trim_end()
    }
}

/// Runs `weft` without the environment's settings for it.
pub fn weft(arguments: &[&str]) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weft"));
    let output = command.args(arguments).env_remove("WEFT_LOG").output().expect("the program starts");
    Ended {
        status: output.status.code().expect("not killed"),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A configuration file in a directory that goes with it.
pub struct ConfigFile {
    _directory: tempfile::TempDir,
    pub path: PathBuf,
}

impl ConfigFile {
    pub fn new(text: &str) -> ConfigFile {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("weft.toml");
        std::fs::write(&path, text).expect("written");
        ConfigFile { _directory: directory, path }
    }

    pub fn name(&self) -> &str {
        self.path.to_str().expect("UTF-8")
    }
}

//! Child processes that never outlive the test process, and that do what a test asks or fail it.

use std::process::{Command, ExitStatus, Stdio};

use weft::process::{self, Signal};

/// A child process; killed when dropped, and by the kernel when the test process dies.
#[derive(Debug)]
pub struct Process(process::Process);

impl Process {
    /// Starts the command without standard input.
    ///
    /// # Panics
    /// If the program is not there: says how to get it.
    pub fn spawn(mut command: Command) -> Process {
        command.stdin(Stdio::null());
        let program = command.get_program().to_string_lossy().into_owned();
        Process(process::Process::spawn(command).unwrap_or_else(|error| {
            panic!("cannot start {program}: {error}; scripts/install-deps installs what the tests need")
        }))
    }

    /// How the process ended; None while it runs.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        self.0.exit_status().expect("a child of ours can be waited for")
    }

    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Waits until the process has ended by itself.
    pub fn wait(&mut self) -> ExitStatus {
        self.0.wait().expect("a child of ours can be waited for")
    }

    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        self.0.signal(signal).expect("a child that is not reaped takes signals");
    }
}

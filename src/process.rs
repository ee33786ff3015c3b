//! Child processes that never outlive this one, and where programs are.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process, set_parent_process_death_signal};

/// How often an ending process is looked at.
const PAUSE: Duration = Duration::from_millis(20);

/// A child process in a process group of its own, so that Ctrl-C on the terminal reaches the parent
/// alone, which then stops its children in order. Killed when dropped, and by the kernel when the
/// parent dies.
#[derive(Debug)]
pub struct Process {
    child: Child,
}

type Order = (Command, Sender<io::Result<Child>>);

impl Process {
    /// Starts the command; its standard streams are what the caller made them.
    ///
    /// # Errors
    /// Those of the operating system, when the program is not there for one.
    pub fn spawn(command: Command) -> io::Result<Process> {
        let (reply, answer) = channel();
        spawner().send((command, reply)).expect("the spawner lives as long as the process");
        let child = answer.recv().expect("the spawner answers each order")?;
        Ok(Process { child })
    }

    /// How the process ended; None while it runs.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn exit_status(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal, which must not be meant for a process that was seen to have ended.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        // Not reaped, so the id cannot belong to another process.
        Ok(kill_process(Pid::from_child(&self.child), signal)?)
    }

    /// Waits, and blocks the thread, until it has ended by itself.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        self.child.wait()
    }

    /// Asks it to end (SIGTERM) and waits for that, at most so long.
    ///
    /// # Errors
    /// Those of the operating system. `Ok(None)`: it still runs.
    pub async fn terminate(&mut self, patience: Duration) -> io::Result<Option<ExitStatus>> {
        if let Some(status) = self.child.try_wait()? {
            return Ok(Some(status));
        }
        self.signal(Signal::TERM)?;
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some(status));
            }
            if began.elapsed() > patience {
                return Ok(None);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // An error means that it ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The thread that starts all children. The kernel sends the death signal when the *thread* that
/// started the child ends, and the threads of a runtime may end before the process does.
fn spawner() -> &'static Sender<Order> {
    static SPAWNER: OnceLock<Sender<Order>> = OnceLock::new();
    SPAWNER.get_or_init(|| {
        let (orders, inbox): (Sender<Order>, Receiver<Order>) = channel();
        thread::spawn(move || {
            for (mut command, reply) in inbox {
                command.process_group(0);
                // SAFETY: the closure makes one system call and touches no memory of the parent.
                unsafe {
                    command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::KILL))?));
                }
                // Nobody waits for the answer if the caller was cancelled: then the child is an
                // orphan of ours and must not stay.
                if let Err(unsent) = reply.send(command.spawn())
                    && let Ok(child) = unsent.0
                {
                    drop(Process { child });
                }
            }
        });
        orders
    })
}

/// Where a program is: on the PATH, or in a directory where servers live and that is not on every user's
/// PATH. None: it is not installed.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let others = ["/usr/sbin", "/usr/local/sbin", "/usr/local/mysql/bin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(others)
        .map(|directory| directory.join(program))
        .find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_process_that_is_asked_to_end_ends() {
        let mut command = Command::new("sleep");
        command.arg("60");
        let mut process = Process::spawn(command).expect("every system has sleep");
        assert_eq!(process.exit_status().expect("it is ours"), None);
        let status = process.terminate(Duration::from_secs(10)).await.expect("it is ours");
        assert!(status.is_some_and(|status| !status.success()), "{status:?}");
    }
}

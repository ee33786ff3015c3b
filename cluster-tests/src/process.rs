//! Child processes that never outlive the test process.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};

/// A child process; killed when dropped, and by the kernel when the test process dies.
#[derive(Debug)]
pub struct Process {
    child: Child,
}

type Order = (Command, Sender<io::Result<Child>>);

impl Process {
    /// Starts the command without standard input.
    ///
    /// # Panics
    /// If the program is not there: says how to get it.
    pub fn spawn(mut command: Command) -> Process {
        command.stdin(Stdio::null());
        let program = command.get_program().to_string_lossy().into_owned();
        let (reply, answer) = channel();
        spawner().send((command, reply)).expect("the spawner lives as long as the process");
        let child = answer.recv().expect("the spawner answers each order").unwrap_or_else(|error| {
            panic!("cannot start {program}: {error}; scripts/install-deps installs what the tests need")
        });
        Process { child }
    }

    /// How the process ended; None while it runs.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child of ours can be waited for")
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the process has ended by itself.
    pub fn wait(&mut self) -> ExitStatus {
        self.child.wait().expect("a child of ours can be waited for")
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
        // Not reaped yet, so the id cannot belong to another process.
        kill_process(Pid::from_child(&self.child), signal).expect("a child that is not reaped takes signals");
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
/// started the child ends, and the threads of a test or of a runtime end before the process does.
fn spawner() -> &'static Sender<Order> {
    static SPAWNER: OnceLock<Sender<Order>> = OnceLock::new();
    SPAWNER.get_or_init(|| {
        let (orders, inbox): (Sender<Order>, Receiver<Order>) = channel();
        thread::spawn(move || {
            for (mut command, reply) in inbox {
                // SAFETY: the closure makes one system call and touches no memory of the parent.
                unsafe {
                    command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::KILL))?));
                }
                // Nobody waits for the answer if the test was cancelled: then the child is an
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

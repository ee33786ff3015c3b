//! Free loopback ports that parallel test processes do not take from each other.

use std::fs::{File, TryLockError};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU16, Ordering};

/// Ports handed out: below the range from which the kernel takes ports for outgoing connections,
/// so that none of those can hold one in the moment a server wants to listen. End exclusive.
const FIRST: u16 = 22_000;
const END: u16 = 32_000;

/// A port of 127.0.0.1 that nobody listens on (TCP or UDP) and that no other holder of a `Port`,
/// in any process of this machine, has. Given back when dropped or when the process ends.
#[derive(Debug)]
pub struct Port {
    number: u16,
    /// Holds an advisory lock.
    _lock: File,
}

impl Port {
    /// Takes a free port.
    ///
    /// # Panics
    /// If none is free, or the directory of lock files cannot be written.
    pub fn take() -> Port {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let locks = lock_directory();
        // Processes begin at different places, so that they seldom try the same ports.
        let begin = (std::process::id() % u32::from(END - FIRST)) as u16;
        for _ in 0..END - FIRST {
            let step = NEXT.fetch_add(1, Ordering::Relaxed).wrapping_mul(7);
            let number = FIRST + (begin.wrapping_mul(13).wrapping_add(step)) % (END - FIRST);
            let path = locks.join(number.to_string());
            let lock = File::create(&path)
                .unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
            match lock.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => continue,
                Err(TryLockError::Error(error)) => panic!("cannot lock {}: {error}", path.display()),
            }
            let free = TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok()
                && UdpSocket::bind((Ipv4Addr::LOCALHOST, number)).is_ok();
            if free {
                return Port { number, _lock: lock };
            }
        }
        panic!("no free port of 127.0.0.1 in {FIRST}..{END}");
    }

    /// The number of the port.
    pub fn number(&self) -> u16 {
        self.number
    }
}

fn lock_directory() -> PathBuf {
    let path = std::env::temp_dir().join("weft-test-ports");
    std::fs::create_dir_all(&path)
        .unwrap_or_else(|error| panic!("cannot create {}: {error}", path.display()));
    path
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn ports_held_at_the_same_time_differ() {
        let ports: Vec<Port> = (0..50).map(|_| Port::take()).collect();
        let numbers: BTreeSet<u16> = ports.iter().map(Port::number).collect();
        assert_eq!(numbers.len(), ports.len());
    }
}

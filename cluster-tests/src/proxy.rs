//! A line between two nodes that tests can cut.

use std::net::Ipv4Addr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Passes connections on to a port of 127.0.0.1 until it is cut; ends with the runtime.
pub struct Proxy {
    port: u16,
    whole: watch::Sender<bool>,
}

impl Proxy {
    /// Listens on a free port.
    pub async fn to(target: u16) -> Proxy {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let port = listener.local_addr().expect("it listens").port();
        let (whole, state) = watch::channel(true);
        tokio::spawn(async move {
            while let Ok((from, _)) = listener.accept().await {
                tokio::spawn(pass(from, target, state.clone()));
            }
        });
        Proxy { port, whole }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Breaks the connections, and all that are made until it heals.
    pub fn cut(&self) {
        self.whole.send_replace(false);
    }

    pub fn heal(&self) {
        self.whole.send_replace(true);
    }
}

async fn pass(mut from: TcpStream, target: u16, mut whole: watch::Receiver<bool>) {
    if !*whole.borrow_and_update() {
        return;
    }
    let Ok(mut to) = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).await else { return };
    tokio::select! {
        // However it ended, both sides are closed.
        _ = copy_bidirectional(&mut from, &mut to) => {}
        _ = whole.changed() => {}
    }
}

//! A line to a server or another node that tests can cut, and lay elsewhere.

use std::net::Ipv4Addr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Passes connections on to a port of 127.0.0.1 until it is cut; ends with the runtime.
pub struct Proxy {
    port: u16,
    leads_to: watch::Sender<Way>,
}

#[derive(Debug, Clone, Copy)]
struct Way {
    target: u16,
    whole: bool,
}

impl Proxy {
    /// Listens on a free port.
    pub async fn to(target: u16) -> Proxy {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let port = listener.local_addr().expect("it listens").port();
        let (leads_to, way) = watch::channel(Way { target, whole: true });
        tokio::spawn(async move {
            while let Ok((from, _)) = listener.accept().await {
                tokio::spawn(pass(from, way.clone()));
            }
        });
        Proxy { port, leads_to }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Breaks the connections, and all that are made until it heals.
    pub fn cut(&self) {
        self.leads_to.send_modify(|way| way.whole = false);
    }

    pub fn heal(&self) {
        self.leads_to.send_modify(|way| way.whole = true);
    }

    /// Breaks the connections; new ones lead to another port.
    pub fn lead_to(&self, target: u16) {
        self.leads_to.send_modify(|way| way.target = target);
    }
}

async fn pass(mut from: TcpStream, mut way: watch::Receiver<Way>) {
    let Way { target, whole } = *way.borrow_and_update();
    if !whole {
        return;
    }
    let Ok(mut to) = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).await else { return };
    tokio::select! {
        // However it ended, both sides are closed.
        _ = copy_bidirectional(&mut from, &mut to) => {}
        _ = way.changed() => {}
    }
}

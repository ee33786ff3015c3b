//! What these tests share.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cluster_tests::nodes::{Deployment, PATIENCE, wait_equal};
use cluster_tests::servers::{Server, ServerOptions};
use cluster_tests::wait::wait_until;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Indexes of the sites.
pub const SH: usize = 0;
pub const BJ: usize = 1;

/// Two sites that share the schema `shop`; sh decides.
pub struct Pair {
    /// Before the servers, so that the nodes go first.
    pub deployment: Deployment,
    pub sh: Server,
    pub bj: Server,
    pub tables: Vec<String>,
}

pub fn channel(rule: &str) -> String {
    format!("[channels.orders]\nbetween = [\"sh.main\", \"bj.main\"]\ntables = [\"shop.*\"]\n{rule}\n")
}

impl Pair {
    /// Servers with these tables and rows, and nodes that are ready. `create` runs at both.
    pub async fn start(create: &str, tables: &[&str], rule: &str) -> Pair {
        let start = |id| Server::start(ServerOptions::new(id).gtid_domain(id));
        let (sh, bj) = tokio::join!(start(11), start(12));
        for server in [&sh, &bj] {
            server.execute(&format!("CREATE DATABASE shop; USE shop; {create}")).await;
        }
        let mut deployment = Deployment::new(&["sh", "bj"], &[&sh, &bj], "", &channel(rule));
        deployment.start_all().await;
        Pair { deployment, sh, bj, tables: tables.iter().map(|name| (*name).to_owned()).collect() }
    }

    /// Runs statements at both sites while neither hears of the other: all their rows conflict. Each
    /// begins with the second at which it is written.
    pub async fn apart(&mut self, at_sh: &[(u64, &str)], at_bj: &[(u64, &str)]) {
        for index in [SH, BJ] {
            self.deployment.kill9(index);
        }
        let now: Vec<u64> = self.sh.query("SELECT UNIX_TIMESTAMP()").await;
        for (server, statements) in [(&self.sh, at_sh), (&self.bj, at_bj)] {
            for (second, statement) in statements {
                let at = now[0] - 100 + second;
                server.execute(&format!("USE shop; SET timestamp = {at}; {statement}")).await;
            }
        }
    }

    /// Starts the nodes again and waits until nothing is open and both sites are equal.
    pub async fn together(&mut self) {
        self.deployment.start_all().await;
        self.settled().await;
    }

    pub async fn settled(&self) {
        wait_equal(&[&self.sh, &self.bj], &self.tables()).await;
        wait_closed(&self.sh).await;
        wait_equal(&[&self.sh, &self.bj], &self.tables()).await;
    }

    fn tables(&self) -> Vec<&str> {
        self.tables.iter().map(String::as_str).collect()
    }

    /// What became of the conflicts, in the order of their rows: last write, ruling, reason.
    pub async fn rulings(&self) -> Vec<String> {
        self.sh
            .text("SELECT CONCAT_WS(' | ', verdict, ruling, ruled_by) FROM weft.conflict ORDER BY id")
            .await
    }
}

/// Waits until conflicts were recorded and none is open.
pub async fn wait_closed(decider: &Server) {
    wait_until(PATIENCE, "every conflict is decided", async || {
        let sql = "SELECT COUNT(*), COUNT(IF(ruling = 'open', 1, NULL)), COUNT(ruling) FROM weft.conflict";
        let seen: Vec<(u64, u64, u64)> = decider.query(sql).await;
        if seen[0].1 == 0 && seen[0].2 > 0 { Ok(()) } else { Err(format!("{seen:?}")) }
    })
    .await;
}

/// What the web server does with a question.
#[derive(Debug, Clone)]
pub enum Reply {
    /// Answers with this status and body.
    With(u16, String),
    /// Never answers.
    Never,
    /// Answers so once the test says that it may.
    WhenTold(tokio::sync::watch::Receiver<bool>, String),
}

/// A little web server: one question a connection.
pub struct Hook {
    pub port: u16,
    questions: Arc<Mutex<Vec<serde_json::Value>>>,
    most_at_once: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Hook {
    /// `reply` is given the number of the question, counted from 0, and the question.
    pub async fn start(reply: impl Fn(usize, &serde_json::Value) -> Reply + Send + Sync + 'static) -> Hook {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port");
        let port = listener.local_addr().expect("it is bound").port();
        let questions: Arc<Mutex<Vec<serde_json::Value>>> = Arc::default();
        let (now, most_at_once) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (asked, most, reply) = (questions.clone(), most_at_once.clone(), Arc::new(reply));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (asked, most, now, reply) = (asked.clone(), most.clone(), now.clone(), reply.clone());
                tokio::spawn(async move {
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    answer(stream, &asked, &*reply).await;
                    now.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Hook { port, questions, most_at_once, task }
    }

    pub fn questions(&self) -> Vec<serde_json::Value> {
        self.questions.lock().expect("no test panics with it").clone()
    }

    pub fn most_at_once(&self) -> usize {
        self.most_at_once.load(Ordering::SeqCst)
    }

    /// Waits until so many questions were asked.
    pub async fn wait_asked(&self, count: usize) {
        wait_until(PATIENCE, "the webhook is asked", async || {
            let asked = self.questions().len();
            if asked >= count { Ok(()) } else { Err(format!("{asked} questions")) }
        })
        .await;
    }
}

impl Drop for Hook {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(
    mut stream: TcpStream,
    asked: &Mutex<Vec<serde_json::Value>>,
    reply: &(dyn Fn(usize, &serde_json::Value) -> Reply + Send + Sync),
) {
    let Some(question) = read_question(&mut stream).await else { return };
    let number = {
        let mut asked = asked.lock().expect("no test panics with it");
        asked.push(question.clone());
        asked.len() - 1
    };
    let (status, body) = match reply(number, &question) {
        Reply::Never => return tokio::time::sleep(Duration::from_secs(600)).await,
        Reply::With(status, body) => (status, body),
        Reply::WhenTold(mut told, body) => {
            let _ = told.wait_for(|told| *told).await;
            (200, body)
        }
    };
    let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
}

async fn read_question(stream: &mut TcpStream) -> Option<serde_json::Value> {
    let mut text = Vec::new();
    loop {
        let mut chunk = [0; 4096];
        let read = stream.read(&mut chunk).await.ok().filter(|read| *read > 0)?;
        text.extend_from_slice(&chunk[..read]);
        let whole = String::from_utf8_lossy(&text).into_owned();
        if let Some((head, body)) = whole.split_once("\r\n\r\n") {
            assert!(head.starts_with("POST /conflict "), "{head}");
            if let Ok(question) = serde_json::from_str(body) {
                return Some(question);
            }
        }
    }
}

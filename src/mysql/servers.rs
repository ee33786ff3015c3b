//! The servers of one instance, and which of them is its primary now. Whoever talks to the instance asks
//! here where to; only [`Servers::find`] changes the answer.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use weft_actors::ports::{SourceError, SourceIdentity};
use weft_core::binlog::primary::{Candidate, Choice, LastCaptured, choose};

use super::connect::{Endpoint, Role, connect};
use super::identify;

/// Longest wait for what a server says of itself, connecting included.
const ANSWER_MAX: Duration = Duration::from_secs(8);

/// The servers of an instance.
#[derive(Debug)]
pub struct Servers {
    /// Full name of the instance, for messages.
    instance: String,
    /// In the order of the configuration; at least one.
    endpoints: Vec<Endpoint>,
    current: Mutex<Current>,
}

/// Where the primary was found last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Current {
    index: usize,
    /// Of the server that answered there; 0: none was found yet.
    server_id: u32,
}

/// Where to connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Primary {
    pub endpoint: Endpoint,
    /// Of the server that was found there; 0: not known.
    pub server_id: u32,
}

impl Servers {
    /// # Panics
    /// `endpoints` is empty.
    pub fn new(instance: &str, endpoints: Vec<Endpoint>) -> Servers {
        assert!(!endpoints.is_empty(), "an instance has a server");
        let current = Mutex::new(Current { index: 0, server_id: 0 });
        Servers { instance: instance.to_owned(), endpoints, current }
    }

    fn now(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The primary as it was found last; the first server before that.
    pub fn primary(&self) -> Primary {
        let Current { index, server_id } = *self.now();
        Primary { endpoint: self.endpoints[index].clone(), server_id }
    }

    /// Whether there is nothing to choose.
    pub fn is_one(&self) -> bool {
        self.endpoints.len() == 1
    }

    /// Whether it is known where the primary is: it was found, or there is one server only.
    pub fn is_known(&self) -> bool {
        self.is_one() || self.now().server_id != 0
    }

    /// Asks all servers, over new connections, and goes to the primary from now on.
    ///
    /// # Errors
    /// None can be reached, none or more than one is the primary, or it lacks what was captured.
    pub async fn find(&self, last: Option<&LastCaptured>) -> Result<SourceIdentity, SourceError> {
        let (index, identity) = self.look(last).await?;
        *self.now() = Current { index, server_id: identity.server.server_id };
        Ok(identity)
    }

    /// Whether another server than `last` is the primary now, or changes were lost.
    pub(super) async fn has_moved(&self, last: &LastCaptured) -> bool {
        match self.look(Some(last)).await {
            Ok((_, identity)) => identity.server.server_id != last.server_id,
            Err(SourceError::Unreachable(_)) => false,
            Err(SourceError::Purged(_) | SourceError::Refused(_)) => true,
        }
    }

    async fn look(&self, last: Option<&LastCaptured>) -> Result<(usize, SourceIdentity), SourceError> {
        let mut answers = Vec::new();
        let mut failures = Vec::new();
        for (index, asked) in join_all(self.endpoints.iter().map(ask)).await.into_iter().enumerate() {
            match asked {
                Ok(identity) => answers.push((index, identity)),
                Err(error) => failures.push(error),
            }
        }
        if answers.is_empty() {
            return Err(all_failed(failures));
        }
        let candidates: Vec<Candidate> = answers.iter().map(|(_, one)| one.server.clone()).collect();
        match choose(last, &candidates) {
            Choice::Server(chosen) => Ok(answers.swap_remove(chosen)),
            Choice::Nobody(reason) => {
                let failed = failures.iter().map(|error| format!("; {error}"));
                Err(SourceError::Unreachable(format!(
                    "{}: {reason}{}",
                    self.instance,
                    failed.collect::<String>()
                )))
            }
            Choice::Stop(reason) => Err(SourceError::Refused(format!("{}: {reason}", self.instance))),
        }
    }
}

async fn ask(endpoint: &Endpoint) -> Result<SourceIdentity, SourceError> {
    let asking = async {
        let mut conn = connect(endpoint, Role::Control).await?;
        let identity = identify::identify(&mut conn, endpoint).await;
        // The answer is there; how the connection ends does not change it.
        let _ = conn.disconnect().await;
        identity
    };
    tokio::time::timeout(ANSWER_MAX, asking).await.unwrap_or_else(|_| {
        let (address, limit) = (endpoint.address(), ANSWER_MAX.as_secs());
        Err(SourceError::Unreachable(format!("{address} does not say who it is within {limit} s")))
    })
}

/// What a person can mend is said first: one that is refused comes back by no waiting.
fn all_failed(mut failures: Vec<SourceError>) -> SourceError {
    failures.sort_by_key(|error| matches!(error, SourceError::Unreachable(_)));
    let reasons: Vec<String> = failures.iter().map(SourceError::to_string).collect();
    let reason = reasons.join("; ");
    match failures.first() {
        Some(SourceError::Refused(_)) => SourceError::Refused(reason),
        Some(SourceError::Purged(_)) => SourceError::Purged(reason),
        Some(SourceError::Unreachable(_)) | None => SourceError::Unreachable(reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mysql::tls::Tls;

    fn closed(port: u16) -> Endpoint {
        Endpoint {
            host: "127.0.0.1".into(),
            port,
            user: "weft".into(),
            password: String::new(),
            tls: Tls::default(),
        }
    }

    #[tokio::test]
    async fn servers_that_are_all_down_are_named_in_one_line_and_tried_again() {
        let servers = Servers::new("sh.main", vec![closed(1), closed(2)]);
        let error = servers.find(None).await.expect_err("nobody listens");
        assert!(matches!(&error, SourceError::Unreachable(_)), "{error:?}");
        let text = error.to_string();
        assert!(
            text.contains("127.0.0.1:1") && text.contains("127.0.0.1:2") && !text.contains('\n'),
            "{text}"
        );
        assert!(!servers.is_known() && Servers::new("sh.main", vec![closed(1)]).is_known());
    }
}

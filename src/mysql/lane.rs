//! A session that is kept between calls and opened again when it broke.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use mysql_async::{Conn, Error};
use tokio::sync::Mutex;
use weft_actors::ports::SourceError;

use super::connect::{Endpoint, Role, cause, connect, is_connection_lost};
use super::dialect::Dialect;
use super::schema::source_grants;
use super::servers::{Primary, Servers};

/// One session for calls of one kind; the next call waits until the one before it is through.
#[derive(Debug)]
pub(super) struct Lane {
    servers: Arc<Servers>,
    timeout: Duration,
    /// Taken out during a call: a call that fails or is cancelled midway leaves none behind, so
    /// that nobody reads its answer as their own. Kept for the primary that it was opened to.
    kept: Mutex<Option<(Primary, Conn)>>,
}

impl Lane {
    /// `timeout` bounds a call, connecting included.
    pub(super) fn new(servers: Arc<Servers>, timeout: Duration) -> Lane {
        Lane { servers, timeout, kept: Mutex::new(None) }
    }

    /// Where calls go now.
    pub(super) fn endpoint(&self) -> Endpoint {
        self.servers.primary().endpoint
    }

    /// Runs the statements of `call`, which may run twice: a kept session that turns out dead is
    /// replaced once. `what` is said in errors.
    pub(super) async fn run<T, F>(&self, what: &str, call: F) -> Result<T, SourceError>
    where
        F: for<'a> Fn(&'a mut Conn) -> BoxFuture<'a, Result<T, Error>> + Send + Sync,
    {
        let limit = self.timeout;
        match tokio::time::timeout(limit, self.run_unbounded(what, call)).await {
            Ok(result) => result,
            Err(_) => Err(SourceError::Unreachable(format!(
                "{what} at {}: no answer within {} s",
                self.endpoint().address(),
                limit.as_secs()
            ))),
        }
    }

    async fn run_unbounded<T, F>(&self, what: &str, call: F) -> Result<T, SourceError>
    where
        F: for<'a> Fn(&'a mut Conn) -> BoxFuture<'a, Result<T, Error>> + Send + Sync,
    {
        let mut kept = self.kept.lock().await;
        let primary = self.servers.primary();
        let endpoint = &primary.endpoint;
        if let Some((_, mut conn)) = kept.take().filter(|(of, _)| *of == primary) {
            let dialect = Dialect::of(&conn);
            match call(&mut conn).await {
                Ok(answer) => {
                    *kept = Some((primary, conn));
                    return Ok(answer);
                }
                Err(error) if is_connection_lost(&error) => {}
                Err(error) => return Err(failed(endpoint, dialect, what, &error)),
            }
        }
        let mut conn = connect(endpoint, Role::Control).await?;
        let dialect = Dialect::of(&conn);
        match call(&mut conn).await {
            Ok(answer) => {
                *kept = Some((primary, conn));
                Ok(answer)
            }
            Err(error) => Err(failed(endpoint, dialect, what, &error)),
        }
    }
}

/// The error of a call, with the rights that mend it.
pub(super) fn failed(endpoint: &Endpoint, dialect: Dialect, what: &str, error: &Error) -> SourceError {
    let text = format!("{what} at {}: {}", endpoint.address(), cause(error));
    match error {
        error if is_connection_lost(error) => SourceError::Unreachable(text),
        Error::Server(server) if TRY_AGAIN.contains(&server.code) => SourceError::Unreachable(text),
        error => SourceError::Refused(text + &fix(dialect, &endpoint.user, error)),
    }
}

/// Lock wait timeout, deadlock: the statement was rolled back.
const TRY_AGAIN: [u16; 2] = [1205, 1213];

/// How to fix an error that a DBA can fix with a statement; empty if it says so itself.
fn fix(dialect: Dialect, user: &str, error: &Error) -> String {
    let Error::Server(server) = error else { return String::new() };
    match server.code {
        // No right to a schema, a command, a column; a missing global privilege.
        1044 | 1142 | 1143 | 1227 => format!("; as an administrator run: {}", source_grants(dialect, user)),
        // Unknown database, table, column: Weft's own schema, as no other table is written here.
        1049 | 1054 | 1146 => {
            String::from("; Weft's schema is missing or altered there: restart the node, which creates it")
        }
        // --read-only.
        1290 | 1836 => {
            String::from("; Weft writes to its own schema: connect to the primary, or set read_only = OFF")
        }
        _ => String::new(),
    }
}

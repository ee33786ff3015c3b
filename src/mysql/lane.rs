//! A session that is kept between calls and opened again when it broke.

use std::time::Duration;

use futures::future::BoxFuture;
use mysql_async::{Conn, Error};
use tokio::sync::Mutex;
use weft_actors::ports::SourceError;

use super::connect::{Endpoint, Role, cause, connect, is_connection_lost};
use super::dialect::Dialect;
use super::schema::source_grants;

/// One session for calls of one kind; the next call waits until the one before it is through.
#[derive(Debug)]
pub(super) struct Lane {
    endpoint: Endpoint,
    timeout: Duration,
    /// Taken out during a call: a call that fails or is cancelled midway leaves none behind, so
    /// that nobody reads its answer as their own.
    kept: Mutex<Option<Conn>>,
}

impl Lane {
    /// `timeout` bounds a call, connecting included.
    pub(super) fn new(endpoint: Endpoint, timeout: Duration) -> Lane {
        Lane { endpoint, timeout, kept: Mutex::new(None) }
    }

    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
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
                self.endpoint.address(),
                limit.as_secs()
            ))),
        }
    }

    async fn run_unbounded<T, F>(&self, what: &str, call: F) -> Result<T, SourceError>
    where
        F: for<'a> Fn(&'a mut Conn) -> BoxFuture<'a, Result<T, Error>> + Send + Sync,
    {
        let mut kept = self.kept.lock().await;
        if let Some(mut conn) = kept.take() {
            let dialect = Dialect::of(&conn);
            match call(&mut conn).await {
                Ok(answer) => {
                    *kept = Some(conn);
                    return Ok(answer);
                }
                Err(error) if is_connection_lost(&error) => {}
                Err(error) => return Err(self.failed(dialect, what, &error)),
            }
        }
        let mut conn = connect(&self.endpoint, Role::Control).await?;
        let dialect = Dialect::of(&conn);
        match call(&mut conn).await {
            Ok(answer) => {
                *kept = Some(conn);
                Ok(answer)
            }
            Err(error) => Err(self.failed(dialect, what, &error)),
        }
    }

    fn failed(&self, dialect: Dialect, what: &str, error: &Error) -> SourceError {
        let text = format!("{what} at {}: {}", self.endpoint.address(), cause(error));
        match error {
            error if is_connection_lost(error) => SourceError::Unreachable(text),
            Error::Server(server) if TRY_AGAIN.contains(&server.code) => SourceError::Unreachable(text),
            error => SourceError::Refused(text + &fix(dialect, &self.endpoint.user, error)),
        }
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

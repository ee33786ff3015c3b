//! Opens sessions, with nothing left to the server's defaults that could change what a statement
//! does.

use std::fmt;
use std::io;
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, IoError, Opts, OptsBuilder};
use weft_actors::ports::SourceError;

use super::dialect::Dialect;
use super::tls::Tls;
use super::wire::Session;

/// Name resolution, handshake and the session's settings, all together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Idle time after which the kernel asks whether the peer is still there.
const TCP_KEEPALIVE: Duration = Duration::from_secs(10);

/// Of transactions that do not name another.
const ISOLATION: &str = "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ WRITE";

/// Where a server listens and who Weft is there.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    pub host: String,
    pub port: u16,
    pub user: String,
    /// Empty: none.
    pub password: String,
    pub tls: Tls,
}

impl Endpoint {
    /// `host:port`, for messages.
    pub fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({}@{}, password not shown)", self.user, self.address())
    }
}

/// What a session is for: decides its settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Weft's own small statements, and reading tables.
    Control,
    /// A binlog dump: nothing is sent while the reader waits for credit, so writes may stall long.
    Dump,
    /// Writes rows that another server checked already: foreign keys are not checked again, values
    /// that do not fit are errors, and zero is a value like any other.
    Apply,
}

/// Why there is no session.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// Try again.
    #[error("cannot reach a server at {address}: {cause}; start it there, or correct the instance's url")]
    Unreachable { address: String, cause: String },
    /// A person must see to it.
    #[error("{address} refuses user '{user}': {cause}; correct the user or the password of the instance")]
    AccessDenied { address: String, user: String, cause: String },
    /// The server answers but gives no session as Weft needs it: a person must see to it.
    #[error("no session at {address}: {cause}; set the server up as the README says")]
    Refused { address: String, cause: String },
}

impl From<ConnectError> for SourceError {
    fn from(error: ConnectError) -> SourceError {
        match error {
            ConnectError::Unreachable { .. } => SourceError::Unreachable(error.to_string()),
            ConnectError::AccessDenied { .. } | ConnectError::Refused { .. } => {
                SourceError::Refused(error.to_string())
            }
        }
    }
}

/// Opens a session for this role. `UPDATE` counts the rows it found, not those it changed.
pub async fn connect(endpoint: &Endpoint, role: Role) -> Result<Conn, ConnectError> {
    opened(endpoint, open(endpoint, role)).await
}

/// Opens a session of our own that reads a dump.
pub(super) async fn connect_dump(endpoint: &Endpoint) -> Result<Session, ConnectError> {
    opened(endpoint, open_dump(endpoint)).await
}

async fn opened<T>(
    endpoint: &Endpoint,
    session: impl Future<Output = Result<T, Error>>,
) -> Result<T, ConnectError> {
    match tokio::time::timeout(CONNECT_TIMEOUT, session).await {
        Ok(Ok(session)) => Ok(session),
        Ok(Err(error)) => Err(classify(endpoint, &error)),
        Err(_) => Err(ConnectError::Unreachable {
            address: endpoint.address(),
            cause: format!("no answer within {} s", CONNECT_TIMEOUT.as_secs()),
        }),
    }
}

async fn open(endpoint: &Endpoint, role: Role) -> Result<Conn, Error> {
    let mut conn = Conn::new(options(endpoint)).await?;
    conn.query_drop(settings(Dialect::of(&conn), role).join("; ")).await?;
    Ok(conn)
}

async fn open_dump(endpoint: &Endpoint) -> Result<Session, Error> {
    let mut session = Session::open(endpoint).await?;
    for statement in settings(session.dialect(), Role::Dump) {
        session.run(&statement).await?;
    }
    Ok(session)
}

fn settings(dialect: Dialect, role: Role) -> [String; 3] {
    ["SET NAMES utf8mb4".to_owned(), dialect.settings(role), ISOLATION.to_owned()]
}

fn options(endpoint: &Endpoint) -> Opts {
    let password = Some(endpoint.password.clone()).filter(|password| !password.is_empty());
    OptsBuilder::default()
        .ip_or_hostname(endpoint.host.clone())
        .tcp_port(endpoint.port)
        .user(Some(endpoint.user.clone()))
        .pass(password)
        // A socket of another server on this machine must not be taken for the one addressed.
        .prefer_socket(false)
        .tcp_keepalive(Some(TCP_KEEPALIVE))
        .client_found_rows(true)
        .ssl_opts(endpoint.tls.options())
        .into()
}

fn classify(endpoint: &Endpoint, error: &Error) -> ConnectError {
    let address = endpoint.address();
    let cause = cause(error);
    match error {
        Error::Server(server) if ACCESS_DENIED.contains(&server.code) => {
            ConnectError::AccessDenied { address, user: endpoint.user.clone(), cause }
        }
        error if is_connection_lost(error) => ConnectError::Unreachable { address, cause },
        _ => ConnectError::Refused { address, cause },
    }
}

/// Wrong password, no right to the default schema, host not allowed, no password given, password
/// expired, account locked.
/// Source of all numbers here: <https://mariadb.com/kb/en/mariadb-error-code-reference/> and
/// <https://dev.mysql.com/doc/mysql-errors/9.7/en/server-error-reference.html>.
const ACCESS_DENIED: [u16; 6] = [1044, 1045, 1130, 1698, 1862, 3118];

/// Too many connections; server shutdown; connection killed or aborted; query killed by shutdown;
/// session killed, or closed for its silence (MySQL).
const TRANSIENT: [u16; 9] = [1040, 1053, 1077, 1152, 1203, 1317, 1927, 3169, 4031];

/// Whether the session is gone, or the server is too busy to give one: connect again, later.
pub fn is_connection_lost(error: &Error) -> bool {
    match error {
        Error::Server(server) => TRANSIENT.contains(&server.code),
        Error::Io(IoError::Io(error)) => is_link_failure(error),
        Error::Driver(mysql_async::DriverError::ConnectionClosed) => true,
        Error::Io(IoError::Tls(_)) | Error::Driver(_) | Error::Other(_) | Error::Url(_) => false,
    }
}

/// Tells a broken link from bytes that the driver could not parse: it reports both as I/O errors.
fn is_link_failure(error: &io::Error) -> bool {
    match error.kind() {
        // The driver's words for an end of stream between packets and inside of one; its parser
        // uses the same kinds with other words.
        io::ErrorKind::UnexpectedEof => error.to_string() == "connection closed",
        io::ErrorKind::Other if error.raw_os_error().is_none() => {
            let text = error.to_string();
            text == "bytes remaining on stream" || text.contains("failed to lookup address")
        }
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => false,
        _ => true,
    }
}

/// What went wrong, in one line.
pub fn cause(error: &Error) -> String {
    let text = match error {
        Error::Server(server) => format!("{} (error {})", server.message, server.code),
        Error::Io(IoError::Io(error)) => error.to_string(),
        other => other.to_string(),
    };
    text.replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(port: u16) -> Endpoint {
        Endpoint {
            host: "127.0.0.1".into(),
            port,
            user: "weft".into(),
            password: "correct horse battery staple".into(),
            tls: Tls::default(),
        }
    }

    #[test]
    fn the_password_is_never_printed() {
        let text = format!("{:?}", endpoint(3306));
        assert!(text.contains("weft@127.0.0.1:3306") && !text.contains("horse"), "{text}");
    }

    #[test]
    fn bytes_that_cannot_be_parsed_are_not_a_broken_link() {
        let parse = io::Error::new(io::ErrorKind::UnexpectedEof, "can't parse: buf doesn't have enough data");
        assert!(!is_link_failure(&parse));
        assert!(is_link_failure(&io::Error::new(io::ErrorKind::UnexpectedEof, "connection closed")));
        assert!(is_link_failure(&io::Error::other("bytes remaining on stream")));
        assert!(!is_link_failure(&io::Error::other("bytes remaining on stream while reading TableMapEvent")));
        assert!(is_link_failure(&io::Error::from_raw_os_error(104)));
    }

    #[tokio::test]
    async fn a_port_where_nobody_listens_is_unreachable_and_said_in_one_line() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        let port = listener.local_addr().expect("it is bound").port();
        drop(listener);
        let error = connect(&endpoint(port), Role::Control).await.expect_err("nobody listens");
        assert!(matches!(error, ConnectError::Unreachable { .. }), "{error:?}");
        assert!(error.to_string().contains("refused") && !error.to_string().contains('\n'), "{error}");
    }
}

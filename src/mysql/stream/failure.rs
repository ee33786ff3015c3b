//! What an error of the dump means for whoever reads it.

use mysql_async::{DriverError, Error, ServerError};
use weft_actors::ports::SourceError;

use crate::mysql::connect::{Endpoint, cause, is_connection_lost};
use crate::mysql::schema::source_grants;

/// "Got fatal error from master when reading data from binary log": the reason is in the text.
const ER_MASTER_FATAL_ERROR_READING_BINLOG: u16 = 1236;

/// Another dump with our server id began. A reconnect of our own, seen late; if it is somebody else's,
/// the two take turns and both get on.
const ER_SLAVE_SAME_ID: u16 = 4052;

/// Parts of the texts with which MariaDB says that a binlog file is not there any more
/// (`sql/sql_repl.cc` of the server).
const PURGED: [&str; 3] = [
    "could not find first log file name",
    "required binlog files have been purged",
    "could not open log file",
];

/// What a failed statement or event of the dump means.
pub(super) fn broken(endpoint: &Endpoint, error: &Error) -> SourceError {
    let address = &endpoint.address();
    match error {
        Error::Server(server) => refused(endpoint, server, error),
        error if is_connection_lost(error) => {
            SourceError::Unreachable(format!("binlog dump of {address}: {}", cause(error)))
        }
        // Longer than what the protocol allows, or another kind of packet.
        Error::Driver(DriverError::UnexpectedPacket { .. }) => unframed(address, "it has no event header"),
        error => unframed(address, &cause(error)),
    }
}

fn refused(endpoint: &Endpoint, server: &ServerError, error: &Error) -> SourceError {
    let address = endpoint.address();
    let cause = cause(error);
    match server.code {
        ER_MASTER_FATAL_ERROR_READING_BINLOG => {
            let text = server.message.to_lowercase();
            match PURGED.iter().any(|part| text.contains(part)) {
                true => SourceError::Purged(format!(
                    "{address} has purged the binlog needed: {cause}; what was in it is lost to the channels: copy their \
                     tables again, then start this instance anew with an empty data directory and `weft uninstall`"
                )),
                false => SourceError::Refused(format!(
                    "{address} cannot dump its binlog from there: {cause}; its binlog is not the one captured so far"
                )),
            }
        }
        1045 | 1227 => SourceError::Refused(format!(
            "{address} refuses a binlog dump: {cause}; as an administrator run: {}",
            source_grants(&endpoint.user)
        )),
        code if code == ER_SLAVE_SAME_ID || is_connection_lost(error) => {
            SourceError::Unreachable(format!("binlog dump of {address}: {cause}"))
        }
        _ => SourceError::Refused(format!("{address} refuses a binlog dump: {cause}")),
    }
}

/// An event that cannot be taken for one.
pub(super) fn unframed(address: &str, what: &str) -> SourceError {
    SourceError::Refused(format!(
        "the binlog dump of {address} sent an event that cannot be read: {what}; check the file with mariadb-binlog"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint() -> Endpoint {
        Endpoint { host: "db".into(), port: 3306, user: "weft".into(), password: String::new() }
    }

    fn server(code: u16, message: &str) -> Error {
        Error::Server(ServerError { code, message: message.into(), state: "HY000".into() })
    }

    #[test]
    fn purged_files_are_told_from_positions_that_never_were() {
        let purged = [
            "Could not find first log file name in binary log index file",
            "Could not find GTID state requested by slave in any binlog files. Probably the slave state is too old \
             and required binlog files have been purged.",
        ];
        for text in purged {
            let error = broken(&endpoint(), &server(1236, text));
            assert!(matches!(error, SourceError::Purged(_)), "{error:?}");
        }
        let never = "Error: connecting slave requested to start from GTID 1-1-99, which is not in the master's binlog";
        assert!(matches!(broken(&endpoint(), &server(1236, never)), SourceError::Refused(_)));
    }

    #[test]
    fn a_server_that_shuts_down_is_unreachable() {
        let error = broken(&endpoint(), &server(1053, "Server shutdown in progress"));
        assert!(matches!(error, SourceError::Unreachable(_)), "{error:?}");
    }
}

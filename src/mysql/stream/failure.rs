//! What an error of the dump means for whoever reads it.

use mysql_async::{DriverError, Error, ServerError};
use weft_actors::ports::SourceError;

use crate::mysql::connect::{Endpoint, cause, is_connection_lost};
use crate::mysql::schema::account;

/// "Got fatal error from master when reading data from binary log": the reason is in the text.
const ER_MASTER_FATAL_ERROR_READING_BINLOG: u16 = 1236;

/// Another dump with our server id began: another process has it, as our own dumps differ in theirs.
/// MySQL says so as a fatal error with this text.
const ER_SLAVE_SAME_ID: u16 = 4052;
const SAME_ID: &str = "with the same server_uuid/server_id";

/// Parts of the texts with which servers say that a binlog file is not there any more
/// (`sql/sql_repl.cc` of MariaDB, `share/messages_to_clients.txt` of MySQL).
const PURGED: [&str; 4] = [
    "could not find first log file name",
    "required binlog files have been purged",
    "purged required binary logs",
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

/// Whether the dump ended because another one with its server id began.
pub(super) fn is_same_id(error: &Error) -> bool {
    match error {
        Error::Server(server) => {
            server.code == ER_SLAVE_SAME_ID
                || (server.code == ER_MASTER_FATAL_ERROR_READING_BINLOG && server.message.contains(SAME_ID))
        }
        _ => false,
    }
}

fn refused(endpoint: &Endpoint, server: &ServerError, error: &Error) -> SourceError {
    let address = endpoint.address();
    let cause = cause(error);
    match server.code {
        _ if is_same_id(error) || is_connection_lost(error) => {
            SourceError::Unreachable(format!("binlog dump of {address}: {cause}"))
        }
        ER_MASTER_FATAL_ERROR_READING_BINLOG => {
            let text = server.message.to_lowercase();
            match PURGED.iter().any(|part| text.contains(part)) {
                true => SourceError::Purged(format!(
                    "{address} has purged the binlog needed: {cause}; what was in it is lost to the channels: copy their \
                     tables again, then start this instance anew with an empty data directory and `weft uninstall`"
                )),
                false => SourceError::Refused(format!(
                    "{address} cannot dump its binlog from there: {cause}; the server lost its last transactions, or its binlog was reset"
                )),
            }
        }
        1045 | 1227 => SourceError::Refused(format!(
            "{address} refuses a binlog dump: {cause}; as an administrator run: GRANT REPLICATION SLAVE ON *.* TO {}",
            account(&endpoint.user)
        )),
        _ => SourceError::Refused(format!("{address} refuses a binlog dump: {cause}")),
    }
}

/// An event that cannot be taken for one.
pub(super) fn unframed(address: &str, what: &str) -> SourceError {
    SourceError::Refused(format!(
        "the binlog dump of {address} sent an event that cannot be read: {what}; check the file with mariadb-binlog or mysqlbinlog"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mysql::tls::Tls;

    fn endpoint() -> Endpoint {
        Endpoint {
            host: "db".into(),
            port: 3306,
            user: "weft".into(),
            password: String::new(),
            tls: Tls::default(),
        }
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
    fn another_dump_with_our_id_is_no_fatal_error_though_mysql_calls_it_one() {
        let text = "A replica with the same server_uuid/server_id as this replica has connected to the source; the \
                    first event 'binlog.000001' at 158";
        for error in [server(1236, text), server(4052, "A slave with the same server_id has connected")] {
            assert!(is_same_id(&error));
            assert!(matches!(broken(&endpoint(), &error), SourceError::Unreachable(_)));
        }
    }

    #[test]
    fn a_server_that_shuts_down_is_unreachable() {
        let error = broken(&endpoint(), &server(1053, "Server shutdown in progress"));
        assert!(matches!(error, SourceError::Unreachable(_)), "{error:?}");
    }
}

//! What the server's errors mean for a batch.
//!
//! Codes: <https://mariadb.com/kb/en/mariadb-error-code-reference/> and
//! <https://dev.mysql.com/doc/mysql-errors/9.7/en/server-error-reference.html>; where the flavours use
//! one number for two things, the other's cannot come from what is done here. What a failing `BINLOG`
//! statement answers was seen on MariaDB 10.11 and MySQL 9.7: 1062 for a duplicate key, 1032 for a
//! missing row, 1146 for a missing table, 1347 for a view, and 1105 ("Unknown error") or 1677 for a
//! column whose type cannot be converted.

use weft_core::sink::step::{Outcome, Stop, StopKind};

/// Why a statement failed, by what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    #[error("duplicate key")]
    DuplicateKey,
    #[error("missing row")]
    MissingRow,
    /// Run the batch again. The transaction must be rolled back: a lock wait timeout undoes only
    /// its statement.
    #[error("deadlock or lock wait timeout")]
    Deadlock,
    #[error("{0}")]
    Lost(String),
    #[error("{reason}")]
    Refused { kind: StopKind, reason: String },
}

impl Failure {
    pub(super) fn does_not_fit(reason: String) -> Failure {
        Failure::Refused { kind: StopKind::DoesNotFit, reason }
    }

    pub(super) fn refused(reason: String) -> Failure {
        Failure::Refused { kind: StopKind::Refused, reason }
    }

    pub(super) fn into_outcome(self) -> Outcome {
        match self {
            Failure::DuplicateKey => Outcome::DuplicateKey,
            Failure::MissingRow => Outcome::MissingRow,
            Failure::Deadlock => Outcome::Deadlock,
            Failure::Lost(_) => Outcome::ConnectionLost,
            Failure::Refused { kind, reason } => Outcome::Refused(Stop { scn: None, reason, kind }),
        }
    }
}

/// Says what an error means; `place` is the target's name and `doing` what was tried, for the text.
pub(super) fn classify(error: &mysql_async::Error, place: &str, doing: &str) -> Failure {
    let server = match error {
        mysql_async::Error::Server(server) => server,
        mysql_async::Error::Driver(mysql_async::DriverError::PacketTooLarge) => {
            return Failure::refused(format!(
                "{place}: {doing}: a row is too long; raise max_allowed_packet there"
            ));
        }
        // The packets of a statement that is too long for the server break the connection; whatever
        // else goes wrong below the protocol leaves the connection in an unknown state too.
        other => return Failure::Lost(format!("{place}: {doing}: {other}")),
    };
    // One line, whatever the server says.
    let message = server.message.replace(['\n', '\r'], " ");
    let what = format!("{place}: {doing}: {message} ({})", server.code);
    match server.code {
        1022 | 1062 | 1586 | 1761 | 1762 => Failure::DuplicateKey,
        1032 => Failure::MissingRow,
        1020 | 1205 | 1213 | 3101 => Failure::Deadlock,
        1053 | 1079 | 1080 | 1152 | 1158..=1161 | 1184 | 1317 | 1927 | 2006 | 2013 | 3169 | 4031 => {
            Failure::Lost(what)
        }
        1290 | 1792 | 1836 => Failure::refused(format!(
            "{what}; make the target writable (SET GLOBAL read_only = OFF) or point the instance at its \
             primary"
        )),
        1044 | 1045 | 1142 | 1143 | 1227 | 1370 | 1410 => Failure::refused(format!(
            "{what}; grant what it names to Weft's account there, for example GRANT SELECT, INSERT, UPDATE, \
             DELETE on the tables; weft check names the privileges for replay"
        )),
        1021 | 1041 | 1114 => Failure::refused(format!("{what}; free space there, it goes on by itself")),
        1153 => Failure::refused(format!("{what}; raise max_allowed_packet there")),
        1049 | 1146 | 1347 => {
            Failure::does_not_fit(format!("{what}; create the table there, it goes on by itself"))
        }
        1054 | 1105 | 1110 | 1136 | 1363 | 1364 | 1535 | 1677 | 3105 => Failure::does_not_fit(format!(
            "{what}; alter the table there to the shape that it has at the source, it goes on by itself"
        )),
        1048 | 1264 | 1265 | 1292 | 1366 | 1406 | 1416 | 1690 | 3140 | 3141 | 3819 | 4025 | 4078 => {
            Failure::does_not_fit(format!(
                "{what}; alter the column there so that it holds the source's values, it goes on by itself"
            ))
        }
        1785 => Failure::does_not_fit(format!(
            "{what}; ALTER TABLE … ENGINE = InnoDB there, it goes on by itself"
        )),
        1451 | 1452 => Failure::does_not_fit(format!("{what}; mend the rows that the foreign key names")),
        _ => Failure::refused(format!("{what}; see the server's error log")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(code: u16) -> mysql_async::Error {
        mysql_async::Error::Server(mysql_async::ServerError {
            code,
            message: String::from("said\nso"),
            state: String::from("HY000"),
        })
    }

    #[test]
    fn each_cause_has_its_outcome_and_the_reason_is_one_line() {
        let of = |code| classify(&server(code), "bj.main", "writing shop.orders");
        assert_eq!(of(1062), Failure::DuplicateKey);
        assert_eq!(of(1032), Failure::MissingRow);
        assert_eq!(of(1205), Failure::Deadlock);
        assert!(matches!(of(1927), Failure::Lost(_)));
        for (code, kind) in [
            (1105, StopKind::DoesNotFit),
            (1146, StopKind::DoesNotFit),
            (1290, StopKind::Refused),
            (1227, StopKind::Refused),
            (1114, StopKind::Refused),
            (9999, StopKind::Refused),
        ] {
            let Failure::Refused { kind: seen, reason } = of(code) else { panic!("{code} is refused") };
            assert_eq!(seen, kind, "{code}");
            assert!(reason.starts_with("bj.main: writing shop.orders: said so"), "{reason}");
            assert!(reason.contains("; ") && !reason.contains('\n'), "{reason}");
        }
    }

    #[test]
    fn anything_below_the_protocol_loses_the_connection() {
        let broken = mysql_async::Error::Driver(mysql_async::DriverError::ConnectionClosed);
        assert!(matches!(classify(&broken, "bj.main", "committing"), Failure::Lost(_)));
    }
}

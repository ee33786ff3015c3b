//! What a server understands: all that differs between MariaDB and MySQL in what Weft asks of it.

use mysql_async::Conn;
use weft_core::flavour::Flavour;

use super::connect::Role;

/// Major, minor and patch level of a server.
type Version = (u16, u16, u16);

/// The words of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialect {
    flavour: Flavour,
    version: Version,
}

/// The parts of a query of `information_schema.COLUMNS c` that describe a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ColumnWords {
    /// Joins the column's collation as `a`; no row for a column without characters.
    pub join: &'static str,
    /// Its number and its name.
    pub collation_id: &'static str,
    pub collation_name: &'static str,
    /// 1 for a generated column.
    pub generated: &'static str,
}

impl Dialect {
    /// Of the server at the other end. Tells the flavours apart as native replicas do, by the greeting:
    /// MySQL's major versions are below 10 and MariaDB's are not.
    pub fn of(conn: &Conn) -> Dialect {
        let version = conn.server_version();
        let flavour = if version.0 < 10 { Flavour::MySql } else { Flavour::MariaDb };
        Dialect { flavour, version }
    }

    pub fn flavour(self) -> Flavour {
        self.flavour
    }

    pub fn major_minor(self) -> (u16, u16) {
        (self.version.0, self.version.1)
    }

    fn is_mysql_since(self, version: Version) -> bool {
        self.flavour == Flavour::MySql && self.version >= version
    }

    /// The statement that answers the binlog's file and position.
    pub fn position(self) -> &'static str {
        if self.is_mysql_since((8, 2, 0)) { "SHOW BINARY LOG STATUS" } else { "SHOW MASTER STATUS" }
    }

    /// The query that answers all GTIDs in the binlog.
    pub fn gtids(self) -> &'static str {
        match self.flavour {
            Flavour::MariaDb => "SELECT @@GLOBAL.gtid_binlog_pos",
            // Line feeds follow the commas.
            Flavour::MySql => "SELECT REPLACE(@@GLOBAL.gtid_executed, '\\n', '')",
        }
    }

    /// The variable that [`Dialect::gtids`] reads.
    pub fn gtids_name(self) -> &'static str {
        match self.flavour {
            Flavour::MariaDb => "gtid_binlog_pos",
            Flavour::MySql => "gtid_executed",
        }
    }

    /// The words for file and position of the source's binlog, in the statement that makes this server
    /// a native replica.
    pub fn source_place(self) -> [&'static str; 2] {
        if self.is_mysql_since((8, 0, 23)) {
            ["SOURCE_LOG_FILE", "SOURCE_LOG_POS"]
        } else {
            ["MASTER_LOG_FILE", "MASTER_LOG_POS"]
        }
    }

    /// The variable that says how a native replica meets rows in the way.
    pub fn exec_mode(self) -> &'static str {
        if self.is_mysql_since((8, 0, 26)) { "replica_exec_mode" } else { "slave_exec_mode" }
    }

    /// The statement that shows what the server replicates natively.
    pub fn replicas(self) -> &'static str {
        match self.flavour {
            Flavour::MariaDb => "SHOW ALL SLAVES STATUS",
            Flavour::MySql if self.version >= (8, 0, 22) => "SHOW REPLICA STATUS",
            Flavour::MySql => "SHOW SLAVE STATUS",
        }
    }

    /// The columns of that answer that say whether the replica receives, whether it applies, and the
    /// server id of whom it replicates from.
    pub fn replica_columns(self) -> [&'static str; 3] {
        if self.is_mysql_since((8, 0, 22)) {
            ["Replica_IO_Running", "Replica_SQL_Running", "Source_Server_Id"]
        } else {
            ["Slave_IO_Running", "Slave_SQL_Running", "Master_Server_Id"]
        }
    }

    /// The statements that end native replication into the server.
    pub fn leave_replication(self) -> &'static str {
        match self.flavour {
            Flavour::MariaDb => "STOP ALL SLAVES; RESET SLAVE ALL",
            Flavour::MySql if self.version >= (8, 0, 22) => "STOP REPLICA; RESET REPLICA ALL",
            Flavour::MySql => "STOP SLAVE; RESET SLAVE ALL",
        }
    }

    /// The session's settings: whatever a server's configuration may set for all sessions and would
    /// change what a statement of ours does, how many rows it gives or whether it commits.
    pub(super) fn settings(self, role: Role) -> String {
        let (sql_mode, foreign_key_checks, net_write_timeout_s) = match role {
            Role::Control => ("", 1, 60),
            Role::Dump => ("", 1, 600),
            Role::Apply => ("STRICT_ALL_TABLES,ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO", 0, 60),
        };
        let statement_time = match self.flavour {
            Flavour::MariaDb => "max_statement_time",
            Flavour::MySql => "max_execution_time",
        };
        format!(
            "SET SESSION sql_mode = '{sql_mode}', time_zone = '+00:00', autocommit = 1, \
             completion_type = NO_CHAIN, foreign_key_checks = {foreign_key_checks}, unique_checks = 1, \
             sql_auto_is_null = 0, sql_safe_updates = 0, sql_big_selects = 1, \
             sql_select_limit = 18446744073709551615, wait_timeout = 28800, net_read_timeout = 60, \
             net_write_timeout = {net_write_timeout_s}, group_concat_max_len = 1048576, {statement_time} = 0"
        )
    }

    /// The query of what decides how a session writes: binlog format, `max_allowed_packet`,
    /// `sql_log_bin`, how native replicas meet rows in the way, and whether their rows fire triggers.
    pub(super) fn write_settings(self) -> String {
        let triggers = match self.flavour {
            Flavour::MariaDb => "@@global.slave_run_triggers_for_rbr",
            Flavour::MySql => "'NO'",
        };
        format!(
            "SELECT @@session.binlog_format, @@session.max_allowed_packet, @@session.sql_log_bin, \
             @@global.{}, {triggers}",
            self.exec_mode()
        )
    }

    /// How `information_schema` describes a column.
    pub fn columns(self) -> ColumnWords {
        match self.flavour {
            Flavour::MariaDb => ColumnWords {
                join: "LEFT JOIN information_schema.COLLATION_CHARACTER_SET_APPLICABILITY a \
                       ON a.FULL_COLLATION_NAME = c.COLLATION_NAME",
                collation_id: "a.ID",
                collation_name: "a.FULL_COLLATION_NAME",
                generated: "c.IS_GENERATED = 'ALWAYS'",
            },
            Flavour::MySql => ColumnWords {
                join: "LEFT JOIN information_schema.COLLATIONS a ON a.COLLATION_NAME = c.COLLATION_NAME",
                collation_id: "a.ID",
                collation_name: "a.COLLATION_NAME",
                generated: "c.GENERATION_EXPRESSION <> ''",
            },
        }
    }

    /// The query that answers the names and numbers of all collations.
    pub fn collations(self) -> &'static str {
        match self.flavour {
            Flavour::MariaDb => {
                "SELECT full_collation_name, id FROM information_schema.collation_character_set_applicability \
                 WHERE id IS NOT NULL"
            }
            Flavour::MySql => "SELECT collation_name, id FROM information_schema.collations",
        }
    }

    /// What stands before each row of a `VALUES` list that is a table.
    pub fn row_word(self) -> &'static str {
        match self.flavour {
            Flavour::MariaDb => "",
            Flavour::MySql => "ROW",
        }
    }

    /// The privilege to change something without a trace in the binlog.
    pub fn unlogged_privilege(self) -> &'static str {
        match self.flavour {
            Flavour::MariaDb => "BINLOG ADMIN",
            Flavour::MySql => "SESSION_VARIABLES_ADMIN",
        }
    }

    /// The privileges to replay rows, and to keep the replayed text out of the binlog.
    pub fn replay_privileges(self) -> [&'static str; 2] {
        match self.flavour {
            Flavour::MariaDb => ["BINLOG REPLAY", "BINLOG ADMIN"],
            Flavour::MySql => ["BINLOG_ADMIN", "SESSION_VARIABLES_ADMIN"],
        }
    }

    /// The privilege to see what is replicated natively.
    pub fn replica_privilege(self) -> &'static str {
        match self.flavour {
            Flavour::MariaDb => "SLAVE MONITOR",
            Flavour::MySql => "REPLICATION CLIENT",
        }
    }

    /// The privileges to read the binlog, and its position.
    pub fn read_privileges(self) -> [&'static str; 2] {
        match self.flavour {
            Flavour::MariaDb => ["REPLICATION SLAVE", "BINLOG MONITOR"],
            Flavour::MySql => ["REPLICATION SLAVE", "REPLICATION CLIENT"],
        }
    }
}

/// Of a server that says this of its version, for what is read without a session.
impl From<&str> for Dialect {
    fn from(version: &str) -> Dialect {
        let mut numbers = version
            .strip_prefix("5.5.5-")
            .unwrap_or(version)
            .split(|c: char| !c.is_ascii_digit())
            .map(|part| part.parse().unwrap_or(0));
        let mut next = || numbers.next().unwrap_or(0);
        Dialect { flavour: Flavour::of_version(version), version: (next(), next(), next()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_is_asked_in_its_own_words() {
        for (version, position, replicas) in [
            ("10.11.19-MariaDB-0+deb12u1-log", "SHOW MASTER STATUS", "SHOW ALL SLAVES STATUS"),
            ("5.5.5-10.6.3-MariaDB", "SHOW MASTER STATUS", "SHOW ALL SLAVES STATUS"),
            ("8.0.21", "SHOW MASTER STATUS", "SHOW SLAVE STATUS"),
            ("8.0.40-0ubuntu1", "SHOW MASTER STATUS", "SHOW REPLICA STATUS"),
            ("8.4.3", "SHOW BINARY LOG STATUS", "SHOW REPLICA STATUS"),
            ("9.7.4-2", "SHOW BINARY LOG STATUS", "SHOW REPLICA STATUS"),
        ] {
            let dialect = Dialect::from(version);
            assert_eq!((dialect.position(), dialect.replicas()), (position, replicas), "{version}");
        }
    }

    #[test]
    fn a_place_in_a_binlog_is_told_in_the_words_that_the_version_takes() {
        for (version, file, exec_mode) in [
            ("10.11.19-MariaDB", "MASTER_LOG_FILE", "slave_exec_mode"),
            ("8.0.22", "MASTER_LOG_FILE", "slave_exec_mode"),
            ("8.0.23", "SOURCE_LOG_FILE", "slave_exec_mode"),
            ("8.0.26", "SOURCE_LOG_FILE", "replica_exec_mode"),
            ("9.7.4-2", "SOURCE_LOG_FILE", "replica_exec_mode"),
        ] {
            let dialect = Dialect::from(version);
            assert_eq!((dialect.source_place()[0], dialect.exec_mode()), (file, exec_mode), "{version}");
        }
    }

    #[test]
    fn versions_are_read() {
        for (text, version) in [
            ("10.11.19-MariaDB-0+deb12u1-log", (10, 11)),
            ("5.5.5-10.6.3-MariaDB", (10, 6)),
            ("9.7.4-2", (9, 7)),
            ("MariaDB", (0, 0)),
        ] {
            assert_eq!(Dialect::from(text).major_minor(), version);
        }
    }
}

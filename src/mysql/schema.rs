//! Everything of Weft's own in an instance: the schema `weft`.
//!
//! All names compare by bytes (`utf8mb4_bin`), so that two channels whose names differ only in case
//! never share a row. The tables are InnoDB, so that what is written there commits with the data.

use xxhash_rust::xxh3::xxh3_64;

use super::dialect::Dialect;

/// What a table got after the first release, in the order of the releases. Column definitions are
/// those of `create`.
#[derive(Debug, Clone, Copy)]
pub struct Added {
    pub table: &'static str,
    /// The column by which one sees that a table has it.
    pub column: &'static str,
    pub alter: &'static str,
}

/// The later columns. All have a default, so that a node of the release before goes on writing.
pub const ADDED: [Added; 3] = [CONFLICT_ADDED, CAPTURE_ADDED, START_ADDED];

const CAPTURE_ADDED: Added = Added {
    table: "capture",
    column: "versions_to",
    alter: "\
ALTER TABLE `weft`.`capture`
  ADD COLUMN `versions_to` BIGINT UNSIGNED NOT NULL DEFAULT 0 COMMENT 'newest version of earlier epochs, microseconds since 1970 UTC'",
};

const START_ADDED: Added = Added {
    table: "start",
    column: "instance",
    alter: "\
ALTER TABLE `weft`.`start`
  ADD COLUMN `instance` VARCHAR(130) NOT NULL DEFAULT '' COMMENT 'whose binlog the SCN is a place in; empty: this one',
  ADD COLUMN `asked` TEXT NULL COMMENT 'start in the configuration then; NULL: now'",
};

const CONFLICT_ADDED: Added = Added {
    table: "conflict",
    column: "ruling",
    alter: "\
ALTER TABLE `weft`.`conflict`
  ADD COLUMN `ruling` VARCHAR(16) NULL COMMENT 'what the channel''s rule made of it; NULL: it has none; open: not decided yet',
  ADD COLUMN `ruled_by` VARCHAR(64) NULL COMMENT 'by what the ruling was given',
  ADD COLUMN `ruled_at` TIMESTAMP(6) NULL,
  ADD COLUMN `base_time` BIGINT UNSIGNED NULL COMMENT 'version of what the incoming change overwrote at its origin',
  ADD COLUMN `base_origin` INT UNSIGNED NULL,
  ADD COLUMN `stands_for_time` BIGINT UNSIGNED NULL COMMENT 'version of the change whose row was written again',
  ADD COLUMN `stands_for_origin` INT UNSIGNED NULL,
  ADD COLUMN `row_key` LONGTEXT NULL COMMENT 'while it is open: the primary key as SQL',
  ADD COLUMN `loser` LONGTEXT NULL COMMENT 'while it is open: the row that lost as SQL; NULL: it was deleted',
  ADD KEY `ruling` (`ruling`, `id`),
  ADD KEY `key_hash` (`key_hash`, `id`)",
};

/// Creates the schema where it is missing.
pub const CREATE_SCHEMA: &str =
    "CREATE DATABASE IF NOT EXISTS `weft` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin";

/// A table of the schema.
#[derive(Debug, Clone, Copy)]
pub struct WeftTable {
    pub name: &'static str,
    /// Creates it where it is missing.
    pub create: &'static str,
}

/// All tables, in the order in which they are created.
pub const TABLES: [WeftTable; 5] = [
    WeftTable { name: "mark", create: MARK },
    WeftTable { name: "heartbeat", create: HEARTBEAT },
    WeftTable { name: "capture", create: CAPTURE },
    WeftTable { name: "start", create: START },
    WeftTable { name: "conflict", create: CONFLICT },
];

/// One row per shard of each channel into this instance: see `weft_core::mark`.
const MARK: &str = "\
CREATE TABLE IF NOT EXISTS `weft`.`mark` (
  `channel` VARCHAR(64) NOT NULL,
  `source` VARCHAR(130) NOT NULL COMMENT 'instance that the channel reads from, as site.instance',
  `shard` SMALLINT UNSIGNED NOT NULL,
  `epoch` BIGINT UNSIGNED NOT NULL COMMENT 'raised by each recovery; older owners match no row',
  `body` LONGBLOB NOT NULL,
  PRIMARY KEY (`channel`, `source`, `shard`)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin";

/// One row per instance whose binlog this server has; its own is written by its node.
const HEARTBEAT: &str = "\
CREATE TABLE IF NOT EXISTS `weft`.`heartbeat` (
  `instance` VARCHAR(130) NOT NULL,
  `written` BIGINT UNSIGNED NOT NULL COMMENT 'microseconds since 1970 UTC, by the clock of the node',
  `node` VARCHAR(64) NOT NULL,
  PRIMARY KEY (`instance`)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin";

/// Where the captured history of the instance begins: its newest epoch.
const CAPTURE: &str = "\
CREATE TABLE IF NOT EXISTS `weft`.`capture` (
  `instance` VARCHAR(130) NOT NULL,
  `epoch` INT UNSIGNED NOT NULL COMMENT 'SCN epoch of the server, raised when capture moves to another',
  `server_id` INT UNSIGNED NOT NULL,
  `file` VARCHAR(255) NOT NULL,
  `position` BIGINT UNSIGNED NOT NULL,
  `gtid` TEXT NOT NULL COMMENT 'captured before; file number 0: the epoch begins after it',
  `versions_to` BIGINT UNSIGNED NOT NULL DEFAULT 0 COMMENT 'newest version of earlier epochs, microseconds since 1970 UTC',
  PRIMARY KEY (`instance`)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin";

/// Where each channel out of the instance begins. A row of another instance came with a copy of that.
const START: &str = "\
CREATE TABLE IF NOT EXISTS `weft`.`start` (
  `channel` VARCHAR(64) NOT NULL,
  `after_scn` VARCHAR(64) NOT NULL COMMENT 'the channel begins after this SCN (exclusive)',
  `instance` VARCHAR(130) NOT NULL DEFAULT '' COMMENT 'whose binlog the SCN is a place in; empty: this one',
  `asked` TEXT NULL COMMENT 'start in the configuration then; NULL: now',
  PRIMARY KEY (`channel`)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin";

/// The conflict log: both rows, their versions and the verdict; also changes that were passed over.
const CONFLICT: &str = "\
CREATE TABLE IF NOT EXISTS `weft`.`conflict` (
  `id` BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
  `at` TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  `channel` VARCHAR(64) NOT NULL,
  `source` VARCHAR(130) NOT NULL,
  `scn` VARCHAR(64) NOT NULL COMMENT 'of the incoming change',
  `table_schema` VARCHAR(64) NOT NULL DEFAULT '',
  `table_name` VARCHAR(64) NOT NULL DEFAULT '',
  `key_hash` CHAR(32) NOT NULL DEFAULT '' COMMENT 'hexadecimal',
  `incoming` LONGTEXT NULL COMMENT 'the incoming row as JSON; NULL: it was deleted',
  `local` LONGTEXT NULL COMMENT 'the row that was there as JSON; NULL: there was none',
  `incoming_time` BIGINT UNSIGNED NULL COMMENT 'microseconds since 1970 UTC',
  `incoming_origin` INT UNSIGNED NULL,
  `local_time` BIGINT UNSIGNED NULL COMMENT 'microseconds since 1970 UTC',
  `local_origin` INT UNSIGNED NULL,
  `verdict` VARCHAR(64) NOT NULL COMMENT 'of last-write-wins',
  `ruling` VARCHAR(16) NULL COMMENT 'what the channel''s rule made of it; NULL: it has none; open: not decided yet',
  `ruled_by` VARCHAR(64) NULL COMMENT 'by what the ruling was given',
  `ruled_at` TIMESTAMP(6) NULL,
  `base_time` BIGINT UNSIGNED NULL COMMENT 'version of what the incoming change overwrote at its origin',
  `base_origin` INT UNSIGNED NULL,
  `stands_for_time` BIGINT UNSIGNED NULL COMMENT 'version of the change whose row was written again',
  `stands_for_origin` INT UNSIGNED NULL,
  `row_key` LONGTEXT NULL COMMENT 'while it is open: the primary key as SQL',
  `loser` LONGTEXT NULL COMMENT 'while it is open: the row that lost as SQL; NULL: it was deleted',
  PRIMARY KEY (`id`),
  KEY `ruling` (`ruling`, `id`),
  KEY `key_hash` (`key_hash`, `id`)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin";

/// The statements that create the schema and everything in it, for a DBA to run.
pub fn statements() -> impl Iterator<Item = &'static str> {
    std::iter::once(CREATE_SCHEMA).chain(TABLES.iter().map(|table| table.create))
}

/// The statements that give an account what a source instance needs; `weft uninstall` needs more.
pub fn source_grants(dialect: Dialect, user: &str) -> String {
    let account = account(user);
    let privileges = dialect.read_privileges().join(", ");
    format!(
        "CREATE DATABASE IF NOT EXISTS weft; GRANT ALL PRIVILEGES ON weft.* TO {account}; GRANT SELECT, {privileges} \
         ON *.* TO {account}"
    )
}

/// The account as SQL, from any host.
pub fn account(user: &str) -> String {
    format!("'{}'@'%'", user.replace('\'', "''"))
}

/// Name of the server-wide lock (`GET_LOCK`) that the session of a shard holds at the target while
/// it lives: who holds it owns the shard. `source` is the full name of the instance read from.
///
/// A hash, because lock names end at 64 characters and the names are longer:
/// `weft.` + 16 hexadecimal digits of XXH3-64 over channel, a zero byte and source + `.` + shard.
pub fn owner_lock(channel: &str, source: &str, shard: u16) -> String {
    let hash = xxh3_64(format!("{channel}\0{source}").as_bytes());
    format!("weft.{hash:016x}.{shard}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lock_names_differ_by_channel_source_and_shard_and_stay_short() {
        let long = "x".repeat(64);
        let name = owner_lock(&long, &"y".repeat(130), u16::MAX);
        assert!(name.starts_with("weft.") && name.len() <= 64, "{name}");
        let orders = owner_lock("orders", "sh.main", 0);
        assert_ne!(orders, owner_lock("orders", "sh.main", 1));
        assert_ne!(orders, owner_lock("orders", "bj.main", 0));
        assert_ne!(owner_lock("a", "bc", 0), owner_lock("ab", "c", 0));
    }
}

//! What the probes look at: the facts of one instance, read once.

use std::collections::BTreeMap;

use weft_core::tables::TableName;

use super::grants::Grants;
use crate::mysql::dialect::Dialect;

/// The facts of one instance. What the user may not see is not there.
#[derive(Debug, Clone, Default)]
pub struct InstanceFacts {
    /// Full name.
    pub instance: String,
    /// As `SELECT VERSION()` says it.
    pub version: String,
    /// Where the server is, as the configuration resolves it.
    pub host: String,
    pub port: u16,
    /// Global variables by their lowercase names.
    pub variables: BTreeMap<String, String>,
    /// None: the user may not see it, or the binlog is off.
    pub binlog_filters: Option<BinlogFilters>,
    /// Native replication into this server. None: the user may not see it.
    pub native_sources: Option<Vec<NativeSource>>,
    pub grants: Grants,
    /// Microseconds that the server's clock is ahead of this machine's, and how unsure that is.
    pub clock_ahead_us: i64,
    pub clock_unsure_us: i64,
    /// The schema `weft` is there.
    pub has_weft_schema: bool,
    /// Channels out of the instance that have begun, with what their `start` said then; empty: now.
    pub begun: BTreeMap<String, String>,
    /// Tables that some channel of the instance chooses.
    pub tables: Vec<TableFacts>,
}

/// What `binlog_do_db` and `binlog_ignore_db` say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BinlogFilters {
    pub do_db: Vec<String>,
    pub ignore_db: Vec<String>,
}

impl BinlogFilters {
    /// Whether changes of the schema are left out of the binlog.
    pub fn hide(&self, schema: &str) -> bool {
        let named = |list: &[String]| list.iter().any(|name| name == schema);
        (!self.do_db.is_empty() && !named(&self.do_db)) || named(&self.ignore_db)
    }
}

/// A server that this one replicates from natively.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NativeSource {
    pub host: String,
    pub port: u16,
    pub server_id: u32,
    /// Its threads run or try to.
    pub running: bool,
}

/// A replicated table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableFacts {
    pub name: TableName,
    pub engine: String,
    pub transactional: bool,
    /// In ordinal order.
    pub columns: Vec<ColumnFacts>,
    /// Columns of the primary key and of unique keys, in the keys' order.
    pub keys: Vec<KeyColumn>,
    pub triggers: Vec<String>,
    /// Foreign keys of this table that change its rows when the parent's row goes or changes.
    pub cascades: Vec<Cascade>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnFacts {
    pub name: String,
    pub column_type: String,
    /// None if it is not a character column.
    pub collation: Option<String>,
    pub nullable: bool,
    pub auto_increment: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyColumn {
    /// `PRIMARY` or the unique key's name.
    pub key: String,
    pub column: String,
    /// Only the first characters or bytes of the column are in the key.
    pub prefix: bool,
    pub collation: Option<Collation>,
}

/// A collation by name and id; id 0 where the server gives none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collation {
    pub name: String,
    pub id: u16,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cascade {
    pub constraint: String,
    /// For example `ON DELETE CASCADE`.
    pub rule: String,
}

impl InstanceFacts {
    /// The words of the server.
    pub fn dialect(&self) -> Dialect {
        Dialect::from(self.version.as_str())
    }

    /// A global variable; empty where the server has none of that name.
    pub fn variable(&self, name: &str) -> &str {
        self.variables.get(name).map_or("", String::as_str)
    }

    /// A global variable that is a number.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.variable(name).parse().ok()
    }

    /// Whether a switch is on, however it is spelled.
    pub fn is_on(&self, name: &str) -> bool {
        matches!(self.variable(name).to_ascii_uppercase().as_str(), "ON" | "YES" | "1")
    }

    /// The table with this name.
    pub fn table(&self, name: &TableName) -> Option<&TableFacts> {
        self.tables.iter().find(|table| table.name == *name)
    }
}

impl TableFacts {
    pub fn has_primary_key(&self) -> bool {
        self.keys.iter().any(|column| column.key == "PRIMARY")
    }
}

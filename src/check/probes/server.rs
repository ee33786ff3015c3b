//! Which server it is, and settings that weaken what Weft can promise.

use std::collections::BTreeMap;

use weft_core::flavour::Flavour;

use super::Subject;
use crate::check::facts::InstanceFacts;
use crate::check::finding::Finding;

/// Oldest MariaDB that is supported: full row metadata and fine-grained privileges are there.
const MARIADB_MIN: (u16, u16) = (10, 6);
/// Oldest MySQL that is supported.
const MYSQL_MIN: (u16, u16) = (8, 0);
/// The first MySQL whose greeting would be taken for MariaDB's.
const MYSQL_END: (u16, u16) = (10, 0);

/// Flavour and version.
pub(super) fn unsupported(subject: &Subject<'_>) -> Vec<Finding> {
    let facts = subject.facts;
    let dialect = facts.dialect();
    let version = dialect.major_minor();
    let fix = match dialect.flavour() {
        Flavour::MariaDb if version >= MARIADB_MIN => return Vec::new(),
        Flavour::MySql if (MYSQL_MIN..MYSQL_END).contains(&version) => return Vec::new(),
        Flavour::MariaDb => "upgrade the server to MariaDB 10.6 or later",
        Flavour::MySql => "use MySQL 8.0 to 9.x",
    };
    let what = format!("{} {} is not supported", dialect.flavour(), facts.version);
    vec![Finding::error("unsupported", &facts.instance, what, fix)]
}

/// Durability, and applications that may set the time of their changes.
pub(super) fn settings_to_know(subject: &Subject<'_>) -> Vec<Finding> {
    let facts = subject.facts;
    let mut findings = Vec::new();
    let sync = facts.number("sync_binlog");
    let flush = facts.number("innodb_flush_log_at_trx_commit");
    if sync != Some(1) || flush != Some(1) {
        let what = format!(
            "durability is relaxed (sync_binlog = {}, innodb_flush_log_at_trx_commit = {}): a crash of the \
             machine can lose changes that other sites already have",
            facts.variable("sync_binlog"),
            facts.variable("innodb_flush_log_at_trx_commit")
        );
        let fix = "SET GLOBAL sync_binlog = 1, GLOBAL innodb_flush_log_at_trx_commit = 1";
        findings.push(Finding::warning("durability", &facts.instance, what, fix));
    }
    // MySQL keeps the time of the commit besides, which nobody can set.
    if subject.is_source && facts.variable("secure_timestamp").eq_ignore_ascii_case("NO") {
        let what =
            "users may SET timestamp: it becomes the time of their changes, by which conflicts are decided";
        let fix = "start the server with secure_timestamp = SUPER";
        findings.push(Finding::warning("set-timestamp", &facts.instance, what, fix));
    }
    findings
}

/// A server that may take the primary's place: what it replicates must be in its own binlog, or Weft
/// finds no place there to go on from.
pub(super) fn standby(facts: &InstanceFacts) -> Vec<Finding> {
    let place = format!("{}:{}", facts.host, facts.port);
    let mut findings = Vec::new();
    let logs_replicated = facts.is_on("log_slave_updates") || facts.is_on("log_replica_updates");
    if !facts.is_on("log_bin") || !logs_replicated {
        let what = format!("{place} does not log what it replicates: it cannot take the primary's place");
        let fix = "start that server with log_bin = binlog and log_slave_updates = ON";
        findings.push(Finding::error("standby-binlog", &facts.instance, what, fix));
    }
    if !facts.is_on("read_only") {
        let what = format!("{place} takes writes as the primary does: they would be lost or collide");
        let fix = "SET GLOBAL read_only = ON on all servers of the instance but its primary";
        findings.push(Finding::warning("standby-writable", &facts.instance, what, fix));
    }
    findings
}

pub(super) fn equal_ids(facts: &BTreeMap<String, InstanceFacts>) -> Vec<Finding> {
    let mut by_id: BTreeMap<u64, Vec<&InstanceFacts>> = BTreeMap::new();
    for one in facts.values() {
        if let Some(id) = one.number("server_id") {
            by_id.entry(id).or_default().push(one);
        }
    }
    let mut findings = Vec::new();
    for (id, same) in by_id {
        for later in same.iter().skip(1) {
            let what = format!("its server_id {id} is that of {} too", same[0].instance);
            let free = facts.values().filter_map(|one| one.number("server_id")).max().unwrap_or(0) + 1;
            let fix = format!("SET GLOBAL server_id = {free}, and the same in its option file");
            findings.push(Finding::error("server-id", &later.instance, what, fix));
        }
    }
    findings
}

//! Which server it is, and settings that weaken what Weft can promise.

use std::collections::BTreeMap;

use super::Subject;
use crate::check::facts::InstanceFacts;
use crate::check::finding::Finding;

/// Oldest MariaDB that is supported: full row metadata and fine-grained privileges are there.
const MARIADB_MIN: (u32, u32) = (10, 6);

/// Flavour and version.
pub(super) fn unsupported(subject: &Subject<'_>) -> Vec<Finding> {
    let facts = subject.facts;
    let found = |what: String, fix: &str| vec![Finding::error("unsupported", &facts.instance, what, fix)];
    if !facts.version.contains("MariaDB") {
        let what = format!("the server is {}: MySQL is not built yet", facts.version);
        return found(what, "use a MariaDB server");
    }
    if version(&facts.version).is_none_or(|version| version < MARIADB_MIN) {
        let what = format!("MariaDB {} is not supported", facts.version);
        return found(what, "upgrade the server to MariaDB 10.6 or later");
    }
    Vec::new()
}

/// Major and minor of `10.11.19-MariaDB-…`; some builds put `5.5.5-` before it.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.strip_prefix("5.5.5-").unwrap_or(text).split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
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
    if subject.is_source && facts.variable("secure_timestamp").eq_ignore_ascii_case("NO") {
        let what =
            "users may SET timestamp: it becomes the time of their changes, by which conflicts are decided";
        let fix = "start the server with secure_timestamp = SUPER";
        findings.push(Finding::warning("set-timestamp", &facts.instance, what, fix));
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

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn versions_are_read() {
        assert_eq!(version("10.11.19-MariaDB-0+deb12u1-log"), Some((10, 11)));
        assert_eq!(version("5.5.5-10.6.3-MariaDB"), Some((10, 6)));
        assert_eq!(version("MariaDB"), None);
    }
}

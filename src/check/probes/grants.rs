//! What the user that Weft logs in as may do.

use std::collections::BTreeSet;

use weft_core::tables::WEFT_SCHEMA;

use super::Subject;
use crate::check::facts::InstanceFacts;
use crate::check::finding::Finding;
use crate::mysql::schema;

/// To lock rows, and to write them by SQL where they cannot be replayed.
const SQL: [&str; 4] = ["SELECT", "INSERT", "UPDATE", "DELETE"];
/// In Weft's own schema.
const OWN: [&str; 6] = ["CREATE", "DROP", "SELECT", "INSERT", "UPDATE", "DELETE"];

pub(super) fn missing(subject: &Subject<'_>) -> Vec<Finding> {
    if !subject.is_source && !subject.is_target {
        return Vec::new();
    }
    let mut findings = Vec::new();
    findings.extend(reading(subject));
    findings.extend(own_schema(subject.facts));
    findings.extend(replaying(subject));
    findings.extend(tables(subject));
    findings.extend(seeing_native_replication(subject.facts));
    findings
}

fn grant(privileges: &[&str], on: &str, facts: &InstanceFacts) -> String {
    format!("GRANT {} ON {on} TO {}", privileges.join(", "), facts.grants.account)
}

fn lacking<'a>(wanted: &[&'a str], has: impl Fn(&str) -> bool) -> Vec<&'a str> {
    wanted.iter().copied().filter(|privilege| !has(privilege)).collect()
}

fn reading(subject: &Subject<'_>) -> Option<Finding> {
    let facts = subject.facts;
    // A target's own binlog position is read too.
    let privileges = facts.dialect().read_privileges();
    let wanted = if subject.is_source { &privileges[..] } else { &privileges[1..] };
    let lacking = lacking(wanted, |privilege| facts.grants.everywhere(privilege));
    if lacking.is_empty() {
        return None;
    }
    let what = format!("{} lacks {} to read the binlog", facts.grants.account, lacking.join(" and "));
    Some(Finding::error("grant-binlog", &facts.instance, what, grant(&lacking, "*.*", facts)))
}

fn own_schema(facts: &InstanceFacts) -> Option<Finding> {
    let lacking = lacking(&OWN, |privilege| facts.grants.on_schema(privilege, WEFT_SCHEMA));
    if lacking.is_empty() {
        return None;
    }
    let what = format!("{} lacks {} on Weft's own schema", facts.grants.account, lacking.join(", "));
    let mut fix = grant(&lacking, "`weft`.*", facts);
    if lacking.contains(&"CREATE") && !facts.has_weft_schema {
        let statements: Vec<String> = schema::statements().map(squeezed).collect();
        fix = format!("{fix}; or, without CREATE, run: {}", statements.join("; "));
    }
    Some(Finding::error("grant-schema", &facts.instance, what, fix))
}

fn squeezed(statement: &str) -> String {
    statement.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn replaying(subject: &Subject<'_>) -> Option<Finding> {
    let facts = subject.facts;
    let lacking =
        lacking(&facts.dialect().replay_privileges(), |privilege| facts.grants.everywhere(privilege));
    if !subject.is_target || lacking.is_empty() {
        return None;
    }
    let firing = facts.tables.iter().filter(|table| !table.triggers.is_empty()).count();
    let what = format!(
        "{} lacks {} for replay: rows of every table would be written by SQL, which is slower and fires triggers ({} \
         of {} tables have some)",
        facts.grants.account,
        lacking.join(" and "),
        firing,
        facts.tables.len()
    );
    Some(Finding::error("grant-replay", &facts.instance, what, grant(&lacking, "*.*", facts)))
}

/// Tables that the user may not read are not among the facts: a schema named in a filter shows them.
fn tables(subject: &Subject<'_>) -> Vec<Finding> {
    let facts = subject.facts;
    let wanted = if subject.is_target { &SQL[..] } else { &SQL[..1] };
    let mut schemas: BTreeSet<String> =
        subject.channels.iter().flat_map(|channel| named_schemas(channel, &subject.facts.instance)).collect();
    schemas.retain(|schema| !facts.grants.somewhere_in("SELECT", schema));
    let whole = schemas.iter().map(|schema| {
        let what = format!("{} lacks {} on the schema {schema}", facts.grants.account, wanted.join(", "));
        let on = format!("{}.*", weft_core::tables::quote(schema));
        Finding::error("grant-sql", &facts.instance, what, grant(wanted, &on, facts))
    });
    let visible = facts.tables.iter().filter(|table| !schemas.contains(&table.name.schema));
    let single = visible.filter_map(|table| {
        let lacking = lacking(wanted, |privilege| facts.grants.on_table(privilege, &table.name));
        if lacking.is_empty() {
            return None;
        }
        let use_of =
            if subject.is_target { "lock its rows, or write them by SQL" } else { "compare its rows" };
        let what =
            format!("{} lacks {} on {} to {use_of}", facts.grants.account, lacking.join(", "), table.name);
        let fix = grant(&lacking, &table.name.quoted(), facts);
        Some(Finding::error("grant-sql", &facts.instance, what, fix))
    });
    whole.chain(single).collect()
}

/// Schemas that the channel's globs name in full.
fn named_schemas(channel: &crate::config::Channel, instance: &str) -> Vec<String> {
    let tables = channel.tables_at(instance);
    let globs = tables.globs.iter().filter(|glob| !glob.starts_with('!'));
    globs
        .filter_map(|glob| glob.split_once('.'))
        .map(|(schema, _)| schema.to_owned())
        .filter(|s| !s.contains(['*', '?']))
        .collect()
}

fn seeing_native_replication(facts: &InstanceFacts) -> Option<Finding> {
    if facts.native_sources.is_some() {
        return None;
    }
    let what =
        format!("{} may not see native replication, so a circle with it stays unseen", facts.grants.account);
    let fix = grant(&[facts.dialect().replica_privilege()], "*.*", facts);
    Some(Finding::warning("grant-slave-monitor", &facts.instance, what, fix))
}

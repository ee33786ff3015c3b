//! What shows only with both ends of a channel.

use weft_core::filter::transform::TableTransform;

use super::{Link, transform};
use crate::check::facts::{ColumnFacts, InstanceFacts, TableFacts};
use crate::check::finding::Finding;

/// Clocks further apart than this are told, in microseconds. MariaDB's event times are whole seconds.
const CLOCKS_APART_US: i64 = 1_000_000;
/// Differing tables that are named one by one; the rest is counted.
const NAMED_MAX: usize = 20;

/// One end replicates natively from the other: every change would come twice.
pub(super) fn native_circle(link: &Link<'_>) -> Vec<Finding> {
    if !link.first {
        return Vec::new();
    }
    let ends = [(link.from, link.to), (link.to, link.from)];
    let circles = ends.into_iter().filter(|(replica, other)| replicates_from(replica, other));
    let found = circles.map(|(replica, other)| {
        let what = format!(
            "it replicates natively from {}, in a circle with the channel: changes would come twice",
            other.instance
        );
        let fix = replica.dialect().leave_replication();
        Finding::error("native-circle", &replica.instance, what, fix).of_channel(&link.channel.name)
    });
    found.collect()
}

fn replicates_from(replica: &InstanceFacts, other: &InstanceFacts) -> bool {
    let id = other.number("server_id");
    replica.native_sources.iter().flatten().any(|source| {
        let by_place = source.host.eq_ignore_ascii_case(&other.host) && source.port == other.port;
        let by_id = source.server_id != 0 && id == Some(u64::from(source.server_id));
        by_place || by_id
    })
}

/// Two sites that hand out the same numbers make a conflict of every insert.
pub(super) fn auto_increment(link: &Link<'_>) -> Vec<Finding> {
    if !link.first || !link.channel.is_two_way() {
        return Vec::new();
    }
    let tables = link.channel.tables_at(&link.from.instance);
    let counts = |table: &&TableFacts| {
        tables.chooses(&table.name) && table.columns.iter().any(|column| column.auto_increment)
    };
    let counting: Vec<&TableFacts> = link.from.tables.iter().filter(counts).collect();
    let step = |facts: &InstanceFacts| facts.number("auto_increment_increment").unwrap_or(1).max(1);
    let offset = |facts: &InstanceFacts| facts.number("auto_increment_offset").unwrap_or(1);
    let (step_from, step_to) = (step(link.from), step(link.to));
    let apart = step_from == step_to && offset(link.from) % step_from != offset(link.to) % step_to;
    let Some(first) = counting.first().filter(|_| !apart) else { return Vec::new() };
    let (count, from, to) = link.interleave;
    let set = |number: usize, facts: &InstanceFacts| {
        format!(
            "at {}: SET GLOBAL auto_increment_increment = {count}, GLOBAL auto_increment_offset = {number}",
            facts.instance
        )
    };
    let what = format!(
        "AUTO_INCREMENT of {} and {} gives the same numbers ({} tables, such as {})",
        link.from.instance,
        link.to.instance,
        counting.len(),
        first.name
    );
    let fix = format!("{}; {}; and the same in the option files", set(from, link.from), set(to, link.to));
    let finding = Finding::warning("auto-increment", &link.from.instance, what, fix);
    vec![finding.of_channel(&link.channel.name)]
}

pub(super) fn clocks_apart(link: &Link<'_>) -> Vec<Finding> {
    let apart = (link.from.clock_ahead_us - link.to.clock_ahead_us).abs();
    let unsure = link.from.clock_unsure_us + link.to.clock_unsure_us;
    if !link.first || apart <= CLOCKS_APART_US + unsure {
        return Vec::new();
    }
    let what = format!(
        "its clock is {} ms apart from that of {}: the later of two changes is judged wrongly within that",
        apart / 1_000,
        link.to.instance
    );
    let fix = "synchronise both machines with NTP";
    let finding = Finding::warning("clocks", &link.from.instance, what, fix);
    vec![finding.of_channel(&link.channel.name)]
}

/// A row that the source takes must fit the target's packets.
pub(super) fn packets(link: &Link<'_>) -> Vec<Finding> {
    let bytes = |facts: &InstanceFacts| facts.number("max_allowed_packet").unwrap_or(0);
    let (from, to) = (bytes(link.from), bytes(link.to));
    if to >= from {
        return Vec::new();
    }
    let what = format!(
        "max_allowed_packet of {to} bytes is less than the {from} of {}, whose rows may not fit",
        link.from.instance
    );
    let fix = format!("SET GLOBAL max_allowed_packet = {from}, and the same in the option file");
    let finding = Finding::error("max-allowed-packet", &link.to.instance, what, fix);
    vec![finding.of_channel(&link.channel.name)]
}

/// Tables that are not at the target, or look different there: the latter go by SQL.
pub(super) fn tables_that_differ(link: &Link<'_>) -> Vec<Finding> {
    let tables = link.channel.tables_at(&link.from.instance);
    let chosen = link.from.tables.iter().filter(|table| tables.chooses(&table.name));
    let transforms = link.transforms();
    let of = |table| differing(link, table, transforms.of(&table.name));
    let mut findings: Vec<Finding> = chosen.filter_map(of).collect();
    let more = findings.len().saturating_sub(NAMED_MAX);
    findings.truncate(NAMED_MAX);
    if let (true, Some(last)) = (more > 0, findings.last_mut()) {
        last.what = format!("{} (and {more} more tables differ)", last.what);
    }
    findings
}

fn differing(link: &Link<'_>, table: &TableFacts, transform: Option<&TableTransform>) -> Option<Finding> {
    let instance = &link.to.instance;
    let renamed = transform.map(|transform| transform::as_at_target(table, transform));
    let table = renamed.as_ref().unwrap_or(table);
    let name = &table.name;
    let Some(there) = link.to.table(name) else {
        let what = format!("table {name} of {} is not there", link.from.instance);
        let fix = format!("create it as SHOW CREATE TABLE {} says at {}", name.quoted(), link.from.instance);
        return Some(Finding::warning("no-table", instance, what, fix).of_channel(&link.channel.name));
    };
    if link.from.dialect().flavour() != link.to.dialect().flavour() {
        // Rows go by SQL whatever the tables look like; what counts is that values meet by name.
        return same_names(there, table).err().map(|column| {
            let what = format!("table {name} differs from that of {} ({column})", link.from.instance);
            let fix = format!("ALTER TABLE {} to have the same columns at both", name.quoted());
            Finding::warning("table-differs", instance, what, fix).of_channel(&link.channel.name)
        });
    }
    let alike = |(own, theirs): (&ColumnFacts, &ColumnFacts)| {
        let masked = transform.is_some_and(|transform| transform.mask(&own.name).is_some());
        own == theirs || (masked && own.name == theirs.name)
    };
    let same_columns =
        there.columns.len() == table.columns.len() && table.columns.iter().zip(&there.columns).all(alike);
    if same_columns && same_primary_key(there, table) {
        return None;
    }
    let column = differing_column(table, there);
    let what = format!(
        "table {name} differs from that of {} ({column}): its rows go by SQL, which is slower and fires triggers",
        link.from.instance
    );
    let fix = format!("ALTER TABLE {} to be alike at both", name.quoted());
    Some(Finding::warning("table-differs", instance, what, fix).of_channel(&link.channel.name))
}

/// # Errors
/// The first column that only one of them has, or the primary key.
fn same_names(a: &TableFacts, b: &TableFacts) -> Result<(), String> {
    let lacks = |of: &TableFacts, column: &str| !of.columns.iter().any(|other| other.name == column);
    let pairs = [(a, b), (b, a)];
    let alone = pairs.iter().find_map(|(one, other)| {
        one.columns.iter().map(|column| &column.name).find(|name| lacks(other, name))
    });
    match alone {
        Some(name) => Err(format!("column {name}")),
        None if same_primary_key(a, b) => Ok(()),
        None => Err("its primary key".to_owned()),
    }
}

/// Between the flavours no row can be replayed: a trigger fires for each.
pub(super) fn flavours(link: &Link<'_>) -> Vec<Finding> {
    let (from, to) = (link.from.dialect().flavour(), link.to.dialect().flavour());
    let tables = link.channel.tables_at(&link.to.instance);
    let chosen = link.to.tables.iter().filter(|table| tables.chooses(&table.name));
    let firing: Vec<&TableFacts> = chosen.filter(|table| !table.triggers.is_empty()).collect();
    let Some(first) = firing.first().filter(|_| from != to) else { return Vec::new() };
    let what = format!(
        "rows from {from} go into {to} by SQL, which fires triggers ({} tables have some, such as {})",
        firing.len(),
        first.name
    );
    let fix = "drop the triggers here, or take what they write out of the channel";
    vec![Finding::warning("flavours", &link.to.instance, what, fix).of_channel(&link.channel.name)]
}

fn same_primary_key(a: &TableFacts, b: &TableFacts) -> bool {
    let columns = |table: &TableFacts| -> Vec<String> {
        let own = table.keys.iter().filter(|column| column.key == "PRIMARY");
        own.map(|column| column.column.clone()).collect()
    };
    columns(a) == columns(b)
}

/// The first difference between two tables' columns.
fn differing_column(a: &TableFacts, b: &TableFacts) -> String {
    let pair = a.columns.iter().zip(&b.columns).find(|(x, y)| x != y);
    match pair {
        Some((x, y)) if x.name == y.name => format!("column {}", x.name),
        Some((x, y)) => format!("column {} in place of {}", y.name, x.name),
        None if a.columns.len() != b.columns.len() => {
            format!("{} columns, not {}", b.columns.len(), a.columns.len())
        }
        None => "its primary key".to_owned(),
    }
}

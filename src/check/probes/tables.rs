//! The replicated tables of one instance.

use weft_core::filter::referee::is_comparable;
use weft_core::key::collation::{supported, supported_names};
use weft_core::tables::quote;

use super::Subject;
use crate::check::facts::{KeyColumn, TableFacts};
use crate::check::finding::Finding;
use crate::config::{Channel, PlainRule};

/// The tables of a channel, with the channel.
fn chosen<'a>(subject: &'a Subject<'_>) -> impl Iterator<Item = (&'a Channel, &'a TableFacts)> {
    subject.channels.iter().flat_map(|&channel| {
        let filter = channel.tables_at(&subject.facts.instance);
        let tables = subject.facts.tables.iter().filter(move |table| filter.chooses(&table.name));
        tables.map(move |table| (channel, table))
    })
}

/// Primary key, engine, and keys that Weft must compare as the server does.
pub(super) fn keys_and_engines(subject: &Subject<'_>) -> Vec<Finding> {
    let instance = &subject.facts.instance;
    let mut findings = Vec::new();
    for (channel, table) in chosen(subject) {
        let mut found = |code, what: String, fix: String| {
            findings.push(Finding::error(code, instance, what, fix).of_channel(&channel.name));
        };
        let name = table.name.quoted();
        if !table.has_primary_key() {
            let fix =
                format!("ALTER TABLE {name} ADD PRIMARY KEY (…), or take it out of the channel with a !glob");
            found("no-primary-key", format!("table {} has no primary key", table.name), fix);
        }
        if !table.transactional {
            let what = format!("table {} is not transactional (engine {})", table.name, table.engine);
            found("not-transactional", what, format!("ALTER TABLE {name} ENGINE = InnoDB"));
        }
        if channel.is_two_way() {
            for column in table.keys.iter().filter(|column| !is_weighed(table, column)) {
                let collation = column.collation.as_ref().map_or("", |collation| collation.name.as_str());
                let what = format!(
                    "key {} of table {} holds {} with collation {collation}, which Weft cannot compare exactly",
                    column.key, table.name, column.column
                );
                let fix = format!(
                    "ALTER TABLE {name} MODIFY {} … COLLATE one of: {}",
                    weft_core::tables::quote(&column.column),
                    supported_like(collation)
                );
                found("collation", what, fix);
            }
            for column in table.keys.iter().filter(|column| column.prefix) {
                let what = format!(
                    "key {} of table {} holds only the beginning of {}, and Weft compares whole values",
                    column.key, table.name, column.column
                );
                found("prefix-key", what, format!("ALTER TABLE {name}: make the key over the whole column"));
            }
        }
    }
    findings
}

/// The column by which a channel decides conflicts: there, and of a type with an order of its own.
pub(super) fn deciding_columns(subject: &Subject<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (channel, table) in chosen(subject) {
        let Some(PlainRule::Column(name)) = channel.ruling.as_ref().map(|ruling| ruling.kind.plain()) else {
            continue;
        };
        let place = table.name.quoted();
        let column = table.columns.iter().find(|column| column.name == *name);
        let (code, what, fix) = match column {
            None => (
                "no-deciding-column",
                format!("table {} has no column {name}, by which its conflicts are decided", table.name),
                format!(
                    "ALTER TABLE {place} ADD COLUMN {} TIMESTAMP(6) NULL, or take it out of the channel with a !glob",
                    quote(name)
                ),
            ),
            Some(column) if !is_comparable(&column.column_type) => (
                "deciding-column-type",
                format!(
                    "column {name} of table {} is {}: conflicts are decided by numbers, dates and times only",
                    table.name, column.column_type
                ),
                "name another column in the channel's column".to_owned(),
            ),
            Some(_) => continue,
        };
        let finding = Finding::error(code, &subject.facts.instance, what, fix);
        findings.push(finding.of_channel(&channel.name));
    }
    findings
}

/// ENUM and SET have a collation for their labels, but their values are numbers.
fn is_weighed(table: &TableFacts, key: &KeyColumn) -> bool {
    let of_key = table.columns.iter().find(|column| column.name == key.column);
    let has_labels = of_key.is_some_and(|column| {
        column.column_type.starts_with("enum(") || column.column_type.starts_with("set(")
    });
    has_labels || key.collation.as_ref().is_none_or(|collation| supported(collation.id))
}

/// The supported collations of the same character set; the most used one where there is none.
fn supported_like(name: &str) -> String {
    let charset = name.split('_').next().unwrap_or_default();
    let alike = |other: &&str| other.split('_').next() == Some(charset);
    let names: Vec<&str> = supported_names().iter().copied().filter(alike).collect();
    if names.is_empty() { "utf8mb4_general_ci".to_owned() } else { names.join(", ") }
}

/// MariaDB does not log the rows that a cascade changes, and the target does not cascade: it applies
/// what the source checked without checking again.
pub(super) fn cascades(subject: &Subject<'_>) -> Vec<Finding> {
    let reads_here = |channel: &Channel| {
        channel.directions.iter().any(|direction| direction.from == subject.facts.instance)
    };
    let from_here = chosen(subject).filter(|(channel, _)| reads_here(channel));
    let found = from_here.flat_map(|(channel, table)| {
        table.cascades.iter().map(move |cascade| {
            let what = format!(
                "foreign key {} of table {} is {}: the server does not log the rows that it changes, so the sites \
                 would differ",
                cascade.constraint, table.name, cascade.rule
            );
            let fix = format!(
                "ALTER TABLE {} DROP FOREIGN KEY {}, and add it again with RESTRICT",
                table.name.quoted(),
                weft_core::tables::quote(&cascade.constraint)
            );
            Finding::error("cascade", &subject.facts.instance, what, fix).of_channel(&channel.name)
        })
    });
    found.collect()
}

pub(super) fn triggers(subject: &Subject<'_>) -> Vec<Finding> {
    if !subject.is_target {
        return Vec::new();
    }
    let firing = chosen(subject).filter(|(_, table)| !table.triggers.is_empty());
    let found = firing.map(|(channel, table)| {
        let what = format!(
            "table {} has triggers ({}): they do not fire for replayed rows, as what they wrote at the source is \
             replicated; they do where rows go by SQL",
            table.name,
            table.triggers.join(", ")
        );
        let fix = "let the channel have the tables that the triggers write too, or drop the triggers here";
        Finding::warning("triggers", &subject.facts.instance, what, fix).of_channel(&channel.name)
    });
    found.collect()
}

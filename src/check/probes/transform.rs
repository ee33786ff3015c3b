//! Transforms against the tables that they speak of. Whether a column can be compared with what a
//! condition says is seen when its first row comes: the binlog alone tells the column's encoding.

use weft_core::filter::transform::TableTransform;

use super::Link;
use crate::check::facts::{ColumnFacts, TableFacts};
use crate::check::finding::Finding;

/// What of a transform does not fit the source's or the target's table.
pub(super) fn misfits(link: &Link<'_>) -> Vec<Finding> {
    let transforms = link.transforms();
    let found = transforms.list.iter().flat_map(|transform| {
        let Some(source) = link.from.table(&transform.table) else {
            let what = format!("the transform of {} finds no such table", transform.table);
            let fix = "create the table, or correct the transform's table";
            return vec![Finding::error("transform", &link.from.instance, what, fix)];
        };
        let at_source = at_source(transform, source).into_iter().map(|what| (&link.from.instance, what));
        let target = link.to.table(transform.target());
        let at_target = target.map(|target| at_target(transform, target)).unwrap_or_default();
        let all = at_source.chain(at_target.into_iter().map(|what| (&link.to.instance, what)));
        let fix = "correct the transform, or alter the table";
        all.map(|(instance, what)| Finding::error("transform", instance, what, fix)).collect()
    });
    found.map(|finding| finding.of_channel(&link.channel.name)).collect()
}

fn find<'a>(table: &'a TableFacts, name: &str) -> Option<&'a ColumnFacts> {
    table.columns.iter().find(|column| column.name.to_lowercase() == name.to_lowercase())
}

fn at_source(transform: &TableTransform, table: &TableFacts) -> Vec<String> {
    let mut missing: Vec<(&str, String)> = Vec::new();
    let mut needs = |key, name: &str| {
        if find(table, name).is_none() {
            missing.push((key, name.to_owned()));
        }
    };
    transform.rename_columns.keys().for_each(|name| needs("rename_columns", name));
    if let Some(condition) = &transform.condition {
        condition.expr.for_each_column(&mut |name| needs("where", name));
    }
    let renamed = as_at_target(table, transform);
    for name in transform.masks.keys().filter(|name| find(&renamed, name).is_none()) {
        missing.push(("mask", name.clone()));
    }
    let missing = missing.into_iter().map(|(key, name)| {
        format!("the transform of {}: {key} names column {name}, which it does not have", table.name)
    });
    let in_key = |name: &&String| {
        renamed
            .keys
            .iter()
            .any(|column| column.key == "PRIMARY" && column.column.to_lowercase() == name.to_lowercase())
    };
    let masked =
        transform.masks.keys().filter(in_key).map(|name| {
            format!("the transform of {}: mask names column {name} of the primary key", table.name)
        });
    missing.chain(masked).collect()
}

fn at_target(transform: &TableTransform, table: &TableFacts) -> Vec<String> {
    let misfit = |column: &ColumnFacts| {
        let cause = transform.mask(&column.name)?.fits(&column.column_type, column.nullable).err()?;
        Some(format!("column {} of {} does not bear its mask: {cause}", column.name, table.name))
    };
    table.columns.iter().filter_map(misfit).collect()
}

/// The table with the names that the target knows it by.
pub(super) fn as_at_target(table: &TableFacts, transform: &TableTransform) -> TableFacts {
    let mut renamed = table.clone();
    renamed.name = transform.target().clone();
    for column in &mut renamed.columns {
        column.name = transform.target_column(&column.name).to_owned();
    }
    for column in &mut renamed.keys {
        column.column = transform.target_column(&column.column).to_owned();
    }
    renamed
}

//! Transforms of a channel: what is done to the rows of a table on their way.

use std::collections::BTreeMap;

use weft_core::filter::transform::mask::Mask;
use weft_core::filter::transform::parse::Expr;
use weft_core::filter::transform::{Condition, TableTransform, Transforms};
use weft_core::tables::{TableFilter, TableName};

use super::error::Problem;
use super::raw::RawTransform;

/// The transforms of a channel in its first direction, checked against its tables.
///
/// # Errors
/// What a person must change.
pub(super) fn transforms(
    channel_key: &str,
    raw: &[RawTransform],
    tables: &TableFilter,
    two_way: bool,
) -> Result<Transforms, Problem> {
    let mut list: Vec<TableTransform> = Vec::new();
    for (number, one) in raw.iter().enumerate() {
        let key = format!("{channel_key}.transform[{number}]");
        let transform = transform(&key, one, tables)?;
        if two_way {
            one_way_only(&key, channel_key, one)?;
        }
        for (before, other) in list.iter().enumerate() {
            let names = [&transform.table, transform.target()];
            if let Some(name) = names.into_iter().find(|name| [&other.table, other.target()].contains(name)) {
                return Err(Problem::Clash {
                    key: key.clone(),
                    other: format!("{channel_key}.transform[{before}]"),
                    what: format!("both speak of table {name}"),
                    fix: "write one transform a table, and no two tables into one".to_owned(),
                });
            }
        }
        list.push(transform);
    }
    Ok(Transforms { list })
}

fn malformed(key: String, cause: impl Into<String>, allowed: &str) -> Problem {
    Problem::Malformed { key, cause: cause.into(), allowed: allowed.to_owned() }
}

/// What is left out or masked on the way could not come back the same.
fn one_way_only(key: &str, channel_key: &str, raw: &RawTransform) -> Result<(), Problem> {
    let field = match (&raw.condition, raw.mask.is_empty()) {
        (Some(_), _) => "where",
        (None, false) => "mask",
        (None, true) => return Ok(()),
    };
    Err(Problem::Clash {
        key: format!("{key}.{field}"),
        other: format!("{channel_key}.between"),
        what: "what is left out or masked on the way cannot come back the same".to_owned(),
        fix: "use from and to".to_owned(),
    })
}

fn transform(key: &str, raw: &RawTransform, tables: &TableFilter) -> Result<TableTransform, Problem> {
    let of = |field: &str| format!("{key}.{field}");
    let table = table_name(&of("table"), &raw.table)?;
    if !tables.chooses(&table) {
        let cause = format!("the channel does not have table {table}");
        return Err(malformed(of("table"), cause, "a table that the channel's tables choose"));
    }
    let rename_table =
        raw.rename_table.as_ref().map(|name| table_name(&of("rename_table"), name)).transpose()?;
    let rename_table = rename_table.filter(|name| *name != table);
    let condition = raw.condition.as_ref().map(|text| {
        let expr = Expr::parse(text).map_err(|error| {
            let allowed = "comparisons of columns with literals, IN, IS NULL, AND, OR, NOT and parentheses";
            malformed(of("where"), error.to_string(), allowed)
        })?;
        Ok(Condition { text: text.clone(), expr })
    });
    let masks =
        raw.mask.iter().map(|(column, mask)| Ok((column.clone(), self::mask(&of("mask"), column, mask)?)));
    if let Some(new) = rename_table.as_ref().filter(|new| taken_out(tables, new)) {
        let cause = format!("the channel's tables take {new} out");
        return Err(malformed(of("rename_table"), cause, "a name that they do not take out"));
    }
    let nothing = rename_table.is_none()
        && raw.rename_columns.is_empty()
        && raw.condition.is_none()
        && raw.mask.is_empty();
    if nothing {
        let allowed = "rename_table, rename_columns, where or mask";
        return Err(malformed(key.to_owned(), "it changes nothing", allowed));
    }
    Ok(TableTransform {
        table,
        rename_table,
        rename_columns: renames(&of("rename_columns"), &raw.rename_columns)?,
        condition: condition.transpose()?,
        masks: masks.collect::<Result<_, Problem>>()?,
    })
}

fn taken_out(tables: &TableFilter, name: &TableName) -> bool {
    let out = tables.globs.iter().filter(|glob| glob.starts_with('!')).cloned();
    !TableFilter::new(out.chain(["*".to_owned()])).chooses(name)
}

fn table_name(key: &str, text: &str) -> Result<TableName, Problem> {
    let name = text.split_once('.').map(|(schema, table)| TableName::new(schema, table));
    let plain = |name: &TableName| {
        let sound = |part: &str| !part.is_empty() && !part.contains(['*', '?', '!']) && part.len() <= 192;
        sound(&name.schema) && sound(&name.table) && !name.is_internal()
    };
    name.filter(plain).ok_or_else(|| {
        malformed(key.to_owned(), format!("{text:?} is not a table"), "one table as schema.table")
    })
}

fn renames(key: &str, raw: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>, Problem> {
    let mut seen: Vec<String> = Vec::new();
    for (from, to) in raw {
        let lower = to.to_lowercase();
        if from.is_empty() || to.is_empty() || to.len() > 192 || seen.contains(&lower) {
            let cause = format!("{from:?} cannot become {to:?}");
            return Err(malformed(key.to_owned(), cause, "each column's own new name"));
        }
        seen.push(lower);
    }
    Ok(raw.clone())
}

fn mask(key: &str, column: &str, text: &str) -> Result<Mask, Problem> {
    match text {
        "sha256" => Ok(Mask::Sha256),
        "null" => Ok(Mask::Null),
        "redact" => Ok(Mask::Redact),
        _ => {
            let cause = format!("there is no mask {text:?}");
            Err(malformed(format!("{key}.{column}"), cause, "\"sha256\", \"null\" or \"redact\""))
        }
    }
}

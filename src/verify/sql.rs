//! The questions of a comparison as SQL.

use weft_core::tables::quote;
use weft_core::verify::{KeyRange, RowKey, Side as Which};

use super::tables::Plan;
use crate::mysql::dialect::Dialect;

/// Keys of one statement.
pub(super) const KEYS_MAX: usize = 1_000;

/// The key of the `rows`-th row after `after`.
pub(super) fn boundary(plan: &Plan, side: Which, after: Option<&RowKey>, rows: u32) -> String {
    let range = KeyRange { after: after.cloned(), upto: None };
    let order: Vec<String> = plan.key(side).map(|column| format!("t.{}", quote(&column.name))).collect();
    format!(
        "SELECT {} {} ORDER BY {} LIMIT 1 OFFSET {}",
        plan.key_texts(side),
        from(plan, side, &range),
        order.join(","),
        rows.saturating_sub(1)
    )
}

/// Number of rows, number of hashes (fewer if a row was too long for one), and both halves of their
/// exclusive or.
pub(super) fn digest(plan: &Plan, side: Which, range: &KeyRange) -> String {
    format!(
        "SELECT COUNT(*), COUNT(h), IFNULL(BIT_XOR(CAST(CONV(LEFT(h,16),16,10) AS UNSIGNED)),0), \
         IFNULL(BIT_XOR(CAST(CONV(RIGHT(h,16),16,10) AS UNSIGNED)),0) FROM (SELECT {} h {}) d",
        plan.row_hash(side),
        from(plan, side, range)
    )
}

/// Hash and key of each row.
pub(super) fn hashes(plan: &Plan, side: Which, range: &KeyRange) -> String {
    format!("SELECT {},{} {}", plan.row_hash(side), plan.key_texts(side), from(plan, side, range))
}

/// Number in the list, and `what`, for the rows with these keys that are there.
pub(super) fn by_keys(dialect: Dialect, plan: &Plan, side: Which, what: &str, keys: &[RowKey]) -> String {
    let row_word = dialect.row_word();
    let names: Vec<String> = (0..plan.key_width()).map(|number| format!("k{number}")).collect();
    let rows: Vec<String> = keys
        .iter()
        .enumerate()
        .map(|(number, key)| {
            let literals: Vec<String> =
                plan.key(side).zip(&key.0).map(|(column, text)| column.literal(text)).collect();
            format!("{row_word}({number},{})", literals.join(","))
        })
        .collect();
    let matches: Vec<String> = plan
        .key(side)
        .zip(&names)
        .map(|(column, name)| match column.text_collation() {
            Some(collation) => {
                let charset = collation.split('_').next().unwrap_or(collation);
                format!("t.{}=CONVERT(k.{name} USING {charset}) COLLATE {collation}", quote(&column.name))
            }
            None => format!("t.{}=k.{name}", quote(&column.name)),
        })
        .collect();
    format!(
        "WITH k(i,{}) AS (VALUES {}) SELECT STRAIGHT_JOIN k.i,{what} FROM k JOIN {} t ON {}",
        names.join(","),
        rows.join(","),
        plan.table(side).quoted(),
        matches.into_iter().chain(plan.condition(side).map(str::to_owned)).collect::<Vec<_>>().join(" AND ")
    )
}

fn from(plan: &Plan, side: Which, range: &KeyRange) -> String {
    let mut bounds: Vec<String> = plan.condition(side).map(str::to_owned).into_iter().collect();
    if let Some(after) = &range.after {
        bounds.push(bound(plan, side, after, '>'));
    }
    if let Some(upto) = &range.upto {
        bounds.push(format!("NOT ({})", strictly(plan, side, upto, '>')));
        // The same once more, in a form that the optimizer makes a range of.
        bounds.push(first(plan, side, upto, '<'));
    }
    let filter = if bounds.is_empty() { String::new() } else { format!(" WHERE {}", bounds.join(" AND ")) };
    format!("FROM {} t FORCE INDEX (PRIMARY){filter}", plan.table(side).quoted())
}

/// Key beyond the bound, with a range on its first column for the optimizer.
fn bound(plan: &Plan, side: Which, key: &RowKey, sign: char) -> String {
    format!("{} AND ({})", first(plan, side, key, sign), strictly(plan, side, key, sign))
}

fn first(plan: &Plan, side: Which, key: &RowKey, sign: char) -> String {
    let mut columns = plan.key(side).zip(&key.0);
    let bound = columns
        .next()
        .map(|(column, text)| format!("t.{}{sign}={}", quote(&column.name), column.literal(text)));
    bound.unwrap_or_default()
}

/// `a>x OR (a=x AND (b>y OR …))`: the server makes no range of a comparison of whole rows.
fn strictly(plan: &Plan, side: Which, key: &RowKey, sign: char) -> String {
    let pairs: Vec<(String, String)> = plan
        .key(side)
        .zip(&key.0)
        .map(|(column, text)| (quote(&column.name), column.literal(text)))
        .collect();
    let mut condition = String::new();
    for (name, literal) in pairs.iter().rev() {
        condition = if condition.is_empty() {
            format!("t.{name}{sign}{literal}")
        } else {
            format!("t.{name}{sign}{literal} OR (t.{name}={literal} AND ({condition}))")
        };
    }
    condition
}

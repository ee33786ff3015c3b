//! The text of the statements that find and write rows by key.
//!
//! Keys go into a derived list that is joined to the table in the order written (`STRAIGHT_JOIN`),
//! so that each is one look-up in the index: a long `IN` list becomes a scan that waits for rows
//! nobody named. (MariaDB 10.11 says `eq_ref` for keys of every type.) `VALUES` is parsed about
//! three times as fast as a chain of `UNION ALL`.

use std::fmt::Write as _;

use weft_core::tables::{TableName, quote};

use crate::mysql::dialect::Dialect;

/// Keys of one statement at most.
pub(super) const KEYS_MAX: usize = 1_000;

/// A column that rows are found by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeyColumn {
    pub name: String,
    /// Collation of a character column; the list's values are compared in it.
    pub collation: Option<String>,
    /// The type, if it is DATE or DATETIME; the list's values are compared in it. As a text, a day that
    /// its month has not is not looked for in the index, whatever `sql_mode` allows.
    pub date: Option<String>,
}

/// SQL literals, one row after the other.
pub(super) type LiteralRows<'a> = &'a [Vec<String>];

/// `WITH k(i,k0,…) AS (VALUES (0,…),(1,…))`: the rows with their numbers.
fn list(dialect: Dialect, rows: LiteralRows<'_>) -> String {
    let row_word = dialect.row_word();
    let width = rows.first().map_or(0, Vec::len);
    let mut text = String::from("WITH k(i");
    for column in 0..width {
        let _ = write!(text, ",k{column}");
    }
    text.push_str(") AS (VALUES ");
    for (number, row) in rows.iter().enumerate() {
        let _ = write!(text, "{}{row_word}({number}", if number == 0 { "" } else { "," });
        for literal in row {
            text.push(',');
            text.push_str(literal);
        }
        text.push(')');
    }
    text.push(')');
    text
}

/// The join condition between the list's first columns and the table's key.
fn matches(key: &[KeyColumn]) -> String {
    let mut text = String::new();
    for (number, column) in key.iter().enumerate() {
        let _ = write!(text, "{}t.{}=", if number == 0 { "" } else { " AND " }, quote(&column.name));
        match (&column.collation, &column.date) {
            // Two columns of different collations cannot be compared without it.
            (Some(collation), _) => {
                let charset = collation.split('_').next().unwrap_or(collation);
                let _ = write!(text, "CONVERT(k.k{number} USING {charset}) COLLATE {collation}");
            }
            (None, Some(date)) => {
                let _ = write!(text, "CAST(k.k{number} AS {date})");
            }
            (None, None) => {
                let _ = write!(text, "k.k{number}");
            }
        }
    }
    text
}

/// Locks the rows with these keys and answers the number of each that is there.
pub(super) fn lock(dialect: Dialect, table: &TableName, key: &[KeyColumn], rows: LiteralRows<'_>) -> String {
    select(dialect, "k.i", table, key, rows)
}

/// Reads `what` of the rows with these keys. Locks them too, so that it sees what is committed now
/// and not what was when the transaction began; the caller has locked them before.
pub(super) fn select(
    dialect: Dialect,
    what: &str,
    table: &TableName,
    key: &[KeyColumn],
    rows: LiteralRows<'_>,
) -> String {
    format!(
        "{} SELECT STRAIGHT_JOIN {what} FROM k JOIN {} t ON {} FOR UPDATE",
        list(dialect, rows),
        table.quoted(),
        matches(key)
    )
}

/// Deletes the rows with these keys.
pub(super) fn delete(
    dialect: Dialect,
    table: &TableName,
    key: &[KeyColumn],
    rows: LiteralRows<'_>,
) -> String {
    format!(
        "DELETE t FROM ({} SELECT * FROM k) k STRAIGHT_JOIN {} t ON {}",
        list(dialect, rows),
        table.quoted(),
        matches(key)
    )
}

/// Inserts rows of these columns.
pub(super) fn insert(table: &TableName, columns: &[String], rows: LiteralRows<'_>) -> String {
    let names: Vec<String> = columns.iter().map(|name| quote(name)).collect();
    let mut text = format!("INSERT INTO {} ({}) VALUES ", table.quoted(), names.join(","));
    for (number, row) in rows.iter().enumerate() {
        let _ = write!(text, "{}({})", if number == 0 { "" } else { "," }, row.join(","));
    }
    text
}

/// Updates the one row with this key.
pub(super) fn update(
    table: &TableName,
    key: &[KeyColumn],
    key_values: &[String],
    columns: &[String],
    values: &[String],
) -> String {
    let pairs = |names: &mut dyn Iterator<Item = &String>, values: &[String], between: &str| {
        let pairs: Vec<String> =
            names.zip(values).map(|(name, value)| format!("{}={value}", quote(name))).collect();
        pairs.join(between)
    };
    format!(
        "UPDATE {} SET {} WHERE {}",
        table.quoted(),
        pairs(&mut columns.iter(), values, ","),
        pairs(&mut key.iter().map(|column| &column.name), key_values, " AND ")
    )
}

/// Deletes the row that has these values in a unique key, unless it is the one with this primary key.
pub(super) fn delete_holder(
    table: &TableName,
    unique: &[(String, String)],
    primary: &[(String, String)],
) -> String {
    let equal = |pairs: &[(String, String)]| {
        let pairs: Vec<String> =
            pairs.iter().map(|(name, value)| format!("{}={value}", quote(name))).collect();
        pairs.join(" AND ")
    };
    format!("DELETE FROM {} WHERE {} AND NOT ({})", table.quoted(), equal(unique), equal(primary))
}

/// A text as a string literal that no session setting reads otherwise.
pub(super) fn text_literal(text: &str) -> String {
    let mut literal = String::with_capacity(text.len() * 2 + 12);
    literal.push_str("_utf8mb4 X'");
    for byte in text.bytes() {
        let _ = write!(literal, "{byte:02x}");
    }
    literal.push('\'');
    literal
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Vec<KeyColumn> {
        vec![
            KeyColumn { name: String::from("id"), collation: None, date: None },
            KeyColumn {
                name: String::from("na`me"),
                collation: Some(String::from("utf8mb4_bin")),
                date: None,
            },
            KeyColumn { name: String::from("at"), collation: None, date: Some(String::from("datetime(2)")) },
        ]
    }

    #[test]
    fn keys_are_listed_once_and_joined_in_the_keys_collation_or_as_dates() {
        let rows = vec![vec![String::from("1"), String::from("'a'"), String::from("'x'")]; 2];
        for (version, list) in [
            ("10.11.6-MariaDB", "(0,1,'a','x'),(1,1,'a','x')"),
            ("9.7.4", "ROW(0,1,'a','x'),ROW(1,1,'a','x')"),
        ] {
            assert_eq!(
                lock(Dialect::from(version), &TableName::new("s", "t"), &key(), &rows),
                format!(
                    "WITH k(i,k0,k1,k2) AS (VALUES {list}) SELECT STRAIGHT_JOIN k.i FROM k JOIN `s`.`t` t \
                     ON t.`id`=k.k0 AND t.`na``me`=CONVERT(k.k1 USING utf8mb4) COLLATE utf8mb4_bin AND t.`at`=CAST(k.k2 AS datetime(2)) \
                     FOR UPDATE"
                )
            );
        }
    }

    #[test]
    fn names_and_texts_cannot_escape() {
        let table = TableName::new("s", "t");
        assert_eq!(
            update(&table, &key()[..1], &["1".into()], &["a`b".into()], &["NULL".into()]),
            "UPDATE `s`.`t` SET `a``b`=NULL WHERE `id`=1"
        );
        assert_eq!(text_literal("a'"), "_utf8mb4 X'6127'");
    }
}

//! Every column type of MariaDB 10.11 with values at its edges: what the round-trip tests write, and
//! what the README's table of types says.

mod strings;
mod values;

/// One row of the README's table.
#[derive(Debug, Clone, Copy)]
pub struct Family {
    /// The types, as the README names them.
    pub types: &'static str,
    /// What a key may hold of them, as the README says it.
    pub as_key: &'static str,
    /// What a user should know, as the README says it; empty: nothing.
    pub note: &'static str,
    pub columns: &'static [Column],
}

/// A column as it is written behind its name in `CREATE TABLE`.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    pub definition: &'static str,
    /// SQL expressions, under a `sql_mode` that allows zero and invalid dates.
    pub values: &'static [&'static str],
    pub key: Key,
}

/// Whether the column is tried as part of a primary key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    Whole,
    No,
}

const fn keyed(definition: &'static str, values: &'static [&'static str]) -> Column {
    Column { definition, values, key: Key::Whole }
}

const fn plain(definition: &'static str, values: &'static [&'static str]) -> Column {
    Column { definition, values, key: Key::No }
}

/// All families, in the README's order.
pub fn families() -> impl Iterator<Item = &'static Family> {
    values::FAMILIES.iter().chain(strings::FAMILIES).chain(values::SPECIAL)
}

/// All columns, numbered as the tests name their tables.
pub fn columns() -> impl Iterator<Item = (usize, &'static Column)> {
    families().flat_map(|family| family.columns).enumerate()
}

impl Column {
    /// The value of `name` as a text that is equal only for equal values, floating-point numbers to
    /// the bit.
    pub fn shown(&self, name: &str) -> String {
        let kind = self.definition.split([' ', '(']).next().unwrap_or_default();
        match kind {
            "FLOAT" | "DOUBLE" => format!("CAST(CAST({name} AS DOUBLE) AS CHAR)"),
            "CHAR" | "VARCHAR" | "TINYTEXT" | "TEXT" | "MEDIUMTEXT" | "LONGTEXT" | "BINARY" | "VARBINARY"
            | "TINYBLOB" | "BLOB" | "MEDIUMBLOB" | "LONGBLOB" | "JSON" | "GEOMETRY" | "POINT"
            | "LINESTRING" | "POLYGON" | "MULTIPOINT" | "MULTILINESTRING" | "MULTIPOLYGON"
            | "GEOMETRYCOLLECTION" | "BIT" => format!("HEX({name})"),
            // Labels may be alike.
            _ if kind.starts_with("ENUM") || kind.starts_with("SET") => format!("{name} + 0"),
            _ => format!("CAST({name} AS CHAR)"),
        }
    }
}

/// The README's table.
pub fn markdown() -> String {
    let mut text = String::from("| type | in a key | note |\n|---|---|---|\n");
    for family in families() {
        text.push_str(&format!("| {} | {} | {} |\n", family.types, family.as_key, family.note));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_has_values_to_change_between() {
        assert!(columns().count() > 90);
        for (_, column) in columns() {
            assert!(column.values.len() > 1, "{}", column.definition);
        }
    }
}

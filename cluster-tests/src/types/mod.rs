//! Every column type of MariaDB 10.11 and MySQL 9.7 with values at its edges: what the round-trip tests
//! write, and what the README's table of types says.

mod special;
mod strings;
mod values;

use crate::servers::Flavour;

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
    /// The flavour that alone has the type, or these values of it; None: both have it.
    pub only: Option<Flavour>,
}

/// Whether the column is tried as part of a primary key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    Whole,
    No,
}

const fn keyed(definition: &'static str, values: &'static [&'static str]) -> Column {
    Column { definition, values, key: Key::Whole, only: None }
}

const fn plain(definition: &'static str, values: &'static [&'static str]) -> Column {
    Column { definition, values, key: Key::No, only: None }
}

/// All families, in the README's order.
pub fn families() -> impl Iterator<Item = &'static Family> {
    values::FAMILIES.iter().chain(strings::FAMILIES).chain(special::FAMILIES)
}

/// The columns that servers of all these flavours have, numbered as the tests name their tables.
pub fn columns(flavours: [Flavour; 2]) -> impl Iterator<Item = (usize, &'static Column)> {
    families()
        .flat_map(|family| family.columns)
        .enumerate()
        .filter(move |(_, column)| flavours.iter().all(|flavour| column.is_on(*flavour)))
}

impl Column {
    const fn only(self, flavour: Flavour) -> Column {
        Column { only: Some(flavour), ..self }
    }

    fn is_on(&self, flavour: Flavour) -> bool {
        self.only.is_none_or(|only| only == flavour)
    }

    /// The value of `name` as a text that is equal only for equal values, floating-point numbers to
    /// the bit.
    pub fn shown(&self, name: &str) -> String {
        let kind = self.definition.split([' ', '(']).next().unwrap_or_default();
        match kind {
            "FLOAT" | "DOUBLE" => format!("CAST(CAST({name} AS DOUBLE) AS CHAR)"),
            "CHAR" | "VARCHAR" | "TINYTEXT" | "TEXT" | "MEDIUMTEXT" | "LONGTEXT" | "BINARY" | "VARBINARY"
            | "TINYBLOB" | "BLOB" | "MEDIUMBLOB" | "LONGBLOB" | "JSON" | "GEOMETRY" | "POINT"
            | "LINESTRING" | "POLYGON" | "MULTIPOINT" | "MULTILINESTRING" | "MULTIPOLYGON"
            | "GEOMETRYCOLLECTION" | "BIT" | "VECTOR" => format!("HEX({name})"),
            // Labels may be alike.
            _ if kind.starts_with("ENUM") => format!("{name} + 0"),
            _ if kind.starts_with("SET") => format!("HEX({name})"),
            _ => format!("CAST({name} AS CHAR)"),
        }
    }
}

impl Family {
    /// The servers that have any of it.
    fn servers(&self) -> &'static str {
        let on = |flavour| self.columns.iter().any(|column| column.is_on(flavour));
        match (on(Flavour::MariaDb), on(Flavour::MySql)) {
            (true, false) => "MariaDB",
            (false, true) => "MySQL",
            _ => "both",
        }
    }
}

/// The README's table.
pub fn markdown() -> String {
    let mut text = String::from("| type | on | in a key | note |\n|---|---|---|---|\n");
    for family in families() {
        let servers = family.servers();
        text.push_str(&format!("| {} | {servers} | {} | {} |\n", family.types, family.as_key, family.note));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_has_values_to_change_between() {
        for flavour in [Flavour::MariaDb, Flavour::MySql] {
            assert!(columns([flavour; 2]).count() > 90);
            for (_, column) in columns([flavour; 2]) {
                assert!(column.values.len() > 1, "{}", column.definition);
            }
        }
    }
}

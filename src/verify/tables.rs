//! A table as each side has it, and how the two are compared.

use weft_core::filter::transform::TableTransform;
use weft_core::filter::transform::mask::Mask;
use weft_core::tables::{TableName, quote};
use weft_core::verify::{RowKey, Side as Which};

use super::{by_name, condition};

/// A column as the information schema describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ColumnFacts {
    pub name: String,
    /// Its name on the right side.
    pub known_as: String,
    /// What the right side gets instead of its values.
    pub mask: Option<Mask>,
    /// `DATA_TYPE`, for example `varchar`.
    pub data_type: String,
    /// Collation of a character column.
    pub collation: Option<String>,
    pub generated: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TableFacts {
    pub columns: Vec<ColumnFacts>,
    /// Names of the primary key's columns, in key order.
    pub primary_key: Vec<String>,
}

/// How values of a type become text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Printed as it is and written without quotes.
    Number,
    /// BIT, ENUM, SET: compared by number, as the server sorts them.
    Numbered,
    Float,
    Text,
    Bytes,
    /// Printed as it is and written in quotes.
    Quoted,
}

impl TableFacts {
    /// The left side's columns, with what the right side makes of them.
    pub(super) fn transformed(mut self, transform: Option<&TableTransform>) -> TableFacts {
        let Some(transform) = transform else { return self };
        for column in &mut self.columns {
            column.known_as = transform.target_column(&column.name).to_owned();
            column.mask = transform.mask(&column.known_as);
        }
        for name in &mut self.primary_key {
            *name = transform.target_column(name).to_owned();
        }
        self
    }
}

impl ColumnFacts {
    fn kind(&self) -> Kind {
        match self.data_type.as_str() {
            "tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "decimal" | "double" | "year" => {
                Kind::Number
            }
            "float" => Kind::Float,
            "bit" | "enum" | "set" => Kind::Numbered,
            "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext"
                if self.collation.is_some() =>
            {
                Kind::Text
            }
            "date" | "time" | "datetime" | "timestamp" | "uuid" | "inet4" | "inet6" => Kind::Quoted,
            _ => Kind::Bytes,
        }
    }

    /// Values may be too long to be joined to one text with others.
    fn is_long(&self) -> bool {
        self.data_type.ends_with("text")
            || self.data_type.ends_with("blob")
            || matches!(self.data_type.as_str(), "varchar" | "varbinary")
            || self.kind() == Kind::Bytes
    }

    /// What the right side is to have in the column, in the form of [`ColumnFacts::plain`].
    fn compared(&self) -> String {
        let Some(mask) = self.mask else { return self.plain() };
        let name = format!("t.{}", quote(&self.name));
        mask.sql(&match self.kind() {
            // Zeros that are only shown are not hashed.
            Kind::Number => format!("CAST({name}+0 AS CHAR)"),
            _ => name,
        })
    }

    /// The column's value as bytes that are equal on both sides exactly if the values are.
    fn plain(&self) -> String {
        let name = format!("t.{}", quote(&self.name));
        match self.kind() {
            Kind::Float => format!("CAST({name} AS DOUBLE)"),
            Kind::Numbered if self.data_type == "bit" => format!("({name}+0)"),
            Kind::Number if self.data_type.ends_with("int") => format!("({name}+0)"),
            // Labels: their numbers may differ.
            Kind::Numbered | Kind::Number | Kind::Quoted => format!("CAST({name} AS CHAR)"),
            Kind::Text => format!("CONVERT({name} USING utf8mb4)"),
            Kind::Bytes => format!("CAST({name} AS BINARY)"),
        }
    }

    /// Collation in which key values are compared as text; None: they are no text.
    pub(super) fn text_collation(&self) -> Option<&str> {
        self.collation.as_deref().filter(|_| self.kind() == Kind::Text)
    }

    /// The value of a key column as text for [`RowKey`]; [`ColumnFacts::literal`] reads it.
    fn key_text(&self) -> String {
        let name = format!("t.{}", quote(&self.name));
        match self.kind() {
            Kind::Number | Kind::Quoted => format!("CAST({name} AS CHAR)"),
            Kind::Numbered => format!("CAST({name}+0 AS CHAR)"),
            Kind::Float => format!("CAST(CAST({name} AS DOUBLE) AS CHAR)"),
            Kind::Text => format!("HEX(CONVERT({name} USING utf8mb4))"),
            Kind::Bytes => format!("HEX({name})"),
        }
    }

    /// The text of a key as SQL.
    pub(super) fn literal(&self, text: &str) -> String {
        match self.kind() {
            Kind::Number | Kind::Numbered | Kind::Float => text.to_owned(),
            Kind::Text => format!("_utf8mb4 X'{text}'"),
            Kind::Bytes => format!("X'{text}'"),
            Kind::Quoted => format!("'{text}'"),
        }
    }

    /// The text of a key for people.
    fn shown(&self, text: &str) -> String {
        if self.kind() != Kind::Text {
            return text.to_owned();
        }
        let digits = text.as_bytes().chunks(2).map(|pair| {
            std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok()).unwrap_or(b'?')
        });
        String::from_utf8_lossy(&digits.collect::<Vec<u8>>()).into_owned()
    }
}

/// A column that is compared: it is on both sides.
#[derive(Debug, Clone)]
pub(super) struct ComparedColumn {
    pub name: String,
    /// The expressions of [`Plan::row_hash`], left and right.
    value: [String; 2],
}

/// 32 hexadecimal digits of the value. MySQL from 9.6 on has no MD5 of its own.
fn hash(value: &str) -> String {
    format!("LEFT(SHA2({value},256),32)")
}

/// How a table is compared. Expressions take the table as `t`.
#[derive(Debug)]
pub(super) struct Plan {
    /// Its names, left and right.
    tables: [TableName; 2],
    /// Which rows of the left side the right one has.
    condition: Option<String>,
    pub columns: Vec<ComparedColumn>,
    /// The primary key's columns, left and right, in key order.
    key: Vec<[ColumnFacts; 2]>,
}

const fn index(side: Which) -> usize {
    match side {
        Which::Left => 0,
        Which::Right => 1,
    }
}

impl Plan {
    /// # Errors
    /// Why the table cannot be compared, and what to do.
    pub(super) fn new(
        tables: [&TableName; 2],
        left: &TableFacts,
        right: &TableFacts,
        transform: Option<&TableTransform>,
    ) -> Result<Plan, String> {
        if left.primary_key.is_empty() || right.primary_key.is_empty() {
            return Err(String::from("it has no primary key; add one on both sides"));
        }
        if left.primary_key != right.primary_key {
            return Err(String::from(
                "its primary keys differ; alter them to the same columns in the same order",
            ));
        }
        let there = by_name(right);
        let both =
            |column: &ColumnFacts| Some([column.clone(), (*there.get(column.known_as.as_str())?).clone()]);
        let columns = left.columns.iter().filter_map(both).filter(|[a, b]| !a.generated && !b.generated);
        let columns = columns
            .map(|pair| {
                let long = pair.iter().any(ColumnFacts::is_long);
                let value = pair.each_ref().map(|column| {
                    let plain = column.compared();
                    if long { hash(&plain) } else { plain }
                });
                ComparedColumn { name: pair[1].name.clone(), value }
            })
            .collect();
        let here = by_name(left);
        let key = left.primary_key.iter().filter_map(|name| both(here.get(name.as_str())?)).collect();
        let condition = transform.and_then(|transform| transform.condition.as_ref());
        let condition = condition.map(|condition| condition::sql(&condition.expr));
        Ok(Plan { tables: tables.map(TableName::clone), condition, columns, key })
    }

    /// The table's name on this side.
    pub(super) fn table(&self, side: Which) -> &TableName {
        &self.tables[index(side)]
    }

    /// Which of the side's rows are compared; None: all.
    pub(super) fn condition(&self, side: Which) -> Option<&str> {
        self.condition.as_deref().filter(|_| side == Which::Left)
    }

    /// 32 hexadecimal digits over all compared columns.
    pub(super) fn row_hash(&self, side: Which) -> String {
        // Each value with its length, so that no two rows join to the same text.
        let values: Vec<String> = self
            .columns
            .iter()
            .map(|column| {
                let value = &column.value[index(side)];
                format!("IFNULL(CONCAT(LENGTH({value}),':',{value}),'N')")
            })
            .collect();
        hash(&format!("CONCAT('',{})", values.join(",")))
    }

    /// One hash a column.
    pub(super) fn column_hashes(&self, side: Which) -> String {
        let hashes: Vec<String> =
            self.columns.iter().map(|column| hash(&column.value[index(side)])).collect();
        hashes.join(",")
    }

    /// The primary key's columns on this side.
    pub(super) fn key(&self, side: Which) -> impl Iterator<Item = &ColumnFacts> {
        self.key.iter().map(move |pair| &pair[index(side)])
    }

    /// The key as texts, one expression a column.
    pub(super) fn key_texts(&self, side: Which) -> String {
        self.key(side).map(ColumnFacts::key_text).collect::<Vec<_>>().join(",")
    }

    /// Number of the key's columns.
    pub(super) fn key_width(&self) -> usize {
        self.key.len()
    }

    /// Column names and values for people.
    pub(super) fn named_key(&self, key: &RowKey) -> Vec<(String, String)> {
        let columns = self.key(Which::Left).zip(&key.0);
        columns.map(|(column, text)| (column.name.clone(), column.shown(text))).collect()
    }

    pub(super) fn key_text(&self, key: &RowKey) -> String {
        let pairs = self.named_key(key);
        pairs.iter().map(|(name, value)| format!("{name} = {value}")).collect::<Vec<_>>().join(", ")
    }
}

/// Columns that only one side has: what is in them is not on the other.
pub(super) fn shape_differences(
    (left, on_left): (&str, &TableFacts),
    (right, on_right): (&str, &TableFacts),
) -> Vec<String> {
    let lacking = |from: &TableFacts, there: &TableFacts, name: &str| -> Vec<String> {
        let known = by_name(there);
        let missing = from.columns.iter().filter(|column| !known.contains_key(column.known_as.as_str()));
        missing.map(|column| format!("column {} is missing at {name}", column.known_as)).collect()
    };
    [lacking(on_left, on_right, right), lacking(on_right, on_left, left)].concat()
}

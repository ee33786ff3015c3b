//! Whether the keys of a table can be compared exactly, and alike at both ends of a channel.

use super::collation;
use super::hasher::PRIMARY;
use crate::catalog::{Column, TableVersion};

/// A column of a key whose values cannot be compared as the server does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unweighed<'a> {
    /// [`PRIMARY`] or the unique key's name.
    pub key: &'a str,
    pub column: &'a Column,
}

/// The first column in a key of the table whose collation is not weighed exactly.
pub fn unweighed(table: &TableVersion) -> Option<Unweighed<'_>> {
    let primary = std::iter::once((PRIMARY, &table.primary_key));
    let keys = primary.chain(table.unique_keys.iter().map(|key| (key.name.as_str(), &key.columns)));
    keys.flat_map(|(key, columns)| columns.iter().map(move |at| (key, at)))
        .filter_map(|(key, at)| Some(Unweighed { key, column: table.columns.get(usize::from(*at))? }))
        .find(|one| key_collation(one.column).is_some_and(|id| !collation::supported(id)))
}

/// The collation by which values of the column are compared in a key. None: by something else; the
/// labels of ENUM and SET have one too, but their values are numbers.
fn key_collation(column: &Column) -> Option<u16> {
    /// `MYSQL_TYPE_ENUM`, `MYSQL_TYPE_SET`: table maps have them as the type, or in the metadata of
    /// `MYSQL_TYPE_STRING`.
    const LABELS: [u8; 2] = [247, 248];
    let kind = if column.type_code == 254 { column.meta as u8 } else { column.type_code };
    column.text_collation().filter(|_| !LABELS.contains(&kind))
}

/// Why rows of two tables cannot be told apart by the same hashes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeysDiffer {
    #[error("its primary key is another one there")]
    Columns,
    #[error("column {column} of its primary key has type {there} there and {here} at the source")]
    Type { column: String, here: String, there: String },
    #[error(
        "column {column} of its primary key has collation {there} (its number in information_schema) there and {here} at \
         the source"
    )]
    Collation { column: String, here: u16, there: u16 },
}

/// Whether a row has the same key hash in both tables: how the source's captures hash it, and how the
/// target's do. Types that neither server was asked for are taken to be alike.
///
/// # Errors
/// The first difference.
pub fn keys_meet(source: &TableVersion, target: &TableVersion) -> Result<(), KeysDiffer> {
    if source.primary_key.len() != target.primary_key.len() {
        return Err(KeysDiffer::Columns);
    }
    for (here, there) in source.primary_key.iter().zip(&target.primary_key) {
        match (source.columns.get(usize::from(*here)), target.columns.get(usize::from(*there))) {
            (Some(here), Some(there)) if here.name == there.name => columns_meet(here, there)?,
            _ => return Err(KeysDiffer::Columns),
        }
    }
    Ok(())
}

fn columns_meet(here: &Column, there: &Column) -> Result<(), KeysDiffer> {
    let column = here.name.clone();
    if let (Some(own), Some(other)) = (&here.column_type, &there.column_type)
        && hashed_as(own) != hashed_as(other)
    {
        return Err(KeysDiffer::Type { column, here: own.clone(), there: other.clone() });
    }
    match (key_collation(here), key_collation(there)) {
        (Some(here), Some(there)) if !collation::alike(here, there) => {
            Err(KeysDiffer::Collation { column, here, there })
        }
        _ => Ok(()),
    }
}

/// What values of a type are hashed as, by the type as the server prints it.
fn hashed_as(column_type: &str) -> &str {
    let end = column_type.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(column_type.len());
    match &column_type[..end] {
        "tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "year" => "integer",
        "float" | "double" => "double",
        "date" | "datetime" => "datetime",
        "enum" | "set" => "number of a label",
        "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" => "text",
        "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => "bytes",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binlog::testing::column;
    use crate::catalog::UniqueKey;
    use crate::tables::TableName;

    const VARCHAR: u8 = 15;
    const STRING: u8 = 254;
    /// No collation of any release has this number.
    const STRANGE: u16 = 9999;

    fn table(columns: Vec<Column>, primary_key: Vec<u16>, unique: Vec<u16>) -> TableVersion {
        let unique_keys = vec![UniqueKey { name: "by_name".into(), columns: unique }];
        TableVersion { name: TableName::new("shop", "t"), columns, primary_key, unique_keys, exact: true }
    }

    #[test]
    fn a_collation_that_cannot_be_weighed_is_named_with_its_key_and_column() {
        let columns = || {
            vec![column("id", 3, 0, 0), column("name", VARCHAR, 40, STRANGE), column("at", VARCHAR, 40, 45)]
        };
        let found = |primary, unique| {
            let table = table(columns(), primary, unique);
            unweighed(&table).map(|one| (one.key.to_owned(), one.column.name.clone()))
        };
        assert_eq!(found(vec![0, 2], vec![2]), None, "a column outside of all keys does not count");
        assert_eq!(found(vec![0, 1], vec![2]), Some(("PRIMARY".into(), "name".into())));
        assert_eq!(found(vec![0], vec![2, 1]), Some(("by_name".into(), "name".into())));
    }

    #[test]
    fn labels_are_numbers_whatever_the_collation_of_their_names() {
        for code in [247, 248] {
            let direct = table(vec![column("kind", code, 0, STRANGE)], vec![0], vec![]);
            let packed =
                table(vec![column("kind", STRING, 0x100 | u16::from(code), STRANGE)], vec![0], vec![]);
            assert_eq!((unweighed(&direct), unweighed(&packed)), (None, None));
        }
    }

    fn typed(column_type: &str, collation: u16) -> TableVersion {
        let column = Column { column_type: Some(column_type.into()), ..column("id", VARCHAR, 0, collation) };
        table(vec![column], vec![0], vec![])
    }

    #[test]
    fn keys_meet_where_a_value_has_one_hash_at_both_ends() {
        let meet = |a: (&str, u16), b: (&str, u16)| keys_meet(&typed(a.0, a.1), &typed(b.0, b.1)).is_ok();
        assert!(meet(("int(10) unsigned", 0), ("bigint", 0)));
        assert!(!meet(("int(10) unsigned", 0), ("decimal(10,0)", 0)));
        assert!(!meet(("timestamp", 0), ("datetime(6)", 0)));
        assert!(!meet(("binary(16)", 63), ("varbinary(16)", 63)));
        assert!(meet(("uuid", 63), ("uuid", 0)), "the binlog calls it a binary string");
        assert!(meet(("varchar(9)", 45), ("char(9)", 33)), "the same weights in both");
        assert!(!meet(("varchar(9)", 45), ("varchar(9)", 46)));
        assert!(!meet(("varchar(9)", 46), ("varchar(9)", 46 + 1024)));
        let differ = keys_meet(&typed("varchar(9)", 45), &typed("varchar(9)", 46));
        assert!(differ.is_err_and(|cause| cause.to_string().contains("column id")));
    }

    #[test]
    fn keys_over_other_columns_do_not_meet() {
        let columns = || vec![column("a", 3, 0, 0), column("b", 3, 0, 0)];
        let of = |key: Vec<u16>| table(columns(), key, vec![]);
        assert_eq!(keys_meet(&of(vec![0, 1]), &of(vec![0, 1])), Ok(()));
        for other in [vec![1, 0], vec![0], vec![]] {
            assert_eq!(keys_meet(&of(vec![0, 1]), &of(other)), Err(KeysDiffer::Columns));
        }
    }
}

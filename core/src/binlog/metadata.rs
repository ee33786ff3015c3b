//! The optional metadata at the end of a table map event: signs, character sets, names, labels and
//! the primary key. Each field is a type byte, a packed length and its bytes; unknown types are
//! passed over.
//!
//! | type | field | content |
//! |---|---|---|
//! | 1 | signs | a bit for each numeric column, first column in the highest; set: unsigned |
//! | 2 | default charset | packed collation id, then pairs of (n-th character column, collation id) |
//! | 3 | column charsets | packed collation id of each character column |
//! | 4 | names | packed length and text of each column |
//! | 5, 6 | labels of SET, of ENUM columns | for each: packed count, then packed length and text |
//! | 7 | geometry types | packed, of each geometry column |
//! | 8 | primary key | packed column indexes |
//! | 9 | primary key with prefixes | pairs of packed column index and prefix length (0: whole) |
//! | 10, 11 | charsets of ENUM and SET columns | as 2 and 3 |
//! | 12 | visibility | a bit for each column |
//!
//! Source: MySQL source documentation, `Table_map_event::Optional_metadata_fields`.

use super::charset;
use super::cursor::{Cursor, Malformed};
use super::image::*;
use crate::flavour::Flavour;

const WHAT: &str = "table metadata";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    /// Not a numeric column.
    None,
    Signed,
    Unsigned,
}

/// The fields of the table map's optional part that Weft uses.
#[derive(Debug, Default)]
pub(super) struct Metadata<'a> {
    /// Of each column; empty: not told.
    pub(super) names: Vec<&'a [u8]>,
    /// Of each column; empty: not told.
    pub(super) signs: Vec<Sign>,
    /// Of each column, 0 where it is not a character column; None: not told.
    pub(super) collations: Option<Vec<u16>>,
    /// Some with the names: a table without primary key has no such field.
    pub(super) primary_key: Option<Vec<u16>>,
    /// (column, labels) of ENUM and SET columns.
    labels: Vec<(usize, Vec<&'a [u8]>)>,
}

impl<'a> Metadata<'a> {
    /// Reads the fields for columns of these types and metadata.
    pub(super) fn parse(
        optional: &'a [u8],
        types: &[(u8, u16)],
        flavour: Flavour,
    ) -> Result<Metadata<'a>, Malformed> {
        let of = |wanted: &dyn Fn(u8) -> bool| -> Vec<usize> {
            let columns = types.iter().enumerate();
            columns
                .filter(|(_, column)| wanted(real_type(column.0, column.1)))
                .map(|(index, _)| index)
                .collect()
        };
        let characters = of(&|code| is_character(code, flavour));
        let labelled = of(&|code| code == ENUM || code == SET);
        let mut metadata = Metadata::default();
        let mut cursor = Cursor::new(optional, WHAT);
        while !cursor.is_empty() {
            let field = cursor.u8()?;
            let content = Cursor::new(cursor.packed_bytes()?, WHAT);
            match field {
                1 => metadata.signs = signs(content, types.len(), &of(&|code| is_numeric(code, flavour)))?,
                2 => default_collations(content, &characters, metadata.collations_for(types))?,
                3 => listed_collations(content, &characters, metadata.collations_for(types))?,
                4 => metadata.names = texts(content, types.len())?,
                5 => metadata.add_labels(content, &of(&|code| code == SET))?,
                6 => metadata.add_labels(content, &of(&|code| code == ENUM))?,
                8 => metadata.primary_key = Some(key_columns(content, false)?),
                9 => metadata.primary_key = Some(key_columns(content, true)?),
                10 => default_collations(content, &labelled, metadata.collations_for(types))?,
                11 => listed_collations(content, &labelled, metadata.collations_for(types))?,
                _ => {}
            }
        }
        if !metadata.names.is_empty() && metadata.primary_key.is_none() {
            metadata.primary_key = Some(Vec::new());
        }
        Ok(metadata)
    }

    /// Labels of the column. None where they are not certain: they come in the column's character
    /// set, and values then go by number.
    pub(super) fn labels(&self, column: usize) -> Vec<String> {
        let found = self.labels.iter().find(|(of, _)| *of == column);
        let texts = found.map(|(_, labels)| labels.as_slice()).unwrap_or_default();
        let collation = self.collations.as_ref().and_then(|collations| collations.get(column));
        let utf8 = collation.is_some_and(|&collation| charset::is_utf8(collation));
        let certain = |label: &&[u8]| utf8 || label.is_ascii();
        if !texts.iter().all(certain) {
            return Vec::new();
        }
        texts.iter().map(|label| String::from_utf8_lossy(label).into_owned()).collect()
    }

    fn collations_for(&mut self, types: &[(u8, u16)]) -> &mut [u16] {
        self.collations.get_or_insert_with(|| vec![0; types.len()])
    }

    fn add_labels(&mut self, mut content: Cursor<'a>, columns: &[usize]) -> Result<(), Malformed> {
        for &column in columns {
            let count = content.packed()?;
            let mut labels = Vec::new();
            for _ in 0..count {
                labels.push(content.packed_bytes()?);
            }
            self.labels.push((column, labels));
        }
        Ok(())
    }
}

fn signs(mut content: Cursor<'_>, columns: usize, numeric: &[usize]) -> Result<Vec<Sign>, Malformed> {
    let bits = content.take(numeric.len().div_ceil(8))?;
    let mut signs = vec![Sign::None; columns];
    for (nth, &column) in numeric.iter().enumerate() {
        let unsigned = bits[nth / 8] & (0x80 >> (nth % 8)) != 0;
        signs[column] = if unsigned { Sign::Unsigned } else { Sign::Signed };
    }
    Ok(signs)
}

fn collation(content: &mut Cursor<'_>) -> Result<u16, Malformed> {
    let id = content.packed()?;
    u16::try_from(id).map_err(|_| Malformed::Invalid { what: "collation id", found: id })
}

fn default_collations(
    mut content: Cursor<'_>,
    among: &[usize],
    collations: &mut [u16],
) -> Result<(), Malformed> {
    let default = collation(&mut content)?;
    for &column in among {
        collations[column] = default;
    }
    while !content.is_empty() {
        let nth = content.packed()?;
        let id = collation(&mut content)?;
        let column = usize::try_from(nth).ok().and_then(|nth| among.get(nth));
        let &column =
            column.ok_or(Malformed::Invalid { what: "number of a character column", found: nth })?;
        collations[column] = id;
    }
    Ok(())
}

fn listed_collations(
    mut content: Cursor<'_>,
    among: &[usize],
    collations: &mut [u16],
) -> Result<(), Malformed> {
    for &column in among {
        collations[column] = collation(&mut content)?;
    }
    Ok(())
}

fn texts(mut content: Cursor<'_>, count: usize) -> Result<Vec<&[u8]>, Malformed> {
    (0..count).map(|_| content.packed_bytes()).collect()
}

fn key_columns(mut content: Cursor<'_>, with_prefixes: bool) -> Result<Vec<u16>, Malformed> {
    let mut columns = Vec::new();
    while !content.is_empty() {
        let column = content.packed()?;
        let valid = u16::try_from(column);
        columns.push(valid.map_err(|_| Malformed::Invalid { what: "primary key column", found: column })?);
        if with_prefixes {
            content.packed()?;
        }
    }
    Ok(columns)
}

/// Types that have a bit among the signs. MariaDB counts YEAR, and says unsigned.
fn is_numeric(code: u8, flavour: Flavour) -> bool {
    matches!(code, TINY | SHORT | INT24 | LONG | LONGLONG | NEWDECIMAL | FLOAT | DOUBLE)
        || (flavour == Flavour::MariaDb && code == YEAR)
}

/// Types that have a collation in the event. MariaDB counts GEOMETRY, and says binary.
fn is_character(code: u8, flavour: Flavour) -> bool {
    matches!(code, STRING | VAR_STRING | VARCHAR | VARCHAR_COMPRESSED | BLOB_COMPRESSED)
        || matches!(code, TINY_BLOB | BLOB | MEDIUM_BLOB | LONG_BLOB)
        || (flavour == Flavour::MariaDb && code == GEOMETRY)
}

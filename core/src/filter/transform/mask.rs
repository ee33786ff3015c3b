//! Masks: what a target gets instead of a value.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use crate::binlog::decimal;
use crate::binlog::image::*;
use crate::binlog::value::Value;
use crate::binlog::{Malformed, image};
use crate::catalog::Column;

/// What [`Mask::Redact`] puts in place of a value.
pub const REDACTED: &str = "***";
/// Characters of a SHA-256 in hexadecimal digits.
const SHA256_CHARACTERS: u64 = 64;

/// What a target gets instead of a value. NULL stays NULL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mask {
    /// SHA-256 of the value's text in the column's character set, 64 lowercase hexadecimal digits.
    Sha256,
    Null,
    /// Always [`REDACTED`].
    Redact,
}

/// Why a column cannot be masked so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MaskError {
    #[error("sha256 is made of integers, DECIMAL, text and bytes alone")]
    NoText,
    #[error("it is {found} there, and the mask needs a text of at least {characters} characters")]
    TooShort { found: String, characters: u64 },
    #[error("it is NOT NULL there")]
    NotNull,
}

impl Mask {
    /// Whether values of this source column have a text that can be hashed alike everywhere.
    ///
    /// # Errors
    /// They have not.
    pub fn takes(self, column: &Column) -> Result<(), MaskError> {
        if self != Mask::Sha256 {
            return Ok(());
        }
        let told = column.column_type.as_deref().unwrap_or_default();
        let is_bytes = column.collation == crate::key::collation::BINARY;
        match real_type(column.type_code, column.meta) {
            TINY | SHORT | INT24 | LONG | LONGLONG | NEWDECIMAL => Ok(()),
            // UUID and INET columns travel as binary strings; BINARY would have to be filled up.
            STRING if is_bytes || column.collation == 0 => Err(MaskError::NoText),
            VARCHAR | VAR_STRING | STRING => Ok(()),
            TINY_BLOB | BLOB | MEDIUM_BLOB | LONG_BLOB if !told.starts_with("json") => Ok(()),
            _ => Err(MaskError::NoText),
        }
    }

    /// Whether a column of the target, with this `COLUMN_TYPE`, bears masked values.
    ///
    /// # Errors
    /// It does not.
    pub fn fits(self, column_type: &str, nullable: bool) -> Result<(), MaskError> {
        let characters = match self {
            Mask::Null if nullable => return Ok(()),
            Mask::Null => return Err(MaskError::NotNull),
            Mask::Sha256 => SHA256_CHARACTERS,
            Mask::Redact => REDACTED.len() as u64,
        };
        let lower = column_type.to_ascii_lowercase();
        let (name, rest) = lower.split_once('(').unwrap_or((&lower, ""));
        let len = rest.split(')').next().and_then(|len| len.trim().parse::<u64>().ok());
        let room = match name.split(' ').next().unwrap_or_default() {
            "char" | "varchar" | "varbinary" => len.unwrap_or(0),
            "tinytext" | "tinyblob" => 255,
            "text" | "mediumtext" | "longtext" | "blob" | "mediumblob" | "longblob" => u64::MAX,
            _ => 0,
        };
        if room < characters {
            return Err(MaskError::TooShort { found: column_type.to_owned(), characters });
        }
        Ok(())
    }

    /// The masked value; None: NULL.
    ///
    /// # Errors
    /// The value cannot be read.
    pub(super) fn apply(self, value: &Value<'_>) -> Result<Option<String>, Malformed> {
        if matches!(value, Value::Null) {
            return Ok(None);
        }
        Ok(match self {
            Mask::Null => None,
            Mask::Redact => Some(REDACTED.to_owned()),
            Mask::Sha256 => Some(sha256(value)?),
        })
    }

    /// The masked value in SQL, as the source's server
    /// computes it. `text` is the expression of the value's text.
    pub fn sql(self, text: &str) -> String {
        match self {
            Mask::Null => "NULL".to_owned(),
            Mask::Redact => format!("IF({text} IS NULL,NULL,'{REDACTED}')"),
            Mask::Sha256 => format!("SHA2({text},256)"),
        }
    }
}

fn sha256(value: &Value<'_>) -> Result<String, Malformed> {
    let digest = match *value {
        Value::Bytes(bytes) => Sha256::digest(bytes),
        Value::Int(number) => Sha256::digest(number.to_string()),
        Value::UInt(number) => Sha256::digest(number.to_string()),
        Value::Decimal { packed, precision, scale } => {
            let mut text = String::new();
            decimal::write_text(&mut text, packed, precision, scale)?;
            Sha256::digest(text)
        }
        _ => return Err(Malformed::Invalid { what: "value to be masked", found: 0 }),
    };
    let mut text = String::with_capacity(SHA256_CHARACTERS as usize);
    for byte in digest {
        write!(text, "{byte:02x}").expect("writing to a String does not fail");
    }
    Ok(text)
}

/// The column that masked values are in: a text that any target takes.
pub(super) fn masked_column(name: &str) -> Column {
    const GENERAL_CI: u16 = 45;
    Column {
        name: name.to_owned(),
        type_code: image::VARCHAR,
        meta: 255,
        nullable: true,
        unsigned: false,
        collation: GENERAL_CI,
        column_type: None,
        default: None,
        generated: false,
        labels: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_the_values_text() {
        // As SHA2('abc', 256) and SHA2('-12', 256) print them.
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Mask::Sha256.apply(&Value::Bytes(b"abc")), Ok(Some(abc.to_owned())));
        assert_eq!(Mask::Sha256.apply(&Value::Int(-12)), Mask::Sha256.apply(&Value::Bytes(b"-12")));
        for mask in [Mask::Sha256, Mask::Null, Mask::Redact] {
            assert_eq!(mask.apply(&Value::Null), Ok(None), "{mask:?}");
        }
        assert_eq!(Mask::Null.apply(&Value::Int(1)), Ok(None));
        assert_eq!(Mask::Redact.apply(&Value::Int(1)), Ok(Some("***".to_owned())));
    }

    #[test]
    fn a_mask_goes_only_where_the_target_bears_it() {
        for (mask, column_type, nullable, fits) in [
            (Mask::Sha256, "varchar(64)", false, true),
            (Mask::Sha256, "char(63)", true, false),
            (Mask::Sha256, "TEXT", false, true),
            (Mask::Sha256, "int(11)", true, false),
            (Mask::Redact, "varchar(3)", false, true),
            (Mask::Redact, "varchar(2)", true, false),
            (Mask::Redact, "date", true, false),
            (Mask::Null, "date", true, true),
            (Mask::Null, "text", false, false),
        ] {
            assert_eq!(mask.fits(column_type, nullable).is_ok(), fits, "{mask:?} {column_type} {nullable}");
        }
    }
}

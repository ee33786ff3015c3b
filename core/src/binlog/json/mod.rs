//! MySQL's binary JSON: what JSON columns hold in row images.
//!
//! A document is a type byte and a value. Types: 0 and 1 object, 2 and 3 array (the odd ones with
//! offsets of four bytes instead of two), 4 literal (0 null, 1 true, 2 false), 5 to 10 integers
//! (signed and unsigned, of 2, 4 and 8 bytes), 11 double, 12 text (length of seven bits a byte, the
//! highest bit set where more follow), 15 opaque (column type 1, length as of text, content).
//!
//! A container is: number of elements, its length in bytes, for objects an entry per key (offset, and
//! length 2 bytes), an entry per value (type 1, and offset or the value itself where it fits), then
//! keys and values. Offsets count from the number of elements. Keys are sorted by length, then bytes.
//!
//! Little-endian. An empty document is null. Source: MySQL source documentation, `json_binary.h`.

mod diff;
mod read;
mod text;
mod write;

use super::cursor::Malformed;
pub(super) use diff::apply;

/// Deepest nesting that servers allow.
const DEPTH_MAX: usize = 100;
const WHAT: &str = "JSON document";

const SMALL_OBJECT: u8 = 0;
const LARGE_OBJECT: u8 = 1;
const SMALL_ARRAY: u8 = 2;
const LARGE_ARRAY: u8 = 3;
const LITERAL: u8 = 4;
const INT16: u8 = 5;
const UINT16: u8 = 6;
const INT32: u8 = 7;
const UINT32: u8 = 8;
const INT64: u8 = 9;
const UINT64: u8 = 10;
const DOUBLE: u8 = 11;
const TEXT: u8 = 12;
const OPAQUE: u8 = 15;

/// A document, taken apart.
#[derive(Debug, Clone, PartialEq)]
enum Json<'a> {
    Null,
    Bool(bool),
    Int(i64),
    UInt(u64),
    Double(f64),
    /// UTF-8, if a server wrote it.
    Text(&'a [u8]),
    /// A value of an SQL type that JSON does not have.
    Opaque {
        column_type: u8,
        content: &'a [u8],
    },
    Array(Vec<Json<'a>>),
    /// Sorted as above.
    Object(Vec<(&'a [u8], Json<'a>)>),
}

/// The document as the server prints it.
///
/// Decimals and temporal values inside of it, which JSON has no types for, are printed as numbers and
/// texts: read back, they are those.
///
/// # Errors
/// The bytes are not a document.
pub fn text(document: &[u8]) -> Result<String, Malformed> {
    let mut out = String::new();
    text::write(&mut out, &read::document(document)?)?;
    Ok(out)
}

#[cfg(test)]
mod tests;

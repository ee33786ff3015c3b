//! Table map events with other names in them.
//!
//! Schema, table and (with `binlog_row_metadata=FULL`) column names are replaced; everything else, the
//! types and the other fields of the metadata, stays as it is. Layouts: [`table_map`](super::table_map)
//! and [`metadata`](super::metadata).

use super::cursor::{Cursor, Malformed};
use super::event::{self, EventHeader, EventType, HEADER_BYTES, set_event_size};
use crate::tables::TableName;

/// Table id and flags.
const POST_HEADER_BYTES: usize = 8;
/// Field of the metadata that names the columns.
const COLUMN_NAMES: u8 = 4;

/// The canonical event with these names of the table and, where it names its columns, of them.
///
/// # Errors
/// It is no table map event or ends early; a name is too long for one.
pub fn with_names(event: &[u8], table: &TableName, columns: &[&str]) -> Result<Vec<u8>, Malformed> {
    let mut cursor = Cursor::new(event::body(event), "table map event");
    let header = EventHeader::parse(event)?;
    if header.kind != EventType::TableMap {
        return Err(cursor.invalid(u64::from(header.kind.code())));
    }
    let mut out = event[..HEADER_BYTES].to_vec();
    out.extend_from_slice(cursor.take(POST_HEADER_BYTES)?);
    for new in [&table.schema, &table.table] {
        let old = cursor.u8()?;
        cursor.take(usize::from(old) + 1)?;
        let len = u8::try_from(new.len()).map_err(|_| cursor.invalid(new.len() as u64))?;
        out.push(len);
        out.extend_from_slice(new.as_bytes());
        out.push(0);
    }
    let shape = cursor.rest();
    let count = cursor.packed()?;
    let count = usize::try_from(count).map_err(|_| cursor.invalid(count))?;
    cursor.take(count)?;
    cursor.packed_bytes()?;
    cursor.take(count.div_ceil(8))?;
    out.extend_from_slice(&shape[..shape.len() - cursor.rest().len()]);
    while !cursor.is_empty() {
        let field = cursor.u8()?;
        let content = cursor.packed_bytes()?;
        out.push(field);
        if field == COLUMN_NAMES && columns.len() == count {
            let mut names = Vec::new();
            columns.iter().for_each(|name| put_packed_bytes(&mut names, name.as_bytes()));
            put_packed_bytes(&mut out, &names);
        } else {
            put_packed_bytes(&mut out, content);
        }
    }
    set_event_size(&mut out);
    Ok(out)
}

/// A packed length and the bytes.
fn put_packed_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    match bytes.len() {
        len @ 0..=250 => out.push(len as u8),
        len @ 251..=0xffff => {
            out.push(252);
            out.extend_from_slice(&(len as u16).to_le_bytes());
        }
        len => {
            // Names of 4096 columns are far below 16 MiB; a field of the event itself is not longer than it.
            out.push(254);
            out.extend_from_slice(&(len as u64).to_le_bytes());
        }
    }
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::format::tests::mariadb;
    use super::super::table_map::TableMap;
    use super::super::testing::table_map;
    use super::*;

    #[test]
    fn names_are_replaced_and_all_else_stays() {
        let long = "c".repeat(64);
        let original = table_map(4, 9);
        let renamed =
            with_names(&original, &TableName::new("shop", "members"), &["id", &long]).expect("a table map");
        let format = mariadb();
        let before = TableMap::parse(&original, &format).expect("sound");
        let after = TableMap::parse(&renamed, &format).expect("sound");
        let mut expected = before.to_table_version(None).expect("it names its columns");
        expected.name = TableName::new("shop", "members");
        expected.columns[1].name = long;
        assert_eq!(after.to_table_version(None), Ok(expected));
        assert_eq!(EventHeader::parse(&renamed).expect("a header").event_size as usize, renamed.len());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let mut event = table_map(4, 9)[..HEADER_BYTES].to_vec();
            event.extend(bytes);
            let _ = with_names(&event, &TableName::new("a", "b"), &["x"]);
        }
    }
}

//! The row that holds the value of a unique key, read as the event that deletes it.
//!
//! The engine deletes it, and other sites may have to, so it must be an image like any other: the
//! values are read as the server prints them and packed into the binlog's layout of the source's
//! table. Layouts: <https://dev.mysql.com/doc/dev/mysql-server/latest/classbinary__log_1_1Table__map__event.html>.

use std::sync::Arc;

use mysql_async::Value as Sql;
use weft_core::binlog::image::Values;
use weft_core::catalog::{Column, TableVersion};
use weft_core::key::TableKeys;
use weft_core::sink::replay::delete_event;
use weft_core::sink::step::{Found, LockRow};
use weft_core::tables::quote;

use super::errors::Failure;
use super::find::row_number;
use super::session::TargetSession;
use super::shape::Shape;
use super::sql::{self, KeyColumn};

/// Locks and reads the holders; with the number of the value in `literals`. `first` is one of the
/// requests: its table version is the layout.
pub(super) async fn read(
    session: &mut TargetSession,
    first: &LockRow,
    shape: &Arc<Shape>,
    key: &[KeyColumn],
    literals: &[Vec<String>],
) -> Result<Vec<(usize, Found)>, Failure> {
    let table = Arc::clone(&first.delivery.tables[usize::from(first.table)]);
    let mut what = vec![String::from("k.i")];
    for column in &table.columns {
        what.push(match shape.table.column(&column.name) {
            Some(_) => expression(column),
            None => String::from("NULL"),
        });
    }
    let statement = sql::select(session.dialect, &what.join(","), &table.name, key, literals);
    let rows =
        session.rows(&statement, &format!("locking holders of a unique key of {}", table.name)).await?;
    let stamps = first.delivery.transaction.rows().expect("a delivery with a row to lock has rows");
    let table_map = first.delivery.transaction.bytes(stamps.tables[usize::from(first.table)].table_map);
    let mut keys = TableKeys::new(&table);
    let mut holders = Vec::with_capacity(rows.len());
    for row in rows {
        let number = row_number(&row, literals.len());
        let values: Vec<Sql> = row.unwrap().into_iter().skip(1).collect();
        let image = pack_row(&table, &values).map_err(|column| {
            Failure::does_not_fit(format!(
                "{}: the row of {} that holds a unique key cannot be evicted: a value of type {} cannot be read \
                 back; settle the conflict by hand there, it goes on by itself",
                session.options.place(),
                table.name,
                column.column_type.as_deref().unwrap_or("unknown"),
            ))
        })?;
        let values: Vec<_> = Values::new(&table.columns, &image)
            .collect::<Result<_, _>>()
            .expect("an image that was packed just now can be read");
        let key = keys.primary(&table.columns, &values);
        let delete_events =
            delete_event(table_map, &image).expect("the delivery's table map was read before");
        holders.push((number, Found::Holder { key, delete_events }));
    }
    Ok(holders)
}

/// Type codes of the table map event, `MYSQL_TYPE_*`.
mod code {
    pub const TINY: u8 = 1;
    pub const SHORT: u8 = 2;
    pub const LONG: u8 = 3;
    pub const FLOAT: u8 = 4;
    pub const DOUBLE: u8 = 5;
    pub const LONGLONG: u8 = 8;
    pub const INT24: u8 = 9;
    pub const DATE: u8 = 10;
    pub const YEAR: u8 = 13;
    pub const VARCHAR: u8 = 15;
    pub const BIT: u8 = 16;
    pub const TIMESTAMP2: u8 = 17;
    pub const DATETIME2: u8 = 18;
    pub const TIME2: u8 = 19;
    pub const NEWDECIMAL: u8 = 246;
    pub const ENUM: u8 = 247;
    pub const SET: u8 = 248;
    pub const BLOB: u8 = 252;
    pub const STRING: u8 = 254;
    pub const VECTOR: u8 = 242;
    pub const GEOMETRY: u8 = 255;
}

/// The column as a text that [`pack`] reads.
fn expression(column: &Column) -> String {
    let name = format!("t.{}", quote(&column.name));
    match column.type_code {
        code::STRING if matches!((column.meta & 0xff) as u8, code::ENUM | code::SET) => format!("{name}+0"),
        code::STRING | code::VARCHAR | code::BLOB => format!("CAST({name} AS BINARY)"),
        // The server makes no text of them, and no key has them: left out.
        code::VECTOR | code::GEOMETRY => String::from("NULL"),
        code::FLOAT => format!("CAST({name} AS DOUBLE)"),
        code::BIT => format!("{name}+0"),
        // In seconds, with a fraction of as many digits as the column has.
        code::TIMESTAMP2 => format!("UNIX_TIMESTAMP({name})"),
        _ => format!("CAST({name} AS CHAR)"),
    }
}

/// Packs a row. A value that cannot be packed is left out: the row is found by its primary key. The
/// error is a column of that key.
fn pack_row<'a>(table: &'a TableVersion, values: &[Sql]) -> Result<Vec<u8>, &'a Column> {
    let mut image = vec![0; table.columns.len().div_ceil(8)];
    for (index, column) in table.columns.iter().enumerate() {
        let start = image.len();
        let packed = match values.get(index) {
            Some(Sql::Bytes(text)) => pack(&mut image, column, text),
            _ => None,
        };
        if packed.is_none() {
            if table.primary_key.contains(&(index as u16)) {
                return Err(column);
            }
            image.truncate(start);
            image[index / 8] |= 1 << (index % 8);
        }
    }
    Ok(image)
}

fn pack(image: &mut Vec<u8>, column: &Column, bytes: &[u8]) -> Option<()> {
    let text = || std::str::from_utf8(bytes).ok();
    let (low, high) = ((column.meta & 0xff) as u8, (column.meta >> 8) as u8);
    match column.type_code {
        code::TINY => integer(image, text()?, 1)?,
        code::SHORT => integer(image, text()?, 2)?,
        code::INT24 => integer(image, text()?, 3)?,
        code::LONG => integer(image, text()?, 4)?,
        code::LONGLONG => integer(image, text()?, 8)?,
        code::FLOAT => image.extend((text()?.parse::<f64>().ok()? as f32).to_le_bytes()),
        code::DOUBLE => image.extend(text()?.parse::<f64>().ok()?.to_le_bytes()),
        code::YEAR => image.push(text()?.parse::<u16>().ok()?.saturating_sub(1900).try_into().ok()?),
        code::NEWDECIMAL => decimal(image, text()?, low.into(), high.into())?,
        code::DATE => {
            let [year, month, day] = fields(text()?, '-')?;
            image.extend(&(year << 9 | month << 5 | day).to_le_bytes()[..3]);
        }
        code::DATETIME2 => datetime(image, text()?, low)?,
        code::TIME2 => time(image, text()?, low)?,
        code::TIMESTAMP2 => {
            let (seconds, micros) = split_fraction(text()?)?;
            image.extend(seconds.parse::<u32>().ok()?.to_be_bytes());
            fraction(image, micros, low);
        }
        code::BIT => {
            let len = usize::from(high) + usize::from(low > 0);
            image.extend(&text()?.parse::<u64>().ok()?.to_be_bytes()[8usize.checked_sub(len)?..]);
        }
        code::VARCHAR => prefixed(image, bytes, if column.meta > 255 { 2 } else { 1 })?,
        code::BLOB => prefixed(image, bytes, low.into())?,
        code::STRING if matches!(low, code::ENUM | code::SET) => integer(image, text()?, high.into())?,
        code::STRING if plain_string(column) => {
            let len_max = u16::from(high) | (u16::from(low & 0x30) ^ 0x30) << 4;
            prefixed(image, bytes, if len_max > 255 { 2 } else { 1 })?;
        }
        _ => return None,
    }
    Some(())
}

/// UUID and INET columns are strings in the binlog, of bytes in an order of their own.
fn plain_string(column: &Column) -> bool {
    let kind = column.column_type.as_deref().unwrap_or("");
    kind.starts_with("char") || kind.starts_with("binary")
}

fn prefixed(image: &mut Vec<u8>, bytes: &[u8], width: usize) -> Option<()> {
    let len = (bytes.len() as u64).to_le_bytes();
    (width <= 4 && len[width..].iter().all(|byte| *byte == 0)).then_some(())?;
    image.extend(&len[..width]);
    image.extend(bytes);
    Some(())
}

fn integer(image: &mut Vec<u8>, text: &str, width: usize) -> Option<()> {
    let number: i128 = text.parse().ok()?;
    image.extend(number.to_le_bytes().get(..width)?);
    Some(())
}

/// Splits off the fraction, as microseconds.
fn split_fraction(text: &str) -> Option<(&str, u32)> {
    let Some((whole, digits)) = text.split_once('.') else { return Some((text, 0)) };
    let micros = format!("{digits:0<6}");
    Some((whole, micros.get(..6)?.parse().ok()?))
}

/// Numbers between separators.
fn fields<const N: usize>(text: &str, separator: char) -> Option<[u32; N]> {
    let numbers: Vec<u32> = text.split(separator).map(|part| part.parse().ok()).collect::<Option<_>>()?;
    numbers.try_into().ok()
}

/// Fraction bytes of `decimals` digits: 1 byte for two digits, 2 for four, 3 for six.
fn fraction_bytes(micros: u32, decimals: u8) -> (u32, u32) {
    match decimals {
        0 => (0, 0),
        1 | 2 => (micros / 10_000, 1),
        3 | 4 => (micros / 100, 2),
        _ => (micros, 3),
    }
}

fn fraction(image: &mut Vec<u8>, micros: u32, decimals: u8) {
    let (value, width) = fraction_bytes(micros, decimals);
    image.extend(&value.to_be_bytes()[4 - width as usize..]);
}

fn datetime(image: &mut Vec<u8>, text: &str, decimals: u8) -> Option<()> {
    let (whole, micros) = split_fraction(text)?;
    let (date, clock) = whole.split_once(' ')?;
    let [year, month, day] = fields(date, '-')?.map(u64::from);
    let [hour, minute, second] = fields(clock, ':')?.map(u64::from);
    let packed = ((year * 13 + month) << 5 | day) << 17 | hour << 12 | minute << 6 | second;
    image.extend(&(packed + 0x80_0000_0000).to_be_bytes()[3..]);
    fraction(image, micros, decimals);
    Some(())
}

/// Seconds and fraction are one number of `3 + fraction` bytes, negated as a whole and offset.
fn time(image: &mut Vec<u8>, text: &str, decimals: u8) -> Option<()> {
    let (whole, micros) = split_fraction(text.trim_start_matches('-'))?;
    let [hours, minutes, seconds] = fields(whole, ':')?.map(i64::from);
    let (value, width) = fraction_bytes(micros, decimals);
    let bits = width * 8;
    let packed = (hours << 12 | minutes << 6 | seconds) << bits | i64::from(value);
    let signed = if text.starts_with('-') { -packed } else { packed };
    let stored = signed + (0x80_0000 << bits);
    image.extend(&stored.to_be_bytes()[8 - (3 + width as usize)..]);
    Some(())
}

/// Nine digits in four bytes, fewer in fewer; the first bit is the inverted sign, and all bytes are
/// inverted below zero.
fn decimal(image: &mut Vec<u8>, text: &str, precision: usize, scale: usize) -> Option<()> {
    const BYTES: [usize; 10] = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4];
    let negative = text.starts_with('-');
    let (whole, part) =
        text.trim_start_matches('-').split_once('.').unwrap_or((text.trim_start_matches('-'), ""));
    let whole_len = precision.checked_sub(scale)?;
    let whole = format!("{whole:0>whole_len$}");
    // A value below one is printed with a zero that the column has no digit for.
    let whole = whole.get(whole.len() - whole_len..)?;
    let part = format!("{part:0<scale$}");
    let (first, groups) = whole.split_at_checked(whole_len % 9)?;
    let start = image.len();
    let mut push = |digits: &str| -> Option<()> {
        let value: u32 = if digits.is_empty() { 0 } else { digits.parse().ok()? };
        image.extend(&value.to_be_bytes()[4 - BYTES[digits.len()]..]);
        Some(())
    };
    push(first)?;
    for digits in groups.as_bytes().chunks(9).chain(part.as_bytes().chunks(9)) {
        push(std::str::from_utf8(digits).ok()?)?;
    }
    *image.get_mut(start)? ^= 0x80;
    if negative {
        image[start..].iter_mut().for_each(|byte| *byte = !*byte);
    }
    Some(())
}

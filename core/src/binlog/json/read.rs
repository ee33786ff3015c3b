//! Bytes to documents.

use super::*;
use crate::binlog::cursor::Cursor;

const SHORT: Malformed = Malformed::Short { what: WHAT };

fn invalid(found: u64) -> Malformed {
    Malformed::Invalid { what: WHAT, found }
}

/// Takes a document apart.
pub(super) fn document(bytes: &[u8]) -> Result<Json<'_>, Malformed> {
    let Some((&kind, content)) = bytes.split_first() else { return Ok(Json::Null) };
    // Offsets may point anywhere, and twice to the same place: without a limit a small document could
    // unfold to one beyond all bounds. In a server's, every value has bytes of its own.
    Reader { budget: bytes.len() + 1 }.value(kind, content, 1)
}

struct Reader {
    budget: usize,
}

/// How wide the numbers of a container are.
#[derive(Clone, Copy)]
struct Width(usize);

impl Width {
    fn number(self, cursor: &mut Cursor<'_>) -> Result<usize, Malformed> {
        if self.0 == 2 { cursor.u16().map(usize::from) } else { cursor.u32().map(|number| number as usize) }
    }
}

impl Reader {
    fn spend(&mut self, bytes: usize) -> Result<(), Malformed> {
        self.budget = self.budget.checked_sub(bytes + 1).ok_or(invalid(bytes as u64))?;
        Ok(())
    }

    fn value<'a>(&mut self, kind: u8, content: &'a [u8], depth: usize) -> Result<Json<'a>, Malformed> {
        let mut cursor = Cursor::new(content, WHAT);
        Ok(match kind {
            SMALL_OBJECT => self.object(content, Width(2), depth)?,
            LARGE_OBJECT => self.object(content, Width(4), depth)?,
            SMALL_ARRAY => self.array(content, Width(2), depth)?,
            LARGE_ARRAY => self.array(content, Width(4), depth)?,
            LITERAL => match cursor.u8()? {
                0 => Json::Null,
                1 => Json::Bool(true),
                2 => Json::Bool(false),
                other => return Err(invalid(u64::from(other))),
            },
            INT16 => Json::Int(i64::from(cursor.u16()? as i16)),
            UINT16 => Json::UInt(u64::from(cursor.u16()?)),
            INT32 => Json::Int(i64::from(cursor.u32()? as i32)),
            UINT32 => Json::UInt(u64::from(cursor.u32()?)),
            INT64 => Json::Int(cursor.u64()? as i64),
            UINT64 => Json::UInt(cursor.u64()?),
            DOUBLE => Json::Double(f64::from_bits(cursor.u64()?)),
            TEXT => Json::Text(self.counted(cursor)?),
            OPAQUE => {
                let column_type = cursor.u8()?;
                Json::Opaque { column_type, content: self.counted(cursor)? }
            }
            other => return Err(invalid(u64::from(other))),
        })
    }

    /// Bytes behind their length.
    fn counted<'a>(&mut self, mut cursor: Cursor<'a>) -> Result<&'a [u8], Malformed> {
        let mut len = 0usize;
        for shift in [0, 7, 14, 21, 28] {
            let byte = cursor.u8()?;
            len |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                self.spend(len)?;
                return cursor.take(len);
            }
        }
        Err(invalid(len as u64))
    }

    fn array<'a>(&mut self, content: &'a [u8], width: Width, depth: usize) -> Result<Json<'a>, Malformed> {
        let mut cursor = Cursor::new(content, WHAT);
        let (count, content) = head(&mut cursor, content, width)?;
        let mut values = Vec::new();
        for _ in 0..count {
            values.push(self.entry(&mut cursor, content, width, depth)?);
        }
        Ok(Json::Array(values))
    }

    fn object<'a>(&mut self, content: &'a [u8], width: Width, depth: usize) -> Result<Json<'a>, Malformed> {
        let mut cursor = Cursor::new(content, WHAT);
        let (count, content) = head(&mut cursor, content, width)?;
        let mut keys = Vec::new();
        for _ in 0..count {
            let (offset, len) = (width.number(&mut cursor)?, usize::from(cursor.u16()?));
            self.spend(len)?;
            keys.push(content.get(offset..).and_then(|rest| rest.get(..len)).ok_or(SHORT)?);
        }
        let mut members = Vec::new();
        for key in keys {
            members.push((key, self.entry(&mut cursor, content, width, depth)?));
        }
        Ok(Json::Object(members))
    }

    /// An entry per value, and the value that it says or points to.
    fn entry<'a>(
        &mut self,
        cursor: &mut Cursor<'a>,
        content: &'a [u8],
        width: Width,
        depth: usize,
    ) -> Result<Json<'a>, Malformed> {
        self.spend(0)?;
        if depth > DEPTH_MAX {
            return Err(invalid(depth as u64));
        }
        let kind = cursor.u8()?;
        let place = cursor.take(width.0)?;
        if is_inline(kind, width.0) {
            return self.value(kind, place, depth + 1);
        }
        let offset = width.number(&mut Cursor::new(place, WHAT))?;
        self.value(kind, content.get(offset..).ok_or(SHORT)?, depth + 1)
    }
}

/// Values that stand in their entry.
pub(super) fn is_inline(kind: u8, width: usize) -> bool {
    matches!(kind, LITERAL | INT16 | UINT16) || (width == 4 && matches!(kind, INT32 | UINT32))
}

/// Number of elements, and the container's own bytes.
fn head<'a>(
    cursor: &mut Cursor<'a>,
    content: &'a [u8],
    width: Width,
) -> Result<(usize, &'a [u8]), Malformed> {
    let (count, len) = (width.number(cursor)?, width.number(cursor)?);
    let content = content.get(..len).ok_or(SHORT)?;
    Ok((count, content))
}

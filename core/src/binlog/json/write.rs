//! Documents as bytes.

use super::read::is_inline;
use super::*;

/// The document as a server would store it.
///
/// # Errors
/// It is larger than a document can be.
pub(super) fn document(json: &Json<'_>) -> Result<Vec<u8>, Malformed> {
    let (kind, content) = value(json)?;
    Ok([&[kind][..], &content].concat())
}

/// Type and content.
fn value(json: &Json<'_>) -> Result<(u8, Vec<u8>), Malformed> {
    Ok(match json {
        Json::Null => (LITERAL, vec![0]),
        Json::Bool(true) => (LITERAL, vec![1]),
        Json::Bool(false) => (LITERAL, vec![2]),
        Json::Int(number) => match (i16::try_from(*number), i32::try_from(*number)) {
            (Ok(short), _) => (INT16, short.to_le_bytes().to_vec()),
            (_, Ok(number)) => (INT32, number.to_le_bytes().to_vec()),
            _ => (INT64, number.to_le_bytes().to_vec()),
        },
        Json::UInt(number) => match (u16::try_from(*number), u32::try_from(*number)) {
            (Ok(short), _) => (UINT16, short.to_le_bytes().to_vec()),
            (_, Ok(number)) => (UINT32, number.to_le_bytes().to_vec()),
            _ => (UINT64, number.to_le_bytes().to_vec()),
        },
        Json::Double(number) => (DOUBLE, number.to_le_bytes().to_vec()),
        Json::Text(text) => (TEXT, counted(Vec::new(), text)),
        Json::Opaque { column_type, content } => (OPAQUE, counted(vec![*column_type], content)),
        Json::Array(values) => {
            let values: Result<Vec<_>, _> = values.iter().map(value).collect();
            container(SMALL_ARRAY, LARGE_ARRAY, &[], &values?)?
        }
        Json::Object(members) => {
            let keys: Vec<&[u8]> = members.iter().map(|(key, _)| *key).collect();
            let values: Result<Vec<_>, _> = members.iter().map(|(_, member)| value(member)).collect();
            container(SMALL_OBJECT, LARGE_OBJECT, &keys, &values?)?
        }
    })
}

fn counted(mut out: Vec<u8>, content: &[u8]) -> Vec<u8> {
    let mut len = content.len();
    while len > 0x7f {
        out.push(len as u8 | 0x80);
        len >>= 7;
    }
    out.push(len as u8);
    out.extend_from_slice(content);
    out
}

/// With short offsets where they reach. Arrays have no keys.
fn container(
    small: u8,
    large: u8,
    keys: &[&[u8]],
    values: &[(u8, Vec<u8>)],
) -> Result<(u8, Vec<u8>), Malformed> {
    for (kind, width) in [(small, 2), (large, 4)] {
        let key_bytes: usize = keys.iter().map(|key| width + 2 + key.len()).sum();
        let outside =
            |(kind, content): &(u8, Vec<u8>)| if is_inline(*kind, width) { 0 } else { content.len() };
        let value_bytes: usize = values.iter().map(|value| 1 + width + outside(value)).sum();
        let len = 2 * width + key_bytes + value_bytes;
        if len <= [0xffff, u32::MAX as usize][usize::from(width == 4)] {
            return Ok((kind, lay_out(width, len, keys, values)));
        }
    }
    Err(Malformed::Invalid { what: WHAT, found: values.len() as u64 })
}

fn lay_out(width: usize, len: usize, keys: &[&[u8]], values: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let number = |number: usize| number.to_le_bytes()[..width].to_vec();
    let mut out = [number(values.len()), number(len)].concat();
    let mut offset = out.len() + keys.len() * (width + 2) + values.len() * (1 + width);
    for key in keys {
        out.extend(number(offset));
        // Servers refuse longer keys, and ours come from documents of theirs.
        out.extend((key.len() as u16).to_le_bytes());
        offset += key.len();
    }
    for (kind, content) in values {
        out.push(*kind);
        if is_inline(*kind, width) {
            let mut place = content.clone();
            // A negative number fills its place.
            let fill = if *kind == INT16 && content[1] & 0x80 != 0 { 0xff } else { 0 };
            place.resize(width, fill);
            out.extend(place);
        } else {
            out.extend(number(offset));
            offset += content.len();
        }
    }
    keys.iter().for_each(|key| out.extend_from_slice(key));
    let outside = values.iter().filter(|(kind, _)| !is_inline(*kind, width));
    outside.for_each(|(_, content)| out.extend_from_slice(content));
    debug_assert_eq!(out.len(), len);
    out
}

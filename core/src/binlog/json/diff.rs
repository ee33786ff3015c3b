//! Partial updates: what `binlog_row_value_options = PARTIAL_JSON` writes instead of a whole document.
//!
//! Differences come one behind the other: operation 1 byte (0 replace, 1 insert, 2 remove), the path
//! (packed length and text), and but for removals the value (packed length and document). Paths are
//! `$`, `.key`, `."key"` and `[index]`. Source: MySQL source documentation, `Json_diff`.

use super::*;
use crate::binlog::cursor::Cursor;

const REPLACE: u8 = 0;
const INSERT: u8 = 1;
const REMOVE: u8 = 2;

const NO_PATH: Malformed = Malformed::Invalid { what: "path of a partial JSON update", found: 0 };

/// One step of a path.
#[derive(Debug, PartialEq)]
enum Leg<'a> {
    Key(std::borrow::Cow<'a, str>),
    Index(usize),
}

/// The document after the differences.
///
/// # Errors
/// One of the three is malformed, or a path leads nowhere.
pub(in crate::binlog) fn apply(document: &[u8], diffs: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut cursor = Cursor::new(diffs, "partial JSON update");
    let mut steps = Vec::new();
    while !cursor.is_empty() {
        let operation = cursor.u8()?;
        let path = std::str::from_utf8(cursor.packed_bytes()?).map_err(|_| NO_PATH)?;
        let value = match operation {
            REPLACE | INSERT => Some(read::document(cursor.packed_bytes()?)?),
            REMOVE => None,
            other => return Err(cursor.invalid(u64::from(other))),
        };
        steps.push((operation, legs(path)?, value));
    }
    let mut json = read::document(document)?;
    // Keys live as long as what they are put into.
    for (operation, legs, value) in &steps {
        step(&mut json, *operation, legs, value.clone())?;
    }
    write::document(&json)
}

fn step<'a>(
    json: &mut Json<'a>,
    operation: u8,
    legs: &'a [Leg<'a>],
    value: Option<Json<'a>>,
) -> Result<(), Malformed> {
    let Some((last, way)) = legs.split_last() else {
        *json = value.filter(|_| operation == REPLACE).ok_or(NO_PATH)?;
        return Ok(());
    };
    let parent = way.iter().try_fold(json, child).ok_or(NO_PATH)?;
    match (operation, value) {
        (REPLACE, Some(value)) => *child(parent, last).ok_or(NO_PATH)? = value,
        (INSERT, Some(value)) => insert(parent, last, value)?,
        _ => remove(parent, last)?,
    }
    Ok(())
}

fn child<'j, 'a>(json: &'j mut Json<'a>, leg: &Leg<'_>) -> Option<&'j mut Json<'a>> {
    match (json, leg) {
        (Json::Object(members), Leg::Key(key)) => {
            let at = members.binary_search_by(|(other, _)| by_key(other, key.as_bytes())).ok()?;
            Some(&mut members[at].1)
        }
        (Json::Array(values), Leg::Index(index)) => values.get_mut(*index),
        _ => None,
    }
}

fn insert<'a>(parent: &mut Json<'a>, leg: &'a Leg<'a>, value: Json<'a>) -> Result<(), Malformed> {
    match (parent, leg) {
        (Json::Object(members), Leg::Key(key)) => {
            let at = members.binary_search_by(|(other, _)| by_key(other, key.as_bytes()));
            members.insert(at.err().ok_or(NO_PATH)?, (key.as_bytes(), value));
        }
        (Json::Array(values), Leg::Index(index)) => values.insert((*index).min(values.len()), value),
        _ => return Err(NO_PATH),
    }
    Ok(())
}

fn remove(parent: &mut Json<'_>, leg: &Leg<'_>) -> Result<(), Malformed> {
    match (parent, leg) {
        (Json::Object(members), Leg::Key(key)) => {
            let at = members.binary_search_by(|(other, _)| by_key(other, key.as_bytes()));
            members.remove(at.map_err(|_| NO_PATH)?);
        }
        (Json::Array(values), Leg::Index(index)) if *index < values.len() => {
            values.remove(*index);
        }
        _ => return Err(NO_PATH),
    }
    Ok(())
}

/// How the keys of an object are sorted.
fn by_key(a: &[u8], b: &[u8]) -> std::cmp::Ordering {
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

fn legs(path: &str) -> Result<Vec<Leg<'_>>, Malformed> {
    let mut rest = path.strip_prefix('$').ok_or(NO_PATH)?;
    let mut legs = Vec::new();
    while !rest.is_empty() {
        if legs.len() > DEPTH_MAX {
            return Err(NO_PATH);
        }
        if let Some(index) = rest.strip_prefix('[') {
            let (index, behind) = index.split_once(']').ok_or(NO_PATH)?;
            legs.push(Leg::Index(index.trim().parse().map_err(|_| NO_PATH)?));
            rest = behind;
        } else {
            let key = rest.strip_prefix('.').ok_or(NO_PATH)?;
            let len = if key.starts_with('"') {
                quoted_len(key)?
            } else {
                key.find(['.', '[']).unwrap_or(key.len())
            };
            let (key, behind) = key.split_at(len);
            legs.push(Leg::Key(match key.starts_with('"') {
                true => serde_json::from_str::<String>(key).map_err(|_| NO_PATH)?.into(),
                false => key.into(),
            }));
            rest = behind;
        }
    }
    Ok(legs)
}

/// Length of the JSON text in quotes at the front.
fn quoted_len(text: &str) -> Result<usize, Malformed> {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            '"' if !escaped => return Ok(at + 1),
            _ => escaped = c == '\\' && !escaped,
        }
    }
    Err(NO_PATH)
}

//! Character values by the weights of their collation.
//!
//! Weights were read from a MariaDB 10.11 server, one character at a time over the whole basic
//! plane, with `WEIGHT_STRING`, and are stored beside this file:
//! - `general_ci.bin`: pairs of big-endian `u16` (code point, weight), rising, for the characters of
//!   utf8mb3/utf8mb4_general_ci whose weight is not their code point;
//! - `unicode_ci.deflate`: raw DEFLATE; for each code point from 0 a count byte and that many
//!   big-endian `u16` weights of utf8mb3/utf8mb4_unicode_ci; count 255: the implicit weights of UCA;
//! - `bytewise.deflate`: raw DEFLATE; 256 weights of one byte for each collation of a character set of
//!   single bytes;
//! - `uca_520.deflate`, `uca_900.deflate`: those of whole Unicode, see [`uca`].
//!
//! A test on a real server compares every character and random pairs of strings.

use std::io::Read;
use std::sync::LazyLock;

mod list;
mod uca;

use list::{COLLATIONS, Collation, NO_PAD, NOPAD, Weights};
use uca::Uca;

/// Id of `binary`.
pub const BINARY: u16 = 63;

/// What every character outside the basic plane weighs.
const REPLACEMENT: u16 = 0xFFFD;
/// Stands for an ill-formed byte, followed by the byte. The server does not store ill-formed text;
/// no character's weights start so.
const ILL_FORMED: u16 = 0xDC00;
/// The space and characters like it in unicode_ci.
const UNICODE_SPACE: u16 = 0x0209;
/// The same in unicode_520_ci.
const UNICODE_520_SPACE: u16 = 0x020A;

fn find(collation: u16) -> Option<(&'static Collation, bool)> {
    let by_id = |id: u16| COLLATIONS.binary_search_by_key(&id, |c| c.id).ok().map(|at| &COLLATIONS[at]);
    let is_twin = collation >= NOPAD;
    let found = by_id(if is_twin { collation - NOPAD } else { collation })?;
    (!is_twin || !found.nopad_name.is_empty()).then_some((found, !is_twin))
}

/// Whether the collation with this id is weighed exactly.
pub fn supported(collation: u16) -> bool {
    collation == BINARY || find(collation).is_some()
}

/// Whether one value has the same weights in both collations: they are one, but for the character sets
/// utf8mb3 and utf8mb4, which write the characters that both have alike.
pub fn alike(a: u16, b: u16) -> bool {
    let utf8 = |id| find(id).filter(|(collation, _)| collation.name.starts_with("utf8mb"));
    let weighed_alike = || match (utf8(a), utf8(b)) {
        (Some((one, pads)), Some((other, other_pads))) => pads == other_pads && one.weights == other.weights,
        _ => false,
    };
    a == b || weighed_alike()
}

/// The names of all collations that are weighed exactly.
pub fn supported_names() -> &'static [&'static str] {
    static NAMES: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
        let both = COLLATIONS.iter().flat_map(|collation| [collation.name, collation.nopad_name]);
        std::iter::once("binary").chain(both.filter(|name| !name.is_empty())).collect()
    });
    &NAMES
}

/// The id of a supported collation.
pub fn id_of(name: &str) -> Option<u16> {
    if name == "binary" {
        return Some(BINARY);
    }
    COLLATIONS.iter().find_map(|collation| match name {
        "" => None,
        _ if name == collation.name => Some(collation.id),
        _ if name == collation.nopad_name => Some(collation.id + NOPAD),
        _ => None,
    })
}

/// Bytes that are equal for two values exactly if the collation says that the values are equal.
/// None: the collation is not supported.
pub fn weigh(collation: u16, value: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(value.len() * 2);
    weigh_into(&mut out, collation, value).then_some(out)
}

/// [`weigh`] behind what is in `out` already. False, and nothing written, if not supported.
pub fn weigh_into(out: &mut Vec<u8>, collation: u16, value: &[u8]) -> bool {
    if collation == BINARY {
        out.extend_from_slice(value);
        return true;
    }
    let Some((Collation { weights, .. }, pads)) = find(collation) else { return false };
    let from = out.len();
    let space: &[u8] = match weights {
        Weights::Bytes(space) => {
            out.extend_from_slice(value);
            space
        }
        Weights::Bytewise(table) => {
            let weights: &[u8] = &SINGLE_BYTES[table * 256..][..256];
            out.extend(value.iter().map(|byte| weights[usize::from(*byte)]));
            &weights[usize::from(b' ')..][..1]
        }
        Weights::Utf8General => {
            each_character(value, |character| match character {
                Ok(code) => {
                    put(out, u16::try_from(code).map_or(REPLACEMENT, |code| GENERAL[usize::from(code)]))
                }
                Err(byte) => put_ill_formed(out, byte),
            });
            &[0, b' ']
        }
        Weights::Utf8Unicode => {
            each_character(value, |character| match character {
                Ok(code) => put_unicode(out, code),
                Err(byte) => put_ill_formed(out, byte),
            });
            &const { UNICODE_SPACE.to_be_bytes() }
        }
        Weights::Uca520 => {
            Uca::V520.weigh_into(out, value, 1);
            &const { UNICODE_520_SPACE.to_be_bytes() }
        }
        Weights::Uca900 { levels } => {
            Uca::V900.weigh_into(out, value, *levels);
            NO_PAD
        }
    };
    if pads && !space.is_empty() {
        while out.len() >= from + space.len() && out.ends_with(space) {
            out.truncate(out.len() - space.len());
        }
    }
    true
}

fn put(out: &mut Vec<u8>, weight: u16) {
    out.extend_from_slice(&weight.to_be_bytes());
}

fn put_ill_formed(out: &mut Vec<u8>, byte: u8) {
    put(out, ILL_FORMED);
    put(out, u16::from(byte));
}

/// The characters of UTF-8 text, ill-formed bytes one by one as `Err`.
fn each_character(text: &[u8], mut each: impl FnMut(Result<u32, u8>)) {
    for chunk in text.utf8_chunks() {
        chunk.valid().chars().for_each(|character| each(Ok(u32::from(character))));
        chunk.invalid().iter().for_each(|byte| each(Err(*byte)));
    }
}

/// The weights of all bytes, one collation of single bytes after the other.
static SINGLE_BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| unpack(include_bytes!("bytewise.deflate")));

fn unpack(packed: &[u8]) -> Vec<u8> {
    let mut table = Vec::new();
    flate2::read::DeflateDecoder::new(packed)
        .read_to_end(&mut table)
        .expect("the table that was built in is whole");
    table
}

/// utf8mb3/utf8mb4_general_ci's weight of each character of the basic plane.
static GENERAL: LazyLock<Vec<u16>> = LazyLock::new(|| {
    let mut weights: Vec<u16> = (0..=u16::MAX).collect();
    for pair in include_bytes!("general_ci.bin").chunks_exact(4) {
        weights[usize::from(u16::from_be_bytes([pair[0], pair[1]]))] = u16::from_be_bytes([pair[2], pair[3]]);
    }
    weights
});

/// The table of unicode_ci, unpacked: where each character's entry begins, and the entries.
static UNICODE: LazyLock<(Vec<u32>, Vec<u8>)> = LazyLock::new(|| {
    let entries = unpack(include_bytes!("unicode_ci.deflate"));
    let mut starts = Vec::with_capacity(0x1_0000);
    let mut at = 0;
    while at < entries.len() {
        starts.push(at as u32);
        let count = entries[at];
        at += 1 + if count == IMPLICIT { 0 } else { usize::from(count) * 2 };
    }
    (starts, entries)
});

/// Count byte of characters whose weights follow from their code points.
const IMPLICIT: u8 = 255;

fn put_unicode(out: &mut Vec<u8>, code: u32) {
    let (starts, entries) = &*UNICODE;
    let Some(start) = starts.get(code as usize) else { return put(out, REPLACEMENT) };
    let start = *start as usize;
    let count = entries[start];
    if count != IMPLICIT {
        out.extend_from_slice(&entries[start + 1..start + 1 + usize::from(count) * 2]);
        return;
    }
    // UTS 10, "implicit weights": the base tells ideographs apart from everything else.
    let base = match code {
        0x4E00..=0x9FA5 => 0xFB40,
        0x3400..=0x4DB5 => 0xFB80,
        _ => 0xFBC0,
    };
    put(out, base + (code >> 15) as u16);
    put(out, (code & 0x7FFF) as u16 | 0x8000);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn equal(name: &str, a: &str, b: &str) -> bool {
        let id = id_of(name).expect("a supported collation");
        weigh(id, a.as_bytes()) == weigh(id, b.as_bytes())
    }

    #[test]
    fn collations_tell_apart_what_the_server_tells_apart() {
        for name in ["utf8mb4_general_ci", "utf8mb4_unicode_ci"] {
            assert!(equal(name, "Straße", "STRASSE") == (name == "utf8mb4_unicode_ci"));
            assert!(equal(name, "Ärger", "arger"));
            assert!(equal(name, "a", "a  "));
            assert!(!equal(name, "a", "b"));
            assert!(!equal(name, "a", "a\t"));
            assert!(equal(name, "\u{1F600}", "\u{1F601}"));
        }
        for name in ["utf8mb4_unicode_520_ci", "utf8mb4_0900_ai_ci"] {
            assert!(equal(name, "Straße", "STRASSE") && equal(name, "Ärger", "arger"));
            assert!(!equal(name, "\u{1F600}", "\u{1F601}") && !equal(name, "a", "b"));
            assert!(equal(name, "a", "a ") == (name == "utf8mb4_unicode_520_ci"));
        }
        assert!(equal("utf8mb4_0900_as_ci", "Ä", "ä") && !equal("utf8mb4_0900_as_ci", "Ä", "a"));
        assert!(equal("utf8mb4_0900_as_cs", "Ä", "A\u{308}") && !equal("utf8mb4_0900_as_cs", "Ä", "ä"));
        assert!(!equal("utf8mb4_0900_bin", "a", "a ") && equal("utf8mb4_0900_bin", "a", "a"));
        assert!(!equal("utf8mb4_general_nopad_ci", "a", "a "));
        assert!(!equal("utf8mb4_bin", "a", "A"));
        assert!(equal("utf8mb4_bin", "a", "a "));
        assert!(!equal("utf8mb4_nopad_bin", "a", "a "));
        assert!(!equal("binary", "a", "a "));
        assert!(equal("latin1_swedish_ci", "a ", "A") && !equal("latin1_general_cs", "a", "A"));
        assert!(!equal("latin1_swedish_nopad_ci", "a ", "a"));
        assert!(equal("utf16_bin", "\0a\0 ", "\0a"));
        assert!(!equal("utf16_bin", "\0a \0", "\0a"));
    }

    #[test]
    fn ids_and_names_belong_together() {
        assert!(COLLATIONS.is_sorted_by_key(|collation| collation.id));
        assert!(supported_names().iter().all(|name| id_of(name).is_some_and(supported)));
        assert_eq!(id_of("utf8mb4_general_nopad_ci"), Some(1069));
        assert!(
            !supported(2) && !supported(31) && !supported(0) && !supported(63 + 1024) && !supported(u16::MAX)
        );
        assert_eq!(UNICODE.0.len(), 0x1_0000);
        let tables: Vec<usize> = COLLATIONS
            .iter()
            .filter_map(|collation| match collation.weights {
                Weights::Bytewise(table) => Some(table),
                _ => None,
            })
            .collect();
        assert!(tables.iter().copied().eq(0..tables.len()), "every table has its collation");
        assert_eq!(SINGLE_BYTES.len(), tables.len() * 256);
        assert!(supported(94) && !supported(94 + 1024), "latin1_spanish_ci has no twin");
        assert!(supported(255) && !supported(255 + 1024), "0900 has none either");
    }

    proptest! {
        #[test]
        fn no_bytes_make_weighing_panic(collation in any::<u16>(), value in proptest::collection::vec(any::<u8>(), 0..50)) {
            prop_assert_eq!(weigh(collation, &value).is_some(), supported(collation));
            for collation in [8, 11, 33, 45, 55, 192, 224, 246, 255, 278, 305, 309, 1248] {
                prop_assert!(weigh(collation, &value).is_some());
            }
        }
    }
}

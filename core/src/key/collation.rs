//! Character values by the weights of their collation.
//!
//! Weights were read from a MariaDB 10.11 server, one character at a time over the whole basic
//! plane, with `WEIGHT_STRING`, and are stored beside this file:
//! - `general_ci.bin`: pairs of big-endian `u16` (code point, weight), rising, for the characters of
//!   utf8mb3/utf8mb4_general_ci whose weight is not their code point;
//! - `unicode_ci.deflate`: raw DEFLATE; for each code point from 0 a count byte and that many
//!   big-endian `u16` weights of utf8mb3/utf8mb4_unicode_ci; count 255: the implicit weights of UCA.
//!
//! A test on a real server compares every character and random pairs of strings.

use std::io::Read;
use std::sync::LazyLock;

/// A collation that pads with spaces, and its twin that does not.
struct Collation {
    /// As `information_schema.collations.id`; the twin's is greater by [`NOPAD`].
    id: u16,
    name: &'static str,
    nopad_name: &'static str,
    weights: Weights,
}

/// The distance between the ids of a collation and its nopad twin.
const NOPAD: u16 = 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weights {
    /// The bytes themselves; a space is these bytes.
    Bytes(&'static [u8]),
    /// a-z as A-Z.
    AsciiGeneral,
    Latin1Swedish,
    /// One weight a character; all characters outside the basic plane are equal.
    Utf8General,
    /// Any number of weights a character (Unicode collation algorithm 4.0.0, first level); all
    /// characters outside the basic plane are equal.
    Utf8Unicode,
}

macro_rules! bin {
    ($id:expr, $charset:expr, $space:expr) => {
        Collation {
            id: $id,
            name: concat!($charset, "_bin"),
            nopad_name: concat!($charset, "_nopad_bin"),
            weights: Weights::Bytes($space),
        }
    };
}

macro_rules! ci {
    ($id:expr, $name:expr, $weights:expr) => {
        Collation {
            id: $id,
            name: concat!($name, "_ci"),
            nopad_name: concat!($name, "_nopad_ci"),
            weights: $weights,
        }
    };
}

/// Rising by id. `binary` (63) is apart: it has no twin and no padding.
static COLLATIONS: [Collation; 45] = [
    ci!(8, "latin1_swedish", Weights::Latin1Swedish),
    ci!(11, "ascii_general", Weights::AsciiGeneral),
    ci!(33, "utf8mb3_general", Weights::Utf8General),
    bin!(43, "macce", b" "),
    ci!(45, "utf8mb4_general", Weights::Utf8General),
    bin!(46, "utf8mb4", b" "),
    bin!(47, "latin1", b" "),
    bin!(50, "cp1251", b" "),
    bin!(53, "macroman", b" "),
    bin!(55, "utf16", b"\0 "),
    bin!(58, "cp1257", b" "),
    bin!(61, "utf32", b"\0\0\0 "),
    bin!(62, "utf16le", b" \0"),
    bin!(64, "armscii8", b" "),
    bin!(65, "ascii", b" "),
    bin!(66, "cp1250", b" "),
    bin!(67, "cp1256", b" "),
    bin!(68, "cp866", b" "),
    bin!(69, "dec8", b" "),
    bin!(70, "greek", b" "),
    bin!(71, "hebrew", b" "),
    bin!(72, "hp8", b" "),
    bin!(73, "keybcs2", b" "),
    bin!(74, "koi8r", b" "),
    bin!(75, "koi8u", b" "),
    bin!(77, "latin2", b" "),
    bin!(78, "latin5", b" "),
    bin!(79, "latin7", b" "),
    bin!(80, "cp850", b" "),
    bin!(81, "cp852", b" "),
    bin!(82, "swe7", b" "),
    bin!(83, "utf8mb3", b" "),
    bin!(84, "big5", b" "),
    bin!(85, "euckr", b" "),
    bin!(86, "gb2312", b" "),
    bin!(87, "gbk", b" "),
    bin!(88, "sjis", b" "),
    bin!(89, "tis620", b" "),
    bin!(90, "ucs2", b"\0 "),
    bin!(91, "ujis", b" "),
    bin!(93, "geostd8", b" "),
    bin!(96, "cp932", b" "),
    bin!(98, "eucjpms", b" "),
    ci!(192, "utf8mb3_unicode", Weights::Utf8Unicode),
    ci!(224, "utf8mb4_unicode", Weights::Utf8Unicode),
];

/// Id of `binary`.
pub const BINARY: u16 = 63;

/// What every character outside the basic plane weighs.
const REPLACEMENT: u16 = 0xFFFD;
/// Stands for an ill-formed byte, followed by the byte. The server does not store ill-formed text;
/// no character's weights start so.
const ILL_FORMED: u16 = 0xDC00;
/// The space and characters like it in unicode_ci.
const UNICODE_SPACE: u16 = 0x0209;

fn find(collation: u16) -> Option<(&'static Collation, bool)> {
    let by_id = |id: u16| COLLATIONS.binary_search_by_key(&id, |c| c.id).ok().map(|at| &COLLATIONS[at]);
    let pads = collation < NOPAD;
    by_id(if pads { collation } else { collation - NOPAD }).map(|found| (found, pads))
}

/// Whether the collation with this id is weighed exactly.
pub fn supported(collation: u16) -> bool {
    collation == BINARY || find(collation).is_some()
}

/// The names of all collations that are weighed exactly.
pub fn supported_names() -> &'static [&'static str] {
    static NAMES: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
        let both = COLLATIONS.iter().flat_map(|collation| [collation.name, collation.nopad_name]);
        std::iter::once("binary").chain(both).collect()
    });
    &NAMES
}

/// The id of a supported collation.
pub fn id_of(name: &str) -> Option<u16> {
    if name == "binary" {
        return Some(BINARY);
    }
    COLLATIONS.iter().find_map(|collation| match name {
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
        Weights::AsciiGeneral => {
            out.extend(value.iter().map(u8::to_ascii_uppercase));
            b" "
        }
        Weights::Latin1Swedish => {
            out.extend(value.iter().map(|byte| latin1_swedish(*byte)));
            b" "
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
    };
    if pads {
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

/// latin1_swedish_ci's weight of a byte.
fn latin1_swedish(byte: u8) -> u8 {
    match byte {
        b'a'..=b'z' => byte - 0x20,
        0xC0..=0xC3 | 0xE0..=0xE3 => b'A',
        0xC4 | 0xC6 | 0xE4 | 0xE6 => 0x5C,
        0xC5 | 0xE5 => 0x5B,
        0xC7 | 0xE7 => b'C',
        0xC8..=0xCB | 0xE8..=0xEB => b'E',
        0xCC..=0xCF | 0xEC..=0xEF => b'I',
        0xD0 | 0xF0 => b'D',
        0xD1 | 0xF1 => b'N',
        0xD2..=0xD5 | 0xF2..=0xF5 => b'O',
        0xD6 | 0xF6 => 0x5D,
        0xD9..=0xDB | 0xF9..=0xFB => b'U',
        0xDC | 0xDD | 0xFC | 0xFD => b'Y',
        0xF8 => 0xD8,
        0xFE => 0xDE,
        other => other,
    }
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
    let mut entries = Vec::new();
    flate2::read::DeflateDecoder::new(&include_bytes!("unicode_ci.deflate")[..])
        .read_to_end(&mut entries)
        .expect("the table that was built in is whole");
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
        assert!(!equal("utf8mb4_general_nopad_ci", "a", "a "));
        assert!(!equal("utf8mb4_bin", "a", "A"));
        assert!(equal("utf8mb4_bin", "a", "a "));
        assert!(!equal("utf8mb4_nopad_bin", "a", "a "));
        assert!(!equal("binary", "a", "a "));
        assert!(equal("utf16_bin", "\0a\0 ", "\0a"));
        assert!(!equal("utf16_bin", "\0a \0", "\0a"));
    }

    #[test]
    fn ids_and_names_belong_together() {
        assert!(COLLATIONS.is_sorted_by_key(|collation| collation.id));
        assert!(supported_names().iter().all(|name| id_of(name).is_some_and(supported)));
        assert_eq!(id_of("utf8mb4_general_nopad_ci"), Some(1069));
        assert!(!supported(31) && !supported(0) && !supported(63 + 1024) && !supported(u16::MAX));
        assert_eq!(UNICODE.0.len(), 0x1_0000);
    }

    proptest! {
        #[test]
        fn no_bytes_make_weighing_panic(collation in any::<u16>(), value in proptest::collection::vec(any::<u8>(), 0..50)) {
            prop_assert_eq!(weigh(collation, &value).is_some(), supported(collation));
            for collation in [8, 11, 33, 45, 55, 192, 224, 1248] {
                prop_assert!(weigh(collation, &value).is_some());
            }
        }
    }
}

//! Weights of the Unicode collation algorithm beyond the basic plane: 5.2.0 and 9.0.0.
//!
//! The tables were read from a MySQL 9.7 server with `WEIGHT_STRING`, a character at a time; neither
//! collation joins characters (no contractions), so that the weights of a text are those of its
//! characters. Raw DEFLATE of one entry for each code point from 0:
//!
//! | bytes | what |
//! |---|---|
//! | 1 | number of weights of the first level, or 253, 254, 255: implicit weights (UTS 10) with base FB40, FB80, FBC0 |
//! | 1, 1 | numbers of the second and third level; not with implicit weights |
//! | 2 each | the weights, big-endian, level by level |
//!
//! Code points behind the table's end have base FBC0, but for the tags and variation selectors of
//! plane 14, which weigh nothing.

use std::sync::LazyLock;

use super::{each_character, put, put_ill_formed, unpack};

/// A table of weights by code point.
pub(super) struct Table {
    /// Where each code point's entry begins.
    starts: Vec<u32>,
    entries: Vec<u8>,
}

static UCA_520: LazyLock<Table> = LazyLock::new(|| Table::of(include_bytes!("uca_520.deflate")));
static UCA_900: LazyLock<Table> = LazyLock::new(|| Table::of(include_bytes!("uca_900.deflate")));

/// The version of the algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Uca {
    V520,
    V900,
}

const LEVELS: usize = 3;
/// The first count of entries with implicit weights.
const IMPLICIT: u8 = 253;
/// The weights of the second and third level that go with implicit ones.
const IMPLICIT_LOWER: [u16; 2] = [0x0020, 0x0002];

impl Table {
    fn of(packed: &[u8]) -> Table {
        let entries = unpack(packed);
        let mut starts = Vec::new();
        let mut at = 0;
        while at < entries.len() {
            starts.push(at as u32);
            at += match entries[at] {
                IMPLICIT.. => 1,
                _ => {
                    LEVELS
                        + 2 * entries[at..at + LEVELS].iter().map(|count| usize::from(*count)).sum::<usize>()
                }
            };
        }
        Table { starts, entries }
    }

    /// Writes the character's weights of one level, counted from 0.
    fn put(&self, out: &mut Vec<u8>, code: u32, level: usize) {
        let entry = self.starts.get(code as usize).map(|start| &self.entries[*start as usize..]);
        let base = match entry {
            Some(entry) if entry[0] >= IMPLICIT => 0xFB40 + 0x40 * u32::from(entry[0] - IMPLICIT),
            Some(entry) => {
                let counts = entry[..LEVELS].iter().map(|count| 2 * usize::from(*count));
                let before: usize = LEVELS + counts.clone().take(level).sum::<usize>();
                let bytes = counts.clone().nth(level).expect("a level of three");
                out.extend_from_slice(&entry[before..before + bytes]);
                return;
            }
            None if weighs_nothing(code) => return,
            None => 0xFBC0,
        };
        match level.checked_sub(1) {
            Some(lower) => put(out, IMPLICIT_LOWER[lower]),
            None => {
                put(out, (base + (code >> 15)) as u16);
                put(out, (code & 0x7FFF) as u16 | 0x8000);
            }
        }
    }
}

impl Uca {
    fn table(self) -> &'static Table {
        match self {
            Uca::V520 => &UCA_520,
            Uca::V900 => &UCA_900,
        }
    }

    /// Writes the weights of a text, the first `levels` (1 to 3) one after the other with a zero
    /// between, which is no weight.
    pub(super) fn weigh_into(self, out: &mut Vec<u8>, text: &[u8], levels: usize) {
        let table = self.table();
        for level in 0..levels {
            if level > 0 {
                put(out, 0);
            }
            each_character(text, |character| match character {
                Ok(code) => table.put(out, code, level),
                Err(byte) if level == 0 => put_ill_formed(out, byte),
                Err(_) => {}
            });
        }
    }
}

/// Tags and variation selectors.
fn weighs_nothing(code: u32) -> bool {
    matches!(code, 0xE0001 | 0xE0020..=0xE007F | 0xE0100..=0xE01EF)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights(version: Uca, text: &str, levels: usize) -> String {
        let mut out = Vec::new();
        version.weigh_into(&mut out, text.as_bytes(), levels);
        out.iter().map(|byte| format!("{byte:02X}")).collect()
    }

    /// What `HEX(WEIGHT_STRING(…))` answers on MySQL 9.7.
    #[test]
    fn weights_are_those_of_the_server() {
        assert_eq!(weights(Uca::V900, "aÄ", 3), "1C471C47000000200020002B0000000200080002");
        assert_eq!(weights(Uca::V900, "aÄ", 2), "1C471C47000000200020002B");
        assert_eq!(weights(Uca::V900, "aÄ", 1), "1C471C47");
        assert_eq!(weights(Uca::V900, "각", 3), "3BF53C733CD100000020002000200000000200020002");
        assert_eq!(weights(Uca::V900, "漢", 3), "FB40EF220000002000000002");
        assert_eq!(weights(Uca::V900, "", 3), "00000000");
        assert_eq!(weights(Uca::V900, "\u{E0101}\u{10FFFF}", 1), "FBE1FFFF");
        assert_eq!(UCA_900.starts.len(), UCA_520.starts.len());
    }
}

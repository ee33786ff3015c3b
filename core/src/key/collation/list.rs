//! The collations that are weighed exactly.

/// A collation that pads with spaces, and its twin that does not.
pub(super) struct Collation {
    /// As `information_schema.collations.id`; the twin's is greater by [`NOPAD`].
    pub id: u16,
    pub name: &'static str,
    /// Empty: it has no twin.
    pub nopad_name: &'static str,
    pub weights: Weights,
}

/// The distance between the ids of a collation and its nopad twin.
pub(super) const NOPAD: u16 = 1024;

/// In place of a space: those at the end of a value count.
pub(super) const NO_PAD: &[u8] = &[];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weights {
    /// The bytes themselves; a space is these bytes, or [`NO_PAD`].
    Bytes(&'static [u8]),
    /// A weight of one byte for each byte: the table with this number.
    Bytewise(usize),
    /// One weight a character; all characters outside the basic plane are equal.
    Utf8General,
    /// Any number of weights a character (Unicode collation algorithm 4.0.0, first level); all
    /// characters outside the basic plane are equal.
    Utf8Unicode,
    /// Unicode collation algorithm 5.2.0, first level.
    Uca520,
    /// Unicode collation algorithm 9.0.0, the first of its levels (1 to 3). Spaces at the end count.
    Uca900 { levels: usize },
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

macro_rules! uca900 {
    ($id:expr, $name:expr, $weights:expr) => {
        Collation { id: $id, name: concat!("utf8mb4_0900_", $name), nopad_name: "", weights: $weights }
    };
}

macro_rules! bytewise {
    ($id:expr, $name:expr, $nopad_name:expr, $table:expr) => {
        Collation { id: $id, name: $name, nopad_name: $nopad_name, weights: Weights::Bytewise($table) }
    };
}

/// Rising by id. `binary` (63) is apart: it has no twin and no padding.
pub(super) static COLLATIONS: [Collation; 88] = [
    bytewise!(3, "dec8_swedish_ci", "dec8_swedish_nopad_ci", 0),
    bytewise!(4, "cp850_general_ci", "cp850_general_nopad_ci", 1),
    bytewise!(5, "latin1_german1_ci", "", 2),
    bytewise!(6, "hp8_english_ci", "hp8_english_nopad_ci", 3),
    bytewise!(7, "koi8r_general_ci", "koi8r_general_nopad_ci", 4),
    bytewise!(8, "latin1_swedish_ci", "latin1_swedish_nopad_ci", 5),
    bytewise!(9, "latin2_general_ci", "latin2_general_nopad_ci", 6),
    bytewise!(10, "swe7_swedish_ci", "swe7_swedish_nopad_ci", 7),
    bytewise!(11, "ascii_general_ci", "ascii_general_nopad_ci", 8),
    bytewise!(14, "cp1251_bulgarian_ci", "", 9),
    bytewise!(15, "latin1_danish_ci", "", 10),
    bytewise!(16, "hebrew_general_ci", "hebrew_general_nopad_ci", 11),
    bytewise!(20, "latin7_estonian_cs", "", 12),
    bytewise!(21, "latin2_hungarian_ci", "", 13),
    bytewise!(22, "koi8u_general_ci", "koi8u_general_nopad_ci", 14),
    bytewise!(23, "cp1251_ukrainian_ci", "", 15),
    bytewise!(25, "greek_general_ci", "greek_general_nopad_ci", 16),
    bytewise!(26, "cp1250_general_ci", "cp1250_general_nopad_ci", 17),
    bytewise!(27, "latin2_croatian_ci", "", 18),
    bytewise!(29, "cp1257_lithuanian_ci", "", 19),
    bytewise!(30, "latin5_turkish_ci", "latin5_turkish_nopad_ci", 20),
    bytewise!(32, "armscii8_general_ci", "armscii8_general_nopad_ci", 21),
    ci!(33, "utf8mb3_general", Weights::Utf8General),
    bytewise!(36, "cp866_general_ci", "cp866_general_nopad_ci", 22),
    bytewise!(37, "keybcs2_general_ci", "keybcs2_general_nopad_ci", 23),
    bytewise!(38, "macce_general_ci", "macce_general_nopad_ci", 24),
    bytewise!(39, "macroman_general_ci", "macroman_general_nopad_ci", 25),
    bytewise!(40, "cp852_general_ci", "cp852_general_nopad_ci", 26),
    bytewise!(41, "latin7_general_ci", "latin7_general_nopad_ci", 27),
    bytewise!(42, "latin7_general_cs", "", 28),
    bin!(43, "macce", b" "),
    bytewise!(44, "cp1250_croatian_ci", "", 29),
    ci!(45, "utf8mb4_general", Weights::Utf8General),
    bin!(46, "utf8mb4", b" "),
    bin!(47, "latin1", b" "),
    bytewise!(48, "latin1_general_ci", "", 30),
    bytewise!(49, "latin1_general_cs", "", 31),
    bin!(50, "cp1251", b" "),
    bytewise!(51, "cp1251_general_ci", "cp1251_general_nopad_ci", 32),
    bytewise!(52, "cp1251_general_cs", "", 33),
    bin!(53, "macroman", b" "),
    bin!(55, "utf16", b"\0 "),
    bytewise!(57, "cp1256_general_ci", "cp1256_general_nopad_ci", 34),
    bin!(58, "cp1257", b" "),
    bytewise!(59, "cp1257_general_ci", "cp1257_general_nopad_ci", 35),
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
    bytewise!(92, "geostd8_general_ci", "geostd8_general_nopad_ci", 36),
    bin!(93, "geostd8", b" "),
    bytewise!(94, "latin1_spanish_ci", "", 37),
    bin!(96, "cp932", b" "),
    bin!(98, "eucjpms", b" "),
    bytewise!(99, "cp1250_polish_ci", "", 38),
    ci!(192, "utf8mb3_unicode", Weights::Utf8Unicode),
    ci!(214, "utf8mb3_unicode_520", Weights::Uca520),
    ci!(224, "utf8mb4_unicode", Weights::Utf8Unicode),
    ci!(246, "utf8mb4_unicode_520", Weights::Uca520),
    uca900!(255, "ai_ci", Weights::Uca900 { levels: 1 }),
    uca900!(278, "as_cs", Weights::Uca900 { levels: 3 }),
    uca900!(305, "as_ci", Weights::Uca900 { levels: 2 }),
    uca900!(309, "bin", Weights::Bytes(NO_PAD)),
];

//! Text in many character sets, and bytes.

use super::{Column, Family, keyed, plain};
use crate::servers::Flavour;

const SHORT_TEXT: &[Column] = &[
    keyed("CHAR(10) COLLATE utf8mb4_general_ci", &["''", "'ab  '", "'Zoë'", "'😀'", "REPEAT('x', 10)"]),
    keyed("CHAR(255) COLLATE utf8mb4_bin", &["''", "REPEAT('é', 255)", "REPEAT('😀', 255)"]),
    keyed("CHAR(5) CHARACTER SET latin1", &["''", "'ä'", "'ÿ€'", "'a b'"]),
    keyed("CHAR(20) CHARACTER SET ucs2 COLLATE ucs2_bin", &["''", "'ąб'", "'a '"]),
    keyed("VARCHAR(20) COLLATE utf8mb4_general_ci", &["''", "'a'", "'b '", "'it''s \\\\ \\n'", "'\\0x'"]),
    keyed("VARCHAR(60) COLLATE utf8mb4_nopad_bin", &["''", "'a'", "'a '", "'A'", "' '"])
        .only(Flavour::MariaDb),
    plain("VARCHAR(60) COLLATE utf8mb4_0900_bin", &["''", "'a'", "'a '", "'A'", "' '"]).only(Flavour::MySql),
    plain("VARCHAR(60) COLLATE utf8mb4_0900_ai_ci", &["''", "'a'", "'Ä '", "'😀'"]).only(Flavour::MySql),
    plain("CHAR(60) COLLATE utf8mb4_ja_0900_as_cs_ks", &["''", "'かな'", "'カナ '"]).only(Flavour::MySql),
    plain("VARCHAR(60) COLLATE utf8mb4_general_ci", &["'trail  '", "'trail'", "'trail\\t'"]),
    keyed("VARCHAR(600) COLLATE utf8mb4_unicode_ci", &["REPEAT('ü', 600)", "'straße'", "'x'"]),
    keyed("VARCHAR(60) CHARACTER SET utf8mb3 COLLATE utf8mb3_general_ci", &["'漢字'", "'é'", "''"]),
    keyed("VARCHAR(60) CHARACTER SET ascii", &["'plain'", "'~'", "''"]),
    plain("VARCHAR(4000) COLLATE utf8mb4_general_ci", &["REPEAT('漢', 4000)", "'x'"]),
];

const CHARSETS: &[Column] = &[
    keyed("VARCHAR(60) CHARACTER SET latin1 COLLATE latin1_swedish_ci", &["'naïve'", "'ÆØÅ'", "'€'"]),
    keyed("VARCHAR(60) CHARACTER SET latin2 COLLATE latin2_bin", &["'łódź'", "'Ł'"]),
    keyed("VARCHAR(60) CHARACTER SET cp1251 COLLATE cp1251_bin", &["'Привет'", "'Ё'", "'№'"]),
    keyed("VARCHAR(60) CHARACTER SET koi8r COLLATE koi8r_bin", &["'Привет'", "'ё'"]),
    keyed("VARCHAR(60) CHARACTER SET cp1250 COLLATE cp1250_bin", &["'žluť'", "'€'"]),
    keyed("VARCHAR(60) CHARACTER SET greek COLLATE greek_bin", &["'αβγ'", "'Ω'"]),
    keyed("VARCHAR(60) CHARACTER SET hebrew COLLATE hebrew_bin", &["'שלום'", "'א'"]),
    keyed("VARCHAR(60) CHARACTER SET tis620 COLLATE tis620_bin", &["'ไทย'", "'ก'"]),
    keyed("VARCHAR(60) CHARACTER SET sjis COLLATE sjis_bin", &["'テスト'", "'表'", "'ｱ'"]),
    keyed("VARCHAR(60) CHARACTER SET cp932 COLLATE cp932_bin", &["'①'", "'～'"]),
    keyed("VARCHAR(60) CHARACTER SET ujis COLLATE ujis_bin", &["'漢字'", "'か'"]),
    keyed("VARCHAR(60) CHARACTER SET euckr COLLATE euckr_bin", &["'한국'", "'가'"]),
    keyed("VARCHAR(60) CHARACTER SET gbk COLLATE gbk_bin", &["'汉字'", "'誠'"]),
    keyed("VARCHAR(60) CHARACTER SET big5 COLLATE big5_bin", &["'漢字'", "'功'"]),
    plain("VARCHAR(60) CHARACTER SET gb18030 COLLATE gb18030_bin", &["'汉字'", "'😀'"]).only(Flavour::MySql),
    keyed("VARCHAR(60) CHARACTER SET ucs2 COLLATE ucs2_bin", &["'ąб漢'", "'a'", "'a\\0'"]),
    keyed("VARCHAR(60) CHARACTER SET utf16 COLLATE utf16_bin", &["'😀'", "'a'", "'ą'"]),
    keyed("VARCHAR(60) CHARACTER SET utf16le COLLATE utf16le_bin", &["'😀'", "'a'"]),
    keyed("VARCHAR(60) CHARACTER SET utf32 COLLATE utf32_bin", &["'😀'", "'a'"]),
];

const LONG_TEXT: &[Column] = &[
    plain("TINYTEXT COLLATE utf8mb4_general_ci", &["''", "REPEAT('t', 255)"]),
    plain("TEXT CHARACTER SET sjis", &["'テスト'", "REPEAT('表', 20000)", "''"]),
    plain(
        "MEDIUMTEXT COLLATE utf8mb4_unicode_ci",
        &["REPEAT('m', 70000)", "'trail '", "REPEAT('😀', 30000)"],
    ),
    plain("LONGTEXT COLLATE utf8mb4_nopad_bin", &["'trail '", "REPEAT('l', 100000)"]).only(Flavour::MariaDb),
    plain("LONGTEXT COLLATE utf8mb4_0900_as_cs", &["'trail '", "REPEAT('l', 100000)"]).only(Flavour::MySql),
    plain("TEXT CHARACTER SET utf16", &["'😀'", "REPEAT('ą', 5000)"]),
];

const BYTES: &[Column] = &[
    keyed("BINARY(4)", &["X''", "X'01000000'", "X'00000001'", "X'20202020'"]),
    keyed("BINARY(255)", &["X''", "CONCAT(X'00', REPEAT('z', 200), X'0000')", "REPEAT(X'FF', 255)"]),
    keyed("VARBINARY(300)", &["X''", "X'00'", "X'0000'", "X'00FF00'", "X'20'", "REPEAT(X'AB', 300)"]),
    keyed("VARCHAR(30) CHARACTER SET binary", &["X'FF00'", "'a'", "'a '"]),
    plain("TINYBLOB", &["X''", "X'00'", "REPEAT(X'FF', 255)"]),
    plain("BLOB", &["X''", "REPEAT(X'FF00', 30000)"]),
    plain("MEDIUMBLOB", &["X'27'", "REPEAT(X'5C', 70000)"]),
    plain("LONGBLOB", &["X'0D0A'", "REPEAT(X'1A', 100000)"]),
];

const COMPRESSED: &[Column] = &[
    plain(
        "VARCHAR(500) COMPRESSED COLLATE utf8mb4_general_ci",
        &["''", "'ab'", "REPEAT('q', 400)", "REPEAT('é', 400)"],
    )
    .only(Flavour::MariaDb),
    plain("VARBINARY(500) COMPRESSED", &["X''", "X'00FF'", "REPEAT(X'00', 400)"]).only(Flavour::MariaDb),
    plain("TEXT COMPRESSED COLLATE utf8mb4_general_ci", &["''", "REPEAT('w', 5000)"]).only(Flavour::MariaDb),
    plain("BLOB COMPRESSED", &["X''", "REPEAT(X'00FF', 5000)", "'short'"]).only(Flavour::MariaDb),
    plain("LONGBLOB COMPRESSED", &["REPEAT('w', 100000)", "X'FF'"]).only(Flavour::MariaDb),
];

pub(super) const FAMILIES: &[Family] = &[
    Family { types: "CHAR, VARCHAR", as_key: "by collation, below", note: "", columns: SHORT_TEXT },
    Family {
        types: "the same in latin1, latin2, cp1250, cp1251, koi8r, greek, hebrew, tis620, sjis, cp932, ujis, euckr, \
                gbk, big5, ucs2, utf16, utf16le, utf32; gb18030 (MySQL)",
        as_key: "by collation, below",
        note: "the bytes, never converted",
        columns: CHARSETS,
    },
    Family { types: "TINYTEXT to LONGTEXT", as_key: "no", note: "", columns: LONG_TEXT },
    Family {
        types: "BINARY, VARBINARY, TINYBLOB to LONGBLOB",
        as_key: "BINARY, VARBINARY",
        note: "",
        columns: BYTES,
    },
    Family {
        types: "COMPRESSED columns",
        as_key: "no",
        note: "by SQL the target compresses again",
        columns: COMPRESSED,
    },
];

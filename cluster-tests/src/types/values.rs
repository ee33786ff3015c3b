//! Numbers, times, labels, and the types of fixed form.

use super::{Column, Family, keyed, plain};

const INTEGERS: &[Column] = &[
    keyed("TINYINT", &["-128", "-1", "0", "127"]),
    keyed("TINYINT UNSIGNED", &["0", "127", "128", "255"]),
    keyed("SMALLINT", &["-32768", "-1", "0", "32767"]),
    keyed("SMALLINT UNSIGNED", &["0", "32768", "65535"]),
    keyed("MEDIUMINT", &["-8388608", "-1", "0", "8388607"]),
    keyed("MEDIUMINT UNSIGNED", &["0", "8388608", "16777215"]),
    keyed("INT", &["-2147483648", "-1", "0", "2147483647"]),
    keyed("INT UNSIGNED", &["0", "2147483648", "4294967295"]),
    keyed("BIGINT", &["-9223372036854775808", "-1", "0", "9223372036854775807"]),
    keyed("BIGINT UNSIGNED", &["0", "9223372036854775808", "18446744073709551615"]),
    keyed("BIGINT(20) UNSIGNED ZEROFILL", &["0", "42", "18446744073709551615"]),
    keyed("BOOLEAN", &["TRUE", "FALSE", "-128"]),
];

const DECIMALS: &[Column] = &[
    keyed(
        "DECIMAL(65,30)",
        &[
            "-12345678901234567890123456789012345.123456789012345678901234567891",
            "99999999999999999999999999999999999.999999999999999999999999999999",
            "0.000000000000000000000000000001",
            "-0.000000000000000000000000000001",
            "0",
        ],
    ),
    keyed(
        "DECIMAL(65,0)",
        &["-99999999999999999999999999999999999999999999999999999999999999999", "0", "1e64"],
    ),
    keyed("DECIMAL(5,5)", &["-0.99999", "0.00001", "0"]),
    keyed("DECIMAL(19,9) UNSIGNED", &["0", "0.000000001", "9999999999.999999999"]),
    keyed("DECIMAL(10,2) ZEROFILL", &["0", "1.5", "99999999.99"]),
];

const FLOATS: &[Column] = &[
    keyed("FLOAT", &["0", "0.1", "-1.17549435e-38", "3.40282347e38", "1.40129846e-45", "16777217"]),
    plain("FLOAT", &["-0e0", "0"]),
    keyed("FLOAT(7,3)", &["-1234.567", "0.001", "9999.999"]),
    keyed(
        "DOUBLE",
        &[
            "0",
            "0.1",
            "-2.2250738585072014e-308",
            "1.7976931348623157e308",
            "4.9406564584124654e-324",
            "9007199254740993",
        ],
    ),
    plain("DOUBLE", &["-0e0", "0"]),
    keyed("DOUBLE UNSIGNED", &["0", "1e-300", "1e300"]),
];

const BITS: &[Column] = &[
    keyed("BIT(1)", &["b'0'", "b'1'"]),
    keyed("BIT(9)", &["b'0'", "b'100000000'", "b'111111111'"]),
    keyed("BIT(63)", &["b'0'", "0x7FFFFFFFFFFFFFFF"]),
    keyed("BIT(64)", &["b'0'", "b'1'", "0x8000000000000000", "0xFFFFFFFFFFFFFFFF"]),
];

const TIMES: &[Column] = &[
    keyed(
        "DATE",
        &["'0000-00-00'", "'2024-00-00'", "'2023-02-31'", "'0001-01-01'", "'2024-02-29'", "'9999-12-31'"],
    ),
    keyed("TIME", &["'-838:59:59'", "'-00:00:01'", "'00:00:00'", "'838:59:59'"]),
    keyed("TIME(1)", &["'-01:02:03.4'", "'00:00:00.1'", "'838:59:59.9'"]),
    keyed("TIME(3)", &["'-00:00:00.001'", "'-100:00:00.999'", "'12:34:56.789'"]),
    keyed("TIME(6)", &["'-838:59:59.999999'", "'-00:00:00.000001'", "'00:00:00'", "'10:00:00.000010'"]),
    keyed(
        "DATETIME",
        &[
            "'0000-00-00 00:00:00'",
            "'2024-00-00 01:02:03'",
            "'2023-02-31 23:59:59'",
            "'1000-01-01 00:00:00'",
            "'9999-12-31 23:59:59'",
        ],
    ),
    keyed("DATETIME(2)", &["'2024-02-29 12:34:56.78'", "'0000-00-00 00:00:00'", "'9999-12-31 23:59:59.99'"]),
    keyed("DATETIME(5)", &["'1969-12-31 23:59:59.99999'", "'2024-02-29 00:00:00.00001'"]),
    keyed(
        "DATETIME(6)",
        &["'1000-01-01 00:00:00.000001'", "'9999-12-31 23:59:59.999999'", "'2024-06-30 23:59:59.500000'"],
    ),
    keyed(
        "TIMESTAMP NULL DEFAULT NULL",
        &[
            "'0000-00-00 00:00:00'",
            "'1970-01-01 00:00:01'",
            "'2024-03-31 01:30:00'",
            "'2024-10-27 00:30:00'",
            "'2038-01-19 03:14:07'",
        ],
    ),
    keyed("TIMESTAMP(1) NULL DEFAULT NULL", &["'1970-01-01 00:00:01.9'", "'2024-03-01 00:00:00.1'"]),
    keyed("TIMESTAMP(4) NULL DEFAULT NULL", &["'2000-02-29 23:59:59.9999'", "'2024-03-01 00:00:00.0001'"]),
    keyed(
        "TIMESTAMP(6) NULL DEFAULT NULL",
        &["'1970-01-01 00:00:01.000001'", "'2038-01-19 03:14:07.999999'", "'0000-00-00 00:00:00'"],
    ),
    keyed("YEAR", &["0", "1901", "2024", "2155"]),
];

const LABELS: &[Column] = &[
    keyed("ENUM('', 'a', 'ä', 'it''s', '3', 'B')", &["'a'", "'ä'", "'it''s'", "'3'", "1"]),
    keyed("ENUM('x','ÿ') CHARACTER SET latin1", &["'x'", "'ÿ'"]),
    keyed("ENUM('я','ю') CHARACTER SET ucs2", &["'я'", "'ю'"]),
    keyed("SET('r', 'g', 'bl', 'ö')", &["''", "'r'", "'g,ö'", "'r,g,bl,ö'"]),
    keyed(
        "SET('b0','b1','b2','b3','b4','b5','b6','b7','b8','b9','b10','b11','b12','b13','b14','b15','b16','b17','b18',\
         'b19','b20','b21','b22','b23','b24','b25','b26','b27','b28','b29','b30','b31','b32','b33','b34','b35','b36',\
         'b37','b38','b39','b40','b41','b42','b43','b44','b45','b46','b47','b48','b49','b50','b51','b52','b53','b54',\
         'b55','b56','b57','b58','b59','b60','b61','b62','b63')",
        &["0", "1", "9223372036854775808", "18446744073709551615", "'b5,b63'"],
    ),
];

const ADDRESSES: &[Column] = &[
    keyed(
        "UUID",
        &[
            "'00000000-0000-0000-0000-000000000000'",
            "'550e8400-e29b-11d4-a716-446655440000'",
            "'ffffffff-ffff-ffff-ffff-ffffffffff00'",
        ],
    ),
    keyed("INET6", &["'::'", "'2001:db8::'", "'::ffff:1.2.3.4'", "'ffff::ff00'"]),
    keyed("INET4", &["'0.0.0.0'", "'255.0.0.0'", "'1.2.3.4'"]),
];

const JSON: &[Column] = &[plain(
    "JSON",
    &[
        "'{\"a\": [1, null]}'",
        "'{ \"b\" : \"ä\\\\n\" , \"a\":1e2 }'",
        "'\"x\"'",
        "'null'",
        "CONCAT('[', REPEAT('1,', 40000), '1]')",
    ],
)];

const GEOMETRIES: &[Column] = &[
    plain("GEOMETRY", &["ST_GeomFromText('LINESTRING(0 0,1 1)', 4326)", "POINT(0, 0)"]),
    plain("POINT", &["POINT(1.5, -2)", "ST_GeomFromText('POINT(179.9 89.9)', 4326)"]),
    plain(
        "LINESTRING",
        &["ST_GeomFromText('LINESTRING(0 0,1 1,2 5)')", "ST_GeomFromText('LINESTRING(1 1,0 0)')"],
    ),
    plain(
        "POLYGON",
        &[
            "ST_GeomFromText('POLYGON((0 0,9 0,9 9,0 0),(1 1,2 1,2 2,1 1))')",
            "ST_GeomFromText('POLYGON((0 0,1 0,1 1,0 0))')",
        ],
    ),
    plain(
        "GEOMETRYCOLLECTION",
        &[
            "ST_GeomFromText('GEOMETRYCOLLECTION(POINT(1 1),LINESTRING(0 0,1 1))')",
            "ST_GeomFromText('GEOMETRYCOLLECTION EMPTY')",
        ],
    ),
];

const GENERATED: &[Column] = &[
    plain("INT AS (id * 2) VIRTUAL", &["DEFAULT", "DEFAULT"]),
    plain("INT AS (id * 3) STORED UNIQUE", &["DEFAULT", "DEFAULT"]),
    plain("VARCHAR(40) AS (CONCAT('row ', id, ' of ', n)) STORED", &["DEFAULT", "DEFAULT"]),
    plain("VARCHAR(40) AS (CONCAT('row ', id, ' of ', n)) VIRTUAL UNIQUE", &["DEFAULT", "DEFAULT"]),
];

const DEFAULTS: &[Column] = &[
    plain("INT NOT NULL DEFAULT 7 INVISIBLE", &["1", "DEFAULT"]),
    plain("VARCHAR(60) DEFAULT (CONCAT('made ', UUID()))", &["DEFAULT", "'given'"]),
    plain(
        "TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6)",
        &["DEFAULT", "'2001-01-01 00:00:00'"],
    ),
    plain(
        "DATETIME DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP",
        &["DEFAULT", "'2001-01-01 00:00:00'"],
    ),
    plain("INT CHECK (v > 0)", &["1", "2"]),
];

pub(super) const FAMILIES: &[Family] = &[
    Family {
        types: "TINYINT to BIGINT, signed, UNSIGNED, ZEROFILL, BOOLEAN",
        as_key: "yes",
        note: "",
        columns: INTEGERS,
    },
    Family { types: "DECIMAL to (65,30)", as_key: "yes", note: "", columns: DECIMALS },
    Family {
        types: "FLOAT, DOUBLE",
        as_key: "yes",
        note: "to the bit; -0 and 0 are one key",
        columns: FLOATS,
    },
    Family { types: "BIT(1) to BIT(64)", as_key: "yes", note: "", columns: BITS },
    Family {
        types: "DATE, TIME, DATETIME, TIMESTAMP, 0 to 6 decimals; YEAR",
        as_key: "yes",
        note: "zero dates and days that no month has too",
        columns: TIMES,
    },
    Family {
        types: "ENUM, SET up to 64 members",
        as_key: "yes",
        note: "an ENUM's error value (0) by replay alone",
        columns: LABELS,
    },
    Family { types: "UUID, INET6, INET4", as_key: "yes", note: "", columns: ADDRESSES },
];

pub(super) const SPECIAL: &[Family] = &[
    Family { types: "JSON", as_key: "no", note: "the text as written", columns: JSON },
    Family { types: "GEOMETRY and its kinds", as_key: "no", note: "with the SRID", columns: GEOMETRIES },
    Family {
        types: "generated columns, VIRTUAL and STORED",
        as_key: "in unique keys",
        note: "by SQL the target computes them",
        columns: GENERATED,
    },
    Family {
        types: "invisible columns, DEFAULT, ON UPDATE, CHECK",
        as_key: "as their type",
        note: "the source's values, never computed again",
        columns: DEFAULTS,
    },
];

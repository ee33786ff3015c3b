//! Numbers, times, labels, and the types of fixed form.

use super::{Column, Family, keyed, plain};
use crate::servers::Flavour;

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
    keyed("FLOAT", &["0", "0.1", "-1.5", "3.40282347e38", "16777217"]),
    keyed("FLOAT", FLOAT_EDGES).only(Flavour::MariaDb),
    keyed("FLOAT", FLOAT_EDGES).only(Flavour::MySql),
    plain("FLOAT", ZEROS).only(Flavour::MariaDb),
    plain("FLOAT", ZEROS).only(Flavour::MySql),
    keyed("FLOAT(7,3)", &["-1234.567", "0.001", "9999.999"]),
    keyed("DOUBLE", &["0", "0.1", "1.7976931348623157e308", "4.9406564584124654e-324", "9007199254740993"]),
    keyed("DOUBLE", DOUBLE_EDGES).only(Flavour::MariaDb),
    keyed("DOUBLE", DOUBLE_EDGES).only(Flavour::MySql),
    plain("DOUBLE", ZEROS).only(Flavour::MariaDb),
    plain("DOUBLE", ZEROS).only(Flavour::MySql),
    keyed("DOUBLE UNSIGNED", &["0", "1e-300", "1e300"]),
];

/// The flavours print these in different numbers of digits.
const FLOAT_EDGES: &[&str] = &["-1.17549435e-38", "1.40129846e-45", "1"];
const DOUBLE_EDGES: &[&str] = &["-2.2250738585072014e-308", "1"];
/// By SQL the sign of a zero does not get from MySQL to MariaDB.
const ZEROS: &[&str] = &["-0e0", "0"];

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
    keyed("TIME(1)", &["'-01:02:03.4'", "'00:00:00.1'", "'838:59:58.9'"]),
    keyed("TIME(3)", &["'-00:00:00.001'", "'-100:00:00.999'", "'12:34:56.789'"]),
    keyed("TIME(6)", &["'-838:59:58.999999'", "'-00:00:00.000001'", "'00:00:00'", "'10:00:00.000010'"]),
    keyed("TIME(6)", &["'-838:59:59.999999'", "'838:59:59.999999'"]).only(Flavour::MariaDb),
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
    keyed("ENUM('', 'a', 'æ', 'it''s', '3', 'B')", &["'a'", "'æ'", "'it''s'", "'3'", "1"]),
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
    )
    .only(Flavour::MariaDb),
    keyed("INET6", &["'::'", "'2001:db8::'", "'::ffff:1.2.3.4'", "'ffff::ff00'"]).only(Flavour::MariaDb),
    keyed("INET4", &["'0.0.0.0'", "'255.0.0.0'", "'1.2.3.4'"]).only(Flavour::MariaDb),
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
        note: "to the bit; -0 and 0 are one key, and MariaDB gets 0 for MySQL's -0",
        columns: FLOATS,
    },
    Family { types: "BIT(1) to BIT(64)", as_key: "yes", note: "", columns: BITS },
    Family {
        types: "DATE, TIME, DATETIME, TIMESTAMP, 0 to 6 decimals; YEAR",
        as_key: "yes",
        note: "zero dates and days that no month has too; MySQL has no TIME beyond 838:59:59.0",
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

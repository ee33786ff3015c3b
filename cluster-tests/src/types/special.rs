//! Documents, vectors, shapes, and columns that the server fills in by itself.

use super::{Column, Family, plain};
use crate::servers::Flavour;

const JSON: &[Column] = &[
    plain(
        "JSON",
        &[
            "'{\"a\": [1, null], \"bc\": \"ä\\\\n\"}'",
            "'\"x\"'",
            "'null'",
            "'18446744073709551615'",
            "'[true, false, -1, 0.5, {}]'",
        ],
    ),
    plain(
        "JSON",
        &[
            "'{\"a\": [1, null]}'",
            "'{ \"b\" : \"ä\\\\n\" , \"a\":1e2 }'",
            "'\"x\"'",
            "'null'",
            "CONCAT('[', REPEAT('1,', 40000), '1]')",
        ],
    )
    .only(Flavour::MariaDb),
    plain(
        "JSON",
        &[
            "'{ \"b\" : \"ä\\\\n\" , \"a\":1e2 }'",
            "JSON_OBJECT('long', REPEAT('x', 70000), 'é', JSON_ARRAY(1e300, -9223372036854775808))",
            "CONCAT('[', REPEAT('1,', 40000), '1]')",
        ],
    )
    .only(Flavour::MySql),
];

const VECTORS: &[Column] = &[
    plain("VECTOR(3)", &["STRING_TO_VECTOR('[1, -2.5, 3e38]')", "STRING_TO_VECTOR('[0, 0, 1e-37]')"])
        .only(Flavour::MySql),
    plain(
        "VECTOR",
        &["STRING_TO_VECTOR('[1]')", "STRING_TO_VECTOR(CONCAT('[', REPEAT('0.1,', 2047), '7]'))"],
    )
    .only(Flavour::MySql),
];

const GEOMETRIES: &[Column] = &[
    plain("GEOMETRY", &["ST_GeomFromText('LINESTRING(0 0,1 1)', 4326)", "POINT(0, 0)"]),
    plain("POINT", &["POINT(1.5, -2)", "ST_GeomFromText('POINT(79.9 89.9)', 4326)"]),
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
        types: "JSON",
        as_key: "no",
        note: "MariaDB keeps the text as written, MySQL its own form of the document",
        columns: JSON,
    },
    Family { types: "VECTOR", as_key: "no", note: "to the bit", columns: VECTORS },
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

//! Keys are equal to Weft exactly where a unique index of the server says so.
//!
//! For every collation that is weighed: all characters (of the basic plane, where no others are told
//! apart; where the character set has them) and random pairs of strings, against a real MariaDB and a
//! real MySQL.

use std::collections::BTreeSet;

use cluster_tests::servers::{Flavour, Server, ServerOptions, has_mysql};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use weft_core::key::collation::{id_of, supported_names, weigh};

/// A server without a binlog, which nobody reads here.
async fn start() -> Server {
    start_of(Flavour::MariaDb).await
}

async fn start_of(flavour: Flavour) -> Server {
    Server::start(ServerOptions::of(flavour, 1).arg("--skip-log-bin")).await
}

fn charset_of(collation: &str) -> &str {
    collation.split('_').next().expect("a split has a first part")
}

#[tokio::test]
async fn characters_are_equal_where_the_server_says_so() {
    let server = start().await;
    let mut conn = server.conn().await;
    prepare(&mut conn).await;
    let cases = [
        "utf8mb4_general_ci",
        "utf8mb3_general_ci",
        "utf8mb4_general_nopad_ci",
        "utf8mb4_unicode_ci",
        "utf8mb3_unicode_ci",
        "utf8mb4_unicode_nopad_ci",
        "utf8mb4_bin",
    ];
    for collation in cases {
        // Every character between two letters, as at an end it could be padding; those that the
        // character set lacks are left out.
        let charset = charset_of(collation);
        let table = format!(
            "CREATE OR REPLACE TABLE c (seq INT PRIMARY KEY, c VARCHAR(3) CHARACTER SET {charset} COLLATE {collation})"
        );
        conn.query_drop(table).await.expect("the table is created");
        let fill = "INSERT IGNORE INTO c SELECT seq, CONCAT('x', CONVERT(UNHEX(LPAD(HEX(seq), 4, '0')) USING ucs2), 'x') \
                    FROM seq_0_to_65535 WHERE seq NOT BETWEEN 0xD800 AND 0xDFFF";
        conn.query_drop(fill).await.expect("the characters are inserted");
        hold_against_server(&mut conn, collation, SORTED).await;
    }
}

#[tokio::test]
async fn bytes_are_equal_where_the_server_says_so() {
    let server = start().await;
    let mut conn = server.conn().await;
    prepare(&mut conn).await;
    let single = "SELECT character_set_name FROM information_schema.character_sets WHERE maxlen = 1";
    let single: BTreeSet<String> = conn.query(single).await.expect("read").into_iter().collect();
    let of_single = |name: &&&str| single.contains(charset_of(name)) && **name != "binary";
    let mut collations = 0;
    for collation in supported_names().iter().filter(of_single) {
        collations += 1;
        let charset = charset_of(collation);
        conn.query_drop(format!(
            "CREATE OR REPLACE TABLE c (seq INT PRIMARY KEY, c VARCHAR(3) CHARACTER SET {charset} COLLATE {collation}, KEY (c))"
        ))
        .await
        .expect("the table is created");
        // Each byte between two letters, and at the end, where it may be padding.
        let byte = "UNHEX(LPAD(HEX(seq), 2, '0'))";
        for (first, value) in [
            (0, format!("CONCAT('x', {byte}, 'x')")),
            (300, format!("CONCAT('x', {byte})")),
            (600, "'x'".into()),
        ] {
            let fill = format!("INSERT IGNORE INTO c SELECT seq + {first}, {value} FROM seq_0_to_255");
            conn.query_drop(fill).await.expect("the bytes are inserted");
        }
        hold_against_server(&mut conn, collation, COMPARED).await;
    }
    assert!(collations > 80, "{collations} collations");
}

/// By sorting: for many rows.
const SORTED: &str = "SELECT seq, FIRST_VALUE(seq) OVER (PARTITION BY c ORDER BY seq) FROM c ORDER BY seq";
/// By comparing: sorting pads latin7_estonian_cs otherwise than a unique index does.
const COMPARED: &str =
    "SELECT a.seq, MIN(b.seq) FROM c a JOIN c b ON a.c = b.c GROUP BY a.seq ORDER BY a.seq";

/// Holds the weights of all rows of `c` against the first row that the server finds equal to each.
async fn hold_against_server(conn: &mut Conn, collation: &str, query: &str) {
    let groups: Vec<(i32, i32)> = conn.query(query).await.expect("the server groups");
    let values: Vec<(i32, Vec<u8>)> =
        conn.query("SELECT seq, CAST(c AS BINARY) FROM c ORDER BY seq").await.expect("the values are read");
    let id = id_of(collation).expect("a supported collation");
    let mut first_of = std::collections::HashMap::new();
    assert!(groups.len() >= 128, "{collation}: {} values", groups.len());
    for ((seq, first), (_, value)) in groups.iter().zip(&values) {
        let weights = weigh(id, value).expect("a supported collation");
        let ours = *first_of.entry(weights).or_insert(*seq);
        assert_eq!(ours, *first, "{collation}: {seq:#06x} is equal to {first:#06x} on the server");
    }
}

/// The weights of the basic plane's other collations are read from equal characters, as MariaDB keeps
/// them; these are compared as they are, all 1,112,064 of them.
#[tokio::test]
async fn characters_of_whole_unicode_have_the_weights_that_the_server_says() {
    if !has_mysql("characters_of_whole_unicode_have_the_weights_that_the_server_says") {
        return;
    }
    let server = start_of(Flavour::MySql).await;
    let mut conn = server.conn().await;
    prepare(&mut conn).await;
    conn.query_drop("SET cte_max_recursion_depth = 2000000").await.expect("set");
    for collation in ["utf8mb4_0900_as_cs", "utf8mb4_unicode_520_ci"] {
        // With a letter behind it, as at the end it could be padding.
        let weights = format!(
            "WITH RECURSIVE s (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM s WHERE n < 0x10FFFF) \
             SELECT n, WEIGHT_STRING(CONCAT(CONVERT(CONVERT(UNHEX(LPAD(HEX(n), 8, '0')) USING utf32) USING utf8mb4), \
             'x') COLLATE {collation}) FROM s WHERE n NOT BETWEEN 0xD800 AND 0xDFFF"
        );
        let weights: Vec<(u32, Vec<u8>)> = conn.query(weights).await.expect("the server weighs");
        assert_eq!(weights.len(), 0x11_0000 - 0x800);
        let id = id_of(collation).expect("a supported collation");
        for (code, theirs) in weights {
            let text: String = char::from_u32(code).into_iter().chain(['x']).collect();
            let ours = weigh(id, text.as_bytes()).expect("a supported collation");
            assert!(ours == theirs, "{collation}: U+{code:04X} weighs {theirs:02x?} and not {ours:02x?}");
        }
    }
}

#[tokio::test]
async fn strings_are_equal_where_a_unique_index_says_so() {
    hold_strings_against(start().await).await;
}

#[tokio::test]
async fn strings_are_equal_where_a_unique_index_of_mysql_says_so() {
    if has_mysql("strings_are_equal_where_a_unique_index_of_mysql_says_so") {
        hold_strings_against(start_of(Flavour::MySql).await).await;
    }
}

async fn hold_strings_against(server: Server) {
    let mut conn = server.conn().await;
    prepare(&mut conn).await;
    let mut rng = StdRng::seed_from_u64(7);
    let there = "SELECT COLLATION_NAME FROM information_schema.COLLATIONS WHERE ID IS NOT NULL";
    let there: BTreeSet<String> = conn.query(there).await.expect("read").into_iter().collect();
    for collation in supported_names().iter().filter(|name| **name != "binary" && there.contains(**name)) {
        let charset = charset_of(collation);
        let rich = charset.starts_with("utf") || charset == "ucs2";
        for table in ["s", "p"] {
            let unique = if table == "s" { "UNIQUE (pair, c)" } else { "KEY (pair, c)" };
            conn.query_drop(format!(
                "DROP TABLE IF EXISTS {table}; CREATE TABLE {table} (pair INT, side INT, \
                 c VARCHAR(12) CHARACTER SET {charset} COLLATE {collation}, {unique}) ENGINE=InnoDB"
            ))
            .await
            .expect("the table is created");
        }
        let pairs = if rich { 600 } else { 150 };
        let values: Vec<String> = (0..pairs).flat_map(|pair| both_sides(&mut rng, pair, rich)).collect();
        for table in ["s", "p"] {
            let insert = format!("INSERT IGNORE INTO {table} VALUES {}", values.join(","));
            conn.query_drop(insert).await.expect("the pairs are inserted");
        }
        let kept: Vec<(i32, i32)> =
            conn.query("SELECT pair, COUNT(*) FROM s GROUP BY pair ORDER BY pair").await.expect("read");
        let both: Vec<(Vec<u8>, Vec<u8>)> = conn
            .query(
                "SELECT CAST(a.c AS BINARY), CAST(b.c AS BINARY) FROM p a JOIN p b \
                 ON a.pair = b.pair AND a.side = 0 AND b.side = 1 ORDER BY a.pair",
            )
            .await
            .expect("read");
        let id = id_of(collation).expect("a supported collation");
        assert_eq!((kept.len(), both.len()), (pairs, pairs));
        let mut verdicts = BTreeSet::new();
        for ((pair, count), (a, b)) in kept.iter().zip(&both) {
            let ours = weigh(id, a) == weigh(id, b);
            verdicts.insert(ours);
            assert_eq!(ours, *count == 1, "{collation}, pair {pair}: {a:02x?} and {b:02x?}");
        }
        assert_eq!(verdicts.len(), 2, "{collation}: pairs of both kinds are needed");
    }
}

async fn prepare(conn: &mut Conn) {
    for statement in ["CREATE DATABASE IF NOT EXISTS t", "USE t", "SET NAMES utf8mb4", "SET sql_mode = ''"] {
        conn.query_drop(statement).await.expect("the session is set up");
    }
}

/// Two strings as SQL rows: the second is the first, changed a little, mostly in ways that a
/// collation may overlook.
fn both_sides(rng: &mut StdRng, pair: usize, rich: bool) -> [String; 2] {
    const PLAIN: &[char] = &['a', 'A', 'b', 'B', ' ', '\t', 'z', '0', '~'];
    const RICH: &[char] = &[
        'ä', 'Ä', 'ß', 's', 'é', 'E', '\u{300}', '\u{200B}', '\u{A0}', '\u{3000}', 'ﬁ', 'f', 'i', '漢', '字',
        'İ', 'ı', 'σ', 'ς', 'Œ', 'ĳ', '\u{AD}', 'か', 'が', 'カ', '한', '\u{FFFD}', 'Æ', '㍐', '\u{0}',
    ];
    let any = |rng: &mut StdRng| {
        if rich && rng.random_bool(0.5) {
            RICH[rng.random_range(0..RICH.len())]
        } else {
            PLAIN[rng.random_range(0..PLAIN.len())]
        }
    };
    let first: Vec<char> = (0..rng.random_range(0..5)).map(|_| any(rng)).collect();
    let mut second = first.clone();
    match rng.random_range(0..5) {
        0 => second.push(' '),
        1 => second = second.iter().flat_map(|c| c.to_uppercase()).collect(),
        2 => second.push(any(rng)),
        3 if !second.is_empty() => {
            let at = rng.random_range(0..second.len());
            second[at] = any(rng);
        }
        _ => {}
    }
    let sql = |side: usize, text: Vec<char>| {
        let bytes: String =
            text.iter().collect::<String>().bytes().map(|byte| format!("{byte:02x}")).collect();
        format!("({pair},{side},CONVERT(X'{bytes}' USING utf8mb4))")
    };
    [sql(0, first), sql(1, second)]
}

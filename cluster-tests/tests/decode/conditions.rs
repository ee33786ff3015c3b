//! Conditions of transforms: what is decided over decoded rows is what the server itself decides.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use weft_core::binlog::image::Values;
use weft_core::binlog::value::Value;
use weft_core::filter::transform::condition::Condition;
use weft_core::filter::transform::parse::Expr;

use crate::changes;
use crate::server::Server;

const CONDITIONS: usize = 600;

/// Columns with the literals that meet them, as stored values and in conditions.
const COLUMNS: [(&str, &str, bool, &[&str]); 17] = [
    ("t", "TINYINT", true, &["0", "-128", "127", "5", "5.5", "-0", "99999999999999999999"]),
    ("b", "BIGINT", true, &["0", "9223372036854775807", "-9223372036854775808", "9007199254740993", "0.5"]),
    ("u", "BIGINT UNSIGNED", true, &["0", "18446744073709551615", "9223372036854775808", "-1", "1.000"]),
    ("d", "DECIMAL(20,6)", true, &["0", "0.1", "-0.1", "12345678901234.000001", "12345678901234", "007.50"]),
    ("f", "FLOAT", true, &["0", "0.1", "-1.5", "16777217", "0.25", "3"]),
    ("g", "DOUBLE", true, &["0", "0.1", "-1.5", "9007199254740993", "123456789.123456789"]),
    ("y", "YEAR", true, &["1999", "2024", "2155", "1901"]),
    ("c", "CHAR(10) COLLATE utf8mb4_general_ci", false, &["'east'", "'EAST '", "'eäst'", "''", "'ß'", "'s'"]),
    (
        "v",
        "VARCHAR(10) COLLATE utf8mb4_unicode_ci",
        false,
        &["'straße'", "'strasse'", "'a '", "'a'", "'Ä'", "'漢'"],
    ),
    ("n", "VARCHAR(10) COLLATE utf8mb4_nopad_bin", false, &["'a '", "'a'", "'A'", "''"]),
    ("l", "VARCHAR(10) CHARACTER SET latin1", false, &["'east'", "'East '", "'a_b'", "''"]),
    ("x", "VARBINARY(10)", true, &["'east'", "'East'", "'a'", "'a '", "'é'", "''"]),
    (
        "e",
        "ENUM('north','South','') COLLATE utf8mb4_general_ci",
        false,
        &["'north'", "'SOUTH'", "''", "'other'"],
    ),
    (
        "day",
        "DATE",
        true,
        &["'2024-02-29'", "'2024-03-01 00:00:00'", "'2024-02-29 00:00:01'", "'1000-01-01'"],
    ),
    ("at", "DATETIME(6)", true, &["'2024-02-29'", "'2024-02-29 12:30:00'", "'2024-02-29 12:30:00.5'"]),
    ("s", "TIME(3)", true, &["'12:30:00'", "'-12:30:00.5'", "'838:59:59'", "'00:00:00'", "'12:30:00.001'"]),
    ("w", "TEXT COLLATE utf8mb4_bin", false, &["'east'", "'East'", "'it''s'", "''"]),
];

fn table() -> String {
    let columns: Vec<String> = COLUMNS.iter().map(|(name, sql, ..)| format!("{name} {sql}")).collect();
    format!("CREATE TABLE d.t (id INT PRIMARY KEY, {}) DEFAULT CHARSET utf8mb4", columns.join(", "))
}

fn rows(random: &mut StdRng) -> String {
    let rows: Vec<String> = (0..150)
        .map(|id| {
            let mut values = vec![id.to_string()];
            for (_, _, _, literals) in COLUMNS {
                let literal = literals.choose(random).expect("some literals");
                values.push(if random.random_bool(0.15) { "NULL".into() } else { (*literal).to_owned() });
            }
            format!("({})", values.join(","))
        })
        .collect();
    format!("INSERT IGNORE INTO d.t VALUES {}", rows.join(","))
}

fn literal(random: &mut StdRng, literals: &[&'static str]) -> &'static str {
    if random.random_bool(0.08) { "NULL" } else { literals.choose(random).expect("some literals") }
}

fn test(random: &mut StdRng) -> String {
    let (name, _, ordered, literals) = COLUMNS.choose(random).expect("some columns");
    let value = literal(random, literals);
    let signs = ["=", "<>", "!=", "<", "<=", ">", ">="];
    let sign = signs[random.random_range(0..if *ordered { signs.len() } else { 3 })];
    match random.random_range(0..8) {
        0 => format!("{name} IS NULL"),
        1 => format!("{name} IS NOT NULL"),
        2 => format!("{name} IN ({value}, {})", literal(random, literals)),
        3 => format!("`{name}` NOT IN ({value}, {})", literal(random, literals)),
        4 => format!("{value} {sign} {name}"),
        _ => format!("{name} {sign} {value}"),
    }
}

fn condition(random: &mut StdRng, depth: u32) -> String {
    if depth == 0 {
        return test(random);
    }
    let (a, b) = (condition(random, depth - 1), condition(random, depth - 1));
    match random.random_range(0..6) {
        0 => format!("{a} AND {b}"),
        1 => format!("{a} OR {b}"),
        2 => format!("({a} OR {b}) AND {}", test(random)),
        3 => format!("NOT {a}"),
        4 => format!("NOT ({a}) or {b}"),
        _ => a,
    }
}

#[tokio::test]
async fn a_condition_chooses_the_rows_that_the_server_chooses() {
    let seed = std::env::var("WEFT_SEED").map_or_else(
        |_| rand::random_range(0..1_000_000),
        |seed| seed.parse().expect("WEFT_SEED is a number"),
    );
    eprintln!("repeat with WEFT_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let server = Server::start(&["--binlog-row-metadata=FULL"]).await;
    server.run(&format!("CREATE DATABASE d; {}; {}; FLUSH LOGS;", table(), rows(&mut random)));
    let (assembled, format) = server.assembled(1, usize::MAX);
    let changes = changes(&assembled, &format, None);
    let table = &changes[0].version;
    let images: Vec<&Vec<u8>> = changes.iter().flat_map(|change| &change.images).collect();
    assert_eq!(images.len(), 150);

    let conditions: Vec<String> =
        (0..CONDITIONS).map(|number| condition(&mut random, number as u32 % 4)).collect();
    let asked: Vec<String> = conditions
        .iter()
        .map(|text| format!("SELECT IFNULL(GROUP_CONCAT(id ORDER BY id), '-') FROM d.t WHERE {text}"))
        .collect();
    let answers = server.run(&format!("SET SESSION group_concat_max_len = 100000; {};", asked.join(";\n")));
    let answers: Vec<&str> = answers.lines().collect();
    assert_eq!(answers.len(), CONDITIONS);
    let mut chosen = 0;
    for (text, answer) in conditions.iter().zip(answers) {
        let expr = Expr::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let condition = Condition::new(&expr, table).unwrap_or_else(|error| panic!("{text}: {error}"));
        let mut ids = Vec::new();
        for image in &images {
            let values: Vec<Value<'_>> =
                Values::new(&table.columns, image).collect::<Result<_, _>>().expect("whole values");
            if condition.holds(&table.columns, &values).expect("values that can be read") {
                let Value::Int(id) = values[0] else { panic!("{:?}", values[0]) };
                ids.push(id);
            }
        }
        ids.sort_unstable();
        let ids: Vec<String> = ids.iter().map(i64::to_string).collect();
        chosen += ids.len();
        let ours = if ids.is_empty() { "-".to_owned() } else { ids.join(",") };
        assert_eq!(ours, answer, "{text} (seed {seed})");
    }
    assert!(chosen > 1000, "hardly any row fulfilled any condition: {chosen}");
}

use super::*;
use crate::binlog::image::{DATE, DATETIME2, DOUBLE, FLOAT, LONG, LONGLONG, STRING, TIMESTAMP2, VARCHAR};
use crate::binlog::testing::column;
use crate::tables::TableName;

const GENERAL_CI: u16 = 45;
const LATIN1: u16 = 8;

fn table() -> TableVersion {
    let labels = vec!["north".to_owned(), "South".to_owned()];
    TableVersion {
        name: TableName::new("shop", "t"),
        columns: vec![
            column("n", LONG, 0, 0),
            column("big", LONGLONG, 0, 0),
            column("name", VARCHAR, 80, GENERAL_CI),
            column("old", VARCHAR, 80, LATIN1),
            column("raw", VARCHAR, 80, 63),
            column("day", DATE, 0, 0),
            column("at", DATETIME2, 6, 0),
            column("f", FLOAT, 4, 0),
            column("d", DOUBLE, 8, 0),
            Column { labels, ..column("e", STRING, 247 | 1 << 8, GENERAL_CI) },
            column("ts", TIMESTAMP2, 0, 0),
        ],
        primary_key: vec![0],
        unique_keys: vec![],
        exact: true,
    }
}

/// What the predicate says of a row that is NULL but for some columns.
fn says(text: &str, values: &[(&str, Value<'_>)]) -> Option<bool> {
    let table = table();
    let condition = Condition::new(&Expr::parse(text).expect("it parses"), &table).expect("it fits");
    let mut row = vec![Value::Null; table.columns.len()];
    for (name, value) in values {
        row[find_column(&table, name).expect("a column of the table")] = *value;
    }
    truth(&condition.0, &table.columns, &row).expect("values that can be read")
}

#[test]
fn three_valued_logic_has_its_truth_tables() {
    let values = [("n", Value::Int(1)), ("name", Value::Bytes(b"x"))];
    // n is 1: true, false; big is NULL: unknown.
    let (t, f, u) = ("n = 1", "n = 2", "big = 1");
    let table = [
        (t, t, Some(true), Some(true)),
        (t, f, Some(false), Some(true)),
        (t, u, None, Some(true)),
        (f, f, Some(false), Some(false)),
        (f, u, Some(false), None),
        (u, u, None, None),
    ];
    for (a, b, and, or) in table {
        for (a, b) in [(a, b), (b, a)] {
            assert_eq!(says(&format!("{a} AND {b}"), &values), and, "{a} AND {b}");
            assert_eq!(says(&format!("{a} OR {b}"), &values), or, "{a} OR {b}");
        }
    }
    assert_eq!((says("NOT n = 1", &values), says("NOT big = 1", &values)), (Some(false), None));
    assert_eq!((says("n = NULL", &values), says("n IS NULL", &values)), (None, Some(false)));
    assert_eq!((says("big IS NULL", &values), says("big IS NOT NULL", &values)), (Some(true), Some(false)));
}

#[test]
fn lists_with_a_null_are_true_or_unknown_and_never_false() {
    let one = [("n", Value::Int(1))];
    assert_eq!(says("n IN (1, NULL)", &one), Some(true));
    assert_eq!(says("n IN (2, NULL)", &one), None);
    assert_eq!(says("n NOT IN (2, NULL)", &one), None);
    assert_eq!(says("n NOT IN (2, 3)", &one), Some(true));
    assert_eq!(says("big IN (2, 3)", &one), None);
    assert_eq!(says("big IN (NULL)", &one), None);
}

#[test]
fn numbers_are_compared_exactly_whatever_their_size() {
    let big = [("big", Value::Int(9_007_199_254_740_993))];
    assert_eq!(says("big = 9007199254740992", &big), Some(false));
    assert_eq!(says("big > 9007199254740992.999999", &big), Some(true));
    assert_eq!(says("big < 99999999999999999999999999", &big), Some(true));
    assert_eq!(says("big > -99999999999999999999999999", &big), Some(true));
    let negative = [("n", Value::Int(-5))];
    assert_eq!((says("n < -4.5", &negative), says("n >= -5.00", &negative)), (Some(true), Some(true)));
    assert_eq!(says("n = -0", &[("n", Value::Int(0))]), Some(true));
    assert_eq!(says("f = 0.1", &[("f", Value::Float(0.1))]), Some(false), "a FLOAT is not its text");
    assert_eq!(says("d = 0.1", &[("d", Value::Double(0.1))]), Some(true));
}

#[test]
fn text_is_compared_by_its_collation() {
    assert_eq!(says("name = 'EAST'", &[("name", Value::Bytes("eäst  ".as_bytes()))]), Some(true));
    assert_eq!(says("name <> 'east'", &[("name", Value::Bytes(b"west"))]), Some(true));
    assert_eq!(says("raw = 'East'", &[("raw", Value::Bytes(b"east"))]), Some(false));
    assert_eq!(says("raw < 'b'", &[("raw", Value::Bytes(b"abc"))]), Some(true));
    assert_eq!(says("e = 'SOUTH'", &[("e", Value::Enum(2))]), Some(true));
    assert_eq!(says("e IN ('', 'x')", &[("e", Value::Enum(0))]), Some(true));
}

#[test]
fn days_and_moments_are_compared_field_by_field() {
    let day = [("day", Value::Date { year: 2024, month: 2, day: 29 })];
    assert_eq!(says("day >= '2024-02-29'", &day), Some(true));
    assert_eq!(says("day > '2024-02-28 23:59:59.5'", &day), Some(true));
    assert_eq!(says("day < '2024-02-29 00:00:01'", &day), Some(true));
}

#[test]
fn what_cannot_be_compared_exactly_is_refused_by_name() {
    let refused = |text: &str| {
        Condition::new(&Expr::parse(text).expect("it parses"), &table()).expect_err(text).to_string()
    };
    for (text, says) in [
        ("x = 1", "there is no column x in it"),
        ("n = '1'", "write a number without quotes"),
        ("name = 1", "write a text in single quotes"),
        ("name < 'a'", "text is compared by =, <> and IN alone"),
        ("old = 'é'", "takes only letters"),
        ("day = '2023-02-29'", "write 'YYYY-MM-DD'"),
        ("ts > '2024-01-01'", "its type is not supported"),
        ("ts = NULL", "its type is not supported"),
    ] {
        assert!(refused(text).contains(says), "{text}: {}", refused(text));
    }
}

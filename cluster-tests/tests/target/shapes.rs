//! Tables that are not the same on both sides, and those that change while rows flow.

use weft_core::sink::step::{Outcome, StopKind};

use crate::support::{Pair, Way, apply};

/// The target's table, what happens to `(1, 'a')` there, and what the reason must name.
const SHAPES: [(&str, Result<&str, &str>); 8] = [
    (
        "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20) CHARACTER SET utf8mb4, z INT DEFAULT 7)",
        Ok("1|a|7"),
    ),
    ("CREATE TABLE t (v VARCHAR(20) CHARACTER SET utf8mb4, id INT PRIMARY KEY)", Ok("a|1")),
    ("CREATE TABLE t (id BIGINT PRIMARY KEY, v VARCHAR(20) CHARACTER SET latin1)", Ok("1|a")),
    ("CREATE TABLE t (id INT PRIMARY KEY)", Err("ADD COLUMN `v` varchar(20)")),
    ("CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20), z INT NOT NULL)", Err("'z'")),
    ("CREATE TABLE t (id INT PRIMARY KEY, v INT)", Err("alter the column")),
    ("CREATE TABLE t (id INT, v VARCHAR(20), PRIMARY KEY (v))", Err("primary key")),
    ("CREATE VIEW t AS SELECT 1 AS id, 'a' AS v", Err("create the table")),
];

#[tokio::test]
async fn columns_meet_by_name_and_what_does_not_fit_stops_with_the_fix() {
    let pair = Pair::start("CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20) CHARACTER SET utf8mb4)").await;
    let delivery = pair.capture("INSERT INTO t VALUES (1, 'a')").await;
    let mut session = pair.session(Way::Replay).await;
    pair.target.execute("DROP TABLE s.t").await;
    // The same session all along: each change of shape must be noticed.
    for (create, expected) in SHAPES {
        pair.target.execute(&format!("USE s; {create}")).await;
        match (apply(&mut session, &delivery).await, expected) {
            (Outcome::Ok, Ok(row)) => {
                assert_eq!(pair.target.text("SELECT * FROM s.t").await, [row], "{create}")
            }
            (Outcome::Refused(stop), Err(named)) => {
                assert_eq!(stop.kind, StopKind::DoesNotFit, "{create}: {stop:?}");
                assert!(
                    stop.reason.contains(named) && stop.reason.contains("s.t"),
                    "{create}: {}",
                    stop.reason
                );
            }
            (outcome, _) => panic!("{create}: {outcome:?}"),
        }
        let kind = if create.contains("VIEW") { "VIEW" } else { "TABLE" };
        pair.target.execute(&format!("DROP {kind} s.t")).await;
    }
    let outcome = apply(&mut session, &delivery).await;
    assert!(
        matches!(&outcome, Outcome::Refused(stop) if stop.reason.contains("create the table")),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn column_of_the_source_flows_while_it_says_nothing() {
    let pair = Pair::start("CREATE TABLE t (id INT PRIMARY KEY, v INT)").await;
    pair.source
        .execute("ALTER TABLE s.t ADD COLUMN extra VARCHAR(9) DEFAULT 'it''s', ADD COLUMN n INT")
        .await;
    let mut session = pair.session(Way::Replay).await;
    let delivery = pair.capture("INSERT INTO t (id, v) VALUES (1, 1); UPDATE t SET v = 2").await;
    assert!(matches!(apply(&mut session, &delivery).await, Outcome::Ok));
    assert_eq!(pair.target.text("SELECT * FROM s.t").await, ["1|2"]);
    let delivery = pair.capture("UPDATE t SET n = 5").await;
    let Outcome::Refused(stop) = apply(&mut session, &delivery).await else {
        panic!("a value would be lost")
    };
    assert!(stop.reason.contains("ADD COLUMN `n` int(11)"), "{}", stop.reason);
    pair.target
        .execute("ALTER TABLE s.t ADD COLUMN extra VARCHAR(9) DEFAULT 'it''s', ADD COLUMN n INT")
        .await;
    assert!(matches!(apply(&mut session, &delivery).await, Outcome::Ok), "it goes on once the target fits");
    assert_eq!(pair.target.text("SELECT * FROM s.t").await, ["1|2|it's|5"]);
}

//! `column` and `site-priority` at two sites.

use crate::support::Pair;

/// Every kind of value, so that a row that a rule wants again is seen to come back exactly.
const WIDE: &str = "CREATE TABLE wide (id VARCHAR(10) CHARACTER SET latin1 COLLATE latin1_swedish_ci PRIMARY KEY, \
    n DECIMAL(20,3), i BIGINT UNSIGNED, f FLOAT, d DOUBLE, b BIT(13), e ENUM('a','ß','c'), s SET('x','y','z'), \
    t VARCHAR(50) CHARACTER SET latin1, u TEXT CHARACTER SET utf8mb4, vb VARBINARY(20), bl BLOB, j JSON, \
    da DATE, dt DATETIME(6), ts TIMESTAMP(6) NULL, ti TIME(3), y YEAR, g GEOMETRY, uu UUID, ip INET6, \
    upd TIMESTAMP(2) NOT NULL DEFAULT CURRENT_TIMESTAMP(2) ON UPDATE CURRENT_TIMESTAMP(2), \
    gen BIGINT UNSIGNED AS (i + 1) STORED)";
const VALUES: &str = "i = 18446744073709551600, f = 0.1, d = 1.0/3 + 1e-17, b = b'1000000000001', e = 'ß', s = 'x,z', \
    t = 'é''\\\\', u = '😀\\n', vb = X'00ff27', bl = X'deadbeef00', j = '{\"a\": \"ü\"}', da = '2024-02-29', \
    dt = '2024-02-29 01:02:03.000004', ts = '2024-02-29 01:02:03.5', ti = '-12:34:56.789', y = 2024, \
    g = ST_GeomFromText('POINT(1 2)', 4326), uu = '123e4567-e89b-12d3-a456-426655440000', ip = '2001:db8::1'";

#[tokio::test]
async fn the_greater_value_of_a_column_wins_at_both_sites_and_comes_back_exactly() {
    let rule = "conflict = \"column\"\ncolumn = \"n\"";
    let fill =
        "INSERT INTO wide (id, n) VALUES ('ä1', 1), ('ä2', 1), ('ä3', 1), ('ä4', 1), ('ä5', 1), ('ä6', 1)";
    let mut pair = Pair::start(&format!("{WIDE}; {fill}"), &["shop.wide"], rule).await;
    let greater = format!("UPDATE wide SET n = 100.5, {VALUES}");
    let smaller = "UPDATE wide SET n = 20";
    let of = |statement: &str, id: u8| format!("{statement} WHERE id = 'ä{id}'");
    let at_sh = [
        (50, of(smaller, 1)),                           // later here, greater there
        (10, of(&greater, 2)),                          // later there, greater here
        (50, of("DELETE FROM wide", 3)),                // deleted here later, updated there
        (10, of("UPDATE wide SET n = 7, i = 1", 4)),    // updated here, deleted there later
        (10, of("UPDATE wide SET n = NULL, i = 1", 5)), // NULL here, deleted there later
        (50, of("UPDATE wide SET n = 3, i = 1", 6)),    // equal: the later one
    ];
    let at_bj = [
        (10, of(&greater, 1)),
        (50, of(smaller, 2)),
        (10, of("UPDATE wide SET n = 7, i = 2", 3)),
        (50, of("DELETE FROM wide", 4)),
        (50, of("DELETE FROM wide", 5)),
        (10, of("UPDATE wide SET n = 3.000, i = 2", 6)),
    ];
    let at_sh: Vec<(u64, &str)> = at_sh.iter().map(|(at, text)| (*at, text.as_str())).collect();
    let at_bj: Vec<(u64, &str)> = at_bj.iter().map(|(at, text)| (*at, text.as_str())).collect();
    pair.apart(&at_sh, &at_bj).await;
    let exact = "SELECT CONCAT_WS('|', HEX(id), n, i, f = 0.1e0, CAST(f AS DOUBLE), d, b+0, e+0, s+0, HEX(t), HEX(u), \
                 HEX(vb), HEX(bl), HEX(j), da, dt, ts, ti, y, HEX(g), uu, ip, upd, gen) FROM shop.wide WHERE id = ";
    let before = [pair.bj.text(&format!("{exact}'ä1'")).await, pair.sh.text(&format!("{exact}'ä2'")).await];
    pair.together().await;
    let after = [pair.sh.text(&format!("{exact}'ä1'")).await, pair.bj.text(&format!("{exact}'ä2'")).await];
    assert_eq!(before, after);
    let rest = pair
        .bj
        .text(
            "SELECT CONCAT_WS(' ', CONVERT(id USING utf8mb4), n, i) FROM shop.wide WHERE n < 10 ORDER BY id",
        )
        .await;
    assert_eq!(rest, ["ä3 7.000 2", "ä4 7.000 1", "ä6 3.000 1"], "{:?}", pair.rulings().await);
    let mut rulings = pair.rulings().await;
    rulings.sort();
    assert_eq!(
        rulings,
        [
            "incoming-won | overturned | column",
            "incoming-won | overturned | column",
            "incoming-won | upheld | equal: last-write-wins",
            "local-won | overturned | column",
            "local-won | overturned | column",
            "local-won | upheld | equal: last-write-wins",
        ]
    );
    let elsewhere = pair.bj.text("SELECT DISTINCT IFNULL(ruling, 'none') FROM weft.conflict").await;
    assert!(elsewhere.iter().all(|ruling| ruling == "none"), "only one site decides: {elsewhere:?}");
}

#[tokio::test]
async fn the_row_of_the_site_that_is_named_first_wins_though_it_is_older() {
    let rule = "conflict = \"site-priority\"\nsite_priority = [\"bj\", \"sh\"]";
    let create = "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20), u INT UNIQUE); \
                  INSERT INTO t VALUES (1, 'first', 1), (2, 'first', 2), (3, 'first', 3), (4, 'first', 4)";
    let mut pair = Pair::start(create, &["shop.t"], rule).await;
    pair.apart(
        &[
            (50, "UPDATE t SET v = 'sh' WHERE id = 1"),
            (10, "UPDATE t SET v = 'sh' WHERE id = 2"),
            (50, "UPDATE t SET v = 'sh' WHERE id = 3"),
            (50, "UPDATE t SET v = 'sh', u = 40 WHERE id = 4"),
            (51, "INSERT INTO t VALUES (9, 'took its value', 4)"),
        ],
        &[
            (10, "UPDATE t SET v = 'bj' WHERE id = 1"),
            (11, "UPDATE t SET v = 'bj again' WHERE id = 1"),
            (50, "UPDATE t SET v = 'bj' WHERE id = 2"),
            (10, "DELETE FROM t WHERE id = 3"),
            (10, "UPDATE t SET v = 'bj' WHERE id = 4"),
        ],
    )
    .await;
    pair.together().await;
    let rows = "SELECT CONCAT_WS(' ', id, v, u) FROM shop.t ORDER BY id";
    // Of row 4 the last write stays: another row has the unique value that bj's has.
    assert_eq!(
        pair.bj.text(rows).await,
        ["1 bj again 1", "2 bj 2", "4 sh 40", "9 took its value 4"],
        "{:?}",
        pair.rulings().await
    );
    let mut rulings = pair.rulings().await;
    rulings.sort();
    assert_eq!(
        rulings,
        [
            "incoming-won | upheld | site-priority",
            "local-won | abandoned | another row has its unique value",
            "local-won | overturned | site-priority",
            "local-won | overturned | site-priority",
            "local-won | upheld | one change followed the other",
        ]
    );
    // Nothing goes on for ever, and what was decided can be changed again.
    pair.bj.execute("UPDATE shop.t SET v = 'later' WHERE id < 4").await;
    pair.settled().await;
    let later: Vec<u64> = pair.sh.query("SELECT COUNT(*) FROM shop.t WHERE v = 'later'").await;
    assert_eq!(later, [2]);
    assert_eq!(pair.rulings().await.len(), 5, "a verdict is no conflict");
}

/// An installation of the release before has a conflict log without rulings.
#[tokio::test]
async fn an_older_conflict_log_gets_its_new_columns_and_keeps_its_rows() {
    let rule = "conflict = \"column\"\ncolumn = \"n\"";
    let old = "CREATE TABLE t (id INT PRIMARY KEY, n INT); INSERT INTO t VALUES (1, 1); \
        CREATE DATABASE weft; CREATE TABLE weft.conflict (id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT, \
        at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6), channel VARCHAR(64) NOT NULL, source VARCHAR(130) NOT NULL, \
        scn VARCHAR(64) NOT NULL, table_schema VARCHAR(64) NOT NULL DEFAULT '', table_name VARCHAR(64) NOT NULL DEFAULT '', \
        key_hash CHAR(32) NOT NULL DEFAULT '', incoming LONGTEXT NULL, local LONGTEXT NULL, incoming_time BIGINT UNSIGNED NULL, \
        incoming_origin INT UNSIGNED NULL, local_time BIGINT UNSIGNED NULL, local_origin INT UNSIGNED NULL, \
        verdict VARCHAR(64) NOT NULL, PRIMARY KEY (id)) ENGINE = InnoDB; \
        INSERT INTO weft.conflict (channel, source, scn, verdict) VALUES ('orders', 'x.main', '', 'local-won')";
    let mut pair = Pair::start(old, &["shop.t"], rule).await;
    pair.apart(&[(50, "UPDATE t SET n = 2")], &[(10, "UPDATE t SET n = 3")]).await;
    pair.together().await;
    assert_eq!(pair.bj.text("SELECT CONCAT(id, ' ', n) FROM shop.t").await, ["1 3"]);
    assert_eq!(pair.rulings().await, ["local-won", "local-won | overturned | column"]);
    let missing: Vec<String> = pair
        .sh
        .query(
            "SELECT COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = 'weft' AND TABLE_NAME = 'conflict' \
             AND COLUMN_NAME IN ('ruling', 'ruled_by', 'ruled_at', 'row_key', 'loser', 'base_time', 'base_origin', \
             'stands_for_time', 'stands_for_origin')",
        )
        .await;
    assert_eq!(missing.len(), 9, "{missing:?}");
}

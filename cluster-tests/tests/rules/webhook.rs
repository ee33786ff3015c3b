//! `webhook`: a program that answers, late, wrongly, or not at all.

use cluster_tests::nodes::PATIENCE;
use cluster_tests::servers::Server;
use cluster_tests::wait::wait_until;

use crate::support::{Hook, Pair, Reply, SH};

const CREATE: &str = "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20), n INT); \
                      INSERT INTO t SELECT seq, 'first', 0 FROM seq_1_to_40";

fn rule(port: u16, more: &str) -> String {
    format!(
        "conflict = \"webhook\"\nwebhook = {{ url = \"http://user:secret@127.0.0.1:{port}/conflict\", {more} }}"
    )
}

async fn metric(pair: &Pair, name: &str) -> f64 {
    let url = format!("{}/metrics", pair.deployment.admin_url(SH));
    let text = pair.deployment.client.get(url).send().await.expect("the node answers").text().await;
    let text = text.expect("metrics are text");
    text.lines()
        .filter(|line| line.starts_with(name))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

async fn wait_metric(pair: &Pair, name: &str, is: impl Fn(f64) -> bool) {
    wait_until(PATIENCE, name, async || {
        let value = metric(pair, name).await;
        if is(value) { Ok(()) } else { Err(value.to_string()) }
    })
    .await;
}

async fn rows(server: &Server) -> Vec<String> {
    server.text("SELECT CONCAT(id, ' ', v) FROM shop.t WHERE v <> 'first' ORDER BY id").await
}

#[tokio::test]
async fn a_program_is_asked_with_both_rows_until_it_answers_and_its_answer_holds_everywhere() {
    // No answer in time, no success, nonsense; then it decides: even rows as they came in.
    let hook = Hook::start(|number, question| match number {
        0 => Reply::Never,
        1 => Reply::With(500, String::new()),
        2 => Reply::With(200, "{\"winner\": \"me\"}".into()),
        3 => Reply::With(302, "{\"winner\": \"local\"}".into()),
        _ => {
            let id: u64 =
                question["local"]["row"]["id"].as_str().and_then(|id| id.parse().ok()).expect("a row");
            let winner = if id.is_multiple_of(2) { "incoming" } else { "local" };
            Reply::With(200, format!("{{\"winner\": \"{winner}\"}}"))
        }
    })
    .await;
    let options = "timeout = \"500ms\", retries = 10, concurrency = 2";
    let mut pair = Pair::start(CREATE, &["shop.t"], &rule(hook.port, options)).await;
    pair.apart(
        &[
            (50, "UPDATE t SET v = 'sh' WHERE id <= 10"),
            (10, "UPDATE t SET v = 'sh' WHERE id BETWEEN 11 AND 20"),
        ],
        &[
            (10, "UPDATE t SET v = 'bj' WHERE id <= 10"),
            (50, "UPDATE t SET v = 'bj' WHERE id BETWEEN 11 AND 20"),
        ],
    )
    .await;
    pair.together().await;
    let expected: Vec<String> =
        (1..=20_u64).map(|id| format!("{id} {}", if id.is_multiple_of(2) { "bj" } else { "sh" })).collect();
    assert_eq!(rows(&pair.bj).await, expected);
    let questions = hook.questions();
    assert_eq!(questions.len(), 24, "each conflict once, and four tries that failed");
    assert!(hook.most_at_once() <= 3, "{} at once", hook.most_at_once());
    let first = &questions[0];
    assert_eq!(first["channel"], "orders");
    assert_eq!(first["table"], "shop.t");
    assert_eq!(first["primary_key"], serde_json::json!(["id"]));
    assert_eq!(first["decided_at"], "sh.main");
    assert_eq!(
        (first["incoming"]["site"].as_str(), first["local"]["site"].as_str()),
        (Some("bj"), Some("sh"))
    );
    assert!(first["incoming"]["time_us"].is_u64() && first["scn"].is_string(), "{first}");
    for (reason, count) in [("timeout", 1.0), ("status", 2.0), ("bad-answer", 1.0), ("unreachable", 0.0)] {
        let name = format!(
            "weft_referee_webhook_failures_total{{channel=\"orders\",database=\"sh.main\",reason=\"{reason}\"}}"
        );
        assert_eq!(metric(&pair, &name).await, count, "{reason}");
    }
    assert_eq!(
        metric(&pair, "weft_referee_rulings_total{database=\"sh.main\",ruling=\"overturned\"}").await,
        10.0
    );
    assert_eq!(metric(&pair, "weft_referee_fallbacks_total").await, 0.0);
    assert!(!pair.deployment.log(SH).contains("secret"), "a password is in the log");
}

#[tokio::test]
async fn where_no_program_answers_the_stated_fallback_decides() {
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        listener.local_addr().expect("it is bound").port()
    };
    let options = "timeout = \"200ms\", retries = 1, fallback = \"column\"";
    let rule = format!("{}\ncolumn = \"n\"", rule(port, options));
    let mut pair = Pair::start(CREATE, &["shop.t"], &rule).await;
    pair.apart(
        &[(50, "UPDATE t SET v = 'sh', n = 1 WHERE id = 1")],
        &[(10, "UPDATE t SET v = 'bj', n = 2 WHERE id = 1")],
    )
    .await;
    pair.together().await;
    assert_eq!(rows(&pair.sh).await, ["1 bj"]);
    assert_eq!(pair.rulings().await, ["local-won | overturned | webhook failed: fallback"]);
    assert_eq!(metric(&pair, "weft_referee_fallbacks_total").await, 1.0);
    assert_eq!(metric(&pair, "weft_referee_webhook_failures_total").await, 2.0);
    assert!(!pair.deployment.log(SH).contains("secret"), "a password is in the log");
}

/// The conflict is committed and open; the node that decides dies while the program thinks. Until then
/// the last write holds everywhere.
#[tokio::test]
async fn a_deciding_node_killed_between_the_conflict_and_the_verdict_asks_again() {
    let hook = Hook::start(|number, _| match number {
        0 | 1 => Reply::Never,
        _ => Reply::With(200, "{\"winner\": \"incoming\"}".into()),
    })
    .await;
    let options = "timeout = \"60s\", retries = 0";
    let mut pair = Pair::start(CREATE, &["shop.t"], &rule(hook.port, options)).await;
    pair.apart(&[(50, "UPDATE t SET v = 'sh' WHERE id = 1")], &[(10, "UPDATE t SET v = 'bj' WHERE id = 1")])
        .await;
    pair.deployment.start_all().await;
    for killed in 1..=2 {
        hook.wait_asked(killed).await;
        cluster_tests::nodes::wait_equal(&[&pair.sh, &pair.bj], &["shop.t"]).await;
        assert_eq!(rows(&pair.bj).await, ["1 sh"], "until the verdict the last write holds");
        pair.deployment.kill9(SH);
        assert_eq!(pair.rulings().await, ["local-won | open"]);
        pair.deployment.start(SH);
        pair.deployment.wait_ready(SH).await;
    }
    pair.settled().await;
    assert_eq!(rows(&pair.bj).await, ["1 bj"]);
    assert_eq!(pair.rulings().await, ["local-won | overturned | webhook"]);
}

/// While the program thinks, an application changes the row again, and sees what is there.
#[tokio::test]
async fn a_change_made_while_the_program_thinks_supersedes_its_answer() {
    let (tell, told) = tokio::sync::watch::channel(false);
    let hook =
        Hook::start(move |_, _| Reply::WhenTold(told.clone(), "{\"winner\": \"incoming\"}".into())).await;
    let mut pair = Pair::start(CREATE, &["shop.t"], &rule(hook.port, "timeout = \"60s\"")).await;
    pair.apart(&[(50, "UPDATE t SET v = 'sh' WHERE id = 1")], &[(10, "UPDATE t SET v = 'bj' WHERE id = 1")])
        .await;
    pair.deployment.start_all().await;
    hook.wait_asked(1).await;
    let age = "weft_referee_oldest_open_age_seconds{database=\"sh.main\"}";
    wait_metric(&pair, age, |age| age >= 1.0).await;
    pair.sh.execute("UPDATE shop.t SET v = 'sh again' WHERE id = 1").await;
    tell.send_replace(true);
    pair.settled().await;
    assert_eq!(rows(&pair.bj).await, ["1 sh again"]);
    assert_eq!(pair.rulings().await, ["local-won | superseded | a newer change came first"]);
    wait_metric(&pair, age, |age| age == 0.0).await;
}

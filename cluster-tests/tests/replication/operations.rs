//! What an operator reads and runs: status, metrics, uninstall.

use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use cluster_tests::nodes::{run_program, wait_equal};

use crate::pair::{BJ, BOTH_WAYS, Pair, SH, metrics, wait_metric};

#[tokio::test]
async fn status_metrics_and_uninstall_serve_an_operator() {
    // With a rule that asks, so that its metrics are there too; there is nothing to ask about.
    let asking =
        format!("{BOTH_WAYS}conflict = \"webhook\"\nwebhook = {{ url = \"http://127.0.0.1:9/\" }}\n");
    let mut pair = Pair::start("CREATE TABLE t (id INT PRIMARY KEY)", &asking).await;
    pair.sh.execute("INSERT INTO shop.t VALUES (1), (2)").await;
    pair.bj.execute("INSERT INTO shop.t VALUES (3)").await;
    wait_equal(&[&pair.sh, &pair.bj], &["shop.t"]).await;

    for site in [SH, BJ] {
        let (status, out, err) = run_program(&["status", "--admin", &pair.deployment.admin_url(site)]);
        assert_eq!((status, err.as_str()), (Some(0), ""), "{out}");
        for word in ["sh-1", "bj-1", "sh.main", "bj.main", "orders", "running", "binlog.00000"] {
            assert!(out.contains(word), "{word} in {out}");
        }
    }
    wait_metric(&pair.deployment, SH, "weft_referee_oldest_open_age_seconds", |age| age == 0.0).await;
    let text = metrics(&pair.deployment, SH).await;
    promtool_accepts(&["check", "metrics"], &text);
    let alerts = include_str!("../../../grafana/alerts.yml");
    let watched = alerts.lines().filter(|line| line.trim_start().starts_with("expr:"));
    let named = watched
        .flat_map(|line| line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_'))
        .filter(|word| word.starts_with("weft_"));
    for name in named {
        assert!(
            text.contains(&format!("# TYPE {name} ")),
            "{name} of the alert rules is in /metrics:\n{text}"
        );
    }

    // While a node is at work there, nothing is taken away.
    let config = pair.deployment.config().display().to_string();
    let uninstall = ["uninstall", "--config", &config, "--instance", "sh.main"];
    let (status, out, err) = run_program(&uninstall);
    assert_eq!((status, err.trim_end().lines().count()), (Some(1), 1), "{out}{err}");
    assert_eq!((pair.deployment.terminate(SH), pair.deployment.terminate(BJ)), (Some(0), Some(0)));
    let (status, out, err) = run_program(&uninstall);
    assert_eq!((status, err.as_str()), (Some(0), ""), "{out}");
    assert!(out.contains("11-11-") && out.contains("binlog.00000"), "{out}");
    assert_eq!(pair.sh.text("SHOW DATABASES LIKE 'weft'").await, [""; 0]);
    assert_eq!(pair.bj.text("SHOW DATABASES LIKE 'weft'").await, ["weft"]);
    let (status, _, err) = run_program(&["status", "--admin", &pair.deployment.admin_url(SH)]);
    assert_eq!((status, err.trim_end().lines().count()), (Some(1), 1), "{err}");
}

#[test]
fn prometheus_takes_the_scrape_configuration_and_alerts_as_the_rules_promise() {
    let grafana = Path::new(env!("CARGO_MANIFEST_DIR")).join("../grafana");
    for (action, kind, file) in [
        ("check", "config", "prometheus.yml"),
        ("check", "rules", "alerts.yml"),
        ("test", "rules", "alerts_test.yml"),
    ] {
        let file = grafana.join(file).display().to_string();
        promtool_accepts(&[action, kind, &file], "");
    }
}

/// Has `promtool`, which Debian's package prometheus has, judge what it is given.
fn promtool_accepts(arguments: &[&str], input: &str) {
    let started = Command::new("promtool")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut promtool = match started {
        Ok(promtool) => promtool,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            eprintln!("skipped: promtool is not installed, so nothing judged {arguments:?}");
            return;
        }
        Err(error) => panic!("promtool {arguments:?}: {error}"),
    };
    promtool.stdin.take().expect("piped").write_all(input.as_bytes()).expect("promtool reads");
    let output = promtool.wait_with_output().expect("promtool ends");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "promtool {arguments:?}: {}", String::from_utf8_lossy(&said));
}

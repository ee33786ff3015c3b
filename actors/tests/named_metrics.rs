//! Dashboards and alerts name only what the code declares.

use std::path::Path;

use weft_actors::metrics::{Kind, by_name};

/// Labels that Prometheus adds when it scrapes, and those of our scrape configuration.
const SCRAPED: [&str; 4] = ["instance", "job", "site", "le"];

/// The words of `text` that begin with `weft_`.
fn names(text: &str) -> Vec<&str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| word.starts_with("weft_"))
        .collect()
}

/// The labels of the metric with this name, as Prometheus sees it.
fn labels_of(name: &str) -> Option<&'static [&'static str]> {
    if let Some(metric) = by_name(name) {
        return (metric.kind != Kind::Histogram).then_some(metric.labels);
    }
    let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end))?;
    by_name(base).filter(|metric| metric.kind == Kind::Histogram).map(|metric| metric.labels)
}

fn files() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../grafana");
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the folder is part of the project") {
        let path = entry.expect("readable").path();
        if path.is_file() {
            let text = std::fs::read_to_string(&path).expect("text");
            files.push((path.display().to_string(), text));
        }
    }
    files
}

#[test]
fn every_metric_that_a_dashboard_or_an_alert_names_is_declared() {
    let mut seen = 0;
    for (path, text) in files() {
        for name in names(&text) {
            assert!(labels_of(name).is_some(), "{path} names {name}, which nothing declares");
            seen += 1;
        }
    }
    assert!(seen > 5, "the files were found and read");
}

/// Within one alert, `$labels.x` and `x="…"` are labels of some metric that its expression names.
#[test]
fn every_label_that_an_alert_uses_is_one_of_its_metrics() {
    for (path, text) in files().into_iter().filter(|(path, _)| path.ends_with("alerts.yml")) {
        for alert in text.split("- alert:").skip(1) {
            let expression = alert.lines().find(|line| line.trim_start().starts_with("expr:"));
            let expression = expression.expect("an alert has an expression");
            let known: Vec<&str> = names(expression)
                .into_iter()
                .filter_map(labels_of)
                .flatten()
                .copied()
                .chain(SCRAPED)
                .collect();
            let named = alert.split("$labels.").skip(1).map(|rest| {
                rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default()
            });
            let matched = expression.split("=\"").map(|before| {
                before.rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default()
            });
            let count = expression.matches("=\"").count();
            for label in named.chain(matched.take(count)) {
                assert!(known.contains(&label), "{path}: no metric of this alert has {label}: {alert}");
            }
        }
    }
}

#[test]
fn every_metric_that_is_declared_is_set_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut code = String::new();
    let mut folders = vec![root.join("src"), root.join("../src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("source code is there") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                // A long line may be broken before the point.
                code.extend(std::fs::read_to_string(path).expect("text").split_whitespace());
            }
        }
    }
    let declarations = std::fs::read_to_string(root.join("src/metrics.rs")).expect("text");
    let declared = declarations.lines().filter_map(|line| {
        let (name, kind) = line.trim().split_once(" = ")?;
        let is_kind = ["Counter \"", "Gauge \"", "Histogram \""].iter().any(|word| kind.starts_with(word));
        is_kind.then_some(name)
    });
    let mut seen = 0;
    for name in declared {
        assert!(code.contains(&format!("metrics::{name}.")), "nothing sets {name}");
        seen += 1;
    }
    assert!(seen > 20, "the declarations were found: {seen}");
}

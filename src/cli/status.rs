//! `weft status`.

use std::fmt::Write;

use weft_actors::status::StatusReport;

use super::args::StatusArgs;
use super::client::AdminClient;
use super::out;
use crate::error::Failure;

pub async fn run(args: &StatusArgs) -> Result<u8, Failure> {
    let client = AdminClient::new(&args.admin.admin)?;
    let answer = client.send(client.get("/v1/status")).await?;
    let code = answer.status();
    let odd = || {
        let base = client.base();
        Failure::Failed(format!("{base} answered {code} and no status; is it the admin address of a node?"))
    };
    if !code.is_success() {
        return Err(odd());
    }
    let text = answer.text().await.map_err(|_| odd())?;
    if args.json {
        out::print(&format!("{text}\n"))?;
        return Ok(0);
    }
    let report: StatusReport = serde_json::from_str(&text).map_err(|_| odd())?;
    out::print(&render(&report))?;
    Ok(0)
}

/// The report as tables, with the reasons of what is stopped in lines of their own below.
fn render(report: &StatusReport) -> String {
    let mut out = String::new();
    let leader = report.leader.as_deref().unwrap_or("none");
    let head = format!(
        "cluster {}, seen by {} at {} (weft {}); leader of {}: {leader}\n",
        report.cluster, report.node, report.site, report.version, report.site
    );
    out.push_str(&head);
    table(
        &mut out,
        &["NODE", "SITE", "ALIVE"],
        report.nodes.iter().map(|node| {
            let alive = if node.alive { "yes" } else { "NO" };
            vec![node.id.clone(), node.site.clone(), alive.to_owned()]
        }),
    );
    table(
        &mut out,
        &["SOURCE", "NODE", "SCN", "BINLOG", "BUFFER", "TRANSACTIONS", "LAG"],
        report.sources.iter().map(|source| {
            vec![
                source.instance.clone(),
                source.node.clone(),
                source.scn.clone().unwrap_or_else(none),
                source.file.clone().unwrap_or_else(none),
                bytes(source.buffer_bytes),
                source.buffer_transactions.to_string(),
                lag(source.lag_ms),
            ]
        }),
    );
    let heads = [
        "CHANNEL",
        "FROM",
        "TO",
        "NODE",
        "STATE",
        "LAG",
        "BEHIND",
        "APPLIED",
        "ROWS",
        "SKIPPED",
        "CONFLICTS",
    ];
    table(
        &mut out,
        &heads,
        report.channels.iter().map(|channel| {
            vec![
                channel.name.clone(),
                channel.from.clone(),
                channel.to.clone(),
                channel.node.clone(),
                channel.state.as_str().to_owned(),
                lag(channel.lag_ms),
                bytes(channel.lag_bytes),
                channel.transactions_applied.to_string(),
                channel.rows_applied.to_string(),
                channel.rows_skipped.to_string(),
                channel.conflicts.to_string(),
            ]
        }),
    );
    for channel in &report.channels {
        if let Some(reason) = &channel.reason {
            let line = format!("{} {} to {}: {reason}\n", channel.name, channel.from, channel.to);
            out.push_str(&line);
        }
    }
    out
}

fn none() -> String {
    "-".to_owned()
}

fn lag(lag_ms: Option<u64>) -> String {
    match lag_ms {
        None => none(),
        Some(ms) if ms < 10_000 => format!("{ms} ms"),
        Some(ms) => format!("{} s", ms / 1_000),
    }
}

fn bytes(count: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    let fitting = UNITS.iter().find(|(_, size)| count >= *size);
    fitting.map_or_else(
        || format!("{count} B"),
        |(name, size)| format!("{:.1} {name}", count as f64 / *size as f64),
    )
}

/// An empty line, the heads and the rows, each column as wide as its widest cell.
fn table(out: &mut String, heads: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    let mut lines = vec![heads.iter().map(|&head| head.to_owned()).collect::<Vec<String>>()];
    lines.extend(rows);
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..heads.len()).map(width).collect();
    out.push('\n');
    for line in &lines {
        let mut text = String::new();
        for (cell, width) in line.iter().zip(&widths) {
            write!(text, "{cell:width$}  ").expect("a string takes everything");
        }
        out.push_str(text.trim_end());
        out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_shows_reasons_and_lines_up_columns() {
        let json = r#"{ "cluster": "shop", "site": "sh", "node": "sh-1", "version": "0.1.0", "leader": "sh-1",
            "nodes": [{ "id": "sh-1", "site": "sh", "alive": true, "leader": true }],
            "sources": [],
            "channels": [{ "name": "orders", "from": "sh.main", "to": "bj.main", "node": "bj-1", "state": "stopped",
              "reason": "create the table", "watermark": null, "lag_ms": 12000, "lag_bytes": 2048,
              "transactions_applied": 1, "rows_applied": 2, "rows_skipped": 3, "conflicts": 4 }] }"#;
        let report = serde_json::from_str(json).expect("a report");
        let text = render(&report);
        assert!(text.contains("orders   sh.main  bj.main  bj-1  stopped  12 s  2.0 KiB  1"), "{text}");
        assert!(text.ends_with("orders sh.main to bj.main: create the table\n"), "{text}");
    }
}

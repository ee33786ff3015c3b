//! What the binlog holds.

use weft_core::tables::WEFT_SCHEMA;

use super::Subject;
use crate::check::finding::Finding;

/// A source is read by its binlog; a target's own binlog tells where a lock stood.
pub(super) fn off_or_not_rows(subject: &Subject<'_>) -> Vec<Finding> {
    let facts = subject.facts;
    if !subject.is_source && !subject.is_target {
        return Vec::new();
    }
    if !facts.is_on("log_bin") {
        let fix = "start the server with log_bin = binlog and binlog_format = ROW";
        return vec![Finding::error("binlog-off", &facts.instance, "the binlog is off", fix)];
    }
    let format = facts.variable("binlog_format");
    // Empty: a server that knows no other.
    if format.is_empty() || format.eq_ignore_ascii_case("ROW") {
        return Vec::new();
    }
    let what = format!("binlog_format is {format}: changes are not logged as rows");
    let fix =
        "SET GLOBAL binlog_format = ROW, and the same in the option file; then reconnect the applications";
    vec![Finding::error("binlog-format", &facts.instance, what, fix)]
}

pub(super) fn row_image_not_full(subject: &Subject<'_>) -> Vec<Finding> {
    let facts = subject.facts;
    let image = facts.variable("binlog_row_image");
    if !subject.is_source || image.eq_ignore_ascii_case("FULL") {
        return Vec::new();
    }
    let what = format!("binlog_row_image is {image}: rows are logged without some columns");
    let fix = "SET GLOBAL binlog_row_image = FULL, and the same in the option file; then reconnect the applications";
    vec![Finding::error("row-image", &facts.instance, what, fix)]
}

/// What comes by native replication goes on only if the server logs it again.
pub(super) fn native_changes_not_logged(subject: &Subject<'_>) -> Vec<Finding> {
    let facts = subject.facts;
    let replica = facts.native_sources.as_ref().is_some_and(|sources| !sources.is_empty());
    let logged = facts.is_on("log_slave_updates") || facts.is_on("log_replica_updates");
    if !subject.is_source || !replica || logged {
        return Vec::new();
    }
    let what = "it is a native replica with log_slave_updates off: what it replicates is not in its binlog";
    let fix = "start the server with log_slave_updates = ON";
    vec![Finding::error("log-slave-updates", &facts.instance, what, fix)]
}

/// Filters that hide Weft's marks, or a replicated schema.
pub(super) fn filters(subject: &Subject<'_>) -> Vec<Finding> {
    let facts = subject.facts;
    let Some(filters) = &facts.binlog_filters else { return Vec::new() };
    let mut findings = Vec::new();
    let fix = "start the server without binlog_do_db and binlog_ignore_db";
    if filters.hide(WEFT_SCHEMA) {
        let what = "a binlog filter hides weft.mark: Weft's own writes would come back as new changes";
        findings.push(Finding::error("binlog-filter", &facts.instance, what, fix));
    }
    let mut schemas: Vec<&str> = facts.tables.iter().map(|table| table.name.schema.as_str()).collect();
    schemas.dedup();
    for schema in schemas {
        if subject.is_source && filters.hide(schema) {
            let what = format!("a binlog filter hides the replicated schema {schema}");
            findings.push(Finding::error("binlog-filter", &facts.instance, what, fix));
        }
    }
    findings
}

pub(super) fn metadata_not_full(subject: &Subject<'_>) -> Vec<Finding> {
    let facts = subject.facts;
    let metadata = facts.variable("binlog_row_metadata");
    if !subject.is_source || metadata.eq_ignore_ascii_case("FULL") {
        return Vec::new();
    }
    let what = format!(
        "binlog_row_metadata is {metadata}: column names of past changes are taken from the tables as they are \
         now, which is wrong across an ALTER TABLE"
    );
    let fix = "SET GLOBAL binlog_row_metadata = FULL, and the same in the option file";
    vec![Finding::warning("row-metadata", &facts.instance, what, fix)]
}

/// MySQL's GTIDs are an option. Without them capture finds its place by file and position.
pub(super) fn no_gtids(subject: &Subject<'_>) -> Vec<Finding> {
    let facts = subject.facts;
    let mode = facts.variable("gtid_mode");
    if !subject.is_source || mode.is_empty() || mode.eq_ignore_ascii_case("ON") {
        return Vec::new();
    }
    let what = format!(
        "gtid_mode is {mode}: capture cannot go on at another server of the instance, as only GTIDs find the place \
         there"
    );
    let fix =
        "set gtid_mode = ON and enforce_gtid_consistency = ON in the option file and restart the server";
    vec![Finding::warning("no-gtid", &facts.instance, what, fix)]
}

pub(super) fn short_retention(subject: &Subject<'_>) -> Vec<Finding> {
    let facts = subject.facts;
    let days: f64 = facts.variable("expire_logs_days").parse().unwrap_or(0.0);
    let kept_s = facts.number("binlog_expire_logs_seconds").unwrap_or((days * 86_400.0) as u64);
    let window_s = subject.conflict_window.as_secs();
    if !subject.is_source || kept_s == 0 || kept_s >= window_s {
        return Vec::new();
    }
    let what = format!(
        "binlogs are kept for {kept_s} s, less than the conflict window of {window_s} s: a node that was away for \
         longer cannot read what it missed"
    );
    let fix = format!("SET GLOBAL binlog_expire_logs_seconds = {window_s}");
    vec![Finding::warning("retention", &facts.instance, what, fix)]
}

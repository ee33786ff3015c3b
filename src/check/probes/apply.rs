//! What stands in the way of writing to a target.

use super::Subject;
use crate::check::finding::Finding;

/// Least `max_allowed_packet` of a target in bytes: a batch must be worth its commit.
const PACKET_BYTES_MIN: u64 = 4 << 20;

pub(super) fn read_only(subject: &Subject<'_>) -> Vec<Finding> {
    let facts = subject.facts;
    let setting = facts.variable("read_only");
    if !subject.is_target || setting.is_empty() || setting == "0" || setting.eq_ignore_ascii_case("OFF") {
        return Vec::new();
    }
    let what = "the server is read_only: Weft never writes to such a one, whatever its privileges";
    let fix = "SET GLOBAL read_only = OFF; or, where it is a replica, name its primary in the instance's url";
    vec![Finding::error("read-only", &facts.instance, what, fix)]
}

/// Settings under which a replayed row does more than it says.
pub(super) fn idempotent_or_firing_triggers(subject: &Subject<'_>) -> Vec<Finding> {
    let facts = subject.facts;
    let mut findings = Vec::new();
    if !subject.is_target {
        return findings;
    }
    if facts.variable("slave_exec_mode").eq_ignore_ascii_case("IDEMPOTENT") {
        let what = "slave_exec_mode is IDEMPOTENT: rows in the way of a change are overwritten silently";
        let fix = "SET GLOBAL slave_exec_mode = STRICT, and the same in the option file";
        findings.push(Finding::error("slave-exec-mode", &facts.instance, what, fix));
    }
    let triggers = facts.variable("slave_run_triggers_for_rbr");
    if !triggers.is_empty() && !triggers.eq_ignore_ascii_case("NO") {
        let what = format!(
            "slave_run_triggers_for_rbr is {triggers}: triggers would do again what they did at the source"
        );
        let fix = "SET GLOBAL slave_run_triggers_for_rbr = NO, and the same in the option file";
        findings.push(Finding::error("slave-triggers", &facts.instance, what, fix));
    }
    findings
}

pub(super) fn small_packets(subject: &Subject<'_>) -> Vec<Finding> {
    let facts = subject.facts;
    let Some(bytes) = facts.number("max_allowed_packet") else { return Vec::new() };
    if !subject.is_target || bytes >= PACKET_BYTES_MIN {
        return Vec::new();
    }
    let what = format!("max_allowed_packet of {bytes} bytes is too small to write in batches");
    let fix = "SET GLOBAL max_allowed_packet = 67108864, and the same in the option file";
    vec![Finding::error("max-allowed-packet", &facts.instance, what, fix)]
}

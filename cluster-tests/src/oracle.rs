//! What must be true of servers after writers have stopped and all is applied.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::process::Command;
use std::time::Duration;

use crate::servers::Server;
use crate::workload::{Fate, Journal, SHARED, Write};

/// Commit times have whole seconds: of two writes at two sites within this time either may win.
const SAME_TIME: Duration = Duration::from_millis(1_200);

/// Holds the tables of a server against the journals of all writers: no acknowledged write is lost,
/// and every key of `shop.t` has a greatest version.
pub async fn assert_holds(server: &Server, journals: &[Journal]) {
    assert_logged(server, journals).await;
    let rows: BTreeMap<u32, String> =
        server.query::<(u32, String)>("SELECT id, v FROM shop.t").await.into_iter().collect();
    let mut by_key: BTreeMap<u32, Vec<&Write>> = BTreeMap::new();
    for write in journals.iter().flat_map(|journal| &journal.writes) {
        by_key.entry(write.key).or_default().push(write);
    }
    for (key, writes) in &by_key {
        let value = rows.get(key).map(String::as_str);
        let trouble = if *key < SHARED { older_than(value, writes) } else { not_last(value, writes) };
        if let Some(trouble) = trouble {
            let last = &writes[writes.len().saturating_sub(4)..];
            panic!(
                "key {key} of {} has {value:?}: {trouble}; its last writes: {last:#?}",
                server.server_id()
            );
        }
    }
    let unwritten: Vec<_> = rows.keys().filter(|key| !by_key.contains_key(key)).collect();
    assert!(unwritten.is_empty(), "nobody wrote {unwritten:?}");
}

/// Every acknowledged transaction left its row in `shop.log`.
async fn assert_logged(server: &Server, journals: &[Journal]) {
    let there: std::collections::HashSet<u64> =
        server.query::<u64>("SELECT id FROM shop.log").await.into_iter().collect();
    let lost: Vec<u64> = journals
        .iter()
        .flat_map(|journal| &journal.logged)
        .filter(|id| !there.contains(id))
        .copied()
        .collect();
    assert!(lost.is_empty(), "{} acknowledged and lost at {}: {lost:?}", lost.len(), server.server_id());
}

/// A key of one writer has the value of its last acknowledged write, or of a later one whose
/// outcome nobody knows.
fn not_last(value: Option<&str>, writes: &[&Write]) -> Option<String> {
    let last = writes.iter().rposition(|write| write.fate != Fate::Unknown);
    let allowed = &writes[last.unwrap_or(0)..];
    let never = last.is_none() && value.is_none();
    let found = never || allowed.iter().any(|write| write.value.as_deref() == value);
    (!found).then(|| "not of its last acknowledged write, nor of a later one".to_owned())
}

/// A key of many writers has a value that no acknowledged write is clearly later than.
fn older_than(value: Option<&str>, writes: &[&Write]) -> Option<String> {
    let of_value = writes.iter().filter(|write| write.value.as_deref() == value);
    let mut ends = Vec::new();
    for write in of_value {
        match write.fate {
            Fate::Acknowledged(at) => ends.push(at),
            // It may have come at any time.
            Fate::Unknown => return None,
        }
    }
    let Some(end) = ends.into_iter().max() else {
        let any = value.is_none() && writes.iter().all(|write| write.fate == Fate::Unknown);
        return (!any).then(|| "a value that nobody wrote".to_owned());
    };
    let later = writes.iter().find(|write| {
        write.fate != Fate::Unknown && write.began > end + SAME_TIME && write.value.as_deref() != value
    });
    later.map(|write| format!("{write:?} is later"))
}

/// One row event as text: operation and images.
pub type Change = String;

/// The changes of the users' tables in a server's binlogs, in order, by table and first column.
pub async fn changes(server: &Server) -> HashMap<String, Vec<Change>> {
    by_key(&decoded(server).await)
}

/// The transactions of a server's binlogs in the order of their commits: of each, table and change of
/// every row event.
pub async fn transactions(server: &Server) -> Vec<Vec<(String, Change)>> {
    let text = decoded(server).await;
    let transactions = text.split("\tGTID ").skip(1);
    transactions.map(|one| row_events(one).into_iter().map(as_change).collect()).collect()
}

/// All of a server's binlogs, as its own printer writes them with `-v`.
async fn decoded(server: &Server) -> String {
    let files = server.binlog_files().await;
    let mut command = server.flavour().binlog_printer();
    command.args(["--no-defaults", "--base64-output=DECODE-ROWS", "-v"]);
    command.args(files.iter().map(|file| server.data_directory().join(file)));
    let output = tokio::task::spawn_blocking(move || command.output().expect("the printer is there"))
        .await
        .expect("running a program does not panic");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The tables whose rows changed since a position of the server's binlog.
pub async fn tables_since(server: &Server, (file, position): (String, u64)) -> BTreeSet<String> {
    let newest = server.binlog_files().await.pop().expect("the binlog is on");
    assert_eq!(newest, file, "the binlog was rotated meanwhile");
    let mut command = Command::new("mariadb-binlog");
    command.args(["--no-defaults", "--base64-output=DECODE-ROWS", "-v"]);
    command.arg(format!("--start-position={position}")).arg(server.data_directory().join(file));
    let output = command.output().expect("mariadb-binlog is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let tables = text.lines().filter_map(|line| Some(line.split_once("Table_map: ")?.1));
    tables.filter_map(|rest| Some(rest.split_once(" mapped")?.0.replace('`', ""))).collect()
}

/// Table, kind and cells of a row event.
type RowEvent = (String, char, Vec<String>);

/// Reads the comments that `mariadb-binlog -v` writes for each row.
fn row_events(text: &str) -> Vec<RowEvent> {
    let mut rows: Vec<RowEvent> = Vec::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("### ")) {
        let heads = [("INSERT INTO ", 'I'), ("UPDATE ", 'U'), ("DELETE FROM ", 'D')];
        if let Some((table, kind)) =
            heads.iter().find_map(|(head, kind)| Some((line.strip_prefix(head)?, kind)))
        {
            rows.push((table.replace('`', ""), *kind, Vec::new()));
        } else if let (Some((_, _, cells)), true) = (rows.last_mut(), line.trim_start().starts_with('@')) {
            cells.push(line.trim().to_owned());
        }
    }
    rows
}

fn as_change((table, kind, cells): RowEvent) -> (String, Change) {
    (table, format!("{kind} {}", cells.join(" ")))
}

fn by_key(text: &str) -> HashMap<String, Vec<Change>> {
    let mut by_key: HashMap<String, Vec<Change>> = HashMap::new();
    for event in row_events(text).into_iter().filter(|(table, ..)| table.starts_with("shop.")) {
        let key = event.2.first().cloned().unwrap_or_default();
        let (table, change) = as_change(event);
        by_key.entry(format!("{table} {key}")).or_default().push(change);
    }
    by_key
}

/// Holds a target's binlog against its only source's: each new row of `shop.log` came exactly once,
/// and every other key took some of its states (those between may be gathered) in order, never
/// twice, up to the last.
pub fn assert_applied_once(source: &HashMap<String, Vec<Change>>, target: &HashMap<String, Vec<Change>>) {
    for (key, changes) in source {
        let applied = target.get(key).map_or(&[][..], Vec::as_slice);
        if key.starts_with("shop.log") {
            assert_eq!(applied, changes, "{key}");
            continue;
        }
        let states: Vec<String> = changes.iter().map(|change| after(change)).collect();
        let mut rest = states.iter();
        for change in applied {
            let state = after(change);
            assert!(
                rest.any(|one| *one == state),
                "{key}: {change} came twice or out of order\nsource: {changes:#?}\ntarget: {applied:#?}"
            );
        }
        // A row made and deleted in one batch leaves nothing.
        let last = states.last().expect("a key has changes");
        assert!(
            rest.next().is_none()
                || (last == "gone" && applied.last().is_none_or(|change| after(change) == "gone")),
            "{key}: the target stops before the end\nsource: {changes:#?}\ntarget: {applied:#?}"
        );
    }
    let foreign: Vec<_> = target.keys().filter(|key| !source.contains_key(*key)).collect();
    assert!(foreign.is_empty(), "the source never changed {foreign:?}");
}

/// The row after the change.
fn after(change: &str) -> String {
    let (kind, cells) = change.split_at(1);
    match kind {
        "D" => "gone".to_owned(),
        "U" => cells.rfind(" @1=").map_or(cells, |at| &cells[at..]).trim().to_owned(),
        _ => cells.trim().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# at 5\n### INSERT INTO `shop`.`t`\n### SET\n###   @1=7\n###   @2='a'\n\
        ### UPDATE `shop`.`t`\n### WHERE\n###   @1=7\n###   @2='a'\n### SET\n###   @1=7\n###   @2='b'\n\
        ### DELETE FROM `weft`.`x`\n### WHERE\n###   @1=1\n";

    #[test]
    fn changes_are_read_by_key() {
        let changes = by_key(TEXT);
        assert_eq!(changes["shop.t @1=7"], ["I @1=7 @2='a'", "U @1=7 @2='a' @1=7 @2='b'"]);
        assert_eq!(changes.len(), 1);
    }

    #[test]
    #[should_panic(expected = "came twice or out of order")]
    fn a_state_that_comes_twice_is_seen() {
        let source = by_key(TEXT);
        let mut target = source.clone();
        let again = target["shop.t @1=7"].clone();
        target.get_mut("shop.t @1=7").expect("there").extend(again);
        assert_applied_once(&source, &target);
    }

    #[test]
    fn states_between_may_be_gathered() {
        let source = by_key(TEXT);
        let folded = HashMap::from([("shop.t @1=7".to_owned(), vec!["I @1=7 @2='b'".to_owned()])]);
        assert_applied_once(&source, &folded);
    }
}

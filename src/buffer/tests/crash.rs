//! A process that is killed while it appends.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use super::*;

/// Set in the child: the directory to append in.
const CHILD: &str = "WEFT_TEST_APPEND_IN";
const TEST: &str = "buffer::tests::crash::what_was_acknowledged_before_a_kill_is_there_in_order";

fn transactions_at(pos: u64) -> Vec<Transaction> {
    match pos % 5 {
        0 => (0..4).map(|i| part(pos, 3000, Some((i, i == 3)))).collect(),
        _ => vec![sized(pos, (pos * 37 % 2000) as usize)],
    }
}

fn append_until_killed(directory: &Path) {
    let (buffer, report) = open(directory, roomy());
    buffer.begin(scn(0)).unwrap();
    let first = report.newest.map_or(1, |newest| newest.log_pos + 1);
    let mut out = std::io::stdout().lock();
    for pos in first.. {
        transactions_at(pos).iter().for_each(|transaction| buffer.append(transaction).unwrap());
        writeln!(out, "acknowledged {pos}").unwrap();
        out.flush().unwrap();
        if pos % 64 == 0 {
            buffer.sync().unwrap();
        }
    }
}

#[test]
fn what_was_acknowledged_before_a_kill_is_there_in_order() {
    if let Some(directory) = std::env::var_os(CHILD) {
        return append_until_killed(Path::new(&directory));
    }
    let directory = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    for round in 1..=6_u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([TEST, "--exact", "--nocapture"])
            .env(CHILD, directory.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let until = acknowledged + 100 + round * 29;
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        while acknowledged < until {
            let line = lines.next().expect("the child appends until it is killed").unwrap();
            let number = line.rsplit_once("acknowledged ").and_then(|(_, pos)| pos.parse().ok());
            acknowledged = number.unwrap_or(acknowledged);
        }
        // Not at a boundary that the parent chose: the child goes on meanwhile.
        child.kill().unwrap();
        child.wait().unwrap();
        for line in lines.map_while(Result::ok) {
            let number = line.rsplit_once("acknowledged ").and_then(|(_, pos)| pos.parse().ok());
            acknowledged = number.unwrap_or(acknowledged);
        }
        let (buffer, report) = open(directory.path(), roomy());
        let newest = report.newest.expect("transactions were acknowledged").log_pos;
        assert!(newest >= acknowledged, "{newest} is held, {acknowledged} was acknowledged");
        let expected: Vec<Transaction> = (1..=newest).flat_map(transactions_at).collect();
        assert_eq!(read_after(&buffer, scn(0)), Ok(expected));
    }
}

//! What a comparison found.

use std::fmt;

use serde_json::{Value, json};
use weft_core::tables::TableName;

use super::{PairToCompare, Verdict};

/// What was found in all channels.
#[derive(Debug, Default)]
pub struct Report {
    pub channels: Vec<ChannelReport>,
}

#[derive(Debug)]
pub struct ChannelReport {
    pub channel: String,
    pub left: String,
    pub right: String,
    pub tables: Vec<TableReport>,
    /// Why the channel was not compared to its end.
    pub problems: Vec<String>,
}

#[derive(Debug)]
pub struct TableReport {
    pub table: TableName,
    pub rows: u64,
    /// What only one side has: the table itself, or columns.
    pub shape: Vec<String>,
    pub differences: Vec<RowDifference>,
    /// Why the table or some of its keys could not be compared.
    pub problems: Vec<String>,
}

/// A row that is not the same on both sides.
#[derive(Debug, PartialEq, Eq)]
pub struct RowDifference {
    /// Names and values of the primary key's columns.
    pub key: Vec<(String, String)>,
    /// Full name of the instance that does not have the row; None: both have it.
    pub missing_at: Option<String>,
    /// The columns that differ, where both have the row.
    pub columns: Vec<String>,
}

impl fmt::Display for RowDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key: Vec<String> = self.key.iter().map(|(name, value)| format!("{name} = {value}")).collect();
        write!(f, "key ({}) ", key.join(", "))?;
        match &self.missing_at {
            Some(side) => write!(f, "is missing at {side}"),
            None => write!(f, "differs in {}", self.columns.join(", ")),
        }
    }
}

impl ChannelReport {
    pub(super) fn new(pair: &PairToCompare) -> ChannelReport {
        ChannelReport {
            channel: pair.channel.clone(),
            left: pair.left.0.clone(),
            right: pair.right.0.clone(),
            tables: Vec::new(),
            problems: Vec::new(),
        }
    }
}

impl TableReport {
    pub(super) fn new(table: TableName) -> TableReport {
        TableReport { table, rows: 0, shape: Vec::new(), differences: Vec::new(), problems: Vec::new() }
    }

    fn is_different(&self) -> bool {
        !self.shape.is_empty() || !self.differences.is_empty()
    }

    pub(super) fn summary(&self) -> String {
        let found = match self.differences.len() {
            0 if !self.problems.is_empty() => String::from("not all of it could be compared"),
            0 if !self.shape.is_empty() => String::from("identical in the columns that both sides have"),
            0 => String::from("identical"),
            count => format!("{count} keys differ"),
        };
        format!("{}: {found} ({} rows)", self.table, self.rows)
    }
}

impl Report {
    pub fn verdict(&self) -> Verdict {
        let tables = || self.channels.iter().flat_map(|channel| &channel.tables);
        if tables().any(TableReport::is_different) {
            return Verdict::Different;
        }
        let whole = self.channels.iter().all(|channel| channel.problems.is_empty())
            && tables().all(|table| table.problems.is_empty());
        if whole { Verdict::Identical } else { Verdict::CouldNotCompare }
    }

    /// The last line.
    pub(super) fn summary(&self) -> String {
        let tables = || self.channels.iter().flat_map(|channel| &channel.tables);
        let rows: u64 = tables().map(|table| table.rows).sum();
        let keys: usize = tables().map(|table| table.differences.len()).sum();
        let counted = format!("{} tables, {rows} rows", tables().count());
        match self.verdict() {
            Verdict::Identical => format!("identical: {counted}"),
            Verdict::Different => format!("different: {keys} keys in {counted}"),
            Verdict::CouldNotCompare => format!("could not compare all: {counted}"),
        }
    }

    pub fn to_json(&self) -> Value {
        let row = |difference: &RowDifference| {
            let key: serde_json::Map<String, Value> =
                difference.key.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
            json!({ "key": key, "missing_at": difference.missing_at, "columns": difference.columns })
        };
        let table = |table: &TableReport| {
            json!({
                "table": table.table.to_string(),
                "rows": table.rows,
                "shape": table.shape,
                "differences": table.differences.iter().map(row).collect::<Vec<_>>(),
                "problems": table.problems,
            })
        };
        let channel = |channel: &ChannelReport| {
            json!({
                "channel": channel.channel,
                "left": channel.left,
                "right": channel.right,
                "tables": channel.tables.iter().map(table).collect::<Vec<_>>(),
                "problems": channel.problems,
            })
        };
        json!({
            "identical": self.verdict() == Verdict::Identical,
            "channels": self.channels.iter().map(channel).collect::<Vec<_>>(),
        })
    }
}

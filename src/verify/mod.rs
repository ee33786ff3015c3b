//! `weft verify`: compares the tables of channels on both sides while they may be written.
//!
//! The walk and the verdicts are [`weft_core::verify`]'s; here are the questions in SQL
//! ([`sql`]), the tables as each side has them ([`tables`]), and what is printed ([`report`]).

mod condition;
pub mod report;
mod side;
mod sql;
mod tables;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use weft_core::filter::transform::{TableTransform, Transforms};
use weft_core::tables::{TableFilter, TableName};
use weft_core::time::Micros;
use weft_core::verify::compare::{Answer, Ask, Comparison};
use weft_core::verify::settle::Patience;
use weft_core::verify::{Difference, Side as Which};

use crate::mysql::connect::{ConnectError, Endpoint};
use report::{Report, RowDifference, TableReport};
use side::Side;
use tables::{Plan, TableFacts};

/// The two instances of a channel, and its tables.
#[derive(Debug, Clone)]
pub struct PairToCompare {
    pub channel: String,
    /// Full name and address.
    pub left: (String, Endpoint),
    pub right: (String, Endpoint),
    /// The channel's tables, by their names at each side.
    pub left_tables: TableFilter,
    pub right_tables: TableFilter,
    /// What is done to rows on their way from left to right.
    pub transforms: Transforms,
}

/// What a verification came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Identical,
    /// Differences were found; tables may be among them that could not be compared.
    Different,
    CouldNotCompare,
}

impl Verdict {
    /// The exit status of `weft verify`.
    pub const fn exit_status(self) -> u8 {
        match self {
            Verdict::Identical => 0,
            Verdict::Different => 1,
            Verdict::CouldNotCompare => 3,
        }
    }
}

/// Why a pair or a table could not be compared.
#[derive(Debug, thiserror::Error)]
enum VerifyError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("{side}: {doing}: {error}")]
    Query { side: String, doing: String, error: mysql_async::Error },
    #[error("{side}: {table} has a row that is too long to be hashed; raise max_allowed_packet there")]
    TooLong { side: String, table: TableName },
}

/// Compares all pairs and prints what is found, as text line by line or as one JSON document at the
/// end.
pub async fn run(pairs: Vec<PairToCompare>, json: bool) -> Verdict {
    let mut print = |line: String| {
        if !json {
            println!("{line}");
        }
    };
    let report = compare(pairs, Patience::default(), &mut print).await;
    if json {
        println!("{}", report.to_json());
    }
    report.verdict()
}

/// Compares all pairs; lines of text go to `print` as they are known.
pub async fn compare(
    pairs: Vec<PairToCompare>,
    patience: Patience,
    print: &mut (dyn FnMut(String) + Send),
) -> Report {
    let mut report = Report::default();
    for pair in pairs {
        let mut channel = report::ChannelReport::new(&pair);
        if let Err(error) = compare_pair(&pair, patience, &mut channel, print).await {
            let problem = error.to_string().replace(['\n', '\r'], " ");
            print(format!("could not compare: channel {}: {problem}", pair.channel));
            channel.problems.push(problem);
        }
        report.channels.push(channel);
    }
    print(report.summary());
    report
}

async fn compare_pair(
    pair: &PairToCompare,
    patience: Patience,
    channel: &mut report::ChannelReport,
    print: &mut (dyn FnMut(String) + Send),
) -> Result<(), VerifyError> {
    let mut left = Side::connect(&pair.left, &pair.channel).await?;
    let mut right = Side::connect(&pair.right, &pair.channel).await?;
    let on_right = right.tables(&pair.right_tables).await?;
    // By the names that the right side has for them.
    let mut on_left: BTreeMap<TableName, Option<&TableTransform>> = BTreeMap::new();
    for table in left.tables(&pair.left_tables).await? {
        let transform = pair.transforms.of(&table);
        on_left.insert(transform.map_or(table, |transform| transform.target().clone()), transform);
    }
    for table in on_left.keys().chain(&on_right).cloned().collect::<BTreeSet<TableName>>() {
        let mut found = TableReport::new(table.clone());
        match (on_left.get(&table), on_right.contains(&table)) {
            (Some(transform), true) => {
                let tables = (&table, *transform);
                match compare_table(&mut left, &mut right, tables, patience, &mut found, print).await {
                    // The session can go on with the next table.
                    Err(error @ VerifyError::TooLong { .. }) => {
                        print(format!("could not compare: {error}"));
                        found.problems.push(error.to_string());
                    }
                    result => result?,
                }
            }
            (there, _) => {
                let missing = if there.is_some() { &right.name } else { &left.name };
                found.shape.push(format!("the table is missing at {missing}"));
                print(format!("{table}: the table is missing at {missing}"));
            }
        }
        channel.tables.push(found);
    }
    Ok(())
}

async fn compare_table(
    left: &mut Side,
    right: &mut Side,
    (table, transform): (&TableName, Option<&TableTransform>),
    patience: Patience,
    found: &mut TableReport,
    print: &mut (dyn FnMut(String) + Send),
) -> Result<(), VerifyError> {
    let at_left = transform.map_or(table, |transform| &transform.table);
    let (on_left, on_right) = (left.facts(at_left).await?, right.facts(table).await?);
    let on_left = on_left.transformed(transform);
    for line in tables::shape_differences((&left.name, &on_left), (&right.name, &on_right)) {
        print(format!("{table}: {line}"));
        found.shape.push(line);
    }
    let plan = match Plan::new([at_left, table], &on_left, &on_right, transform) {
        Ok(plan) => plan,
        Err(problem) => {
            print(format!("could not compare: {table}: {problem}"));
            found.problems.push(problem);
            return Ok(());
        }
    };
    let began = Instant::now();
    let mut comparison = Comparison::new(patience);
    let mut ask = comparison.start();
    while ask != Ask::Done {
        let answer = answer(left, right, &plan, &ask).await?;
        let now = Micros(began.elapsed().as_micros() as u64);
        ask = comparison.next(answer, now);
        for difference in comparison.take_differences() {
            if let Some(named) = name_difference(left, right, &plan, difference).await? {
                print(format!("{table}: {named}"));
                found.differences.push(named);
            }
        }
    }
    found.rows = comparison.findings().rows;
    for key in &comparison.findings().given_up {
        let problem = format!("key ({}) never stopped changing", plan.key_text(key));
        print(format!("could not compare: {table}: {problem}"));
        found.problems.push(problem);
    }
    print(found.summary());
    Ok(())
}

async fn answer(left: &mut Side, right: &mut Side, plan: &Plan, ask: &Ask) -> Result<Answer, VerifyError> {
    Ok(match ask {
        Ask::Boundary { side, after, rows } => {
            let asked = if *side == Which::Left { left } else { right };
            Answer::Boundary(asked.boundary(plan, *side, after.as_ref(), *rows).await?)
        }
        Ask::Digests(range) => {
            let (left, right) = tokio::try_join!(
                left.digest(plan, Which::Left, range),
                right.digest(plan, Which::Right, range)
            )?;
            Answer::Digests { left, right }
        }
        Ask::Rows(range) => {
            let (left, right) = tokio::try_join!(
                left.hashes(plan, Which::Left, range),
                right.hashes(plan, Which::Right, range)
            )?;
            Answer::Rows { left, right }
        }
        Ask::Again { keys, wait_ms } => {
            tokio::time::sleep(Duration::from_millis(*wait_ms)).await;
            // Both, always: each remembers what it saw.
            let (busy_left, busy_right) =
                tokio::try_join!(left.applied_anything(), right.applied_anything())?;
            let (left, right) = tokio::try_join!(
                left.hashes_of(plan, Which::Left, keys),
                right.hashes_of(plan, Which::Right, keys)
            )?;
            Answer::Again { left, right, busy: busy_left || busy_right }
        }
        Ask::Done => unreachable!("the loop ends at it"),
    })
}

/// Names the columns that differ, where the row is on both sides; None if none does any more.
async fn name_difference(
    left: &mut Side,
    right: &mut Side,
    plan: &Plan,
    difference: Difference,
) -> Result<Option<RowDifference>, VerifyError> {
    let missing_at = difference.missing.map(|side| match side {
        Which::Left => left.name.clone(),
        Which::Right => right.name.clone(),
    });
    let mut columns = Vec::new();
    if missing_at.is_none() {
        let (there, here) = tokio::try_join!(
            left.column_hashes(plan, Which::Left, &difference.key),
            right.column_hashes(plan, Which::Right, &difference.key)
        )?;
        let pairs = plan.columns.iter().zip(there.iter().zip(&here));
        columns = pairs.filter(|(_, (a, b))| a != b).map(|(column, _)| column.name.clone()).collect();
        if columns.is_empty() {
            return Ok(None);
        }
    }
    Ok(Some(RowDifference { key: plan.named_key(&difference.key), missing_at, columns }))
}

/// Facts by name of the column.
type ByName<'a> = BTreeMap<&'a str, &'a tables::ColumnFacts>;

fn by_name(facts: &TableFacts) -> ByName<'_> {
    facts.columns.iter().map(|column| (column.known_as.as_str(), column)).collect()
}

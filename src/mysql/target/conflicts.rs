//! The conflict log, `weft.conflict`: written in the transaction that decides, so that it says what
//! happened and nothing else.

use mysql_async::Value as Sql;
use mysql_async::prelude::Queryable;
use weft_actors::ports::TargetError;
use weft_core::scn::Scn;
use weft_core::sink::step::ConflictRecord;

use super::errors::Failure;
use super::session::MariaDbSession;
use super::{TargetOptions, find, json};
use crate::mysql::connect::{Role, connect};

/// Verdict of a change that an operator passed over.
pub(super) const SKIPPED: &str = "skipped";
/// Columns of an inserted conflict.
const WIDTH: usize = 13;
/// Conflicts of one statement: two texts of a row each, well below any packet limit.
const RECORDS_MAX: usize = 100;
/// The log is trimmed after so many new rows of a session, so many rows at a time.
const TRIM_EVERY: u64 = 500;
const TRIM_ROWS: u64 = 2_000;

/// Inserts the records.
pub(super) async fn record(session: &mut MariaDbSession, records: &[ConflictRecord]) -> Result<(), Failure> {
    for chunk in records.chunks(RECORDS_MAX) {
        let mut params: Vec<Sql> = Vec::with_capacity(chunk.len() * WIDTH);
        for record in chunk {
            params.extend(fields(session, record)?);
        }
        let row = format!("({})", vec!["?"; WIDTH].join(","));
        let statement = format!(
            "INSERT INTO weft.conflict (channel, source, scn, table_schema, table_name, key_hash, incoming, \
             local, incoming_time, incoming_origin, local_time, local_origin, verdict) VALUES {}",
            vec![row; chunk.len()].join(",")
        );
        session
            .conn
            .exec_drop(statement, params)
            .await
            .map_err(|error| session.options.failure(&error, "recording conflicts"))?;
    }
    session.conflicts_written += records.len() as u64;
    Ok(())
}

fn fields(session: &MariaDbSession, record: &ConflictRecord) -> Result<[Sql; WIDTH], Failure> {
    let table = &record.delivery.tables[usize::from(record.table)];
    let incoming = match record.incoming {
        Some(span) => {
            let values = find::decode(&session.options, table, record.delivery.transaction.bytes(span))?;
            Some(json::object(table, &values))
        }
        None => None,
    };
    let local = record.local.and_then(|index| session.rows_read.get(index as usize).cloned().flatten());
    Ok([
        session.options.channel.as_str().into(),
        session.options.source.as_str().into(),
        record.scn.to_string().into(),
        table.name.schema.as_str().into(),
        table.name.table.as_str().into(),
        format!("{:?}", record.key).into(),
        incoming.into(),
        local.into(),
        record.incoming_version.time.0.into(),
        record.incoming_version.origin.0.into(),
        record.local_version.map(|version| version.time.0).into(),
        record.local_version.map(|version| version.origin.0).into(),
        record.verdict.as_str().into(),
    ])
}

/// Lets old records go, now and then, in a transaction of its own behind the commit. What goes wrong
/// here is no concern of the batch, which is committed: the next trim tries again.
pub(super) async fn trim(session: &mut MariaDbSession) {
    if session.conflicts_written < TRIM_EVERY {
        return;
    }
    session.conflicts_written = 0;
    let result = session
        .conn
        .exec_drop(
            "DELETE FROM weft.conflict WHERE verdict <> ? AND id + ? <= (SELECT newest FROM (SELECT MAX(id) \
             newest FROM weft.conflict) m) ORDER BY id LIMIT ?",
            (SKIPPED, session.options.conflicts_max, TRIM_ROWS),
        )
        .await;
    if let Err(error) = result {
        tracing::warn!(channel = session.options.channel, target = session.options.target, %error, "the conflict log was not trimmed");
    }
}

/// Puts on record that an operator passed over the change at `scn`.
pub(super) async fn record_skip(options: &TargetOptions, scn: Scn, what: &str) -> Result<(), TargetError> {
    let failed = |error| TargetError::from(options.failure(&error, "recording a skipped change"));
    let mut conn = connect(&options.endpoint, Role::Control).await?;
    conn.exec_drop(
        "INSERT INTO weft.conflict (channel, source, scn, incoming, verdict) VALUES (?, ?, ?, ?, ?)",
        (&options.channel, &options.source, scn.to_string(), what, SKIPPED),
    )
    .await
    .map_err(failed)?;
    conn.disconnect().await.map_err(failed)
}

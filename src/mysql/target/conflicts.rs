//! The conflict log, `weft.conflict`: written in the transaction that decides, so that it says what
//! happened and nothing else.

use mysql_async::Conn;
use mysql_async::Value as Sql;
use mysql_async::prelude::Queryable;
use weft_actors::ports::TargetError;
use weft_core::binlog::value::Value;
use weft_core::catalog::TableVersion;
use weft_core::filter::referee::{Ruling, Why, opens};
use weft_core::scn::Scn;
use weft_core::sink::step::{ConflictRecord, Verdict};

use super::errors::Failure;
use super::session::TargetSession;
use super::{TargetOptions, exact, find, json};
use crate::mysql::connect::{Role, connect};

/// Verdict of a change that an operator passed over.
pub(super) const SKIPPED: &str = "skipped";
/// Columns of an inserted conflict.
const WIDTH: usize = 18;
/// Conflicts of one statement: three texts of a row each, well below any packet limit.
const RECORDS_MAX: usize = 100;
/// The log is trimmed after so many new rows of a session, so many rows at a time.
const TRIM_EVERY: u64 = 500;
const TRIM_ROWS: u64 = 2_000;

/// Inserts the records.
pub(super) async fn record(session: &mut TargetSession, records: &[ConflictRecord]) -> Result<(), Failure> {
    for chunk in records.chunks(RECORDS_MAX) {
        let mut params: Vec<Sql> = Vec::with_capacity(chunk.len() * WIDTH);
        for record in chunk {
            params.extend(fields(session, record)?);
        }
        let row = format!("({})", vec!["?"; WIDTH].join(","));
        let statement = format!(
            "INSERT INTO weft.conflict (channel, source, scn, table_schema, table_name, key_hash, incoming, \
             local, incoming_time, incoming_origin, local_time, local_origin, verdict, base_time, base_origin, \
             ruling, row_key, loser) VALUES {}",
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

fn fields(session: &TargetSession, record: &ConflictRecord) -> Result<[Sql; WIDTH], Failure> {
    let table = &record.delivery.tables[usize::from(record.table)];
    let image = |span| find::decode(&session.options, table, record.delivery.transaction.bytes(span));
    let incoming = record.incoming.map(image).transpose()?;
    let local = record.local.and_then(|index| session.rows_read.get(index as usize)).cloned();
    let local = local.unwrap_or_default();
    let open =
        if session.options.decides && opens(record.verdict, record.incoming_version, record.local_version) {
            Open::new(table, &image(record.image)?, incoming.as_deref(), record.verdict, local.exact)
        } else {
            Open::default()
        };
    Ok([
        session.options.channel.as_str().into(),
        session.options.source.as_str().into(),
        record.scn.to_string().into(),
        table.name.schema.as_str().into(),
        table.name.table.as_str().into(),
        format!("{:?}", record.key).into(),
        incoming.map(|values| json::object(table, &values)).into(),
        local.json.into(),
        record.incoming_version.time.0.into(),
        record.incoming_version.origin.0.into(),
        record.local_version.map(|version| version.time.0).into(),
        record.local_version.map(|version| version.origin.0).into(),
        record.verdict.as_str().into(),
        record.base.map(|version| version.time.0).into(),
        record.base.map(|version| version.origin.0).into(),
        open.ruling.into(),
        open.row_key.into(),
        open.loser.into(),
    ])
}

/// What an open conflict has besides.
#[derive(Default)]
struct Open {
    ruling: Option<&'static str>,
    row_key: Option<String>,
    loser: Option<String>,
}

impl Open {
    /// `key_row`: a row with the key; `local`: the local row's literals, as the server gave them.
    fn new(
        table: &TableVersion,
        key_row: &[Value<'_>],
        incoming: Option<&[Value<'_>]>,
        verdict: Verdict,
        local: Option<String>,
    ) -> Open {
        let text = |literals| serde_json::to_string(&literals).expect("texts are JSON");
        let row_key = exact::key_of(table, key_row);
        let loser = match verdict {
            Verdict::LocalWon => incoming.map(|values| exact::of_values(table, values).map(text)).transpose(),
            _ => Ok(local),
        };
        match (row_key, loser) {
            (Ok(row_key), Ok(loser)) => Open {
                ruling: Some(Ruling::Open.as_str()),
                row_key: Some(serde_json::to_string(&row_key).expect("texts are JSON")),
                loser,
            },
            // A value that cannot be written as SQL cannot be written again later.
            _ => Open { ruling: Some(Ruling::Abandoned.as_str()), ..Open::default() },
        }
    }
}

/// Lets old records go, now and then, in a transaction of its own behind the commit. What goes wrong
/// here is no concern of the batch, which is committed: the next trim tries again.
pub(super) async fn trim(session: &mut TargetSession) {
    if session.conflicts_written < TRIM_EVERY {
        return;
    }
    session.conflicts_written = 0;
    let result = session
        .conn
        .exec_drop(
            "DELETE FROM weft.conflict WHERE verdict <> ? AND NOT (ruling <=> ?) AND id + ? <= (SELECT newest FROM (SELECT MAX(id) \
             newest FROM weft.conflict) m) ORDER BY id LIMIT ?",
            (SKIPPED, Ruling::Open.as_str(), session.options.conflicts_max, TRIM_ROWS),
        )
        .await;
    if let Err(error) = result {
        tracing::warn!(channel = session.options.channel, target = session.options.target, %error, "the conflict log was not trimmed");
    }
}

/// Closes what an earlier configuration left open: nobody here decides it any more, and what is open
/// is never trimmed.
pub(super) async fn close_undecided(conn: &mut Conn, options: &TargetOptions) -> Result<(), TargetError> {
    conn.exec_drop(
        "UPDATE weft.conflict SET ruling = ?, ruled_by = ?, ruled_at = NOW(6), row_key = NULL, loser = NULL WHERE \
         channel = ? AND source = ? AND ruling = ?",
        (
            Ruling::Upheld.as_str(),
            Why::LastWriteWins.as_str(),
            &options.channel,
            &options.source,
            Ruling::Open.as_str(),
        ),
    )
    .await
    .map_err(|error| options.failure(&error, "closing conflicts that nobody decides").into())
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

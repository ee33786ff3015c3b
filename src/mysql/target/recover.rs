//! Taking a channel over: nothing in memory is trusted, the old owner is shut out, and only then the
//! marks are read.

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use weft_actors::ports::{Recovered, TargetError};
use weft_core::mark::{Epoch, Mark};
use weft_core::scn::Scn;
use weft_core::sink::step::LogPosition;
use weft_core::time::Micros;

use super::{TargetOptions, conflicts, lock};
use crate::mysql::connect::{Role, connect};
use crate::mysql::identify::{binlog_position, no_binlog};
use crate::mysql::install;

/// See [`weft_actors::ports::Target::recover`].
pub(super) async fn recover(
    options: &TargetOptions,
    shards: u16,
    start: Option<Scn>,
) -> Result<Recovered, TargetError> {
    // Marks are written under the same settings as rows.
    let mut conn = connect(&options.endpoint, Role::Apply).await?;
    refuse_read_only(&mut conn, options).await?;
    // At a first start the replicator of this instance may not have come to it yet.
    install::create_missing(&mut conn).await.map_err(|error| failed(options, &error))?;
    let known = read_marks(&mut conn, options, "").await?;
    for shard in owned_shards(shards, &known) {
        lock::shut_out(&mut conn, options, shard).await?;
    }
    let server_id = server_id(&mut conn).await.map_err(|error| failed(options, &error))?;
    let raised = raise(&mut conn, options, shards, start).await?;
    let position = position(&mut conn)
        .await
        .map_err(|error| failed(options, &error))?
        .ok_or_else(|| TargetError::Refused(no_binlog(&options.place())))?;
    if !options.decides {
        conflicts::close_undecided(&mut conn, options).await?;
    }
    let skipped = skipped(&mut conn, options, raised.as_ref()).await?;
    // The locks go with the connection; the sessions wait for them. Whoever takes one in between has
    // raised the epoch above ours first.
    conn.disconnect().await.map_err(|error| failed(options, &error))?;
    let (epoch, before, marks) = match raised {
        Some(Raised { epoch, before, marks }) => (epoch, before, Some(marks)),
        None => (Epoch(0), Epoch(0), None),
    };
    Ok(Recovered { epoch, before, server_id, marks, position, skipped })
}

async fn server_id(conn: &mut Conn) -> Result<u32, mysql_async::Error> {
    Ok(conn.query_first("SELECT @@GLOBAL.server_id").await?.unwrap_or_default())
}

fn failed(options: &TargetOptions, error: &mysql_async::Error) -> TargetError {
    options.failure(error, "taking the channel over").into()
}

/// The shards configured now and those that ever had a mark here: a channel that had more of them
/// may have left a session behind.
fn owned_shards(shards: u16, known: &[(u16, u64, Vec<u8>)]) -> std::collections::BTreeSet<u16> {
    (0..shards).chain(known.iter().map(|(shard, _, _)| *shard)).collect()
}

/// A read-only target is never written, not even with the privilege to do so: its data comes from
/// elsewhere.
pub(super) async fn refuse_read_only(conn: &mut Conn, options: &TargetOptions) -> Result<(), TargetError> {
    let setting: Option<u8> =
        conn.query_first("SELECT @@global.read_only").await.map_err(|error| failed(options, &error))?;
    if setting == Some(0) {
        return Ok(());
    }
    Err(TargetError::Refused(read_only(options)))
}

/// Why a read-only server is refused.
pub(super) fn read_only(options: &TargetOptions) -> String {
    format!(
        "{}: the server is read-only and is not written; point the instance at its primary, or SET GLOBAL \
         read_only = OFF there",
        options.place()
    )
}

/// What the marks were raised to, and what they were before.
struct Raised {
    epoch: Epoch,
    before: Epoch,
    marks: Vec<(u16, Mark)>,
}

async fn read_marks(
    conn: &mut Conn,
    options: &TargetOptions,
    locking: &str,
) -> Result<Vec<(u16, u64, Vec<u8>)>, TargetError> {
    conn.exec(
        format!(
            "SELECT shard, epoch, body FROM weft.mark WHERE channel = ? AND source = ? ORDER BY shard {locking}"
        ),
        (&options.channel, &options.source),
    )
    .await
    .map_err(|error| failed(options, &error))
}

/// Raises the epoch in all mark rows in one transaction and reads them. None: there are none, and
/// nothing to create them with.
async fn raise(
    conn: &mut Conn,
    options: &TargetOptions,
    shards: u16,
    start: Option<Scn>,
) -> Result<Option<Raised>, TargetError> {
    conn.query_drop("START TRANSACTION").await.map_err(|error| failed(options, &error))?;
    let rows = read_marks(conn, options, "FOR UPDATE").await?;
    let mut before = Epoch(0);
    let mut marks: Vec<(u16, Mark)> = Vec::new();
    for (shard, stored, body) in rows {
        before = before.max(Epoch(stored));
        let mut mark = Mark::decode(&body).map_err(|error| {
            TargetError::Refused(format!(
                "{}: the mark of shard {shard} of channel {} cannot be read: {error}",
                options.place(),
                options.channel
            ))
        })?;
        // No rows follow in this transaction, so it names none.
        mark.named.clear();
        mark.evictions.clear();
        marks.push((shard, mark));
    }
    let Some((watermark, watermark_time)) = marks
        .iter()
        .map(|(_, mark)| (mark.watermark, mark.watermark_time))
        .max()
        .or(start.map(|start| (start, Micros::ZERO)))
    else {
        conn.query_drop("ROLLBACK").await.map_err(|error| failed(options, &error))?;
        return Ok(None);
    };
    for shard in 0..shards {
        if !marks.iter().any(|(known, _)| *known == shard) {
            let mark = Mark {
                source: options.source_id(),
                watermark,
                watermark_time,
                runs: Vec::new(),
                named: Vec::new(),
                evictions: Vec::new(),
            };
            marks.push((shard, mark));
        }
    }
    marks.sort_by_key(|(shard, _)| *shard);
    let now: Option<u64> = conn
        .query_first("SELECT CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS UNSIGNED)")
        .await
        .map_err(|error| failed(options, &error))?;
    let epoch = before.raised(Micros(now.unwrap_or_default()));
    for (shard, mark) in &marks {
        conn.exec_drop(
            "INSERT INTO weft.mark (channel, source, shard, epoch, body) VALUES (?, ?, ?, ?, ?) \
             ON DUPLICATE KEY UPDATE epoch = VALUES(epoch), body = VALUES(body)",
            (&options.channel, &options.source, shard, epoch.0, mark.encode()),
        )
        .await
        .map_err(|error| failed(options, &error))?;
    }
    conn.query_drop("COMMIT").await.map_err(|error| failed(options, &error))?;
    Ok(Some(Raised { epoch, before, marks }))
}

/// The changes that an operator passed over and that no watermark has passed.
async fn skipped(
    conn: &mut Conn,
    options: &TargetOptions,
    raised: Option<&Raised>,
) -> Result<Vec<Scn>, TargetError> {
    let marks = raised.into_iter().flat_map(|raised| &raised.marks);
    let watermark = marks.map(|(_, mark)| mark.watermark).max().unwrap_or(Scn::ZERO);
    let texts: Vec<String> = conn
        .exec(
            "SELECT scn FROM weft.conflict WHERE channel = ? AND source = ? AND verdict = ? AND scn > ?",
            (&options.channel, &options.source, super::conflicts::SKIPPED, watermark.to_string()),
        )
        .await
        .map_err(|error| failed(options, &error))?;
    Ok(texts.iter().filter_map(|text| text.parse().ok()).collect())
}

/// The server's own binlog file and position; None if it writes none.
pub(super) async fn position(conn: &mut Conn) -> Result<Option<LogPosition>, mysql_async::Error> {
    Ok(binlog_position(conn).await?.and_then(|(file, log_pos)| {
        let log_index = file.rsplit('.').next()?.parse().ok()?;
        Some(LogPosition { log_index, log_pos })
    }))
}

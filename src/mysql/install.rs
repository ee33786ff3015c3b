//! Creates Weft's schema, and stores once where the captured history and the channels begin.

use std::collections::BTreeSet;

use futures::FutureExt;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use weft_actors::ports::{CaptureStart, EpochStart, SourceError};
use weft_core::binlog::resume::log_name;
use weft_core::scn::Scn;
use weft_core::time::Micros;

use super::identify::{consistent_position, no_binlog, parse_gtid};
use super::lane::Lane;
use super::schema::{CONFLICT_ADDED, CREATE_SCHEMA, TABLES};

/// SCN epoch of an instance's first server. 0 stays free: below every history.
const FIRST_EPOCH: u32 = 1;

/// A row of `weft.capture`, and whether this call wrote it.
struct Stored {
    epoch: u32,
    server_id: u32,
    file: String,
    position: u64,
    gtid: String,
    versions_to: u64,
    new: bool,
}

/// A row of `weft.capture` as it is read.
type Row = (u32, u32, String, u64, String, u64);

/// Creates what is missing and reads, or the first time writes, where the history begins.
///
/// Any number of nodes may do this at the same time: one of them writes the row, all read it.
pub(super) async fn install(lane: &Lane, instance: &str) -> Result<CaptureStart, SourceError> {
    lane.run("creating the schema weft", |conn| create_missing(conn).boxed()).await?;
    let stored =
        lane.run("storing where the history begins", |conn| begin(conn, instance.to_owned()).boxed()).await?;
    let address = lane.endpoint().address();
    let Some(stored) = stored else {
        return Err(SourceError::Refused(no_binlog(&address)));
    };
    let gtid = parse_gtid(&address, &stored.gtid)?;
    Ok(CaptureStart {
        epoch: stored.epoch,
        server_id: stored.server_id,
        file: stored.file,
        position: stored.position,
        gtid,
        versions_to: Micros(stored.versions_to),
        new: stored.new,
    })
}

/// Creates only what is not there: a server where a DBA created everything needs no right to
/// create, and its binlog is not filled with statements that do nothing.
pub(super) async fn create_missing(conn: &mut Conn) -> Result<(), mysql_async::Error> {
    let names = "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'weft'";
    let there: BTreeSet<String> = conn.query(names).await?.into_iter().collect();
    if TABLES.iter().all(|table| there.contains(table.name)) {
        return add_missing(conn).await;
    }
    let schema = "SELECT 1 FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = 'weft'";
    if conn.query_first::<u8, _>(schema).await?.is_none() {
        conn.query_drop(CREATE_SCHEMA).await?;
    }
    for table in TABLES.iter().filter(|table| !there.contains(table.name)) {
        conn.query_drop(table.create).await?;
    }
    if there.contains("conflict") { add_missing(conn).await } else { Ok(()) }
}

/// Gives tables of an earlier release what came later. Another node may do the same at the same time:
/// whoever comes second finds the column there.
async fn add_missing(conn: &mut Conn) -> Result<(), mysql_async::Error> {
    const DUPLICATE_COLUMN: u16 = 1060;
    let columns = "SELECT COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = 'weft' AND \
                   TABLE_NAME = 'conflict'";
    let there: BTreeSet<String> = conn.query(columns).await?.into_iter().collect();
    for added in CONFLICT_ADDED.iter().filter(|added| !there.contains(added.column)) {
        match conn.query_drop(added.alter).await {
            Err(mysql_async::Error::Server(error)) if error.code == DUPLICATE_COLUMN => {}
            result => result?,
        }
    }
    Ok(())
}

/// The position is read before the row is written, so that everything that commits once the row is
/// there, and the row itself, lies behind it. None: the binlog is off.
async fn begin(conn: &mut Conn, instance: String) -> Result<Option<Stored>, mysql_async::Error> {
    if let Some(stored) = read(conn, &instance, false).await? {
        return Ok(Some(stored));
    }
    let Some((file, position, gtid)) = consistent_position(conn).await? else { return Ok(None) };
    conn.exec_drop(
        "INSERT IGNORE INTO `weft`.`capture` (`instance`, `epoch`, `server_id`, `file`, `position`, `gtid`) \
         VALUES (?, ?, @@GLOBAL.server_id, ?, ?, ?)",
        (&instance, FIRST_EPOCH, file, position, gtid),
    )
    .await?;
    let new = conn.affected_rows() == 1;
    read(conn, &instance, new).await
}

async fn read(conn: &mut Conn, instance: &str, new: bool) -> Result<Option<Stored>, mysql_async::Error> {
    let row: Option<Row> = conn
        .exec_first(
            "SELECT `epoch`, `server_id`, `file`, `position`, `gtid`, `versions_to` FROM `weft`.`capture` \
             WHERE `instance` = ?",
            (instance,),
        )
        .await?;
    Ok(row.map(|(epoch, server_id, file, position, gtid, versions_to)| Stored {
        epoch,
        server_id,
        file,
        position,
        gtid,
        versions_to,
        new,
    }))
}

/// See [`weft_actors::ports::Source::begin_epoch`]. Only at that very server, and over no later epoch.
pub(super) async fn begin_epoch(lane: &Lane, instance: &str, start: EpochStart) -> Result<(), SourceError> {
    let EpochStart { epoch, server_id, log_base, gtid, versions_to } = start;
    let file = log_name(&log_base, 0);
    let row =
        (epoch, server_id, file, gtid.to_string(), versions_to.0, instance.to_owned(), epoch, server_id);
    lane.run("storing where the epoch begins", |conn| {
        conn.exec_drop(
            "UPDATE `weft`.`capture` SET `epoch` = ?, `server_id` = ?, `file` = ?, `position` = 0, `gtid` = ?, \
             `versions_to` = ? WHERE `instance` = ? AND `epoch` < ? AND @@GLOBAL.server_id = ?",
            row.clone(),
        )
        .boxed()
    })
    .await
}

/// The SCN after which the channel begins: the one stored, or `now`, which is stored then.
pub(super) async fn channel_start(lane: &Lane, channel: &str, now: Scn) -> Result<Scn, SourceError> {
    let text = lane
        .run("storing where the channel begins", |conn| begin_channel(conn, channel.to_owned(), now).boxed())
        .await?;
    text.parse().map_err(|error| {
        SourceError::Refused(format!(
            "weft.start at {} for channel {channel}: {error}; correct after_scn there",
            lane.endpoint().address()
        ))
    })
}

async fn begin_channel(conn: &mut Conn, channel: String, now: Scn) -> Result<String, mysql_async::Error> {
    let offered = now.to_string();
    conn.exec_drop(
        "INSERT IGNORE INTO `weft`.`start` (`channel`, `after_scn`) VALUES (?, ?)",
        (&channel, &offered),
    )
    .await?;
    let select = "SELECT `after_scn` FROM `weft`.`start` WHERE `channel` = ?";
    let stored: Option<String> = conn.exec_first(select, (channel,)).await?;
    Ok(stored.unwrap_or(offered))
}

//! Creates Weft's schema, and stores once where the captured history and the channels begin.

use std::collections::BTreeSet;

use futures::FutureExt;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use weft_actors::ports::{CaptureStart, ChannelStart, EpochStart, SourceError};
use weft_core::binlog::begin::{BinlogPlace, StartAt};
use weft_core::binlog::resume::log_name;
use weft_core::time::Micros;

use super::identify::{consistent_position, no_binlog, parse_gtid};
use super::lane::Lane;
use super::schema::{ADDED, Added, CREATE_SCHEMA, TABLES};

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

/// Where the history begins; None: it did not begin yet, and nothing was written.
pub(super) async fn history(lane: &Lane, instance: &str) -> Result<Option<CaptureStart>, SourceError> {
    let stored = lane
        .run("asking where the history begins", |conn| read_history(conn, instance.to_owned()).boxed())
        .await?;
    stored.map(|stored| capture_start(lane, stored)).transpose()
}

/// Creates the schema where it is missing, and writes, the first time, where the history begins: there,
/// or where the binlog ends now.
///
/// Any number of nodes may do this at the same time: one of them writes the row, all read it.
pub(super) async fn begin(
    lane: &Lane,
    instance: &str,
    at: Option<BinlogPlace>,
) -> Result<CaptureStart, SourceError> {
    lane.run("creating the schema weft", |conn| create_missing(conn).boxed()).await?;
    let stored = lane
        .run("storing where the history begins", |conn| {
            begin_history(conn, instance.to_owned(), at.clone()).boxed()
        })
        .await?;
    match stored {
        Some(stored) => capture_start(lane, stored),
        None => Err(SourceError::Refused(no_binlog(&lane.endpoint().address()))),
    }
}

fn capture_start(lane: &Lane, stored: Stored) -> Result<CaptureStart, SourceError> {
    let gtid = parse_gtid(&lane.endpoint().address(), &stored.gtid)?;
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

async fn read_history(conn: &mut Conn, instance: String) -> Result<Option<Stored>, mysql_async::Error> {
    let there =
        "SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'weft' AND TABLE_NAME = 'capture'";
    if conn.query_first::<u8, _>(there).await?.is_none() {
        return Ok(None);
    }
    let began = "SELECT 1 FROM `weft`.`capture` WHERE `instance` = ?";
    if conn.exec_first::<u8, _, _>(began, (&instance,)).await?.is_none() {
        return Ok(None);
    }
    create_missing(conn).await?;
    read(conn, instance, false).await
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
    add_missing(conn).await
}

/// Gives tables of an earlier release what came later. Another node may do the same at the same time:
/// whoever comes second finds the column there.
async fn add_missing(conn: &mut Conn) -> Result<(), mysql_async::Error> {
    const DUPLICATE_COLUMN: u16 = 1060;
    let columns =
        "SELECT TABLE_NAME, COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = 'weft'";
    let there: BTreeSet<(String, String)> = conn.query(columns).await?.into_iter().collect();
    let has = |added: &Added| there.contains(&(added.table.to_owned(), added.column.to_owned()));
    for added in ADDED.iter().filter(|added| !has(added)) {
        match conn.query_drop(added.alter).await {
            Err(mysql_async::Error::Server(error)) if error.code == DUPLICATE_COLUMN => {}
            result => result?,
        }
    }
    Ok(())
}

/// The position is read before the row is written, so that everything that commits once the row is
/// there, and the row itself, lies behind it. None: the binlog is off.
async fn begin_history(
    conn: &mut Conn,
    instance: String,
    at: Option<BinlogPlace>,
) -> Result<Option<Stored>, mysql_async::Error> {
    let place = match at {
        Some(at) => Some((at.file, at.position, at.gtids.to_string())),
        None => consistent_position(conn).await?,
    };
    let Some((file, position, gtid)) = place else { return Ok(None) };
    conn.exec_drop(
        "INSERT IGNORE INTO `weft`.`capture` (`instance`, `epoch`, `server_id`, `file`, `position`, `gtid`) \
         VALUES (?, ?, @@GLOBAL.server_id, ?, ?, ?)",
        (&instance, FIRST_EPOCH, file, position, gtid),
    )
    .await?;
    let new = conn.affected_rows() == 1;
    read(conn, instance, new).await
}

async fn read(conn: &mut Conn, instance: String, new: bool) -> Result<Option<Stored>, mysql_async::Error> {
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

/// Where the channel out of the instance begins; None: it did not begin yet.
pub(super) async fn channel_start(
    lane: &Lane,
    instance: &str,
    channel: &str,
) -> Result<Option<ChannelStart>, SourceError> {
    let row = lane
        .run("asking where the channel begins", |conn| {
            read_channel(conn, instance.to_owned(), channel.to_owned()).boxed()
        })
        .await?;
    row.map(|row| parse_channel(lane, channel, row)).transpose()
}

/// Writes, the first time, where the channel begins, and gives what is stored.
pub(super) async fn begin_channel(
    lane: &Lane,
    instance: &str,
    channel: &str,
    start: ChannelStart,
) -> Result<ChannelStart, SourceError> {
    let row = (start.after.to_string(), start.asked.as_ref().map(StartAt::to_string));
    let stored = lane
        .run("storing where the channel begins", |conn| {
            store_channel(conn, instance.to_owned(), channel.to_owned(), row.clone()).boxed()
        })
        .await?;
    stored.map_or(Ok(start), |row| parse_channel(lane, channel, row))
}

/// `after_scn` and `asked`.
type ChannelRow = (String, Option<String>);

fn parse_channel(lane: &Lane, channel: &str, row: ChannelRow) -> Result<ChannelStart, SourceError> {
    let bad = |column: &str, error: &dyn std::fmt::Display| {
        let address = lane.endpoint().address();
        SourceError::Refused(format!(
            "weft.start at {address} for channel {channel}: {error}; correct {column} there"
        ))
    };
    let (after, asked) = row;
    Ok(ChannelStart {
        after: after.parse().map_err(|error| bad("after_scn", &error))?,
        asked: asked.map(|asked| asked.parse().map_err(|error| bad("asked", &error))).transpose()?,
    })
}

pub(super) async fn read_channel(
    conn: &mut Conn,
    instance: String,
    channel: String,
) -> Result<Option<ChannelRow>, mysql_async::Error> {
    let select =
        "SELECT `after_scn`, `asked` FROM `weft`.`start` WHERE `channel` = ? AND `instance` IN ('', ?)";
    conn.exec_first(select, (channel, instance)).await
}

/// A row of another instance is a place in another binlog: it came here with a dump or by native
/// replication.
async fn store_channel(
    conn: &mut Conn,
    instance: String,
    channel: String,
    row: ChannelRow,
) -> Result<Option<ChannelRow>, mysql_async::Error> {
    let delete = "DELETE FROM `weft`.`start` WHERE `channel` = ? AND `instance` NOT IN ('', ?)";
    conn.exec_drop(delete, (&channel, &instance)).await?;
    let insert =
        "INSERT IGNORE INTO `weft`.`start` (`channel`, `instance`, `after_scn`, `asked`) VALUES (?, ?, ?, ?)";
    conn.exec_drop(insert, (&channel, &instance, row.0, row.1)).await?;
    read_channel(conn, instance, channel).await
}

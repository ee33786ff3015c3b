//! Who answers behind an address, and how far its binlog has come.

use futures::FutureExt;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row};
use weft_actors::ports::{SourceError, SourceIdentity};
use weft_core::flavour::Flavour;
use weft_core::gtid::GtidPosition;

use super::lane::Lane;

/// What the server said, before it is judged.
struct Answer {
    server_id: u32,
    version: String,
    gtid: String,
    /// File and position; None while the binlog is off.
    binlog: Option<(String, u64)>,
}

/// Asks the server who it is.
///
/// The GTID position is read after the file position: it may be ahead of it, never behind.
pub(super) async fn identify(lane: &Lane) -> Result<SourceIdentity, SourceError> {
    let answer = lane.run("asking who answers", |conn| ask(conn).boxed()).await?;
    let address = lane.endpoint().address();
    if !is_mariadb(&answer.version) {
        return Err(SourceError::Refused(format!(
            "{address} is MySQL {}, which is not built yet; use MariaDB 10.11 or later",
            answer.version
        )));
    }
    let Some((file, position)) = answer.binlog else {
        return Err(SourceError::Refused(format!(
            "{address} writes no binlog; start it with --log-bin --binlog-format=ROW --log-slave-updates"
        )));
    };
    let gtid: GtidPosition = parse_gtid(&address, &answer.gtid)?;
    Ok(SourceIdentity {
        server_id: answer.server_id,
        flavour: Flavour::of_version(&answer.version),
        version: answer.version,
        gtid,
        file,
        position,
    })
}

fn is_mariadb(version: &str) -> bool {
    Flavour::of_version(version) == Flavour::MariaDb
}

async fn ask(conn: &mut Conn) -> Result<Answer, mysql_async::Error> {
    let (server_id, version): (u32, String) =
        conn.query_first("SELECT @@GLOBAL.server_id, VERSION()").await?.unwrap_or_default();
    if !is_mariadb(&version) {
        // It would not understand what follows.
        return Ok(Answer { server_id, version, gtid: String::new(), binlog: None });
    }
    let binlog = binlog_position(conn).await?;
    let gtid = conn.query_first("SELECT @@GLOBAL.gtid_binlog_pos").await?.unwrap_or_default();
    Ok(Answer { server_id, version, gtid, binlog })
}

/// The file being written and the position in it; None while the binlog is off.
async fn binlog_position(conn: &mut Conn) -> Result<Option<(String, u64)>, mysql_async::Error> {
    let row: Option<Row> = conn.query_first("SHOW MASTER STATUS").await?;
    Ok(row.and_then(|row| Some((row.get(0)?, row.get(1)?))))
}

/// A GTID position that the server printed.
pub(super) fn parse_gtid(address: &str, text: &str) -> Result<GtidPosition, SourceError> {
    text.parse().map_err(|error| SourceError::Refused(format!("GTID position of {address}: {error}")))
}

/// File, position and the GTID position that is exactly there.
pub async fn consistent_position(
    conn: &mut Conn,
) -> Result<Option<(String, u64, String)>, mysql_async::Error> {
    const GTID: &str = "SELECT @@GLOBAL.gtid_binlog_pos";
    const TRIES: usize = 10;
    for _ in 0..TRIES {
        let before: Option<String> = conn.query_first(GTID).await?;
        let Some((file, position)) = binlog_position(conn).await? else { return Ok(None) };
        let after: Option<String> = conn.query_first(GTID).await?;
        if before == after {
            return Ok(Some((file, position, after.unwrap_or_default())));
        }
    }
    // Something commits all the time: the server reads the file up to the position instead.
    let Some((file, position)) = binlog_position(conn).await? else { return Ok(None) };
    let gtid: Option<Option<String>> =
        conn.exec_first("SELECT BINLOG_GTID_POS(?, ?)", (&file, position)).await?;
    Ok(Some((file, position, gtid.flatten().unwrap_or_default())))
}

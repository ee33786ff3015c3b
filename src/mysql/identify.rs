//! Who answers behind an address, and how far its binlog has come.

use futures::FutureExt;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row};
use weft_actors::ports::{SourceError, SourceIdentity};
use weft_core::flavour::Flavour;
use weft_core::gtid::GtidPosition;

use super::dialect::Dialect;
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
/// The GTID position is read after the file position: on MariaDB it may be ahead of it, never behind.
/// MySQL lists a transaction a moment after it is in the file.
pub(super) async fn identify(lane: &Lane) -> Result<SourceIdentity, SourceError> {
    let answer = lane.run("asking who answers", |conn| ask(conn).boxed()).await?;
    let address = lane.endpoint().address();
    let Some((file, position)) = answer.binlog else {
        return Err(SourceError::Refused(no_binlog(&address)));
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

/// Why a server without a binlog is refused.
pub(super) fn no_binlog(place: &str) -> String {
    format!("{place}: the server writes no binlog; start it with log_bin = binlog and binlog_format = ROW")
}

async fn ask(conn: &mut Conn) -> Result<Answer, mysql_async::Error> {
    let (server_id, version): (u32, String) =
        conn.query_first("SELECT @@GLOBAL.server_id, VERSION()").await?.unwrap_or_default();
    let binlog = binlog_position(conn).await?;
    let gtid = conn.query_first(Dialect::of(conn).gtids()).await?.unwrap_or_default();
    Ok(Answer { server_id, version, gtid, binlog })
}

/// The file being written and the position in it; None while the binlog is off.
pub(super) async fn binlog_position(conn: &mut Conn) -> Result<Option<(String, u64)>, mysql_async::Error> {
    let row: Option<Row> = conn.query_first(Dialect::of(conn).position()).await?;
    Ok(row.and_then(|row| Some((row.get_opt(0)?.ok()?, row.get_opt(1)?.ok()?))))
}

/// A GTID position that the server printed.
pub(super) fn parse_gtid(address: &str, text: &str) -> Result<GtidPosition, SourceError> {
    text.parse().map_err(|error| SourceError::Refused(format!("GTID position of {address}: {error}")))
}

/// File, position and the GTID position that is there. It is exactly there on MariaDB. MySQL cannot say
/// it: where transactions commit all the time, the newest of them may be missing from the GTIDs.
pub async fn consistent_position(
    conn: &mut Conn,
) -> Result<Option<(String, u64, String)>, mysql_async::Error> {
    const TRIES: usize = 10;
    let dialect = Dialect::of(conn);
    for _ in 0..TRIES {
        let (before, gtid_before) = (binlog_position(conn).await?, gtids(conn).await?);
        let after = binlog_position(conn).await?;
        let Some((file, position)) = after.clone() else { return Ok(None) };
        let gtid = gtids(conn).await?;
        if before == after && gtid_before == gtid {
            return Ok(Some((file, position, gtid)));
        }
    }
    let gtid = gtids(conn).await?;
    let Some((file, position)) = binlog_position(conn).await? else { return Ok(None) };
    let gtid = match dialect.flavour() {
        // The server reads the file up to the position.
        Flavour::MariaDb => {
            let at: Option<Option<String>> =
                conn.exec_first("SELECT BINLOG_GTID_POS(?, ?)", (&file, position)).await?;
            at.flatten().unwrap_or_default()
        }
        Flavour::MySql => gtid,
    };
    Ok(Some((file, position, gtid)))
}

async fn gtids(conn: &mut Conn) -> Result<String, mysql_async::Error> {
    let gtids: Option<String> = conn.query_first(Dialect::of(conn).gtids()).await?;
    Ok(gtids.unwrap_or_default())
}

//! Who answers behind an address, and how far its binlog has come.

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, Row};
use weft_actors::ports::{SourceError, SourceIdentity};
use weft_core::binlog::primary::Candidate;
use weft_core::flavour::Flavour;
use weft_core::gtid::{Gtid, GtidPosition};

use super::connect::Endpoint;
use super::dialect::Dialect;
use super::lane::failed;

/// What the server said, before it is judged.
struct Answer {
    server_id: u32,
    version: String,
    read_only: bool,
    replicates_from: Vec<u32>,
    gtid: String,
    written: String,
    /// File and position; None while the binlog is off.
    binlog: Option<(String, u64)>,
}

/// Asks the server who it is.
///
/// The GTID position is read after the file position: on MariaDB it may be ahead of it, never behind.
/// MySQL lists a transaction a moment after it is in the file.
pub(super) async fn identify(conn: &mut Conn, endpoint: &Endpoint) -> Result<SourceIdentity, SourceError> {
    let dialect = Dialect::of(conn);
    let answer =
        ask(conn, dialect).await.map_err(|error| failed(endpoint, dialect, "asking who answers", &error))?;
    let address = endpoint.address();
    let Some((file, position)) = answer.binlog else {
        return Err(SourceError::Refused(no_binlog(&address)));
    };
    let server = Candidate {
        server_id: answer.server_id,
        flavour: dialect.flavour(),
        writable: !answer.read_only,
        replicates_from: answer.replicates_from,
        gtids: parse_gtid(&address, &answer.gtid)?,
        written: parse_written(&address, &answer.written)?,
        address,
    };
    Ok(SourceIdentity { server, version: answer.version, file, position })
}

/// Why a server without a binlog is refused.
pub(super) fn no_binlog(place: &str) -> String {
    format!("{place}: the server writes no binlog; start it with log_bin = binlog and binlog_format = ROW")
}

async fn ask(conn: &mut Conn, dialect: Dialect) -> Result<Answer, Error> {
    let (server_id, version, read_only): (u32, String, u8) = conn
        .query_first("SELECT @@GLOBAL.server_id, VERSION(), @@GLOBAL.read_only")
        .await?
        .unwrap_or_default();
    let replicates_from = replicates_from(conn, dialect).await?;
    let binlog = binlog_position(conn).await?;
    let gtid = gtids(conn).await?;
    let written = match dialect.flavour() {
        Flavour::MariaDb => conn.query_first("SELECT @@GLOBAL.gtid_binlog_state").await?.unwrap_or_default(),
        // Its set names each transaction, and with it the server that wrote it.
        Flavour::MySql => String::new(),
    };
    Ok(Answer { server_id, version, read_only: read_only != 0, replicates_from, gtid, written, binlog })
}

/// Ids of the servers that it replicates from natively, or tries to. None are known to an account that
/// may not see them.
async fn replicates_from(conn: &mut Conn, dialect: Dialect) -> Result<Vec<u32>, Error> {
    let rows: Vec<Row> = match conn.query(dialect.replicas()).await {
        Ok(rows) => rows,
        Err(Error::Server(server)) if server.code == ER_SPECIFIC_ACCESS_DENIED => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let [receives, applies, source_id] = dialect.replica_columns();
    let runs = |row: &Row, thread: &str| {
        row.get_opt::<String, _>(thread).and_then(Result::ok).is_some_and(|state| state != "No")
    };
    let running = rows.iter().filter(|row| runs(row, receives) || runs(row, applies));
    Ok(running.filter_map(|row| row.get_opt::<u32, _>(source_id)?.ok()).collect())
}

/// A missing global privilege.
const ER_SPECIFIC_ACCESS_DENIED: u16 = 1227;

/// The file being written and the position in it; None while the binlog is off.
pub(super) async fn binlog_position(conn: &mut Conn) -> Result<Option<(String, u64)>, Error> {
    let row: Option<Row> = conn.query_first(Dialect::of(conn).position()).await?;
    Ok(row.and_then(|row| Some((row.get_opt(0)?.ok()?, row.get_opt(1)?.ok()?))))
}

/// A GTID position that the server printed.
pub(super) fn parse_gtid(address: &str, text: &str) -> Result<GtidPosition, SourceError> {
    text.parse().map_err(|error| SourceError::Refused(format!("GTID position of {address}: {error}")))
}

fn parse_written(address: &str, text: &str) -> Result<Vec<Gtid>, SourceError> {
    let gtids = text.split(',').filter(|gtid| !gtid.trim().is_empty());
    gtids
        .map(|gtid| gtid.parse().map(Gtid::MariaDb))
        .collect::<Result<_, _>>()
        .map_err(|error| SourceError::Refused(format!("GTID state of {address}: {error}")))
}

/// File, position and the GTID position that is there. It is exactly there on MariaDB. MySQL cannot say
/// it: where transactions commit all the time, the newest of them may be missing from the GTIDs.
pub async fn consistent_position(conn: &mut Conn) -> Result<Option<(String, u64, String)>, Error> {
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

/// All GTIDs in the binlog, as text.
pub(super) async fn gtids(conn: &mut Conn) -> Result<String, Error> {
    let gtids: Option<String> = conn.query_first(Dialect::of(conn).gtids()).await?;
    Ok(gtids.unwrap_or_default())
}

//! Reads the facts of an instance: one connection, a dozen queries.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, Row};
use weft_core::tables::TableFilter;

use super::facts::{BinlogFilters, InstanceFacts, NativeSource};
use super::finding::Finding;
use super::grants::Grants;
use super::tables;
use crate::config::Server;
use crate::mysql::connect::{ConnectError, Role, connect};
use crate::mysql::dialect::Dialect;

/// Longest wait for all queries together.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Reads the facts of `instance`; tables are those that one of `filters` chooses.
///
/// # Errors
/// The finding that says why the instance could not be looked at.
pub(super) async fn gather(
    instance: &str,
    server: &Server,
    filters: &[TableFilter],
) -> Result<InstanceFacts, Finding> {
    let unreachable = |cause: String| {
        let what = format!("{}:{} cannot be reached: {cause}", server.host, server.port);
        Finding::error("unreachable", instance, what, "start the server, or correct the instance's url")
    };
    let endpoint = server.endpoint();
    let mut conn = match connect(&endpoint, Role::Control).await {
        Ok(conn) => conn,
        Err(ConnectError::Unreachable { cause, .. }) => return Err(unreachable(cause)),
        Err(ConnectError::AccessDenied { cause, .. }) => {
            return Err(access_denied(instance, server, &cause));
        }
        Err(ConnectError::Refused { address, cause }) => {
            let what = format!("{address} gives no session: {cause}");
            let fix = "set the server up as the README says, or correct the instance's url and tls";
            return Err(Finding::error("no-session", instance, what, fix));
        }
    };
    let facts = tokio::time::timeout(TIMEOUT, read(&mut conn, instance, server, filters)).await;
    // The facts are there; how the connection ends changes nothing.
    drop(conn);
    match facts {
        Ok(Ok(facts)) => Ok(facts),
        Ok(Err(Error::Server(error))) => {
            let what = format!("{}:{} does not answer a query: {error}", server.host, server.port);
            Err(Finding::error(
                "query-failed",
                instance,
                what,
                "see the server's error log, then check again",
            ))
        }
        Ok(Err(error)) => Err(unreachable(innermost(&error))),
        Err(_) => Err(unreachable("its answers take too long".to_owned())),
    }
}

fn access_denied(instance: &str, server: &Server, cause: &str) -> Finding {
    let what = format!("{}:{} refuses user {}: {cause}", server.host, server.port, server.user);
    let fix = format!(
        "correct the password of the instance, or ALTER USER '{}'@'%' IDENTIFIED BY '…' (an anonymous user of \
         localhost goes before '%')",
        server.user
    );
    Finding::error("access-denied", instance, what, fix)
}

/// The cause without the driver's wrapping, in one line.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}

async fn read(
    conn: &mut Conn,
    instance: &str,
    server: &Server,
    filters: &[TableFilter],
) -> Result<InstanceFacts, Error> {
    let version: String = conn.query_first("SELECT VERSION()").await?.unwrap_or_default();
    let mut facts = InstanceFacts {
        instance: instance.to_owned(),
        host: server.host.clone(),
        port: server.port,
        variables: variables(conn).await?,
        version,
        ..InstanceFacts::default()
    };
    facts.grants = grants(conn).await?;
    facts.binlog_filters = binlog_filters(conn).await?;
    facts.native_sources = native_sources(conn).await?;
    (facts.clock_ahead_us, facts.clock_unsure_us) = clock(conn).await?;
    let weft = "SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name = 'weft'";
    facts.has_weft_schema = conn.query_first::<u64, _>(weft).await?.unwrap_or(0) > 0;
    facts.begun = begun(conn, instance).await?;
    facts.tables = tables::read(conn, filters).await?;
    Ok(facts)
}

async fn begun(conn: &mut Conn, instance: &str) -> Result<BTreeMap<String, String>, Error> {
    let there =
        "SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'weft' AND TABLE_NAME = 'start'";
    if conn.query_first::<u8, _>(there).await?.is_none() {
        return Ok(BTreeMap::new());
    }
    // Columns of a later release may not be there yet.
    let rows: Vec<Row> = conn.query("SELECT * FROM `weft`.`start`").await?;
    let own = rows.iter().filter(|row| ["", instance].contains(&text(row, "instance").as_str()));
    Ok(own.map(|row| (text(row, "channel"), text(row, "asked"))).collect())
}

async fn variables(conn: &mut Conn) -> Result<BTreeMap<String, String>, Error> {
    let rows: Vec<(String, Option<Vec<u8>>)> = conn.query("SHOW GLOBAL VARIABLES").await?;
    let text = |value: Option<Vec<u8>>| String::from_utf8_lossy(&value.unwrap_or_default()).into_owned();
    Ok(rows.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), text(value))).collect())
}

async fn grants(conn: &mut Conn) -> Result<Grants, Error> {
    let user: String = conn.query_first("SELECT CURRENT_USER()").await?.unwrap_or_default();
    let lines: Vec<String> = conn.query("SHOW GRANTS").await?;
    Ok(Grants::parse(&user, lines.iter().map(String::as_str)))
}

/// `None` in place of a refusal for lack of a privilege.
fn unless_denied<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    const ER_SPECIFIC_ACCESS_DENIED: u16 = 1227;
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Error::Server(refused)) if refused.code == ER_SPECIFIC_ACCESS_DENIED => Ok(None),
        Err(error) => Err(error),
    }
}

async fn binlog_filters(conn: &mut Conn) -> Result<Option<BinlogFilters>, Error> {
    let rows: Option<Vec<Row>> = unless_denied(conn.query(Dialect::of(conn).position()).await)?;
    let list = |row: &Row, column: &str| {
        let text = text(row, column);
        text.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
    };
    Ok(rows.and_then(|rows| {
        rows.first().map(|row| BinlogFilters {
            do_db: list(row, "Binlog_Do_DB"),
            ignore_db: list(row, "Binlog_Ignore_DB"),
        })
    }))
}

async fn native_sources(conn: &mut Conn) -> Result<Option<Vec<NativeSource>>, Error> {
    let rows: Option<Vec<Row>> = unless_denied(conn.query(Dialect::of(conn).replicas()).await)?;
    // Old and new names; what a server does not have is empty.
    let either = |row: &Row, old: &str, new: &str| text(row, old) + &text(row, new);
    let source = |row: &Row| NativeSource {
        host: either(row, "Master_Host", "Source_Host"),
        port: either(row, "Master_Port", "Source_Port").parse().unwrap_or(0),
        server_id: either(row, "Master_Server_Id", "Source_Server_Id").parse().unwrap_or(0),
        running: either(row, "Slave_IO_Running", "Replica_IO_Running") != "No"
            || either(row, "Slave_SQL_Running", "Replica_SQL_Running") != "No",
    };
    Ok(rows.map(|rows| rows.iter().map(source).collect()))
}

/// A column's value as text; empty for NULL and for a column that is not there.
fn text(row: &Row, column: &str) -> String {
    row.get_opt::<Option<String>, _>(column).and_then(Result::ok).flatten().unwrap_or_default()
}

/// How far the server's clock is ahead of ours, and half of what the question took, in microseconds.
async fn clock(conn: &mut Conn) -> Result<(i64, i64), Error> {
    let ours = || {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
    };
    let before = ours();
    // SYSDATE, because NOW follows SET timestamp.
    let query = "SELECT CAST(UNIX_TIMESTAMP(SYSDATE(6)) * 1000000 AS SIGNED)";
    let server: i64 = conn.query_first(query).await?.unwrap_or(before);
    let half = (ours() - before) / 2;
    Ok((server - (before + half), half))
}

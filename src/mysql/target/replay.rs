//! Row-event replay: the raw images go to the target in `BINLOG` statements and get there the
//! semantics of a native replica: no triggers, no automatic values, no checks of foreign keys.

use std::sync::Arc;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error};
use weft_core::binlog::format::Format;
use weft_core::binlog::rows::RowsKind;
use weft_core::flavour::Flavour;
use weft_core::sink::replay::{ReplayBuilder, binlog_statement, mysql_format};
use weft_core::sink::step::WriteOp;

use super::errors::Failure;
use super::session::TargetSession;
use super::write::Run;
use crate::mysql::dialect::Dialect;

/// Bytes of one `BINLOG` statement's text at most; less where the server takes less.
const STATEMENT_BYTES_MAX: usize = 8 << 20;
/// Room for the words around the base64 text, and for the packet's head.
const SLACK_BYTES: usize = 1 << 10;

/// What the session knows of replaying.
#[derive(Debug)]
pub(super) struct Replayer {
    /// Greatest statement in bytes; None: rows may not be replayed here.
    limit_bytes: Option<usize>,
    flavour: Flavour,
    /// The format description event that the server reads the next rows under. MySQL has one for all:
    /// a session that gets another can give its transaction no GTID any more.
    format: Option<Arc<[u8]>>,
    /// The format that was looked at last, and who writes it.
    seen: Option<(Arc<[u8]>, Flavour)>,
}

impl Replayer {
    /// No row may be replayed.
    pub(super) fn none() -> Replayer {
        Replayer { limit_bytes: None, flavour: Flavour::MariaDb, format: None, seen: None }
    }

    /// Sees whether the account may replay, and readies the session for it. `packet_bytes` is the
    /// server's `max_allowed_packet`.
    ///
    /// # Errors
    /// The connection broke, or the session is in an unknown state.
    pub(super) async fn open(conn: &mut Conn, packet_bytes: usize) -> Result<Replayer, Error> {
        let flavour = Dialect::of(conn).flavour();
        let may = match flavour {
            // The text of a replay must not go into the binlog beside its rows; who may not set this may
            // not replay either.
            Flavour::MariaDb => {
                allowed(conn, "SET SESSION binlog_annotate_row_events = OFF").await?
                    && has_replay_right(conn).await?
            }
            Flavour::MySql => {
                let format = binlog_statement(&mysql_format());
                let ready = allowed(conn, "SET SESSION binlog_rows_query_log_events = OFF").await?
                    && allowed(conn, "SET SESSION gtid_next = 'AUTOMATIC'").await?
                    && allowed(conn, &format).await?;
                if ready {
                    // The format left it undetermined.
                    conn.query_drop("SET SESSION gtid_next = 'AUTOMATIC'").await?;
                }
                ready
            }
        };
        let limit_bytes = packet_bytes.min(STATEMENT_BYTES_MAX).saturating_sub(SLACK_BYTES);
        Ok(Replayer { limit_bytes: may.then_some(limit_bytes), flavour, format: None, seen: None })
    }

    /// Whether rows that were logged under this format may be replayed here: rows events have the
    /// layout of their server's flavour.
    pub(super) fn takes(&mut self, format: &Arc<[u8]>) -> bool {
        if self.limit_bytes.is_none() {
            return false;
        }
        if let Some((seen, flavour)) = &self.seen
            && (Arc::ptr_eq(seen, format) || seen == format)
        {
            return *flavour == self.flavour;
        }
        let Ok(read) = Format::parse(format) else { return false };
        self.seen = Some((Arc::clone(format), read.flavour));
        read.flavour == self.flavour
    }
}

/// MariaDB looks at the account's rights before it looks at what is to be replayed: nothing.
async fn has_replay_right(conn: &mut Conn) -> Result<bool, Error> {
    /// ER_SPECIFIC_ACCESS_DENIED_ERROR.
    const DENIED: u16 = 1227;
    match conn.query_drop("BINLOG ''").await {
        Ok(()) => Ok(true),
        Err(Error::Server(error)) => Ok(error.code != DENIED),
        Err(error) => Err(error),
    }
}

/// Runs a statement for which a privilege may be missing.
async fn allowed(conn: &mut Conn, statement: &str) -> Result<bool, Error> {
    match conn.query_drop(statement).await {
        Ok(()) => Ok(true),
        Err(Error::Server(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Replays runs of rows that were all written under one format, in their order.
pub(super) async fn replay(session: &mut TargetSession, runs: &[Run<'_>]) -> Result<(), Failure> {
    let (Some(first), Some(limit_bytes)) = (runs.first(), session.replayer.limit_bytes) else {
        return Ok(());
    };
    let format = Arc::clone(&first.rows[0].delivery.format);
    let doing = || format!("writing {}", tables(runs));
    let flavour = session.replayer.flavour;
    if flavour == Flavour::MariaDb && session.replayer.format.as_deref() != Some(&*format) {
        session
            .conn
            .query_drop(binlog_statement(&format))
            .await
            .map_err(|error| session.options.failure(&error, &doing()))?;
        session.replayer.format = Some(format);
    }
    let mut builder = ReplayBuilder::new(limit_bytes, flavour);
    for run in runs {
        let first = &run.rows[0];
        let rows = first.delivery.transaction.rows().expect("a delivery with a row to write has rows");
        let table_map = first.delivery.transaction.bytes(rows.tables[usize::from(first.table)].table_map);
        let images = run.rows.iter().flat_map(|row| {
            let bytes = |span| row.delivery.transaction.bytes(span);
            let (before, after) = match row.op {
                WriteOp::Insert { after } => (None, Some(bytes(after))),
                WriteOp::Update { before, after } => (Some(bytes(before)), Some(bytes(after))),
                WriteOp::Delete { before } => (Some(bytes(before)), None),
                WriteOp::DeleteHolder { .. } => unreachable!("a row known by a unique key has no image"),
            };
            before.into_iter().chain(after)
        });
        builder.rows(kind(&first.op), table_map, images).map_err(|error| {
            Failure::does_not_fit(format!(
                "{}: rows of {} cannot be replayed: {error}; copy the table again",
                session.options.place(),
                run.table.name
            ))
        })?;
    }
    for statement in builder.statements() {
        session.fits_packet(&statement, &doing())?;
        session
            .conn
            .query_drop(statement)
            .await
            .map_err(|error| session.options.failure(&error, &doing()))?;
    }
    // A replay sets the session's clock to the event's time, and what the session writes next (the
    // conflict log, the commit's own time in the binlog) would carry that. The server answers a replay
    // as if nothing followed it in one text, so this goes apart.
    session
        .conn
        .query_drop("SET timestamp = DEFAULT")
        .await
        .map_err(|error| session.options.failure(&error, &doing()))
}

fn kind(op: &WriteOp) -> RowsKind {
    match op {
        WriteOp::Insert { .. } => RowsKind::Write,
        WriteOp::Update { .. } => RowsKind::Update,
        WriteOp::Delete { .. } | WriteOp::DeleteHolder { .. } => RowsKind::Delete,
    }
}

/// The tables of the runs, for messages.
fn tables(runs: &[Run<'_>]) -> String {
    let mut names: Vec<String> = runs.iter().map(|run| run.table.name.to_string()).collect();
    names.sort();
    names.dedup();
    names.join(", ")
}

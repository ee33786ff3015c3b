//! Row-event replay: the raw images go to the target in `BINLOG` statements and get there the
//! semantics of a native replica: no triggers, no automatic values, no checks of foreign keys.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mysql_async::prelude::Queryable;
use weft_core::binlog::rows::RowsKind;
use weft_core::sink::replay::ReplayBuilder;
use weft_core::sink::step::WriteOp;

use super::errors::Failure;
use super::session::MariaDbSession;
use super::write::Run;

/// Bytes of one `BINLOG` statement's text at most; less where the server takes less.
const STATEMENT_BYTES_MAX: usize = 8 << 20;
/// Room for the words around the base64 text, and for the packet's head.
const SLACK_BYTES: usize = 1 << 10;

/// What the session knows of replaying.
#[derive(Debug)]
pub(super) struct Replayer {
    /// Greatest statement in bytes; None: rows may not be replayed here.
    limit_bytes: Option<usize>,
    /// The format description event that the server reads the next rows under.
    format: Option<Arc<[u8]>>,
}

impl Replayer {
    /// `packet_bytes`: the server's `max_allowed_packet`; None: rows may not be replayed.
    pub(super) fn new(packet_bytes: Option<usize>) -> Replayer {
        Replayer {
            limit_bytes: packet_bytes.map(|bytes| bytes.min(STATEMENT_BYTES_MAX).saturating_sub(SLACK_BYTES)),
            format: None,
        }
    }

    pub(super) fn may_replay(&self) -> bool {
        self.limit_bytes.is_some()
    }
}

/// Replays runs of rows that were all written under one format, in their order.
pub(super) async fn replay(session: &mut MariaDbSession, runs: &[Run<'_>]) -> Result<(), Failure> {
    let (Some(first), Some(limit_bytes)) = (runs.first(), session.replayer.limit_bytes) else {
        return Ok(());
    };
    let format = Arc::clone(&first.rows[0].delivery.format);
    let doing = || format!("writing {}", tables(runs));
    if session.replayer.format.as_deref() != Some(&*format) {
        let statement = format!("BINLOG '{}'", STANDARD.encode(&*format));
        session
            .conn
            .query_drop(statement)
            .await
            .map_err(|error| session.options.failure(&error, &doing()))?;
        session.replayer.format = Some(format);
    }
    let mut builder = ReplayBuilder::new(limit_bytes);
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

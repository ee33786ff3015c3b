//! What Weft's own tables say when they come by in the binlog.

use crate::binlog::Malformed;
use crate::binlog::image::Values;
use crate::binlog::rows::RowsEvent;
use crate::binlog::table_map::{ColumnShape, TableMap, TableShape};
use crate::binlog::value::Value;
use crate::catalog::TableVersion;
use crate::mark::{Epoch, Mark};
use crate::tables::WEFT_SCHEMA;
use crate::time::Micros;

use super::scan::{Passing, ScanError};

/// Columns of `weft.mark`, in order.
const MARK_COLUMNS: [&str; 5] = ["channel", "source", "shard", "epoch", "body"];
/// Columns of `weft.heartbeat`, in order.
const HEARTBEAT_COLUMNS: [&str; 3] = ["instance", "written", "node"];

/// One of Weft's own tables that says something to a reader of the binlog.
#[derive(Debug, Clone)]
pub(super) struct OwnTable {
    kind: OwnKind,
    version: TableVersion,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OwnKind {
    Mark,
    Heartbeat,
}

/// What a row of such a table says.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Said {
    /// A mark came by; None: it was not filled in yet.
    Mark(Passing, Option<Mark>),
    Heartbeat(Micros),
    /// Nothing for us: the heartbeat of another instance.
    Nothing,
}

impl OwnTable {
    /// The table, if the map is of one of them. The names of its columns are known, so nothing has to
    /// be asked for even where the stream does not carry them.
    pub(super) fn of(map: &TableMap<'_>) -> Result<Option<OwnTable>, ScanError> {
        let name = map.name();
        let (kind, columns): (_, &[&str]) = match (name.schema.as_str(), name.table.as_str()) {
            (WEFT_SCHEMA, "mark") => (OwnKind::Mark, &MARK_COLUMNS),
            (WEFT_SCHEMA, "heartbeat") => (OwnKind::Heartbeat, &HEARTBEAT_COLUMNS),
            _ => return Ok(None),
        };
        let columns =
            columns.iter().map(|name| ColumnShape { name: (*name).to_owned(), ..ColumnShape::default() });
        let shape = TableShape { columns: columns.collect(), ..TableShape::default() };
        Ok(Some(OwnTable { kind, version: map.to_table_version(Some(&shape))? }))
    }

    /// What the rows of an event say, in order. Only what they are after the change counts.
    pub(super) fn read(
        &self,
        rows: &RowsEvent<'_>,
        event: &[u8],
        instance: &str,
    ) -> Result<Vec<Said>, ScanError> {
        let images =
            rows.images(&self.version.columns)?.filter_map(|row| row.map(|row| row.after).transpose());
        images.map(|image| self.row(&event[image?], instance)).collect()
    }

    fn row(&self, image: &[u8], instance: &str) -> Result<Said, ScanError> {
        let values: Vec<Value<'_>> =
            Values::new(&self.version.columns, image).collect::<Result<_, Malformed>>()?;
        let value = |name| self.version.column(name).and_then(|index| values.get(index)).copied();
        match self.kind {
            OwnKind::Mark => {
                let epoch = match value("epoch") {
                    Some(Value::UInt(epoch)) => Some(epoch),
                    Some(Value::Int(epoch)) => Some(epoch.cast_unsigned()),
                    _ => None,
                };
                match (value("channel"), value("source"), epoch, value("body")) {
                    (
                        Some(Value::Bytes(channel)),
                        Some(Value::Bytes(source)),
                        Some(epoch),
                        Some(Value::Bytes(body)),
                    ) => {
                        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
                        let passing =
                            Passing { channel: text(channel), source: text(source), epoch: Epoch(epoch) };
                        let mark = if body.is_empty() { None } else { Some(Mark::decode(body)?) };
                        Ok(Said::Mark(passing, mark))
                    }
                    _ => Err(ScanError::OwnTable { table: "mark" }),
                }
            }
            OwnKind::Heartbeat => {
                let written = match value("written") {
                    Some(Value::UInt(written)) => Some(written),
                    Some(Value::Int(written)) => u64::try_from(written).ok(),
                    _ => None,
                };
                match (value("instance"), written) {
                    (Some(Value::Bytes(name)), Some(written)) if name == instance.as_bytes() => {
                        Ok(Said::Heartbeat(Micros(written)))
                    }
                    (Some(Value::Bytes(_)), Some(_)) => Ok(Said::Nothing),
                    _ => Err(ScanError::OwnTable { table: "heartbeat" }),
                }
            }
        }
    }
}

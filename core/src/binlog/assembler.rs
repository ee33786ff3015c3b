//! From a stream of events to transactions: a state machine without clock or socket.
//!
//! It keeps the position of the dump in 64 bits, hands out each transaction once its end was seen,
//! and a large one in chunks, so that at most `spill_bytes` and one event are held. Whatever it
//! does not understand stops the stream: a row that is not seen is a row lost.

mod statements;
mod xa;

use std::borrow::Cow;

use bytes::Bytes;

pub use super::assembled::{AssembleError, Assembled, Ending, RawDdl, RawTransaction, TxChunk};
use super::cursor::Malformed;
use super::event::{CHECKSUM_BYTES, EventHeader, EventType};
use super::format::{Checksum, Format};
use super::group::{AlterPhase, GtidEvent, Heartbeat, Rotate, log_index};
use super::mysql_gtid::MySqlGtidEvent;
use super::open::Open;
use super::partial;
use super::payload::Payload;
use super::rows::{RowsEvent, unpack};
use super::table_map::TableMap;
use crate::scn::Scn;
use crate::time::Micros;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AssemblerConfig {
    /// Bytes of events above which an open transaction is handed out in chunks.
    pub spill_bytes: usize,
}

/// Groups events into transactions.
#[derive(Debug)]
pub struct Assembler {
    config: AssemblerConfig,
    format: Option<Format>,
    file: String,
    log_index: u32,
    log_pos: u64,
    open: Option<Open>,
    /// The rest of a compressed transaction.
    payload: Option<Payload>,
}

impl Assembler {
    pub fn new(config: AssemblerConfig) -> Assembler {
        Assembler {
            config,
            format: None,
            file: String::new(),
            log_index: 0,
            log_pos: 0,
            open: None,
            payload: None,
        }
    }

    /// Says where the dump begins, and forgets a transaction that was open: its chunks are void.
    pub fn place(&mut self, log_index: u32, log_pos: u64) {
        self.open = None;
        self.payload = None;
        self.log_index = log_index;
        self.log_pos = log_pos;
    }

    /// Number of the binlog file, and the position after the last event.
    pub fn position(&self) -> (u32, u64) {
        (self.log_index, self.log_pos)
    }

    /// What the last format description event said.
    pub fn format(&self) -> Option<&Format> {
        self.format.as_ref()
    }

    /// Bytes of events held for the open transaction.
    pub fn held_bytes(&self) -> usize {
        self.open.as_ref().map_or(0, Open::held_bytes)
    }

    /// Takes the next event: header and body without checksum, as
    /// [`Checksums::strip`](super::format::Checksums::strip) gives it. A compressed transaction must
    /// be [unpacked](Assembler::unpack) before the event behind it.
    ///
    /// # Errors
    /// See [`AssembleError`]; the assembler must be placed anew before it is used again.
    pub fn push(&mut self, event: &[u8], out: &mut Vec<Assembled>) -> Result<(), AssembleError> {
        if self.payload.is_some() {
            return Err(AssembleError::NotEnded);
        }
        let header = EventHeader::parse(event)?;
        self.advance(header, event.len())?;
        self.take(event, header, out)
    }

    /// Goes on with a compressed transaction until something comes out of it; false: there is no more,
    /// and the next event may be pushed. What is unpacked may be many times as large as what came:
    /// so it comes out bit by bit.
    ///
    /// # Errors
    /// As [`Assembler::push`].
    pub fn unpack(&mut self, out: &mut Vec<Assembled>) -> Result<bool, AssembleError> {
        let before = out.len();
        while let Some(payload) = &mut self.payload
            && out.len() == before
        {
            let Some(event) = payload.next_event()? else {
                self.payload = None;
                break;
            };
            let header = EventHeader::parse(&event)?;
            if !belongs_in_payload(header.kind) {
                return Err(AssembleError::InPayload { kind: header.kind });
            }
            // Positions inside of a payload mean nothing: the transaction ends where the payload does.
            self.take(&event, header, out)?;
        }
        Ok(out.len() > before)
    }

    fn take(
        &mut self,
        event: &[u8],
        header: EventHeader,
        out: &mut Vec<Assembled>,
    ) -> Result<(), AssembleError> {
        use EventType::*;
        match header.kind {
            FormatDescription => self.format_description(event, header, out)?,
            Rotate => self.rotate(event, header, out)?,
            Heartbeat | HeartbeatV2 => self.heartbeat(event, header, out)?,
            Gtid => self.gtid(event, header)?,
            MysqlGtid | MysqlAnonymousGtid | MysqlTaggedGtid => self.mysql_gtid(event, header)?,
            Query | QueryCompressed => self.query(event, header, out)?,
            Xid => self.close(header, Ending::Xid, out)?,
            TableMap => self.table_map(event, header, out)?,
            WriteRowsV1
            | UpdateRowsV1
            | DeleteRowsV1
            | WriteRowsV2
            | UpdateRowsV2
            | PartialUpdateRows
            | DeleteRowsV2
            | WriteRowsCompressedV1
            | UpdateRowsCompressedV1
            | DeleteRowsCompressedV1
            | WriteRowsCompressedV2
            | UpdateRowsCompressedV2
            | DeleteRowsCompressedV2 => {
                self.rows(event, header, out)?;
            }
            XaPrepare => self.xa_prepare(event, header, out)?,
            Incident => return Err(AssembleError::Incident),
            BeginLoadQuery | ExecuteLoadQuery | Load | CreateFile | ExecLoad | NewLoad => {
                return Err(AssembleError::StatementFormat { statement: "LOAD DATA".to_owned() });
            }
            TransactionPayload if self.open.is_some() => self.payload = Some(Payload::open(event)?),
            TransactionPayload => return Err(AssembleError::OutsideTransaction { kind: header.kind }),
            StartV3 | PreGaWriteRows | PreGaUpdateRows | PreGaDeleteRows => {
                return Err(AssembleError::Unsupported { kind: header.kind });
            }
            Unknown(code) if !header.is_ignorable() => return Err(AssembleError::UnknownEvent { code }),
            // They say nothing about rows.
            Unknown(_) | Stop | IntVar | Slave | AppendBlock | DeleteFile | Rand | UserVar | IgnorableLog
            | RowsQuery | PreviousGtids | TransactionContext | ViewChange | AnnotateRows
            | BinlogCheckpoint | GtidList | StartEncryption => self.passed(header, out),
        }
        Ok(())
    }

    /// Moves the position past the event. Headers have 32 bits of it, or none at all.
    fn advance(&mut self, header: EventHeader, bytes: usize) -> Result<(), Malformed> {
        let heartbeat = matches!(header.kind, EventType::Heartbeat | EventType::HeartbeatV2);
        if header.is_artificial() || heartbeat {
            return Ok(());
        }
        if header.log_pos != 0 {
            let low = u64::from(header.log_pos);
            let wrapped = (self.log_pos & !0xffff_ffff) | low;
            if wrapped >= self.log_pos {
                self.log_pos = wrapped;
            } else if self.open.is_some() {
                // Files are rotated between transactions: only inside of one is 4 GiB passed. Anything
                // else that looks back was repeated by the dump.
                self.log_pos = wrapped + (1 << 32);
            }
        } else if self.open.is_some() {
            let crc = self.format.as_ref().is_some_and(|format| format.checksum == Checksum::Crc32);
            self.log_pos += (bytes + if crc { CHECKSUM_BYTES } else { 0 }) as u64;
        }
        checked_position(self.log_pos).map(|_| ())
    }

    fn passed(&self, header: EventHeader, out: &mut Vec<Assembled>) {
        if self.open.is_none() && !header.is_artificial() && header.log_pos != 0 {
            out.push(self.moved(header));
        }
    }

    fn moved(&self, header: EventHeader) -> Assembled {
        let time = (header.timestamp != 0).then(|| Micros::from_secs(u64::from(header.timestamp)));
        Assembled::Moved { log_index: self.log_index, log_pos: self.log_pos, time }
    }

    /// A server that died left a transaction without end in its file, and rolled it back.
    fn abandon(&mut self, out: &mut Vec<Assembled>) {
        if let Some(open) = self.open.take()
            && open.chunks > 0
        {
            out.push(Assembled::Abandoned { gtid: open.gtid });
        }
    }

    fn format_description(
        &mut self,
        event: &[u8],
        header: EventHeader,
        out: &mut Vec<Assembled>,
    ) -> Result<(), AssembleError> {
        self.abandon(out);
        let format = Format::parse(event)?;
        if self.format.as_ref().is_none_or(|old| old.canonical() != format.canonical()) {
            out.push(Assembled::Format(Bytes::copy_from_slice(format.canonical())));
        }
        self.format = Some(format);
        self.passed(header, out);
        Ok(())
    }

    fn rotate(
        &mut self,
        event: &[u8],
        header: EventHeader,
        out: &mut Vec<Assembled>,
    ) -> Result<(), AssembleError> {
        self.abandon(out);
        let rotate = Rotate::parse(event)?;
        self.log_index =
            log_index(&rotate.file).ok_or_else(|| AssembleError::FileName(rotate.file.clone()))?;
        self.log_pos = checked_position(rotate.position)?;
        if self.file != rotate.file {
            self.file.clone_from(&rotate.file);
            out.push(Assembled::FileName(rotate.file));
        }
        out.push(self.moved(header));
        Ok(())
    }

    fn heartbeat(
        &mut self,
        event: &[u8],
        header: EventHeader,
        out: &mut Vec<Assembled>,
    ) -> Result<(), AssembleError> {
        let heartbeat = Heartbeat::parse(event)?;
        // One of another file, or one that looks back, tells nothing about where we are.
        if self.open.is_none() && heartbeat.file == self.file && heartbeat.position >= self.log_pos {
            self.log_pos = checked_position(heartbeat.position)?;
            out.push(self.moved(header));
        }
        Ok(())
    }

    fn gtid(&mut self, event: &[u8], header: EventHeader) -> Result<(), AssembleError> {
        let read = GtidEvent::parse(event)?;
        let open = Open {
            gtid: Some(read.gtid),
            begun: !read.standalone,
            idle_alter: matches!(read.alter, Some(AlterPhase::Start | AlterPhase::Rollback)),
            ..Open::at(header)
        };
        self.begin(open)
    }

    /// A BEGIN follows where it is not a statement that stands alone.
    fn mysql_gtid(&mut self, event: &[u8], header: EventHeader) -> Result<(), AssembleError> {
        let MySqlGtidEvent { gtid, commit_time } = MySqlGtidEvent::parse(event)?;
        let open = Open::at(header);
        self.begin(Open { gtid, time: commit_time.unwrap_or(open.time), ..open })
    }

    fn begin(&mut self, open: Open) -> Result<(), AssembleError> {
        if self.open.is_some() {
            return Err(AssembleError::NotEnded);
        }
        self.open = Some(open);
        Ok(())
    }

    fn table_map(
        &mut self,
        event: &[u8],
        header: EventHeader,
        out: &mut Vec<Assembled>,
    ) -> Result<(), AssembleError> {
        let format = self.format.as_ref().ok_or(AssembleError::NoFormat { kind: header.kind })?;
        TableMap::parse(event, format)?;
        let open = self.open.as_mut().ok_or(AssembleError::OutsideTransaction { kind: header.kind })?;
        let chunk = open.table_map(event, self.config.spill_bytes);
        out.extend(chunk.map_err(|_| AssembleError::TooManyTables)?.map(Assembled::Chunk));
        Ok(())
    }

    fn rows(
        &mut self,
        event: &[u8],
        header: EventHeader,
        out: &mut Vec<Assembled>,
    ) -> Result<(), AssembleError> {
        let format = self.format.as_ref().ok_or(AssembleError::NoFormat { kind: header.kind })?;
        let event = match header.kind {
            EventType::PartialUpdateRows => Cow::Owned(self.complete(event, format)?),
            _ => unpack(event)?,
        };
        let rows = RowsEvent::parse(&event, format)?;
        let open = self.open.as_mut().ok_or(AssembleError::OutsideTransaction { kind: header.kind })?;
        let chunk = open.rows(&event, rows.ends_statement(), self.config.spill_bytes);
        out.extend(chunk.map(Assembled::Chunk));
        Ok(())
    }

    /// A partial update with whole rows.
    fn complete(&self, event: &[u8], format: &Format) -> Result<Vec<u8>, AssembleError> {
        let table_id = partial::table_id(event)?;
        for map in self.open.iter().flat_map(|open| &open.maps).rev() {
            let map = TableMap::parse(map, format)?;
            if map.table_id == table_id {
                return Ok(partial::complete(event, &map.bare_columns()?, format)?);
            }
        }
        Err(AssembleError::NoTableMap { table_id })
    }

    fn close(
        &mut self,
        header: EventHeader,
        ends: Ending,
        out: &mut Vec<Assembled>,
    ) -> Result<(), AssembleError> {
        let transaction = self.ended(header, ends, out)?;
        out.push(Assembled::Transaction(transaction));
        Ok(())
    }

    /// Takes the open transaction, or what is left of it behind its chunks.
    fn ended(
        &mut self,
        header: EventHeader,
        ends: Ending,
        out: &mut Vec<Assembled>,
    ) -> Result<RawTransaction, AssembleError> {
        let mut open = self.open.take().ok_or(AssembleError::OutsideTransaction { kind: header.kind })?;
        let rolled_back = ends == Ending::Rollback;
        if rolled_back && open.chunks > 0 {
            out.push(Assembled::Abandoned { gtid: open.gtid.clone() });
        }
        let mut transaction = RawTransaction {
            log_index: self.log_index,
            log_pos: self.log_pos,
            gtid: open.gtid.take(),
            server_id: open.server_id,
            commit_time: open.time,
            events: Bytes::new(),
            chunks: 0,
            statements: Vec::new(),
            ends,
        };
        if !rolled_back {
            transaction.chunks = open.chunks;
            transaction.statements.clone_from(&open.statements);
            transaction.events = open.into_events();
        }
        Ok(transaction)
    }
}

/// Events of a transaction, between its GTID and its end.
fn belongs_in_payload(kind: EventType) -> bool {
    use EventType::*;
    !matches!(
        kind,
        FormatDescription
            | Rotate
            | Stop
            | Heartbeat
            | HeartbeatV2
            | PreviousGtids
            | TransactionPayload
            | Gtid
            | GtidList
            | MysqlGtid
            | MysqlAnonymousGtid
            | MysqlTaggedGtid
    )
}

/// Positions that an SCN can hold.
fn checked_position(log_pos: u64) -> Result<u64, Malformed> {
    if log_pos <= Scn::LOG_POS_MAX {
        return Ok(log_pos);
    }
    Err(Malformed::Invalid { what: "binlog position", found: log_pos })
}

#[cfg(test)]
#[path = "assembler_tests.rs"]
mod tests;

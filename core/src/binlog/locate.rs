//! Finds the place at which a channel is told to begin, in the events of one binlog file and those behind
//! it: a state machine without a socket. A place is good only between two transactions, and GTIDs only
//! where everything before the place is among them and nothing behind it is.

use super::begin::{BinlogPlace, FIRST_EVENT, StartAt};
use super::cursor::Malformed;
use super::event::{self, EventHeader, EventType};
use super::group::{GtidEvent, Rotate, parse_gtid_list};
use super::mysql_gtid::MySqlGtidEvent;
use crate::gtid::{GtidPosition, GtidSet};

/// Why there is no such place. One line each: what and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LocateError {
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("{0} is in the middle of a transaction; take a position that the server or a dump gave")]
    InTransaction(String),
    #[error("no event ends at {0}; take a position that the server or a dump gave")]
    InEvent(String),
    #[error(
        "{place} is beyond the end of that file, {end}: it lost its end, or the position is of another server"
    )]
    Beyond { place: String, end: u64 },
    #[error(
        "the server has no binlog file {file}, only {first} to {last}: the position is of another server"
    )]
    NoSuchFile { file: String, first: String, last: String },
    #[error("the binlog before {first} is purged, with {missing}; take a new dump and begin at its position")]
    Purged { first: String, missing: String },
    #[error("the server has none of these GTIDs in its binlog: they are of another server or flavour")]
    Foreign,
    #[error(
        "{missing} are not in the server's binlog: it lost its end, or they are of another server; leave out what the \
         server never wrote, or make the sites equal and take a new position"
    )]
    Ahead { missing: String },
    #[error(
        "these GTIDs are no single place in the binlog: from {place} on some are among them and some are not; let the \
         replica that they are of go on until it has no gaps, or begin at file and position"
    )]
    Scattered { place: String },
}

/// What is looked for.
#[derive(Debug)]
enum Target {
    Position(u64),
    Gtids(GtidPosition),
}

/// Reads the events from the beginning of a binlog file on.
#[derive(Debug)]
pub struct Finder {
    target: Target,
    file: String,
    /// Where the last event ended.
    end: u64,
    gtids: GtidPosition,
    /// The head of the file that says what is before it was read.
    listed: bool,
    /// The position was met in the head of the file.
    met: bool,
}

impl Finder {
    /// Begins in `file`. `purged` is what is in no file of the binlog.
    pub fn new(wanted: &StartAt, file: &str, purged: GtidPosition) -> Finder {
        let target = match wanted {
            StartAt::Gtids(gtids) => Target::Gtids(gtids.clone()),
            StartAt::File { position, .. } => Target::Position(*position),
        };
        Finder { target, file: file.to_owned(), end: FIRST_EVENT, gtids: purged, listed: false, met: false }
    }

    /// Takes the next canonical event; gives the place once it is known.
    ///
    /// # Errors
    /// There is no such place.
    pub fn event(&mut self, event: &[u8]) -> Result<Option<BinlogPlace>, LocateError> {
        use EventType::*;
        let header = EventHeader::parse(event)?;
        match header.kind {
            // The dump has read all that there is.
            Heartbeat | HeartbeatV2 => return self.caught_up(),
            Rotate if header.is_artificial() || header.log_pos == 0 => return self.next_file(event),
            _ => {}
        }
        if let Some(place) = self.before(event, header)? {
            return Ok(Some(place));
        }
        if !header.is_artificial() {
            self.advance(header, event.len());
        }
        match header.kind {
            GtidList => self.list(parse_gtid_list(event)?),
            PreviousGtids => self.list(GtidPosition::from(GtidSet::decode(event::body(event))?)),
            _ => {}
        }
        self.behind()
    }

    /// What the place before this event says.
    fn before(&mut self, event: &[u8], header: EventHeader) -> Result<Option<BinlogPlace>, LocateError> {
        let gtid = match header.kind {
            EventType::Gtid => Some(Some(GtidEvent::parse(event)?.gtid)),
            EventType::MysqlGtid | EventType::MysqlAnonymousGtid | EventType::MysqlTaggedGtid => {
                Some(MySqlGtidEvent::parse(event)?.gtid)
            }
            _ => None,
        };
        match (&self.target, &gtid) {
            (Target::Position(wanted), _) if *wanted == self.end => {
                if gtid.is_none() && !is_between_transactions(header.kind) {
                    return Err(LocateError::InTransaction(self.here()));
                }
                self.met = true;
                if self.listed {
                    return Ok(Some(self.place()));
                }
            }
            (Target::Gtids(wanted), Some(gtid)) if !gtid.as_ref().is_some_and(|gtid| wanted.has(gtid)) => {
                return Ok(Some(self.place()));
            }
            _ => {}
        }
        if let Some(Some(gtid)) = gtid {
            self.gtids.advance(&gtid);
        }
        Ok(None)
    }

    /// What the place behind the event that was just taken says.
    fn behind(&self) -> Result<Option<BinlogPlace>, LocateError> {
        match &self.target {
            Target::Position(_) if self.met => Ok(self.listed.then(|| self.place())),
            Target::Position(wanted) if self.end > *wanted => {
                Err(LocateError::InEvent(format!("{}:{wanted}", self.file)))
            }
            _ => Ok(None),
        }
    }

    fn caught_up(&self) -> Result<Option<BinlogPlace>, LocateError> {
        match &self.target {
            Target::Gtids(_) => Ok(Some(self.place())),
            Target::Position(wanted) if *wanted == self.end => Ok(Some(self.place())),
            Target::Position(wanted) => {
                Err(LocateError::Beyond { place: format!("{}:{wanted}", self.file), end: self.end })
            }
        }
    }

    /// The dump names the file whose events follow.
    fn next_file(&mut self, event: &[u8]) -> Result<Option<BinlogPlace>, LocateError> {
        let rotate = Rotate::parse(event)?;
        if rotate.file == self.file {
            return Ok(None);
        }
        let ended = self.end;
        if let Target::Position(wanted) = self.target
            && wanted != ended
        {
            return Err(LocateError::Beyond { place: format!("{}:{wanted}", self.file), end: ended });
        }
        (self.file, self.end) = (rotate.file, FIRST_EVENT);
        Ok(matches!(self.target, Target::Position(_)).then(|| self.place()))
    }

    fn list(&mut self, before: GtidPosition) {
        self.gtids.follow(&before);
        self.listed = true;
    }

    /// Headers have 32 bits of the position, or none at all.
    fn advance(&mut self, header: EventHeader, bytes: usize) {
        if header.log_pos == 0 {
            self.end += bytes as u64;
            return;
        }
        let wrapped = (self.end & !0xffff_ffff) | u64::from(header.log_pos);
        self.end = if wrapped >= self.end { wrapped } else { wrapped + (1 << 32) };
    }

    fn here(&self) -> String {
        format!("{}:{}", self.file, self.end)
    }

    fn place(&self) -> BinlogPlace {
        let position = match self.target {
            Target::Position(wanted) if self.met => wanted,
            _ => self.end,
        };
        BinlogPlace { file: self.file.clone(), position, gtids: self.gtids.clone() }
    }
}

/// Events that no transaction has.
fn is_between_transactions(kind: EventType) -> bool {
    use EventType::*;
    matches!(
        kind,
        FormatDescription | PreviousGtids | GtidList | BinlogCheckpoint | StartEncryption | Rotate | Stop
    )
}

/// Whether everything `before` a binlog file is behind the place: the place is then in that file or in a
/// later one.
pub fn is_not_before(wanted: &GtidPosition, before: &GtidPosition) -> bool {
    wanted.contains(before)
}

/// Whether the place that was found is what was asked for by GTIDs. `executed` is all that the server has.
///
/// GTIDs of servers and domains that it knows nothing of are passed over: a replica has its own too.
///
/// # Errors
/// It is not; why.
pub fn judge(wanted: &GtidPosition, found: &BinlogPlace, executed: &GtidPosition) -> Result<(), LocateError> {
    let shared = wanted.shared_with(executed);
    if shared.is_empty() {
        return Err(LocateError::Foreign);
    }
    let ahead = shared.beyond(executed);
    if !ahead.is_empty() {
        return Err(LocateError::Ahead { missing: ahead.to_string() });
    }
    let is_the_place = match shared.set().is_empty() {
        true => shared.domains().iter().all(|(domain, gtid)| found.gtids.domains().get(domain) == Some(gtid)),
        false => found.gtids.set().contains(shared.set()),
    };
    match is_the_place {
        true => Ok(()),
        false => Err(LocateError::Scattered { place: format!("{}:{}", found.file, found.position) }),
    }
}

#[cfg(test)]
#[path = "locate_tests.rs"]
mod tests;

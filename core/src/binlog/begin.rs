//! Where a channel is told to begin, and the place in a server's binlog that this is.

use std::fmt;
use std::str::FromStr;

use super::resume::split_log_name;
use crate::gtid::GtidPosition;
use crate::scn::Scn;

/// Position of a binlog file's first event.
pub const FIRST_EVENT: u64 = 4;

/// Where a channel is told to begin: behind everything up to there.
///
/// As text, `gtid:` and a GTID position, or `file:`, the name of a binlog file, a colon and the position
/// in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartAt {
    Gtids(GtidPosition),
    File {
        /// A name with a number at its end.
        file: String,
        /// 4 to [`Scn::LOG_POS_MAX`].
        position: u64,
    },
}

/// The text is no place to begin at; why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is no place in a binlog: {cause}")]
pub struct NotAStart {
    pub text: String,
    pub cause: String,
}

impl fmt::Display for StartAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartAt::Gtids(gtids) => write!(f, "gtid:{gtids}"),
            StartAt::File { file, position } => write!(f, "file:{file}:{position}"),
        }
    }
}

impl FromStr for StartAt {
    type Err = NotAStart;

    fn from_str(text: &str) -> Result<StartAt, NotAStart> {
        let bad = |cause: String| NotAStart { text: text.to_owned(), cause };
        match text.split_once(':') {
            Some(("gtid", gtids)) => gtid_start(gtids).map_err(bad),
            Some(("file", place)) => file_start(place).map_err(bad),
            _ => Err(bad("it begins neither with gtid: nor with file:".to_owned())),
        }
    }
}

fn gtid_start(text: &str) -> Result<StartAt, String> {
    let gtids: GtidPosition = text.parse().map_err(|error| format!("{error}"))?;
    match (gtids.domains().is_empty(), gtids.set().is_empty()) {
        (true, true) => Err("it names no GTID; the beginning of a binlog is file:NAME:4".to_owned()),
        (false, false) => Err("it mixes GTIDs of MariaDB and of MySQL".to_owned()),
        _ => Ok(StartAt::Gtids(gtids)),
    }
}

fn file_start(text: &str) -> Result<StartAt, String> {
    let (file, position) = text.rsplit_once(':').ok_or("there is no position behind the file's name")?;
    split_log_name(file).ok_or_else(|| format!("the file's name '{file}' has no number at its end"))?;
    let position: u64 = position.parse().map_err(|_| format!("'{position}' is not a position in bytes"))?;
    if !(FIRST_EVENT..=Scn::LOG_POS_MAX).contains(&position) {
        return Err(format!("positions are {FIRST_EVENT} to {}", Scn::LOG_POS_MAX));
    }
    Ok(StartAt::File { file: file.to_owned(), position })
}

/// A place between two transactions of a server's binlog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BinlogPlace {
    pub file: String,
    pub position: u64,
    /// Everything before it.
    pub gtids: GtidPosition,
}

impl BinlogPlace {
    /// Number of the file and position: the order of places in the files of one server.
    pub fn order(&self) -> (u32, u64) {
        (split_log_name(&self.file).map_or(0, |(_, index)| index), self.position)
    }

    /// The SCN of this place, in the epoch of the server.
    pub fn scn(&self, epoch: u32) -> Scn {
        let (log_index, position) = self.order();
        Scn::of_transaction(epoch, log_index, position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

    #[test]
    fn starts_come_back_from_their_text() {
        for text in [
            "gtid:0-1-7,5-2-9".to_owned(),
            format!("gtid:{UUID}:1-5:7,{UUID}:batch:1-3"),
            "file:binlog.000007:1234".to_owned(),
            "file:a:b.000001:4".to_owned(),
        ] {
            let start: StartAt = text.parse().expect("a start");
            assert_eq!(start.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_start_is_refused_with_the_cause_in_one_line() {
        for (text, cause) in [
            ("", "neither"),
            ("binlog.000007:4", "neither"),
            ("gtid:", "file:NAME:4"),
            ("gtid:0-1", "'0-1' is not a GTID position"),
            ("gtid:0-1-2,3e11fa4771ca11e19e33c80aa9429562:1", "mixes"),
            ("file:binlog.000007", "no position"),
            ("file:binlog:4", "no number"),
            ("file:binlog.000007:x", "'x' is not a position"),
            ("file:binlog.000007:3", "positions are 4"),
            ("file:binlog.000007:1000000000000000", "positions are 4"),
        ] {
            let said = text.parse::<StartAt>().expect_err(text).to_string();
            assert!(said.contains(cause) && !said.contains('\n'), "{said}");
        }
    }

    #[test]
    fn places_have_the_order_of_the_files_whatever_their_names_say_as_text() {
        let place = |file: &str, position| BinlogPlace {
            file: file.into(),
            position,
            gtids: GtidPosition::default(),
        };
        assert!(place("b.999999", 4).order() < place("b.1000000", 4).order());
        assert_eq!(place("b.000007", 9).scn(2), Scn::of_transaction(2, 7, 9));
    }
}

//! Where capture goes on after a start or a lost connection: a pure decision over what was captured
//! and who answers behind the address now.

use std::borrow::Borrow;

use super::format::Format;
use super::primary::{Candidate, LastCaptured};
use crate::catalog::{CatalogEntry, CatalogItem};
use crate::flavour::Flavour;
use crate::gtid::GtidPosition;
use crate::scn::Scn;

/// The server that an epoch is captured from.
#[derive(Debug, Clone, PartialEq)]
pub struct CapturedServer {
    pub epoch: u32,
    pub server_id: u32,
    /// Names of binlog files without the number: `binlog` for `binlog.000007`.
    pub log_base: String,
}

impl CapturedServer {
    /// The one that the schema history names last; None: it names none yet.
    pub fn newest_of(catalog: &[impl Borrow<CatalogEntry>]) -> Option<CapturedServer> {
        catalog.iter().rev().map(Borrow::borrow).find_map(|entry| match &entry.what {
            CatalogItem::Server { server_id, log_base } => Some(CapturedServer {
                epoch: entry.began.epoch,
                server_id: *server_id,
                log_base: log_base.clone(),
            }),
            _ => None,
        })
    }

    /// File and position from which the history after this SCN can be read again; None: it was captured
    /// from an older server of the instance, whose positions say nothing any more.
    pub fn place_after(&self, after: Scn) -> Option<(String, u64)> {
        (after.epoch == self.epoch && after.log_index > 0)
            .then(|| (log_name(&self.log_base, after.log_index), after.log_pos))
    }
}

/// What was captured so far.
#[derive(Debug, Clone, PartialEq)]
pub struct Captured {
    /// End of the newest transaction that the buffer holds, or where history begins. Of an older epoch
    /// than the server's where nothing of that server was captured yet, or with file number 0: only `gtids` say where it begins.
    pub scn: Scn,
    /// Whom capture went on from last.
    pub server: CapturedServer,
    /// GTIDs up to `scn`.
    pub gtids: GtidPosition,
    /// Of the server's kind; None: nothing was captured yet.
    pub flavour: Option<Flavour>,
    /// The server was seen to lack some of it.
    pub lost: bool,
}

/// Who answers now.
#[derive(Debug, Clone, PartialEq)]
pub struct Answering {
    pub server: Candidate,
    /// Binlog file being written, and the position in it.
    pub file: String,
    pub position: u64,
}

/// How to go on.
#[derive(Debug, Clone, PartialEq)]
pub enum Resume {
    /// The same server: at this place of its binlog.
    At { file: String, position: u64 },
    /// Another server that has all that was captured, or the same one where capture had moved to it and
    /// got no further: after the GTIDs, in this epoch.
    After { gtids: GtidPosition, epoch: u32, log_base: String },
    /// Changes were lost; a person must see to it. One line: what and what to do.
    Stop(String),
    /// The same, and the captured server itself lost them. It is to be remembered: once it has written as
    /// much again, nothing else shows it.
    Lost(String),
}

/// The flavour of the server that wrote what was captured last; None: nothing was captured yet.
pub fn captured_flavour(catalog: &[impl Borrow<CatalogEntry>]) -> Option<Flavour> {
    catalog.iter().rev().map(Borrow::borrow).find_map(|entry| match &entry.what {
        CatalogItem::Format(event) => Format::parse(event).ok().map(|format| format.flavour),
        _ => None,
    })
}

/// Decides how capture goes on.
pub fn resume(captured: &Captured, answering: &Answering) -> Resume {
    match by_what_it_says(captured, answering) {
        Resume::At { .. } | Resume::After { .. }
            if captured.lost && answering.server.server_id == captured.server.server_id =>
        {
            Resume::Lost(format!(
                "{} lacked transactions that were captured when it was looked at before, and has written others since: \
                 the server lost its last transactions, or its binlog was reset; make the sites equal again, then start \
                 this instance anew with an empty data directory and `weft uninstall`, or promote a server that has them",
                answering.server.address
            ))
        }
        otherwise => otherwise,
    }
}

fn by_what_it_says(captured: &Captured, answering: &Answering) -> Resume {
    if let Some(flavour) = captured.flavour.filter(|flavour| *flavour != answering.server.flavour) {
        return Resume::Stop(format!(
            "{} is a {} server, and {flavour} was captured: neither reads the other's GTIDs; give the instance back to \
             its server, or make the sites equal again and start this instance anew with an empty data directory and \
             `weft uninstall`",
            answering.server.address, answering.server.flavour
        ));
    }
    let Some((log_base, log_index)) = split_log_name(&answering.file) else {
        return Resume::Stop(format!("the binlog file '{}' has no number at its end", answering.file));
    };
    if answering.server.server_id != captured.server.server_id {
        return by_gtid(captured, &answering.server, captured.server.epoch + 1, log_base);
    }
    // The switch to this server was noted, and then the connection broke before anything came: `scn` is
    // a place in another server's files, or none.
    if captured.scn.epoch < captured.server.epoch || captured.scn.log_index == 0 {
        return by_gtid(captured, &answering.server, captured.server.epoch, log_base);
    }
    let gtids = &answering.server.gtids;
    if (log_index, answering.position) < (captured.scn.log_index, captured.scn.log_pos) {
        return Resume::Lost(format!(
            "the binlog ends at {}:{}, before {} that was already captured: the server lost its last transactions \
             or its binlog was reset; make the sites equal again, then start this instance anew with an empty data \
             directory and `weft uninstall`",
            answering.file, answering.position, captured.scn
        ));
    }
    // A binlog that was reset begins again at its first file, and after a while it is longer than what was
    // captured; its GTIDs begin again too.
    if !gtids.can_follow(&captured.gtids) {
        return Resume::Lost(format!(
            "the server's GTIDs '{}' do not contain '{}' that were captured: its binlog was reset, or it was set back \
             to an older state; make the sites equal again, then start this instance anew with an empty data directory \
             and `weft uninstall`",
            gtids, captured.gtids
        ));
    }
    Resume::At { file: log_name(log_base, captured.scn.log_index), position: captured.scn.log_pos }
}

/// On a server whose files are others, the place is known by GTID alone.
fn by_gtid(captured: &Captured, answering: &Candidate, epoch: u32, log_base: &str) -> Resume {
    if answering.holds(&captured.gtids) {
        return Resume::After { gtids: captured.gtids.clone(), epoch, log_base: log_base.to_owned() };
    }
    let last = LastCaptured { server_id: captured.server.server_id, gtids: captured.gtids.clone() };
    let reason = answering.lost(&last);
    match answering.server_id == captured.server.server_id {
        true => Resume::Lost(reason),
        false => Resume::Stop(reason),
    }
}

/// Base and number of a binlog file's name: `binlog.000007` is (`binlog`, 7).
pub fn split_log_name(name: &str) -> Option<(&str, u32)> {
    let (base, number) = name.rsplit_once('.')?;
    Some((base, number.parse().ok()?))
}

/// The inverse of [`split_log_name`], with the six digits that servers write.
pub fn log_name(base: &str, index: u32) -> String {
    format!("{base}.{index:06}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gtids(text: &str) -> GtidPosition {
        text.parse().expect("a GTID position")
    }

    fn captured() -> Captured {
        let server = CapturedServer { epoch: 1, server_id: 11, log_base: "binlog".into() };
        Captured {
            scn: Scn::of_transaction(1, 7, 1_234),
            server,
            gtids: gtids("11-11-500"),
            flavour: Some(Flavour::MariaDb),
            lost: false,
        }
    }

    fn server(server_id: u32, position: &str) -> Candidate {
        Candidate {
            address: "db:3306".into(),
            server_id,
            flavour: Flavour::MariaDb,
            writable: true,
            replicates_from: Vec::new(),
            gtids: gtids(position),
            written: Vec::new(),
        }
    }

    fn answering() -> Answering {
        Answering { server: server(11, "11-11-500"), file: "binlog.000007".into(), position: 1_234 }
    }

    #[test]
    fn the_same_server_goes_on_at_the_place() {
        let at = Resume::At { file: "binlog.000007".into(), position: 1_234 };
        assert_eq!(resume(&captured(), &answering()), at);
        let later = Answering { file: "binlog.000009".into(), position: 4, ..answering() };
        assert_eq!(resume(&captured(), &later), at);
    }

    #[test]
    fn a_server_that_lost_its_last_transactions_stops_capture() {
        let back = Answering { position: 1_000, ..answering() };
        assert!(
            matches!(resume(&captured(), &back), Resume::Lost(reason) if reason.contains("lost its last"))
        );
        let reset = Answering { file: "binlog.000001".into(), position: 9_999, ..answering() };
        assert!(matches!(resume(&captured(), &reset), Resume::Lost(_)));
    }

    #[test]
    fn a_binlog_that_was_reset_and_has_grown_past_the_place_stops_capture() {
        let reset = Answering { file: "binlog.000009".into(), server: server(11, "11-11-20"), ..answering() };
        assert!(matches!(resume(&captured(), &reset), Resume::Lost(reason) if reason.contains("was reset")));
        let empty = Answering { server: server(11, ""), ..reset };
        assert!(matches!(resume(&captured(), &empty), Resume::Lost(_)));
        // Two servers of one domain that replicate from each other number without regard to the other.
        let interleaved = Answering { server: server(11, "11-12-499"), ..answering() };
        assert!(matches!(resume(&captured(), &interleaved), Resume::At { .. }));
    }

    #[test]
    fn another_server_goes_on_by_gtid_in_the_next_epoch_if_it_has_everything() {
        let other = Answering { server: server(12, "11-12-501"), file: "log.000002".into(), position: 99 };
        let after = Resume::After { gtids: gtids("11-11-500"), epoch: 2, log_base: "log".into() };
        assert_eq!(resume(&captured(), &other), after);
        let behind = Answering { server: server(12, "11-12-499"), ..other };
        assert!(
            matches!(resume(&captured(), &behind), Resume::Stop(reason) if reason.contains("do not contain"))
        );
    }

    /// Transactions of MySQL may have no GTIDs, and an empty position is contained in any other.
    #[test]
    fn a_server_of_the_other_flavour_stops_capture() {
        let of_mysql = Captured { gtids: gtids(""), flavour: Some(Flavour::MySql), ..captured() };
        let other = Answering { server: server(12, "11-12-501"), ..answering() };
        assert!(
            matches!(resume(&of_mysql, &other), Resume::Stop(reason) if reason.contains("MariaDB server, and MySQL was"))
        );
    }

    /// Capture went on at server 12 in epoch 2, and the connection broke before a transaction came: the
    /// newest SCN is a place in the files of server 11, which were longer.
    #[test]
    fn a_switch_after_which_nothing_was_captured_yet_goes_on_by_gtid_in_the_same_epoch() {
        let server = CapturedServer { epoch: 2, server_id: 12, log_base: "log".into() };
        let captured = Captured { server, ..captured() };
        let other =
            Answering { server: self::server(12, "11-12-501"), file: "log.000002".into(), position: 99 };
        let after = Resume::After { gtids: gtids("11-11-500"), epoch: 2, log_base: "log".into() };
        assert_eq!(resume(&captured, &other), after);
        let forgotten = Captured { scn: Scn::of_transaction(2, 0, 0), ..captured.clone() };
        assert_eq!(resume(&forgotten, &other), after, "as it is stored in the instance");
        let behind = Answering { server: self::server(12, "11-11-499"), ..other };
        assert!(matches!(resume(&captured, &behind), Resume::Lost(_)));
    }

    #[test]
    fn a_server_that_lost_transactions_is_known_for_it_when_it_has_as_many_again() {
        let captured = Captured { lost: true, ..captured() };
        assert!(matches!(resume(&captured, &answering()), Resume::Lost(_)));
        let promoted = Answering { server: server(12, "11-11-500"), ..answering() };
        assert!(matches!(resume(&captured, &promoted), Resume::After { .. }), "another has them");
    }

    #[test]
    fn history_of_an_older_server_has_no_place() {
        let server = CapturedServer { epoch: 2, server_id: 12, log_base: "log".into() };
        let place = server.place_after(Scn::of_transaction(2, 3, 400));
        assert_eq!(place, Some(("log.000003".into(), 400)));
        assert_eq!(server.place_after(Scn::of_transaction(1, 7, 1_234)), None);
    }
}

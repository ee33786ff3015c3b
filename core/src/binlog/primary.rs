//! Which of an instance's servers is its primary: a pure decision over what was captured and what the
//! servers say of themselves. Nobody is promoted by Weft; it only sees that somebody was.

use crate::flavour::Flavour;
use crate::gtid::{Gtid, GtidPosition, MariaDbGtid};

/// What one server of the instance says of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// `host:port`, for messages.
    pub address: String,
    pub server_id: u32,
    pub flavour: Flavour,
    /// It takes writes from those who may not write to a read-only server.
    pub writable: bool,
    /// Server ids that it replicates from natively, or tries to.
    pub replicates_from: Vec<u32>,
    /// Where its binlog ends.
    pub gtids: GtidPosition,
    /// The newest GTID of each domain and server that its binlog ever held; empty where the flavour's
    /// position says that already.
    pub written: Vec<Gtid>,
}

/// What was captured last.
#[derive(Debug, Clone, PartialEq)]
pub struct LastCaptured {
    pub server_id: u32,
    pub gtids: GtidPosition,
}

/// The answer; each text is one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// Index of the candidate to work with.
    Server(usize),
    /// None took over yet: ask again.
    Nobody(String),
    /// A person must see to it.
    Stop(String),
}

impl Candidate {
    /// Whether it has all that was captured. Sequence numbers of a domain are not enough: a server that
    /// lost the end of another's history soon reaches the same numbers by writes of its own. Transactions
    /// without GTIDs, as MySQL may log them, are found at no other server; MariaDB logs none without, so
    /// that nothing is all that was captured.
    pub fn holds(&self, captured: &GtidPosition) -> bool {
        if captured.is_empty() {
            return self.flavour == Flavour::MariaDb;
        }
        let covers = |ours: &Gtid, theirs: &MariaDbGtid| match ours {
            Gtid::MariaDb(ours) => {
                let same_server = ours.domain == theirs.domain && ours.server_id == theirs.server_id;
                same_server && ours.sequence >= theirs.sequence
            }
            Gtid::MySql(_) => false,
        };
        let wrote = |theirs: &MariaDbGtid| self.written.iter().any(|ours| covers(ours, theirs));
        self.gtids.contains(captured) && (self.written.is_empty() || captured.domains().values().all(wrote))
    }

    /// Why it does not do where it does not hold what was captured.
    pub(super) fn lost(&self, last: &LastCaptured) -> String {
        if last.gtids.is_empty() {
            return format!(
                "{} (server {}) took the place of server {}, and what was captured has no GTIDs to find its end by: \
                 give the instance back to server {}, or make the sites equal again and start this instance anew with \
                 gtid_mode = ON, an empty data directory and `weft uninstall`",
                self.address, self.server_id, last.server_id, last.server_id
            );
        }
        format!(
            "{} (server {}) took the place of server {}, and its GTIDs '{}' do not contain '{}' that were captured: \
             changes were lost; promote a server that has them, or make the sites equal again and start this instance \
             anew with an empty data directory and `weft uninstall`",
            self.address, self.server_id, last.server_id, self.gtids, last.gtids
        )
    }
}

/// Chooses among the servers that answered, in the order of the configuration.
///
/// The one that was captured stays as long as it is the primary, and also afterwards until another one
/// is: its end may not be captured yet. A writable server that replicates from another of them was not
/// promoted, it is only open to writes by mistake.
pub fn choose(last: Option<&LastCaptured>, candidates: &[Candidate]) -> Choice {
    let others = |index: usize| candidates.iter().enumerate().filter(move |(other, _)| *other != index);
    let promoted = |index: usize| {
        let this = &candidates[index];
        let of_last = last.filter(|last| last.server_id != this.server_id).map(|last| last.server_id);
        let mut masters = others(index).map(|(_, other)| other.server_id).chain(of_last);
        this.writable && !masters.any(|master| this.replicates_from.contains(&master))
    };
    let current = last.and_then(|last| candidates.iter().position(|one| one.server_id == last.server_id));
    if let Some(current) = current.filter(|current| promoted(*current)) {
        return Choice::Server(current);
    }
    let primaries: Vec<usize> = (0..candidates.len()).filter(|index| promoted(*index)).collect();
    match (primaries.as_slice(), current, last) {
        ([], Some(current), _) => Choice::Server(current),
        ([], None, _) => Choice::Nobody(nobody(candidates)),
        ([one], _, Some(last)) if !candidates[*one].holds(&last.gtids) => {
            Choice::Stop(candidates[*one].lost(last))
        }
        ([one], _, _) => Choice::Server(*one),
        ([one, other, ..], _, _) => Choice::Stop(format!(
            "{} and {} both take writes and neither replicates from the other; SET GLOBAL read_only = ON on all servers \
             of the instance but its primary",
            candidates[*one].address, candidates[*other].address
        )),
    }
}

fn nobody(candidates: &[Candidate]) -> String {
    let states: Vec<String> = candidates
        .iter()
        .map(|one| {
            let why = if one.writable { "replicates from another" } else { "is read-only" };
            format!("{} {why}", one.address)
        })
        .collect();
    format!(
        "no server of the instance is its primary: {}; promote one: STOP SLAVE, RESET SLAVE ALL, SET GLOBAL read_only = \
         OFF",
        states.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gtids(text: &str) -> GtidPosition {
        text.parse().expect("a GTID position")
    }

    /// A server whose binlog ends at `position` and held what `written` says.
    fn server(server_id: u32, writable: bool, position: &str, written: &str) -> Candidate {
        let of_server = |gtid: &str| Gtid::MariaDb(gtid.parse().expect("a GTID"));
        Candidate {
            address: format!("db{server_id}:3306"),
            server_id,
            flavour: Flavour::MariaDb,
            writable,
            replicates_from: Vec::new(),
            gtids: gtids(position),
            written: written.split(',').map(of_server).collect(),
        }
    }

    fn replica_of(master: u32, server: Candidate) -> Candidate {
        Candidate { replicates_from: vec![master], ..server }
    }

    fn of_mysql(server: Candidate) -> Candidate {
        Candidate { flavour: Flavour::MySql, written: Vec::new(), ..server }
    }

    fn last() -> LastCaptured {
        LastCaptured { server_id: 1, gtids: gtids("7-1-500") }
    }

    #[test]
    fn the_captured_server_stays_while_it_is_the_primary_whatever_else_is_writable() {
        let servers = [server(2, true, "7-2-900", "7-1-500,7-2-900"), server(1, true, "7-1-600", "7-1-600")];
        assert_eq!(choose(Some(&last()), &servers), Choice::Server(1));
    }

    #[test]
    fn a_demoted_server_is_captured_to_its_end_until_another_is_promoted() {
        let old = server(1, false, "7-1-600", "7-1-600");
        let new = server(2, false, "7-1-600", "7-1-600");
        assert_eq!(choose(Some(&last()), &[old.clone(), new.clone()]), Choice::Server(0));
        let open = replica_of(1, Candidate { writable: true, ..new.clone() });
        assert_eq!(choose(Some(&last()), &[old.clone(), open]), Choice::Server(0), "not promoted");
        let promoted = Candidate { writable: true, ..new };
        assert_eq!(choose(Some(&last()), &[old, promoted]), Choice::Server(1));
    }

    #[test]
    fn a_replica_is_not_taken_for_the_primary_while_that_one_only_restarts() {
        let replica = replica_of(1, server(2, true, "7-1-600", "7-1-600"));
        assert!(matches!(choose(Some(&last()), &[replica]), Choice::Nobody(_)));
        let read_only = server(2, false, "7-1-600", "7-1-600");
        assert!(
            matches!(choose(Some(&last()), &[read_only]), Choice::Nobody(why) if why.contains("is read-only"))
        );
    }

    #[test]
    fn a_promoted_server_that_lacks_what_was_captured_stops_capture_by_name() {
        let behind = server(2, true, "7-1-499", "7-1-499");
        let Choice::Stop(reason) = choose(Some(&last()), &[behind]) else { panic!("changes were lost") };
        assert!(reason.contains("'7-1-499' do not contain '7-1-500'") && !reason.contains('\n'), "{reason}");
    }

    /// The replica lacked 498 to 500, was promoted, and numbers its own writes from 498 on.
    #[test]
    fn a_lost_end_is_seen_when_the_new_server_has_grown_past_its_numbers() {
        let grown = server(2, true, "7-2-900", "7-1-497,7-2-900");
        assert!(matches!(choose(Some(&last()), &[grown]), Choice::Stop(_)));
    }

    /// MySQL with gtid_mode = OFF: an empty set is contained in any other.
    #[test]
    fn what_was_captured_without_gtids_is_found_at_no_other_server() {
        let last = LastCaptured { server_id: 1, gtids: gtids("") };
        let uuid = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
        for position in [String::new(), format!("{uuid}:1-5")] {
            let other = of_mysql(server(2, true, &position, "7-1-1"));
            let Choice::Stop(reason) = choose(Some(&last), &[other]) else {
                panic!("nobody knows the place")
            };
            assert!(reason.contains("has no GTIDs") && !reason.contains('\n'), "{reason}");
        }
    }

    #[test]
    fn where_mariadb_has_logged_nothing_yet_any_server_of_the_instance_has_all_of_it() {
        let last = LastCaptured { server_id: 1, gtids: gtids("") };
        for (position, written) in [("", None), ("7-2-5", Some("7-2-5"))] {
            let other = server(2, true, position, written.unwrap_or("7-2-1"));
            let other = if written.is_some() { other } else { Candidate { written: Vec::new(), ..other } };
            assert_eq!(choose(Some(&last), &[other]), Choice::Server(0));
        }
    }

    #[test]
    fn sets_of_mysql_tell_who_has_what_was_captured() {
        let uuid = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
        let last = LastCaptured { server_id: 1, gtids: gtids(&format!("{uuid}:1-500")) };
        let with = |position: &str| of_mysql(server(2, true, &format!("{uuid}:{position}"), "7-1-1"));
        assert_eq!(choose(Some(&last), &[with("1-500:900")]), Choice::Server(0));
        let lacking = choose(Some(&last), &[with("1-499:501-900")]);
        assert!(matches!(lacking, Choice::Stop(reason) if reason.contains("do not contain")));
    }

    #[test]
    fn two_primaries_are_one_too_many() {
        let (two, three) = (server(2, true, "7-1-600", "7-1-600"), server(3, true, "7-1-600", "7-1-600"));
        let both = choose(Some(&last()), &[two.clone(), three.clone()]);
        assert!(matches!(both, Choice::Stop(reason) if reason.contains("db2:3306 and db3:3306 both")));
        assert!(matches!(choose(None, &[two.clone(), three.clone()]), Choice::Stop(_)));
        assert_eq!(choose(None, &[two, replica_of(2, three)]), Choice::Server(0));
    }

    #[test]
    fn the_first_start_takes_the_one_that_is_writable() {
        let (replica, primary) =
            (server(2, false, "7-1-600", "7-1-600"), server(1, true, "7-1-600", "7-1-600"));
        assert_eq!(choose(None, &[replica.clone(), primary]), Choice::Server(1));
        assert!(matches!(choose(None, &[replica]), Choice::Nobody(_)));
    }
}

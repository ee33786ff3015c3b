use super::*;
use crate::binlog::testing::{event, gtid, query};

/// A GTID event's flag: a transaction follows.
const TRANSACTION: u8 = 4;
const UUID: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

fn position(text: &str) -> GtidPosition {
    text.parse().expect("a GTID position")
}

fn list(log_pos: u32, gtids: &[(u32, u32, u64)]) -> Vec<u8> {
    let mut body = (gtids.len() as u32).to_le_bytes().to_vec();
    for (domain, server, sequence) in gtids {
        body.extend(domain.to_le_bytes());
        body.extend(server.to_le_bytes());
        body.extend(sequence.to_le_bytes());
    }
    event(EventType::GtidList, log_pos, &body)
}

fn rotate(log_pos: u32, file: &str) -> Vec<u8> {
    let mut body = 4u64.to_le_bytes().to_vec();
    body.extend(file.as_bytes());
    event(EventType::Rotate, log_pos, &body)
}

fn heartbeat() -> Vec<u8> {
    event(EventType::Heartbeat, 0, b"b.000007")
}

/// A file whose head says `0-7-10`, with transactions 11 and 12 of domain 0, and what is behind it.
fn file() -> Vec<Vec<u8>> {
    vec![
        rotate(0, "b.000007"),
        event(EventType::FormatDescription, 250, &[0; 60]),
        list(300, &[(0, 7, 10)]),
        event(EventType::BinlogCheckpoint, 350, b"\x08\0\0\0b.000007"),
        gtid(400, 11, TRANSACTION),
        query(500, "d", "UPDATE t SET v = 1"),
        event(EventType::Xid, 600, &[0; 8]),
        gtid(650, 12, TRANSACTION),
        event(EventType::Xid, 700, &[0; 8]),
    ]
}

fn find(wanted: &str, events: &[Vec<u8>]) -> Result<Option<BinlogPlace>, LocateError> {
    let wanted: StartAt = wanted.parse().expect("a start");
    let mut finder = Finder::new(&wanted, "b.000007", GtidPosition::default());
    for event in events {
        if let Some(place) = finder.event(event)? {
            return Ok(Some(place));
        }
    }
    Ok(None)
}

/// File, position and GTIDs in one text.
fn found(wanted: &str, then: &[Vec<u8>]) -> String {
    let events = [file(), then.to_vec()].concat();
    match find(wanted, &events) {
        Ok(Some(place)) => format!("{}:{} {}", place.file, place.position, place.gtids),
        Ok(None) => "nothing".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn positions_between_transactions_are_found_with_what_is_before_them() {
    for (position, gtids) in [(4, 10), (250, 10), (300, 10), (350, 10), (600, 11)] {
        let said = found(&format!("file:b.000007:{position}"), &[]);
        assert_eq!(said, format!("b.000007:{position} 0-7-{gtids}"));
    }
}

#[test]
fn the_end_of_what_is_written_is_a_place_once_the_dump_waits_there() {
    assert_eq!(found("file:b.000007:700", &[]), "nothing");
    assert_eq!(found("file:b.000007:700", &[heartbeat()]), "b.000007:700 0-7-12");
    assert_eq!(found("gtid:0-7-12", &[heartbeat()]), "b.000007:700 0-7-12");
    assert!(found("file:b.000007:720", &[heartbeat()]).contains("beyond the end"));
}

#[test]
fn the_end_of_a_whole_file_is_the_beginning_of_the_next_one() {
    let next = [rotate(740, "b.000008"), event(EventType::Rotate, 0, &rotate(0, "b.000008")[19..])];
    assert_eq!(found("file:b.000007:700", &next), "b.000007:700 0-7-12");
    assert_eq!(found("file:b.000007:740", &next), "b.000008:4 0-7-12");
    assert!(found("file:b.000007:741", &next).contains("beyond the end of that file, 740"));
}

#[test]
fn positions_inside_of_transactions_and_events_are_refused() {
    for position in [400, 500, 650] {
        let said = found(&format!("file:b.000007:{position}"), &[]);
        assert!(
            said.starts_with(&format!("b.000007:{position} is in the middle of a transaction")),
            "{said}"
        );
    }
    for position in [5, 351, 599] {
        let said = found(&format!("file:b.000007:{position}"), &[]);
        assert!(said.starts_with(&format!("no event ends at b.000007:{position}")), "{said}");
    }
}

#[test]
fn gtids_lead_to_the_place_before_the_first_transaction_that_is_not_among_them() {
    assert_eq!(found("gtid:0-7-10", &[]), "b.000007:350 0-7-10");
    assert_eq!(found("gtid:0-7-11", &[]), "b.000007:600 0-7-11");
    // A domain that appeared after the dump was made.
    let later = [event(EventType::Gtid, 750, &[1, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, TRANSACTION])];
    assert_eq!(found("gtid:0-7-12", &later), "b.000007:700 0-7-12");
}

#[test]
fn a_position_past_four_gibibytes_is_followed() {
    let events = [
        file(),
        vec![
            gtid(4_294_967_000, 13, TRANSACTION),
            event(EventType::Xid, 100, &[0; 8]),
            gtid(300, 14, TRANSACTION),
        ],
    ]
    .concat();
    let place = find("file:b.000007:4294967396", &events).expect("a place").expect("found");
    assert_eq!((place.position, place.gtids.to_string()), ((1 << 32) + 100, "0-7-13".to_owned()));
}

#[test]
fn sets_of_mysql_are_found_with_what_was_purged() {
    let mut body = vec![0];
    body.extend(UUID.parse::<crate::gtid::Uuid>().expect("a uuid").0);
    body.extend(8u64.to_le_bytes());
    let before = position(&format!("{UUID}:1-7"));
    let events = [
        event(EventType::FormatDescription, 120, &[0; 60]),
        event(EventType::PreviousGtids, 180, &before.set().encode()),
        event(EventType::MysqlGtid, 250, &body),
    ];
    let other = "aaaaaaaa-0000-0000-0000-000000000001:1-3";
    let wanted: StartAt = format!("gtid:{UUID}:1-7,{other}").parse().expect("a start");
    let mut finder = Finder::new(&wanted, "b.000001", position(other));
    let places: Vec<BinlogPlace> =
        events.iter().filter_map(|event| finder.event(event).expect("sound")).collect();
    let expected = position(&format!("{UUID}:1-7,{other}"));
    assert_eq!(places, [BinlogPlace { file: "b.000001".into(), position: 180, gtids: expected }]);
}

fn verdict(wanted: &str, found: &str, executed: &str) -> String {
    let place = BinlogPlace { file: "b.000007".into(), position: 600, gtids: position(found) };
    match judge(&position(wanted), &place, &position(executed)) {
        Ok(()) => "good".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_place_is_good_only_if_nothing_asked_for_is_behind_it() {
    assert_eq!(verdict("0-1-5", "0-1-5", "0-1-9"), "good");
    assert_eq!(verdict("0-1-5,3-3-9", "0-1-5", "0-1-9"), "good", "domain 3 is the replica's own");
    assert!(verdict("3-3-9", "", "0-1-9").contains("none of these GTIDs"));
    assert!(verdict("0-1-12", "0-1-9", "0-1-9").starts_with("0-1-12 are not in"));
    // Domain 1 was ahead when the replica stopped: 1-1-7 is behind 0-1-6, which is not among them.
    assert!(verdict("0-1-5,1-1-7", "0-1-5,1-1-6", "0-1-9,1-1-9").contains("no single place"));
    assert!(verdict("0-2-5", "0-1-5", "0-1-9").contains("no single place"));
}

#[test]
fn sets_are_good_without_gaps_and_with_what_is_of_others() {
    let (all, other) = (format!("{UUID}:1-9"), "aaaaaaaa-0000-0000-0000-000000000001");
    assert_eq!(verdict(&format!("{UUID}:1-5"), &format!("{UUID}:1-5"), &all), "good");
    assert_eq!(verdict(&format!("{UUID}:1-5,{other}:1-3"), &format!("{UUID}:1-5"), &all), "good");
    assert!(verdict(&format!("{UUID}:1-5:7"), &format!("{UUID}:1-5"), &all).contains("no single place"));
    let ahead = verdict(&format!("{UUID}:1-12"), &all, &all);
    assert!(ahead.starts_with(&format!("{UUID}:10-12 are not in")), "{ahead}");
    assert!(verdict("0-1-5", "", &all).contains("none of these GTIDs"), "of the other flavour");
}

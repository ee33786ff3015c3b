use super::*;
use crate::binlog::format::tests::mariadb;
use crate::binlog::format::{Checksum, Format};
use crate::binlog::rows::RowsEvent;
use crate::binlog::testing::{columns, image, table_map};
use crate::flavour::Flavour;

/// The events of a statement.
fn events_of(statement: &str) -> Vec<Vec<u8>> {
    let text = statement.strip_prefix("BINLOG '").and_then(|rest| rest.strip_suffix('\''));
    let bytes = STANDARD.decode(text.expect("a BINLOG statement")).expect("base64");
    split(&bytes)
}

fn split(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut events = Vec::new();
    while !bytes.is_empty() {
        let size = EventHeader::parse(bytes).expect("a header").event_size as usize;
        events.push(bytes[..size].to_vec());
        bytes = &bytes[size..];
    }
    events
}

/// Per event: `map`, or the kind, the number of rows and whether it ends the statement.
fn outline(events: &[Vec<u8>]) -> Vec<String> {
    let columns = columns();
    let line = |event: &Vec<u8>| match RowsEvent::parse(event, &mariadb()) {
        Err(_) => "map".to_owned(),
        Ok(rows) => {
            assert_eq!(rows.table_id, TABLE_ID);
            assert_ne!(rows.flags & NO_FOREIGN_KEY_CHECKS, 0);
            let count = rows.images(&columns).expect("its columns").filter(Result::is_ok).count();
            format!("{:?} {count}{}", rows.kind, if rows.ends_statement() { " end" } else { "" })
        }
    };
    events.iter().map(line).collect()
}

fn add(builder: &mut ReplayBuilder, kind: RowsKind, map: &[u8], ids: std::ops::Range<u32>) {
    let images: Vec<Vec<u8>> = ids.map(|id| image(id, Some("some text"))).collect();
    builder.rows(kind, map, images.iter().map(Vec::as_slice)).expect("a table map");
}

#[test]
fn rows_of_one_table_share_its_map_whatever_transaction_they_come_from() {
    let mut builder = ReplayBuilder::new(1 << 20, Flavour::MariaDb);
    add(&mut builder, RowsKind::Write, &table_map(100, 9), 0..3);
    add(&mut builder, RowsKind::Write, &table_map(900, 4), 3..5);
    add(&mut builder, RowsKind::Update, &table_map(950, 9), 0..4);
    let statements = builder.statements();
    assert_eq!(statements.len(), 1);
    assert_eq!(outline(&events_of(&statements[0])), ["map", "Write 5", "Update 2 end"]);
}

#[test]
fn another_table_begins_after_the_end_of_the_first() {
    let mut other = table_map(0, 9);
    let name = other.windows(3).position(|window| window == b"\x01t\0").expect("its name") + 1;
    other[name] = b'u';
    let mut builder = ReplayBuilder::new(1 << 20, Flavour::MariaDb);
    add(&mut builder, RowsKind::Write, &table_map(0, 9), 0..1);
    add(&mut builder, RowsKind::Delete, &other, 0..2);
    add(&mut builder, RowsKind::Delete, &table_map(0, 9), 0..1);
    let statements = builder.statements();
    let expected = ["map", "Write 1 end", "map", "Delete 2 end", "map", "Delete 1 end"];
    assert_eq!(outline(&events_of(&statements[0])), expected);
}

#[test]
fn statements_stay_below_the_limit_and_lose_no_row() {
    let limit = 600;
    let mut builder = ReplayBuilder::new(limit, Flavour::MariaDb);
    add(&mut builder, RowsKind::Write, &table_map(0, 9), 0..200);
    let statements = builder.statements();
    assert!(statements.len() > 1);
    let mut rows = 0;
    for statement in &statements {
        assert!(statement.len() <= limit, "{} bytes", statement.len());
        let lines = outline(&events_of(statement));
        let [map, write] = &lines[..] else { panic!("{lines:?}") };
        assert!(map == "map" && write.ends_with(" end"), "{lines:?}");
        rows += write.split(' ').nth(1).and_then(|count| count.parse::<u32>().ok()).expect("a number");
    }
    assert_eq!(rows, 200);
}

#[test]
fn a_row_beyond_the_limit_goes_alone_and_no_rows_make_no_statement() {
    let mut builder = ReplayBuilder::new(10, Flavour::MariaDb);
    add(&mut builder, RowsKind::Write, &table_map(0, 9), 0..2);
    assert_eq!(builder.statements().len(), 2);
    let mut builder = ReplayBuilder::new(10, Flavour::MariaDb);
    add(&mut builder, RowsKind::Write, &table_map(0, 9), 0..0);
    assert_eq!(builder.statements(), Vec::<String>::new());
}

#[test]
fn an_update_without_after_image_is_refused() {
    let mut builder = ReplayBuilder::new(1 << 20, Flavour::MariaDb);
    let image = image(1, None);
    assert!(builder.rows(RowsKind::Update, &table_map(0, 9), [&image[..]]).is_err());
    assert!(builder.rows(RowsKind::Write, b"nonsense", [&image[..]]).is_err());
}

#[test]
fn the_events_that_delete_a_row_are_a_map_and_a_delete() {
    let image = image(7, None);
    let events = split(&delete_event(&table_map(0, 9), &image).expect("a table map"));
    assert_eq!(outline(&events), ["map", "Delete 1 end"]);
    assert!(events[1].ends_with(&image));
}

#[test]
fn mysql_gets_version_2_rows_events() {
    let mut builder = ReplayBuilder::new(1 << 20, Flavour::MySql);
    add(&mut builder, RowsKind::Write, &table_map(0, 9), 0..3);
    let statements = builder.statements();
    let events = events_of(&statements[0]);
    assert_eq!(EventHeader::parse(&events[1]).map(|header| header.kind), Ok(EventType::WriteRowsV2));
    assert_eq!(outline(&events), ["map", "Write 3 end"]);
}

#[test]
fn the_format_for_mysql_is_one_of_mysql_without_checksums() {
    let format = Format::parse(&mysql_format()).expect("a format description event");
    assert_eq!((format.flavour, format.checksum), (Flavour::MySql, Checksum::None));
    for (kind, length) in
        [(EventType::TableMap, 8), (EventType::WriteRowsV2, 10), (EventType::DeleteRowsV1, 8)]
    {
        assert_eq!(format.post_header_len(kind), Some(length), "{kind:?}");
    }
}

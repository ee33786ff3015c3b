use proptest::prelude::*;

use super::super::format::tests::mariadb;
use super::super::image::{ENUM, FLOAT, STRING};
use super::super::testing;
use super::*;

fn shape() -> TableShape {
    let column = |name: &str, column_type: &str| ColumnShape {
        name: name.to_owned(),
        column_type: column_type.to_owned(),
        ..ColumnShape::default()
    };
    TableShape {
        columns: vec![column("id", "int(10) unsigned"), column("v", "varchar(20)")],
        primary_key: vec![0],
        unique_keys: vec![UniqueKey { name: "u".into(), columns: vec![1] }],
    }
}

/// The same table without its optional metadata.
fn bare() -> Vec<u8> {
    let mut event = testing::table_map(0, 9);
    event.truncate(HEADER_AND_HEAD);
    event
}

const HEADER_AND_HEAD: usize = 19 + 8 + 6 + 7;

#[test]
fn full_metadata_describes_the_table_without_the_server() {
    let event = testing::table_map(0, 9);
    let map = TableMap::parse(&event, &mariadb()).expect("whole");
    assert_eq!((map.table_id, map.flags, map.column_count()), (9, 1, 2));
    let version = map.to_table_version(None).expect("described");
    assert_eq!(version.name, TableName::new("d", "t"));
    assert_eq!(version.columns, testing::columns());
    assert_eq!((version.primary_key, version.exact), (vec![0], true));
}

#[test]
fn facts_that_agree_fill_in_and_others_are_passed_over() {
    let event = testing::table_map(0, 9);
    let map = TableMap::parse(&event, &mariadb()).expect("whole");
    let with = map.to_table_version(Some(&shape())).expect("described");
    assert_eq!(with.unique_keys, shape().unique_keys);
    assert_eq!(with.columns[0].column_type.as_deref(), Some("int(10) unsigned"));
    let mut renamed = shape();
    renamed.columns[1].name = "w".into();
    let without = map.to_table_version(Some(&renamed)).expect("described");
    assert_eq!(without, map.to_table_version(None).expect("described"));
}

#[test]
fn without_names_the_server_is_asked_and_must_agree() {
    let event = bare();
    let map = TableMap::parse(&event, &mariadb()).expect("whole");
    assert_eq!(map.to_table_version(None), Err(TableMapError::NoNames(map.name())));
    let version = map.to_table_version(Some(&shape())).expect("described");
    assert_eq!((version.columns[0].unsigned, version.exact), (true, false));
    let mut longer = shape();
    longer.columns.push(ColumnShape::default());
    assert!(map.to_table_version(Some(&longer)).is_err());
}

#[test]
fn the_fingerprint_tells_shapes_apart_and_not_table_ids() {
    let format = mariadb();
    let of = |event: &[u8]| TableMap::parse(event, &format).expect("whole").fingerprint();
    assert_eq!(of(&testing::table_map(0, 9)), of(&testing::table_map(77, 8)));
    assert_ne!(of(&testing::table_map(0, 9)), of(&bare()));
}

#[test]
fn labels_and_their_quotes_are_read_from_the_column_type() {
    assert_eq!(labels_of("enum('a','it''s',',(')"), ["a", "it's", ",("]);
    assert_eq!(labels_of("SET('x')"), ["x"]);
    assert_eq!(labels_of("varchar(3)"), Vec::<String>::new());
}

#[test]
fn an_unknown_column_type_is_refused_by_name() {
    let mut event = bare();
    event[19 + 8 + 6 + 1] = 99;
    let refused = TableMap::parse(&event, &mariadb()).expect("whole").to_table_version(Some(&shape()));
    let table = TableName::new("d", "t");
    assert_eq!(refused, Err(TableMapError::UnknownType { table, column: 0, code: 99 }));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
        let event = testing::event(EventType::TableMap, 0, &bytes);
        if let Ok(map) = TableMap::parse(&event, &mariadb()) {
            let _ = map.to_table_version(Some(&shape()));
        }
    }

    #[test]
    fn no_flipped_byte_makes_it_panic(at in 0usize..60, byte: u8, cut in 0usize..70) {
        let mut event = testing::table_map(0, 9);
        if let Some(target) = event.get_mut(at) {
            *target = byte;
        }
        event.truncate(cut);
        if let Ok(map) = TableMap::parse(&event, &mariadb()) {
            let _ = map.to_table_version(None);
            let _ = map.to_table_version(Some(&shape()));
        }
    }

    #[test]
    fn no_optional_metadata_makes_it_panic(
        optional in proptest::collection::vec((0u8..14, proptest::collection::vec(any::<u8>(), 0..12)), 0..6),
    ) {
        let mut body = vec![1, 0, 0, 0, 0, 0, 0, 0, 1, b'd', 0, 1, b't', 0];
        body.extend([4, LONG_TYPE, FLOAT, STRING, STRING, 5, 4, ENUM, 1, STRING, 20, 0]);
        for (field, content) in optional {
            body.extend([field, content.len() as u8]);
            body.extend(content);
        }
        let event = testing::event(EventType::TableMap, 0, &body);
        let map = TableMap::parse(&event, &mariadb()).expect("its fixed part is whole");
        let _ = map.to_table_version(None);
    }
}

const LONG_TYPE: u8 = super::super::image::LONG;

use std::io::Write;

use proptest::prelude::*;

use super::super::format::tests::mariadb;
use super::super::testing::{self, columns, image};
use super::*;

/// The event with everything behind its bitmaps compressed, as MariaDB does it.
fn compressed(plain: &[u8], kind: EventType, kept: usize) -> Vec<u8> {
    let mut event = plain[..kept].to_vec();
    event[4] = kind.code();
    event.extend([0x82, ((plain.len() - kept) >> 8) as u8, (plain.len() - kept) as u8]);
    let mut packer = flate2::write::ZlibEncoder::new(event, flate2::Compression::fast());
    packer.write_all(&plain[kept..]).expect("memory");
    let mut event = packer.finish().expect("memory");
    set_event_size(&mut event);
    event
}

/// A row's images before and after.
type Pair = (Option<Vec<u8>>, Option<Vec<u8>>);

fn images_of(event: &[u8]) -> Vec<Pair> {
    let rows = RowsEvent::parse(event, &mariadb()).expect("a rows event");
    let bytes = |range: Option<Range<usize>>| range.map(|range| event[range].to_vec());
    let columns = columns();
    let images = rows.images(&columns).expect("as many columns");
    images.map(|row| row.expect("whole")).map(|row| (bytes(row.before), bytes(row.after))).collect()
}

#[test]
fn images_of_each_kind_are_found() {
    let (a, b) = (image(1, Some("abc")), image(2, None));
    let images = [a.clone(), b.clone()];
    let write = testing::rows(EventType::WriteRowsV1, 0, STATEMENT_END, &images);
    assert_eq!(images_of(&write), [(None, Some(a.clone())), (None, Some(b.clone()))]);
    let update = testing::rows(EventType::UpdateRowsV1, 0, 0, &images);
    assert_eq!(images_of(&update), [(Some(a.clone()), Some(b.clone()))]);
    let delete = testing::rows(EventType::DeleteRowsV1, 0, 0, &images);
    assert_eq!(images_of(&delete), [(Some(a), None), (Some(b), None)]);
    assert!(RowsEvent::parse(&write, &mariadb()).is_ok_and(|rows| rows.ends_statement()));
    assert!(RowsEvent::parse(&update, &mariadb()).is_ok_and(|rows| !rows.ends_statement()));
}

#[test]
fn an_update_whose_after_image_is_cut_off_is_an_error_and_the_last_item() {
    let update = testing::rows(EventType::UpdateRowsV1, 0, 0, &[image(1, None)]);
    let columns = columns();
    let rows = RowsEvent::parse(&update, &mariadb()).expect("a rows event");
    let found: Vec<_> = rows.images(&columns).expect("as many columns").collect();
    assert_eq!(found, [Err(Malformed::Short { what: "row image" })]);
}

#[test]
fn a_minimal_row_image_is_refused() {
    let mut event = testing::rows(EventType::WriteRowsV1, 0, 0, &[image(1, None)]);
    event[19 + 9] = 0b01;
    assert_eq!(RowsEvent::parse(&event, &mariadb()), Err(RowsError::NotFull));
}

#[test]
fn the_number_of_columns_must_be_the_tables() {
    let event = testing::rows(EventType::WriteRowsV1, 0, 0, &[image(1, None)]);
    let columns = columns();
    let rows = RowsEvent::parse(&event, &mariadb()).expect("a rows event");
    let refused = rows.images(&columns[..1]).map(|_| ());
    assert_eq!(refused, Err(RowsError::ColumnCount { event: 2, table: 1 }));
}

#[test]
fn compressed_rows_unpack_to_the_plain_event() {
    let images = [image(1, Some("abcabcabcabc")), image(2, Some("abcabcabcabc"))];
    let plain = testing::rows(EventType::UpdateRowsV1, 5, 1, &images);
    let packed = compressed(&plain, EventType::UpdateRowsCompressedV1, 19 + 8 + 3);
    assert_eq!(unpack(&packed), Ok(Cow::Owned(plain.clone())));
    assert_eq!(unpack(&plain), Ok(Cow::Borrowed(&plain[..])));
}

#[test]
fn a_wrong_declared_length_or_algorithm_is_refused() {
    let plain = testing::rows(EventType::WriteRowsV1, 5, 1, &[image(1, Some("abcabcabcabc"))]);
    let packed = compressed(&plain, EventType::WriteRowsCompressedV1, 19 + 8 + 2);
    let at = 19 + 8 + 2;
    let mut less = packed.clone();
    less[at + 2] -= 1;
    assert!(matches!(unpack(&less), Err(RowsError::Unpack { .. })));
    let mut other = packed.clone();
    other[at] = 0x92;
    assert_eq!(unpack(&other), Err(RowsError::UnknownCompression(1)));
    let mut huge = packed;
    huge.splice(at..at + 3, [0x87, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    assert!(matches!(unpack(&huge), Err(RowsError::Unpack { .. })));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(kind in prop::sample::select(vec![23u8, 24, 25, 30, 31, 32, 165, 166, 167, 168, 169, 170, 171]),
                              body in proptest::collection::vec(any::<u8>(), 0..80), head in any::<bool>()) {
        let mut full = if head { vec![9, 0, 0, 0, 0, 0, 0, 0, 2, 3, 3, 0x81] } else { vec![] };
        full.extend(body);
        let event = testing::event(EventType::from_code(kind), 0, &full);
        let columns = columns();
        if let Ok(event) = unpack(&event)
            && let Ok(rows) = RowsEvent::parse(&event, &mariadb())
            && let Ok(images) = rows.images(&columns)
        {
            for row in images.flatten() {
                for range in row.before.into_iter().chain(row.after) {
                    prop_assert!(range.end <= event.len());
                }
            }
        }
    }
}

use proptest::prelude::*;

use super::super::format::tests::mariadb;
use super::super::image::{DOUBLE, LONG};
use super::super::testing::{column, event};
use super::*;

fn columns() -> Vec<Column> {
    vec![column("id", LONG, 0, 0), column("j", JSON, 4, 0), column("d", DOUBLE, 8, 0)]
}

/// The rows of an update of `t (id INT, j JSON, d DOUBLE)`: id 1, `{"a": 1}` becomes
/// `{"a": 5, "b": [1, 2]}`, as MySQL 9.7 wrote it.
const ROWS: &[u8] = &[
    0, 1, 0, 0, 0, 13, 0, 0, 0, 0, 1, 0, 12, 0, 11, 0, 1, 0, 5, 1, 0, 0x61, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 1,
    1, 0, 1, 0, 0, 0, 26, 0, 0, 0, 0, 3, b'$', b'.', b'a', 3, 5, 5, 0, 1, 3, b'$', b'.', b'b', 11, 2, 2, 0,
    10, 0, 5, 1, 0, 5, 2, 0, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f,
];

fn partial(rows: &[u8]) -> Vec<u8> {
    let mut body = vec![106, 0, 0, 0, 0, 0, 1, 0, 2, 0, 3, 0xff, 0xff];
    body.extend(rows);
    event(EventType::PartialUpdateRows, 0, &body)
}

#[test]
fn a_servers_event_becomes_an_update_of_whole_documents() {
    let whole = complete(&partial(ROWS), &columns(), &mariadb()).expect("understood");
    let rows = RowsEvent::parse(&whole, &mariadb()).expect("an update");
    let columns = columns();
    let images: Result<Vec<_>, _> = rows.images(&columns).expect("as many").collect();
    let images = images.expect("whole");
    let after = &whole[images[0].after.clone().expect("an update")];
    // What the server itself stored.
    let stored = [
        0, 2, 0, 30, 0, 18, 0, 1, 0, 19, 0, 1, 0, 5, 5, 0, 2, 20, 0, 0x61, 0x62, 2, 0, 10, 0, 5, 1, 0, 5, 2,
        0,
    ];
    assert_eq!(after[5..9], [31, 0, 0, 0]);
    assert_eq!(after[9..9 + 31], stored);
    assert_eq!(json::text(&stored).as_deref(), Ok(r#"{"a": 5, "b": [1, 2]}"#));
}

#[test]
fn differences_without_a_document_before_them_are_refused() {
    let mut rows = ROWS.to_vec();
    // The column was NULL: no length, no document.
    rows[0] = 0b10;
    rows.drain(5..22);
    assert!(complete(&partial(&rows), &columns(), &mariadb()).is_err());
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(
        edits in prop::collection::vec((0..ROWS.len(), any::<u8>()), 0..5), cut in 0..=ROWS.len(),
        bytes in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        let mut rows = ROWS.to_vec();
        for (at, byte) in edits {
            rows[at] = byte;
        }
        rows.truncate(cut);
        let _ = complete(&partial(&rows), &columns(), &mariadb());
        let _ = complete(&event(EventType::PartialUpdateRows, 0, &bytes), &columns(), &mariadb());
    }
}

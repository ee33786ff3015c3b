use proptest::prelude::*;

use super::super::event::EventType;
use super::super::testing;
use super::*;

/// A payload event with these events, compressed.
pub(crate) fn payload(log_pos: u32, events: &[Vec<u8>]) -> Vec<u8> {
    let packed = zstd::stream::encode_all(&events.concat()[..], 3).expect("memory");
    around(log_pos, 0, &packed)
}

fn around(log_pos: u32, compression: u8, packed: &[u8]) -> Vec<u8> {
    let mut length = vec![254];
    length.extend((packed.len() as u64).to_le_bytes());
    let mut body = vec![2, 3, 252, compression, 0];
    body.extend([1, 9]);
    body.extend(length);
    body.push(0);
    body.extend(packed);
    testing::event(EventType::TransactionPayload, log_pos, &body)
}

fn all(event: &[u8]) -> Result<Vec<Vec<u8>>, PayloadError> {
    let mut payload = Payload::open(event)?;
    std::iter::from_fn(|| payload.next_event().transpose()).collect()
}

fn some_events() -> Vec<Vec<u8>> {
    vec![
        testing::query(0, "d", "BEGIN"),
        testing::table_map(0, 9),
        testing::event(EventType::Xid, 0, &[1; 8]),
    ]
}

#[test]
fn the_events_come_back_compressed_or_not() {
    let events = some_events();
    assert_eq!(all(&payload(0, &events)), Ok(events.clone()));
    assert_eq!(all(&around(0, 255, &events.concat())), Ok(events));
    assert_eq!(all(&around(0, 7, &[])), Err(PayloadError::UnknownCompression(7)));
}

#[test]
fn what_ends_within_an_event_is_damaged_and_no_length_is_believed() {
    let events = some_events().concat();
    assert!(all(&around(0, 255, &events[..events.len() - 1])).is_err());
    assert!(all(&around(0, 255, &events[..20])).is_err());
    let mut huge = events.clone();
    huge[9..13].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(all(&around(0, 255, &huge)), Err(PayloadError::EventSize(u32::MAX)));
    huge[9..13].copy_from_slice(&EVENT_BYTES_MAX.to_le_bytes());
    assert!(all(&around(0, 255, &huge)).is_err());
    let packed = zstd::stream::encode_all(&events[..], 3).expect("memory");
    assert!(all(&around(0, 0, &packed[..packed.len() - 1])).is_err());
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..80), edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4)) {
        let _ = all(&testing::event(EventType::TransactionPayload, 0, &bytes));
        let mut event = payload(0, &some_events());
        for (at, byte) in edits {
            let at = 19 + at.index(event.len() - 19);
            event[at] = byte;
        }
        let _ = all(&event);
    }
}

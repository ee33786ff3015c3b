use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn scn() -> impl Strategy<Value = Scn> {
    (0..=3_u32, 0..=3_u32, prop_oneof![0..=9_u64, 0..=Scn::LOG_POS_MAX], 0..=3_u32)
        .prop_map(|(epoch, log_index, log_pos, row)| Scn { epoch, log_index, log_pos, row })
}

fn version() -> impl Strategy<Value = Version> {
    (0..TIME_MAX.0, any::<u32>(), any::<bool>()).prop_map(|(time, origin, removed)| Version {
        time: Micros(time),
        origin: InstanceId(origin),
        removed,
    })
}

fn run() -> impl Strategy<Value = Run> {
    (scn(), scn()).prop_map(|(a, b)| Run { first: a.min(b), last: a.max(b) })
}

fn named() -> impl Strategy<Value = Named> {
    (version(), vec(any::<u128>().prop_map(KeyHash), 0..4))
        .prop_map(|(version, keys)| Named { version, keys })
}

fn eviction() -> impl Strategy<Value = Eviction> {
    (any::<u128>(), version(), vec(any::<u8>(), 0..40)).prop_map(|(key, version, events)| Eviction {
        key: KeyHash(key),
        version,
        events,
    })
}

prop_compose! {
    fn mark()(
        source in any::<u32>(),
        watermark in scn(),
        time in 0..TIME_MAX.0,
        runs in vec(run(), 0..5),
        named in vec(named(), 0..4),
        evictions in vec(eviction(), 0..3),
    ) -> Mark {
        let (source, watermark_time) = (InstanceId(source), Micros(time));
        Mark { source, watermark, watermark_time, runs, named, evictions }
    }
}

proptest! {
    #[test]
    fn a_mark_comes_back_as_it_went(mark in mark()) {
        prop_assert_eq!(Mark::decode(&mark.encode()), Ok(mark));
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(mut bytes in vec(any::<u8>(), 0..200)) {
        let _ = Mark::decode(&bytes);
        if let Some(first) = bytes.first_mut() {
            *first = FORMAT;
        }
        let _ = Mark::decode(&bytes);
    }

    #[test]
    fn a_damaged_mark_is_read_without_a_panic(mark in mark(), at in any::<usize>(), byte in any::<u8>()) {
        let mut bytes = mark.encode();
        let at = at % bytes.len();
        bytes[at] = byte;
        let _ = Mark::decode(&bytes);
    }

    #[test]
    fn a_mark_that_was_cut_is_refused(mark in mark(), at in any::<usize>()) {
        let bytes = mark.encode();
        prop_assert!(Mark::decode(&bytes[..at % bytes.len()]).is_err());
    }
}

#[test]
fn a_newer_format_and_trailing_bytes_are_named_as_such() {
    let mark = Mark {
        source: InstanceId(7),
        watermark: Scn::of_transaction(1, 2, 1234),
        watermark_time: Micros(5),
        runs: vec![],
        named: vec![],
        evictions: vec![],
    };
    let mut bytes = mark.encode();
    bytes.push(0);
    assert_eq!(Mark::decode(&bytes), Err(MarkError::TrailingBytes(1)));
    bytes[0] = 2;
    assert_eq!(Mark::decode(&bytes), Err(MarkError::UnknownFormat(2)));
}

#[test]
fn the_bytes_of_format_1_stay_as_they_are() {
    let mark = Mark {
        source: InstanceId(0x0403_0201),
        watermark: Scn::of_transaction(1, 2, 200),
        watermark_time: Micros(300),
        runs: vec![Run { first: Scn::of_transaction(1, 2, 201), last: Scn::of_transaction(1, 2, 201) }],
        named: vec![Named { version: Version::new(Micros(1), InstanceId(9)), keys: vec![KeyHash(1)] }],
        evictions: vec![],
    };
    let mut expected = vec![1, 1, 2, 3, 4];
    expected.extend([0, 1, 2, 0xc8, 1, 0]);
    // Growth of the epoch from the zero SCN could be tag 0 only: fields as they are.
    expected.extend([0xac, 2]);
    expected.extend([1, 2, 1, 0, 4]);
    expected.extend([1, 1, 9, 0, 0, 0, 0, 1]);
    expected.extend(1_u128.to_be_bytes());
    expected.push(0);
    assert_eq!(mark.encode(), expected);
}

#[test]
fn a_count_that_the_bytes_cannot_hold_reserves_nothing() {
    let mut bytes = vec![FORMAT, 0, 0, 0, 0, 4, 0];
    bytes.extend([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]);
    assert_eq!(Mark::decode(&bytes), Err(MarkError::CutShort("runs")));
}

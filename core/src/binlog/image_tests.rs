use proptest::prelude::*;

use super::super::testing::{self, column};
use super::*;

/// The value that a column of this type reads from these bytes.
fn one(type_code: u8, meta: u16, bytes: &[u8]) -> Value<'_> {
    let columns = [column("c", type_code, meta, 0)];
    let mut image = vec![0];
    image.extend_from_slice(bytes);
    assert_eq!(image_len(&columns, &image), Ok(image.len()));
    let value = measure(&columns[0], bytes).and_then(|(prefix, _)| decode(&columns[0], &bytes[prefix..]));
    value.expect("a value")
}

fn time_of(value: Value<'_>) -> (bool, u16, u8, u8, u32) {
    match value {
        Value::Time { negative, hours, minutes, seconds, micros, .. } => {
            (negative, hours, minutes, seconds, micros)
        }
        other => panic!("not a time: {other:?}"),
    }
}

#[test]
fn signs_of_integers_are_extended_from_their_width() {
    assert_eq!(one(INT24, 0, &[0, 0, 0x80]), Value::Int(-8_388_608));
    assert_eq!(one(TINY, 0, &[0xff]), Value::Int(-1));
    assert_eq!(one(LONGLONG, 0, &[0, 0, 0, 0, 0, 0, 0, 0x80]), Value::Int(i64::MIN));
    let mut unsigned = column("c", INT24, 0, 0);
    unsigned.unsigned = true;
    assert_eq!(integer(&unsigned, &[0, 0, 0x80]), Value::UInt(8_388_608));
}

#[test]
fn negative_times_with_fractions_are_one_complement() {
    // -00:00:00.01, -00:00:00.10 and -00:00:01.10, as the server's source comments list them.
    assert_eq!(time_of(one(TIME2, 2, &[0x7f, 0xff, 0xff, 0xff])), (true, 0, 0, 0, 10_000));
    assert_eq!(time_of(one(TIME2, 2, &[0x7f, 0xff, 0xff, 0xf6])), (true, 0, 0, 0, 100_000));
    assert_eq!(time_of(one(TIME2, 2, &[0x7f, 0xff, 0xfe, 0xf6])), (true, 0, 0, 1, 100_000));
    assert_eq!(time_of(one(TIME2, 0, &[0x80, 0x10, 0x83])), (false, 1, 2, 3, 0));
    assert_eq!(time_of(one(TIME, 0, &(-10_203i32).to_le_bytes()[..3])), (true, 1, 2, 3, 0));
}

#[test]
fn old_and_new_dates_are_read() {
    let packed = (2024u32 << 9 | 2 << 5 | 29).to_le_bytes();
    assert_eq!(one(DATE, 0, &packed[..3]), Value::Date { year: 2024, month: 2, day: 29 });
    let old = 20_240_229_123_456u64.to_le_bytes();
    let expected = Value::DateTime {
        year: 2024,
        month: 2,
        day: 29,
        hour: 12,
        minute: 34,
        second: 56,
        micros: 0,
        decimals: 0,
    };
    assert_eq!(one(DATETIME, 0, &old), expected);
    let new = 0x80_0000_0000u64 | (2024 * 13 + 2) << 22 | 29 << 17 | 12 << 12 | 34 << 6 | 56;
    assert_eq!(one(DATETIME2, 0, &new.to_be_bytes()[3..]), expected);
    assert_eq!(one(YEAR, 0, &[0]), Value::Year(0));
    assert_eq!(one(YEAR, 0, &[124]), Value::Year(2024));
}

#[test]
fn lengths_of_strings_follow_the_greatest_length() {
    // CHAR(255) of four bytes each: two bits of 1020 are in the type byte.
    let meta = u16::from_le_bytes([0xfe ^ 0x30, 0xfc]);
    assert_eq!(string_max_bytes(meta), 1020);
    assert_eq!(one(STRING, meta, &[2, 0, b'a', b'b']), Value::Bytes(b"ab"));
    assert_eq!(one(STRING, u16::from_le_bytes([0xfe, 40]), &[1, b'a']), Value::Bytes(b"a"));
    assert_eq!(one(VARCHAR, 300, &[1, 0, b'a']), Value::Bytes(b"a"));
    assert_eq!(one(BLOB, 3, &[1, 0, 0, b'a']), Value::Bytes(b"a"));
    assert_eq!(one(STRING, u16::from_le_bytes([ENUM, 2]), &[1, 1]), Value::Enum(257));
    assert_eq!(one(STRING, u16::from_le_bytes([SET, 1]), &[5]), Value::Set(5));
    assert_eq!(one(BIT, u16::from_le_bytes([1, 1]), &[1, 0xff]), Value::Bit(&[1, 0xff]));
}

#[test]
fn null_columns_take_no_bytes() {
    let columns = testing::columns();
    let image = testing::image(7, None);
    let values: Result<Vec<_>, _> = Values::new(&columns, &image).collect();
    assert_eq!(values, Ok(vec![Value::UInt(7), Value::Null]));
    assert_eq!(image_len(&columns, &image), Ok(5));
}

proptest! {
    #[test]
    fn no_bytes_of_any_types_make_it_panic(
        types in proptest::collection::vec((any::<u8>(), any::<u16>(), any::<bool>()), 0..12),
        image in proptest::collection::vec(any::<u8>(), 0..80),
    ) {
        let columns: Vec<Column> = types
            .into_iter()
            .map(|(code, meta, unsigned)| Column { unsigned, ..column("c", code, meta, 0) })
            .collect();
        let len = image_len(&columns, &image);
        let _ = Values::new(&columns, &image).take(20).collect::<Vec<_>>();
        if let Ok(len) = len {
            prop_assert!(len <= image.len());
        }
    }

    #[test]
    fn images_end_where_their_last_value_does(id: u32, v in proptest::option::of("[a-z]{0,20}"), behind: Vec<u8>) {
        let columns = testing::columns();
        let mut image = testing::image(id, v.as_deref());
        let len = image.len();
        image.extend(behind);
        prop_assert_eq!(image_len(&columns, &image), Ok(len));
        let expected = v.as_ref().map_or(Value::Null, |v| Value::Bytes(v.as_bytes()));
        let values: Result<Vec<_>, _> = Values::new(&columns, &image).collect();
        prop_assert_eq!(values, Ok(vec![Value::UInt(u64::from(id)), expected]));
        prop_assert!(image_len(&columns, &image[..len - 1]).is_err());
    }
}

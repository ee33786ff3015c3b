use proptest::prelude::*;

use super::*;
use crate::binlog::image::{BIT, ENUM, LONG, VARCHAR};
use crate::binlog::testing::column;

fn literal(value: Value<'_>, column: &Column) -> String {
    let mut out = String::new();
    write_literal(&mut out, &value, column).expect("a literal");
    out
}

#[test]
fn numbers_are_written_so_that_they_come_back() {
    let c = column("c", LONG, 0, 0);
    assert_eq!(literal(Value::Null, &c), "NULL");
    assert_eq!(literal(Value::Int(i64::MIN), &c), "-9223372036854775808");
    assert_eq!(literal(Value::UInt(u64::MAX), &c), "18446744073709551615");
    assert_eq!(literal(Value::Double(0.1), &c), "1e-1");
    assert_eq!(literal(Value::Double(-0.0), &c), "-0e0");
    // The FLOAT nearest to 0.1, exactly.
    assert_eq!(literal(Value::Float(0.1), &c), "1.0000000149011612e-1");
    assert_eq!(literal(Value::Bit(&[1, 2]), &column("b", BIT, 0, 0)), "258");
    assert!(write_literal(&mut String::new(), &Value::Double(f64::NAN), &c).is_err());
}

#[test]
fn text_is_hexadecimal_behind_its_character_set() {
    assert_eq!(literal(Value::Bytes(b"a'\\"), &column("v", VARCHAR, 80, 45)), "_utf8mb4 X'61275C'");
    assert_eq!(literal(Value::Bytes(b"\xe4"), &column("v", VARCHAR, 20, 8)), "_latin1 X'E4'");
    assert_eq!(literal(Value::Bytes(b"\x01"), &column("v", VARCHAR, 20, 63)), "X'01'");
    let unknown = write_literal(&mut String::new(), &Value::Bytes(b""), &column("v", VARCHAR, 20, 17));
    assert_eq!(unknown, Err(LiteralError::UnknownCollation { column: "v".into(), collation: 17 }));
}

#[test]
fn binary_gets_back_the_zero_bytes_that_the_image_lacks() {
    let binary = column("b", STRING, u16::from_le_bytes([0xfe, 4]), 63);
    assert_eq!(literal(Value::Bytes(&[1]), &binary), "X'01000000'");
    assert_eq!(literal(Value::Bytes(&[]), &binary), "X'00000000'");
}

#[test]
fn labels_are_written_out_and_unknown_ones_by_number() {
    let labels = vec!["a".to_owned(), "b".to_owned()];
    let labelled = Column { labels, ..column("e", STRING, u16::from_le_bytes([ENUM, 1]), 45) };
    assert_eq!(literal(Value::Enum(2), &labelled), "_utf8mb4 X'62'");
    assert_eq!(literal(Value::Enum(0), &labelled), "''");
    assert_eq!(literal(Value::Enum(3), &labelled), "3");
    let with_empty = Column { labels: vec![String::new(), "a".into()], ..labelled.clone() };
    assert_eq!(literal(Value::Enum(1), &with_empty), "_utf8mb4 X''");
    let error = write_literal(&mut String::new(), &Value::Enum(0), &with_empty);
    assert!(matches!(error, Err(LiteralError::NotPrintable { .. })), "the error value is not the label ''");
    assert_eq!(literal(Value::Set(3), &labelled), "_utf8mb4 X'612C62'");
    assert_eq!(literal(Value::Set(0), &labelled), "_utf8mb4 X''");
    assert_eq!(literal(Value::Set(4), &labelled), "4");
}

#[test]
fn times_keep_their_sign_and_digits() {
    let c = column("t", LONG, 0, 0);
    let time = Value::Time { negative: true, hours: 1, minutes: 2, seconds: 3, micros: 456_000, decimals: 3 };
    assert_eq!(literal(time, &c), "'-01:02:03.456'");
    let stamp = |seconds, micros, decimals| Value::Timestamp { seconds, micros, decimals };
    assert_eq!(literal(stamp(0, 0, 2), &c), "'0000-00-00 00:00:00.00'");
    assert_eq!(literal(stamp(951_868_799, 0, 0), &c), "'2000-02-29 23:59:59'");
    assert_eq!(literal(stamp(951_868_800, 5, 6), &c), "'2000-03-01 00:00:00.000005'");
    assert_eq!(literal(stamp(u32::MAX, 0, 0), &c), "'2106-02-07 06:28:15'");
    assert_eq!(literal(Value::Date { year: 0, month: 0, day: 0 }, &c), "'0000-00-00'");
}

#[test]
fn compressed_columns_are_unpacked() {
    let c = column("v", VARCHAR_COMPRESSED, 81, 45);
    assert_eq!(literal(Value::Bytes(b"\0abc"), &c), "_utf8mb4 X'616263'");
    let mut value = vec![0x8a, 0x01, 0xf4];
    value.extend([0x4b, 0x4a, 0x1a, 0x05, 0x23, 0x0d, 0x00, 0x00]);
    let text = literal(Value::Bytes(&value), &c);
    assert_eq!(text, format!("_utf8mb4 X'{}'", "62".repeat(500)));
    assert!(write_literal(&mut String::new(), &Value::Bytes(&[0x91, 1]), &c).is_err());
}

#[test]
fn a_key_list_takes_its_types_from_the_table() {
    let k = column("k`", LONG, 0, 0);
    let list = key_list(&TableName::new("s", "t"), &[&k], &["1".to_owned(), "2".to_owned()]);
    assert_eq!(list, "(SELECT `k``` FROM `s`.`t` WHERE FALSE UNION ALL VALUES (1),(2))");
}

proptest! {
    #[test]
    fn every_day_of_the_calendar_follows_the_one_before(day in 0u32..49_709) {
        let (year, month, date) = civil_date(day);
        let (next_year, next_month, next_date) = civil_date(day + 1);
        let same_month = (next_year, next_month, next_date) == (year, month, date + 1);
        let same_year = (next_year, next_month, next_date) == (year, month + 1, 1) && date >= 28;
        let new_year = (next_year, next_month, next_date) == (year + 1, 1, 1) && (month, date) == (12, 31);
        prop_assert!(same_month || same_year || new_year);
    }

    #[test]
    fn no_packed_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..30), code: u8, meta: u16) {
        for collation in [0, 45, 63] {
            let _ = write_literal(&mut String::new(), &Value::Bytes(&bytes), &column("c", code, meta, collation));
        }
        let decimal = Value::Decimal { packed: &bytes, precision: meta as u8, scale: code };
        let _ = write_literal(&mut String::new(), &decimal, &column("c", code, meta, 0));
    }
}

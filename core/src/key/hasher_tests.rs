use super::*;

fn column(type_code: u8, collation: u16) -> Column {
    Column {
        name: "c".into(),
        type_code,
        meta: 0,
        nullable: false,
        unsigned: false,
        collation,
        column_type: None,
        default: None,
        generated: false,
        labels: vec![],
    }
}

fn hash_of(columns: &[Column], values: &[Value<'_>]) -> Option<KeyHash> {
    let mut hasher = KeyHasher::new(&TableName::new("shop", "t"), PRIMARY);
    columns.iter().zip(values).for_each(|(column, value)| hasher.push(column, value));
    hasher.finish()
}

fn one(value: Value<'_>) -> KeyHash {
    hash_of(&[column(3, 0)], &[value]).expect("not NULL")
}

fn text(type_code: u8, collation: u16, value: &[u8]) -> KeyHash {
    hash_of(&[column(type_code, collation)], &[Value::Bytes(value)]).expect("not NULL")
}

#[test]
fn numbers_are_hashed_by_value() {
    assert_eq!(one(Value::Int(7)), one(Value::UInt(7)));
    assert_ne!(one(Value::Int(-1)), one(Value::UInt(u64::MAX)));
    assert_eq!(one(Value::Double(-0.0)), one(Value::Double(0.0)));
    assert_eq!(one(Value::Float(1.5)), one(Value::Double(1.5)));
    assert_eq!(
        one(Value::Decimal { packed: &[0x80, 0x05, 0x32], precision: 5, scale: 2 }),
        one(Value::Decimal { packed: &[0x85, 0x05], precision: 2, scale: 1 })
    );
    assert_eq!(one(Value::Bit(&[0, 0, 5])), one(Value::Bit(&[5])));
    assert_ne!(one(Value::Int(5)), one(Value::Bit(&[5])));
}

#[test]
fn temporals_are_hashed_by_value() {
    let time = |negative, hours, decimals| Value::Time {
        negative,
        hours,
        minutes: 0,
        seconds: 0,
        micros: 0,
        decimals,
    };
    assert_eq!(one(time(true, 0, 0)), one(time(false, 0, 6)));
    assert_ne!(one(time(true, 1, 0)), one(time(false, 1, 0)));
    let stamp = |micros, decimals| Value::Timestamp { seconds: 9, micros, decimals };
    assert_eq!(one(stamp(0, 0)), one(stamp(0, 6)));
    assert_ne!(one(stamp(0, 6)), one(stamp(1, 6)));
}

#[test]
fn strings_are_hashed_as_their_type_and_collation_compare() {
    const VARCHAR: u8 = 15;
    assert_eq!(text(TYPE_STRING, 63, b"a\0\0"), text(TYPE_STRING, 63, b"a"));
    assert_ne!(text(VARCHAR, 63, b"a\0"), text(VARCHAR, 63, b"a"));
    assert_eq!(text(VARCHAR, 45, b"Abc  "), text(VARCHAR, 45, b"aBC"));
    assert_ne!(text(VARCHAR, 1069, b"a "), text(VARCHAR, 1069, b"a"));
    assert_eq!(text(TYPE_STRING, 1069, b"a "), text(TYPE_STRING, 1069, b"a"));
    assert_ne!(text(VARCHAR, 31, b"a"), text(VARCHAR, 31, b"A"));
}

#[test]
fn values_do_not_run_into_each_other_and_null_has_no_hash() {
    let columns = [column(15, 46), column(15, 46)];
    let pair = |a, b| hash_of(&columns, &[Value::Bytes(a), Value::Bytes(b)]);
    assert_ne!(pair(b"ab", b"c"), pair(b"a", b"bc"));
    assert_eq!(hash_of(&columns, &[Value::Bytes(b"a"), Value::Null]), None);
    let mut other = KeyHasher::new(&TableName::new("shop", "t"), "by_name");
    other.push(&columns[0], &Value::Null);
    assert_eq!(other.finish(), None);
    other.push(&columns[0], &Value::Bytes(b"x"));
    let again = other.finish();
    assert!(again.is_some());
    assert_ne!(again, hash_of(&columns[..1], &[Value::Bytes(b"x")]));
}

#[test]
fn the_hash_of_encoding_1_stays_as_it_is() {
    assert_eq!(
        format!("{:?}", one(Value::Int(1))),
        format!("{:032x}", {
            let mut bytes = vec![1, 4, 0, 0, 0];
            bytes.extend(b"shop");
            bytes.extend([1, 0, 0, 0, b't', 7, 0, 0, 0]);
            bytes.extend(b"PRIMARY");
            bytes.extend([1, 16, 0, 0, 0]);
            bytes.extend(1_i128.to_le_bytes());
            xxh3_128(&bytes)
        })
    );
}

/// Neither spelling's hash says that they are one row, so something else must keep them in order.
#[test]
fn all_rows_of_a_table_share_a_value_where_a_key_is_not_weighed() {
    let values = |collation, spelling: &[u8]| {
        let table = TableVersion {
            name: TableName::new("shop", "t"),
            columns: vec![column(15, collation)],
            primary_key: vec![0],
            unique_keys: vec![],
            exact: true,
        };
        TableKeys::new(&table).unique(&table.columns, &[Value::Bytes(spelling)]).collect::<Vec<_>>()
    };
    assert_eq!(values(45, b"a"), []);
    assert_eq!(values(9999, b"a").len(), 1);
    assert!(values(9999, b"a")[0].is_some());
    assert_eq!(values(9999, b"a"), values(9999, b"A"));
}

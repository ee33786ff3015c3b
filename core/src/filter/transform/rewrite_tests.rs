use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;

use super::super::mask::Mask;
use super::super::parse::Expr;
use super::super::{Condition, TableTransform};
use super::*;
use crate::binlog::testing::{columns, image, table_map};
use crate::catalog::UniqueKey;
use crate::instance::InstanceId;
use crate::scn::Scn;
use crate::tables::TableName;
use crate::time::Micros;
use crate::transaction::{TableUse, Transaction, TransactionHeader};
use crate::version::Version;

/// A row's image: its id and its text.
type Image = (u32, Option<&'static str>);

const OLD_BASE: Version = Version::new(Micros(1), InstanceId(1));
const BASE: Version = Version::new(Micros(2), InstanceId(1));
const VERSION: Version = Version::new(Micros(3), InstanceId(1));

fn version_of(name: &str, table: &TableName) -> TableVersion {
    let mut columns = columns();
    columns[1].name = name.to_owned();
    TableVersion {
        name: table.clone(),
        columns,
        primary_key: vec![0],
        unique_keys: vec![UniqueKey { name: "u".into(), columns: vec![1] }],
        exact: true,
    }
}

fn key(table: &TableVersion, image: &[u8]) -> (KeyHash, Option<KeyHash>) {
    let mut keys = TableKeys::new(table);
    let values: Vec<_> = Values::new(&table.columns, image).map(|value| value.expect("sound")).collect();
    let primary = keys.primary(&table.columns, &values);
    (primary, keys.unique(&table.columns, &values).next().flatten())
}

/// A delivery of these changes of `d.t (id, v)`, stamped as the replicator does.
fn delivery(changes: &[(Option<Image>, Option<Image>)]) -> Arc<Delivery> {
    let source = version_of("v", &TableName::new("d", "t"));
    let map = table_map(4, 9);
    let mut raw = map.clone();
    let mut rows = Rows::default();
    let table_map = Span { at: 0, len: map.len() as u32 };
    rows.tables.push(TableUse { name: source.name.clone(), version: CatalogId(3), table_map });
    for (index, (before, after)) in changes.iter().enumerate() {
        let mut side = |one: &Option<Image>| {
            let bytes = one.map(|(id, v)| image(id, v))?;
            let span = Span { at: raw.len() as u32, len: bytes.len() as u32 };
            raw.extend_from_slice(&bytes);
            let (primary, unique) = key(&source, &bytes);
            Some((span, primary, unique))
        };
        let (before, after) = (side(before), side(after));
        let (old, new) = (before.map(|side| side.1), after.map(|side| side.1));
        let old_key = old.filter(|old| new.is_some_and(|new| new != *old));
        rows.rows.push(RowStamp {
            row: index as u32 + 1,
            table: 0,
            kind: match (before, after) {
                (None, _) => RowKind::Insert,
                (_, None) => RowKind::Delete,
                _ => RowKind::Update,
            },
            key: new.or(old).expect("one side at least"),
            old_key,
            version: VERSION,
            base: Some(BASE),
            old_base: old_key.map(|_| OLD_BASE),
            before: before.map_or(Span::NONE, |side| side.0),
            after: after.map_or(Span::NONE, |side| side.0),
        });
        let unique = |side: Option<(Span, KeyHash, Option<KeyHash>)>| vec![side.and_then(|side| side.2)];
        push_unique(&mut rows.unique, index as u32, &unique(before), &unique(after));
    }
    let header = TransactionHeader {
        scn: Scn::of_transaction(1, 1, 100),
        server_id: 1,
        gtid: None,
        commit_time: Micros(1),
        format: CatalogId(0),
        body: Body::Rows(rows),
    };
    Arc::new(Delivery {
        transaction: Transaction { header, raw: Bytes::from(raw) },
        tables: vec![Arc::new(source)],
        format: Arc::from(&[][..]),
        refused: None,
    })
}

fn transform() -> TableTransform {
    TableTransform {
        table: TableName::new("d", "t"),
        rename_table: None,
        rename_columns: BTreeMap::new(),
        condition: None,
        masks: BTreeMap::new(),
    }
}

fn condition(text: &str) -> Option<Condition> {
    Some(Condition { text: text.into(), expr: Expr::parse(text).expect("it parses") })
}

fn transformed(transform: TableTransform, delivery: Arc<Delivery>) -> Arc<Delivery> {
    Transformer::new(Transforms { list: vec![transform] }).transform(delivery)
}

fn rows(delivery: &Delivery) -> &Rows {
    assert_eq!(delivery.refused, None);
    delivery.transaction.rows().expect("rows")
}

#[test]
fn rows_move_in_move_out_stay_and_stay_behind() {
    const EAST: Option<Image> = Some((1, Some("east")));
    const EAST_2: Option<Image> = Some((2, Some("East")));
    const WEST: Option<Image> = Some((1, Some("west")));
    const NOWHERE: Option<Image> = Some((3, None));
    use RowKind::{Delete, Insert, Update};
    let keys = |id: u32| key(&version_of("v", &TableName::new("d", "t")), &image(id, None)).0;
    let table = [
        (None, EAST, Some((Insert, keys(1), None, Some(BASE)))),
        (None, WEST, None),
        (None, NOWHERE, None),
        (EAST, None, Some((Delete, keys(1), None, Some(BASE)))),
        (WEST, None, None),
        (EAST, EAST_2, Some((Update, keys(2), Some(keys(1)), Some(BASE)))),
        (WEST, EAST, Some((Insert, keys(1), None, Some(BASE)))),
        (EAST, WEST, Some((Delete, keys(1), None, Some(BASE)))),
        // The key changes too: what goes is the old row, with the old row's base.
        (EAST_2, WEST, Some((Delete, keys(2), None, Some(OLD_BASE)))),
        (WEST, EAST_2, Some((Insert, keys(2), None, Some(BASE)))),
        (WEST, NOWHERE, None),
    ];
    for (before, after, becomes) in table {
        let only = TableTransform { condition: condition("v = 'east'"), ..transform() };
        // Between two rows of another sort, so that places and numbers shift.
        let around = (None, Some((9, Some("east"))));
        let out = transformed(only, delivery(&[(None, WEST), around, (before, after), around]));
        let stamps: Vec<_> = rows(&out).rows.iter().filter(|row| row.row == 3).collect();
        let got = stamps.first().map(|row| (row.kind, row.key, row.old_key, row.base));
        assert_eq!(got, becomes, "{before:?} to {after:?}");
        assert_eq!(rows(&out).rows.len(), 2 + usize::from(becomes.is_some()));
        for row in &rows(&out).rows {
            assert_eq!(row.before == Span::NONE, row.kind == Insert);
            assert_eq!(row.after == Span::NONE, row.kind == Delete);
        }
        let last = rows(&out).unique.last().expect("the last row has a unique value");
        assert_eq!(last.row as usize, rows(&out).rows.len() - 1);
    }
}

#[test]
fn a_renamed_table_has_the_targets_names_and_keys() {
    let renamed = TableTransform {
        rename_table: Some(TableName::new("other", "members")),
        rename_columns: [("V".to_owned(), "phone".to_owned())].into(),
        ..transform()
    };
    let out = transformed(renamed, delivery(&[(Some((1, Some("a"))), Some((2, Some("b"))))]));
    let target = version_of("phone", &TableName::new("other", "members"));
    assert_eq!((rows(&out).tables[0].name.clone(), &*out.tables[0]), (target.name.clone(), &target));
    let row = &rows(&out).rows[0];
    let (before, after) = (key(&target, &image(1, Some("a"))), key(&target, &image(2, Some("b"))));
    assert_eq!((row.key, row.old_key), (after.0, Some(before.0)));
    let unique: Vec<_> = rows(&out).unique.iter().map(|stamp| Some(stamp.hash)).collect();
    assert_eq!(unique, [before.1, after.1]);
    let map = out.transaction.bytes(rows(&out).tables[0].table_map);
    let map = crate::binlog::table_map::TableMap::parse(map, &crate::binlog::format::tests::mariadb());
    assert_eq!(map.expect("a table map").name(), target.name);
}

#[test]
fn masked_values_are_in_the_images_and_nulls_stay_null() {
    let masked = |mask| TableTransform { masks: [("v".to_owned(), mask)].into(), ..transform() };
    let changes = [(None, Some((1, Some("secret")))), (None, Some((2, None)))];
    for (mask, expected) in [
        (Mask::Sha256, [Some("2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"), None]),
        (Mask::Redact, [None, None]),
        (Mask::Null, [None, None]),
    ] {
        if mask == Mask::Redact {
            // The column is in a unique key: all values would be equal.
            assert!(transformed(masked(mask), delivery(&changes)).refused.is_some());
            continue;
        }
        let out = transformed(masked(mask), delivery(&changes));
        let seen: Vec<Option<String>> = rows(&out)
            .rows
            .iter()
            .map(|row| {
                let mut values = Values::new(&out.tables[0].columns, out.transaction.bytes(row.after));
                match values.nth(1).expect("two columns").expect("sound") {
                    Value::Null => None,
                    Value::Bytes(bytes) => Some(String::from_utf8(bytes.to_vec()).expect("hexadecimal")),
                    other => panic!("{other:?}"),
                }
            })
            .collect();
        assert_eq!(seen, expected.map(|text| text.map(str::to_owned)), "{mask:?}");
        assert_eq!(out.tables[0].columns[1].column_type, None, "it is never replayed");
    }
}

#[test]
fn a_transform_that_does_not_fit_refuses_the_delivery_and_keeps_its_rows() {
    let changes = [(None, Some((1, Some("a"))))];
    let masked = |name: &str| [(name.to_owned(), Mask::Null)].into();
    for (transform, says) in [
        (TableTransform { condition: condition("x = 1"), ..transform() }, "there is no column x"),
        (TableTransform { masks: masked("id"), ..transform() }, "is in the primary key"),
        (TableTransform { masks: masked("x"), ..transform() }, "there is no column x"),
        (
            TableTransform { rename_columns: [("v".to_owned(), "ID".to_owned())].into(), ..transform() },
            "two columns would be called",
        ),
        (
            TableTransform { rename_columns: [("x".to_owned(), "y".to_owned())].into(), ..transform() },
            "rename_columns: there is no column x",
        ),
    ] {
        let out = transformed(transform, delivery(&changes));
        let refused = out.refused.clone().expect("it does not fit");
        assert!(refused.contains(says) && refused.contains("d.t"), "{refused}");
        assert_eq!(out.transaction, delivery(&changes).transaction);
    }
}

#[test]
fn a_delivery_of_other_tables_is_passed_on_as_it_is() {
    let other = TableTransform { table: TableName::new("d", "other"), ..transform() };
    let given = delivery(&[(None, Some((1, Some("a"))))]);
    assert!(Arc::ptr_eq(&transformed(other, given.clone()), &given));
}

/// Row images as they come from outside: any bytes.
fn any_image() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..20)
}

proptest! {
    #[test]
    fn images_of_any_bytes_are_refused_and_never_panic(bytes in any_image(), at in 0..20_u32) {
        let mut given = Delivery::clone(&delivery(&[(None, Some((1, Some("a"))))]));
        let from = given.transaction.raw.len() as u32;
        let raw = [&given.transaction.raw[..], &bytes].concat();
        given.transaction.raw = Bytes::from(raw);
        let Body::Rows(rows) = &mut given.transaction.header.body else { panic!("rows") };
        let at = at.min(bytes.len() as u32);
        rows.rows[0].after = Span { at: from + at, len: bytes.len() as u32 - at };
        let masked = TableTransform {
            masks: [("v".to_owned(), Mask::Sha256)].into(),
            condition: condition("v <> 'x' OR id > 5"),
            ..transform()
        };
        transformed(masked, Arc::new(given));
    }

    /// Applied in order to a map, the transformed changes end where the wanted rows of the source are.
    #[test]
    fn the_target_has_exactly_the_wanted_rows(
        changes in prop::collection::vec((0..3_u32, 0..3_u32, prop::option::of(prop::sample::select(vec!["east", "west"])), any::<bool>()), 1..30)
    ) {
        let mut source: BTreeMap<u32, Option<&'static str>> = BTreeMap::new();
        let mut given = Vec::new();
        for (id, new_id, v, delete) in changes {
            match source.remove(&id) {
                None => given.push((None, Some((id, v)))),
                Some(old) if delete => {
                    given.push((Some((id, old)), None));
                    continue;
                }
                Some(old) if source.contains_key(&new_id) => {
                    given.push((Some((id, old)), Some((id, v))));
                }
                Some(old) => {
                    given.push((Some((id, old)), Some((new_id, v))));
                    source.insert(new_id, v);
                    continue;
                }
            }
            source.insert(id, v);
        }
        let only = TableTransform { condition: condition("v = 'east'"), ..transform() };
        let out = transformed(only, delivery(&given));
        let mut target: BTreeMap<KeyHash, Vec<u8>> = BTreeMap::new();
        for row in &rows(&out).rows {
            match row.kind {
                RowKind::Insert => prop_assert!(!target.contains_key(&row.key)),
                RowKind::Update | RowKind::Delete => {
                    let found = target.remove(&row.old_key.unwrap_or(row.key));
                    prop_assert_eq!(found.as_deref(), Some(out.transaction.bytes(row.before)));
                }
                RowKind::Evict => prop_assert!(false),
            }
            if row.kind != RowKind::Delete {
                target.insert(row.key, out.transaction.bytes(row.after).to_vec());
            }
        }
        let wanted: BTreeMap<KeyHash, Vec<u8>> = source
            .iter()
            .filter(|(_, v)| **v == Some("east"))
            .map(|(id, v)| (key(&out.tables[0], &image(*id, *v)).0, image(*id, *v)))
            .collect();
        prop_assert_eq!(target, wanted);
    }
}

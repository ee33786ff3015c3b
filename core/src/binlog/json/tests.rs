use proptest::prelude::*;

use super::*;
use crate::binlog::image::{BIT, DATETIME, NEWDECIMAL, TIME};

fn printed(json: &Json<'_>) -> String {
    text(&write::document(json).expect("not too large")).expect("a document")
}

#[test]
fn values_are_printed_as_the_server_prints_them() {
    let cases: [(Json<'_>, &str); 17] = [
        (Json::Null, "null"),
        (Json::Bool(true), "true"),
        (Json::Int(i64::MIN), "-9223372036854775808"),
        (Json::UInt(u64::MAX), "18446744073709551615"),
        (Json::Double(1.0), "1.0"),
        (Json::Double(0.1), "0.1"),
        (Json::Double(1e15), "1e15"),
        (Json::Double(1_234_567_890_123_456.5), "1234567890123456.5"),
        (Json::Double(-1.5e-16), "-1.5e-16"),
        (Json::Double(123_456_789_012_345.0), "123456789012345.0"),
        (Json::Double(1e-15), "0.000000000000001"),
        (Json::Text("ä\"\\\n\u{1}/".as_bytes()), r#""ä\"\\\n\u0001/""#),
        (Json::Opaque { column_type: NEWDECIMAL, content: &[3, 2, 0x81, 50] }, "1.50"),
        (Json::Opaque { column_type: BIT, content: &[1, 2] }, r#""base64:type16:AQI=""#),
        (
            Json::Opaque { column_type: TIME, content: &(-(0x10_8300_000a_i64)).to_le_bytes() },
            r#""-01:02:03.000010""#,
        ),
        (Json::Array(vec![]), "[]"),
        (
            Json::Object(vec![(b"", Json::Null), (b"b", Json::Int(-1)), (b"aa", Json::Bool(false))]),
            r#"{"": null, "b": -1, "aa": false}"#,
        ),
    ];
    for (json, text) in cases {
        assert_eq!(printed(&json), text);
    }
    let packed: i64 = ((2024 * 13 + 2) << 5 | 29) << 41 | (23 << 12 | 59 << 6 | 58) << 24 | 7;
    let moment = Json::Opaque { column_type: DATETIME, content: &packed.to_le_bytes() };
    assert_eq!(printed(&moment), r#""2024-02-29 23:59:58.000007""#);
    assert_eq!(text(&[]).as_deref(), Ok("null"));
}

#[test]
fn differences_are_applied_in_order() {
    let json =
        Json::Object(vec![(b"a", Json::Array(vec![Json::Int(1), Json::Int(2)])), (b"b b", Json::Null)]);
    let document = write::document(&json).expect("small");
    let diff = |operation: u8, path: &str, value: Option<Json<'_>>| {
        let mut out = vec![operation, path.len() as u8];
        out.extend(path.as_bytes());
        if let Some(value) = value {
            let value = write::document(&value).expect("small");
            out.push(value.len() as u8);
            out.extend(value);
        }
        out
    };
    let diffs = [
        diff(1, "$.a[0]", Some(Json::Int(0))),
        diff(0, "$.a[1]", Some(Json::Array(vec![]))),
        diff(1, "$.a[1][9]", Some(Json::Bool(true))),
        diff(2, r#"$."b b""#, None),
        diff(1, r#"$."\"q\u0041""#, Some(Json::Int(-7))),
    ]
    .concat();
    let after = apply(&document, &diffs).expect("they fit");
    assert_eq!(text(&after).as_deref(), Ok(r#"{"a": [0, [true], 2], "\"qA": -7}"#));
    for lost in [
        diff(0, "$.x", Some(Json::Null)),
        diff(2, "$.a[2]", None),
        diff(2, "$", None),
        diff(1, "$.a", Some(Json::Null)),
        diff(0, "a", Some(Json::Null)),
    ] {
        assert!(apply(&document, &lost).is_err());
    }
    assert_eq!(apply(&document, &diff(0, "$", Some(Json::Null))), Ok(vec![LITERAL, 0]));
}

/// Levels of arrays of two elements that both are the next level: 2^depth values in a few bytes.
#[test]
fn a_small_document_does_not_unfold_beyond_its_bytes() {
    let mut content = vec![0u8, 0, 4, 0];
    for _ in 0..60 {
        let mut outer = vec![2, 0, 0, 0, SMALL_ARRAY, 10, 0, SMALL_ARRAY, 10, 0];
        outer.extend(&content);
        let len = outer.len() as u16;
        outer[2..4].copy_from_slice(&len.to_le_bytes());
        content = outer;
    }
    assert!(text(&[&[SMALL_ARRAY][..], &content].concat()).is_err());
}

#[test]
fn documents_beyond_two_byte_offsets_come_back() {
    let long = vec![b'x'; 70_000];
    let json = Json::Array(vec![
        Json::Text(&long),
        Json::Int(-5),
        Json::Int(-100_000),
        Json::Object(vec![(b"k", Json::UInt(1 << 40))]),
    ]);
    let document = write::document(&json).expect("not too large");
    assert_eq!(document[0], LARGE_ARRAY);
    assert_eq!(read::document(&document), Ok(json));
}

/// Trees with their own strings.
#[derive(Debug, Clone)]
enum Tree {
    Leaf(i64),
    Number(u64),
    Double(f64),
    Text(String),
    Array(Vec<Tree>),
    Object(std::collections::BTreeMap<(usize, String), Tree>),
}

fn any_tree() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        any::<i64>().prop_map(Tree::Leaf),
        (-200i64..200).prop_map(Tree::Leaf),
        // Numbers that fit both are signed.
        ((1u64 << 63)..).prop_map(Tree::Number),
        any::<i32>().prop_map(|n| Tree::Double(f64::from(n) / 7.0)),
        ".{0,200}".prop_map(Tree::Text),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Tree::Array),
            prop::collection::btree_map(".{0,9}".prop_map(|key| (key.len(), key)), inner, 0..6)
                .prop_map(Tree::Object),
        ]
    })
}

fn json_of(tree: &Tree) -> Json<'_> {
    match tree {
        Tree::Leaf(number) => Json::Int(*number),
        Tree::Number(number) => Json::UInt(*number),
        Tree::Double(number) => Json::Double(*number),
        Tree::Text(text) => Json::Text(text.as_bytes()),
        Tree::Array(values) => Json::Array(values.iter().map(json_of).collect()),
        Tree::Object(members) => {
            Json::Object(members.iter().map(|((_, key), value)| (key.as_bytes(), json_of(value))).collect())
        }
    }
}

proptest! {
    #[test]
    fn documents_come_back_and_are_json(tree in any_tree()) {
        let json = json_of(&tree);
        let document = write::document(&json).expect("not too large");
        prop_assert_eq!(read::document(&document), Ok(json));
        prop_assert!(serde_json::from_str::<serde_json::Value>(&text(&document).expect("a document")).is_ok());
    }

    #[test]
    fn no_bytes_make_it_panic(
        tree in any_tree(), edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        bytes in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        let mut document = write::document(&json_of(&tree)).expect("not too large");
        for (at, byte) in edits {
            let at = at.index(document.len());
            document[at] = byte;
        }
        let _ = text(&document);
        let _ = text(&bytes);
        let _ = apply(&document, &bytes);
        let _ = apply(&document, &[&[0, 1, b'$'][..], &bytes].concat());
    }
}

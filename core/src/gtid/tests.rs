use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const UUID: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
const OTHER: &str = "aaaaaaaa-0000-0000-0000-000000000001";

fn set(text: &str) -> GtidSet {
    text.parse().expect("a GTID set")
}

fn position(text: &str) -> GtidPosition {
    text.parse().expect("a GTID position")
}

#[test]
fn a_position_of_either_flavour_is_printed_as_it_was_read() {
    for text in
        ["", "0-1-7,5-2-9", &format!("{UUID}:1-5:7"), &format!("{UUID}:1-5,{UUID}:batch:1-3,{OTHER}:9")]
    {
        assert_eq!(position(text).to_string(), text);
    }
}

#[test]
fn the_forms_in_which_a_server_prints_sets_are_read_alike() {
    let expected = set(&format!("{UUID}:1-5:7,{UUID}:batch:1-3,{OTHER}:9"));
    for text in [
        format!("{UUID}:1-5:7:batch:1-3,\n{OTHER}:9"),
        format!("{}:7:1-3:4-5 , {OTHER}:9,{UUID}:Batch:3:1-2", UUID.to_uppercase()),
        format!("{}:1-5:7:batch:1-3,{OTHER}:9", UUID.replace('-', "")),
    ] {
        assert_eq!(set(&text), expected, "{text}");
    }
}

#[test]
fn what_is_no_position_is_refused_with_the_part_that_is_wrong() {
    for text in ["7", "0-1", "0-1-x", "zz:1", "0-1-2-3"] {
        assert_eq!(text.parse::<GtidPosition>(), Err(NotAGtid(text.to_owned())));
    }
    for rest in ["0", "5-1", "1-", "x y:1", "1_a:1", "9223372036854775807", &"t".repeat(33)] {
        let text = format!("{UUID}:{rest}");
        assert_eq!(text.parse::<GtidPosition>(), Err(NotAGtid(text.clone())));
    }
}

#[test]
fn a_position_holds_another_by_sequence_or_by_set() {
    assert!(position("1-1-5,2-2-9").contains(&position("1-3-5")));
    assert!(!position("1-1-5").contains(&position("2-1-1")));
    let all = position(&format!("{UUID}:1-9"));
    assert!(all.contains(&position(&format!("{UUID}:3:5-6"))));
    assert!(!all.contains(&position(&format!("{UUID}:batch:3"))), "a tag counts apart");
    assert!(!all.contains(&position("1-1-1")), "the flavours have nothing in common");
    assert!(all.contains(&GtidPosition::default()));
}

#[test]
fn going_back_is_told_from_servers_that_number_without_regard_to_each_other() {
    assert!(position("1-2-4").can_follow(&position("1-1-5")));
    assert!(!position("1-1-4").can_follow(&position("1-1-5")));
    assert!(!GtidPosition::default().can_follow(&position("1-1-5")));
    assert!(!position(&format!("{UUID}:2-9")).can_follow(&position(&format!("{UUID}:1"))));
}

#[test]
fn the_encodings_are_the_servers() {
    let uuid: Uuid = UUID.parse().expect("a uuid");
    let mut plain = vec![1, 0, 0, 0, 0, 0, 0, 0];
    plain.extend(uuid.0);
    plain.extend([1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(set(&format!("{UUID}:1-5")).encode(), plain);
    let mut tagged = vec![1, 1, 0, 0, 0, 0, 0, 1];
    tagged.extend(uuid.0);
    tagged.extend([4, b'a', b'b', 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(set(&format!("{UUID}:ab:2")).encode(), tagged);
}

/// Few sources and small numbers, so that sets meet.
fn any_numbers() -> impl Strategy<Value = BTreeSet<(u8, u64)>> {
    prop::collection::btree_set((0u8..4, 1u64..20), 0..30)
}

fn source(index: u8) -> GtidSource {
    let uuid = if index < 2 { UUID } else { OTHER }.parse().expect("a uuid");
    GtidSource { uuid, tag: Tag::new(["", "tag"][usize::from(index % 2)]).expect("a tag") }
}

fn of(numbers: &BTreeSet<(u8, u64)>) -> GtidSet {
    let mut set = GtidSet::default();
    // Not in order: evens first.
    for &(index, number) in numbers.iter().filter(|(_, n)| n % 2 == 0).chain(numbers.iter()) {
        set.advance(&MySqlGtid { source: source(index), number });
    }
    set
}

proptest! {
    #[test]
    fn sets_behave_like_sets_of_numbers(a in any_numbers(), b in any_numbers()) {
        let (left, right) = (of(&a), of(&b));
        prop_assert_eq!(left.contains(&right), b.is_subset(&a));
        prop_assert_eq!(left.count(), a.len() as u64);
        let mut both = left.clone();
        both.unite(&right);
        prop_assert_eq!(&both, &of(&(&a | &b)));
        let mut rest = left.clone();
        rest.subtract(&right);
        prop_assert_eq!(rest, of(&(&a - &b)));
        for index in 0..4 {
            for number in 1..20 {
                let gtid = MySqlGtid { source: source(index), number };
                prop_assert_eq!(left.contains_gtid(&gtid), a.contains(&(index, number)));
            }
        }
    }

    #[test]
    fn sets_come_back_from_text_and_bytes(a in any_numbers()) {
        let set = of(&a);
        prop_assert_eq!(set.to_string().parse::<GtidSet>(), Ok(set.clone()));
        prop_assert_eq!(GtidSet::decode(&set.encode()), Ok(set));
    }

    #[test]
    fn no_bytes_make_decoding_panic(
        count in 0u64..4, tagged: bool, bytes in prop::collection::vec(any::<u8>(), 0..120),
    ) {
        let head = if tagged { 1 << 56 | count << 8 | 1 } else { count };
        let _ = GtidSet::decode(&[&head.to_le_bytes()[..], &bytes].concat());
        let _ = GtidSet::decode(&bytes);
    }

    #[test]
    fn no_text_makes_parsing_panic(text in "[0-9a-f:,_ -]{0,80}") {
        let _ = text.parse::<GtidPosition>();
        let _ = format!("{UUID}:{text}").parse::<GtidPosition>();
    }
}

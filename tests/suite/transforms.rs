//! Transforms in the configuration: what is accepted, and what is refused with which words.

use std::path::Path;

use weft::config::{Deployment, Problem};
use weft_core::filter::transform::mask::Mask;
use weft_core::tables::TableName;

use crate::config::TWO_SITES;

const BETWEEN: &str = "between = [\"sh.main\", \"bj.main\"]";

fn parse(one_way: bool, lines: &str) -> Result<Deployment, Problem> {
    assert!(TWO_SITES.contains(BETWEEN));
    let way = if one_way { "from = \"sh.main\"\nto = \"bj.main\"" } else { BETWEEN };
    let text = format!("{}\n{lines}\n", TWO_SITES.replace(BETWEEN, way));
    Deployment::parse(Path::new("dir/weft.toml"), &text)
}

fn transform(keys: &str) -> String {
    format!("[[channels.orders.transform]]\ntable = \"shop.users\"\n{keys}")
}

fn refusal(one_way: bool, keys: &str) -> String {
    let problem = parse(one_way, &transform(keys)).map(|_| ()).expect_err(keys).to_string();
    assert!(!problem.contains('\n'), "{problem}");
    problem
}

const WHOLE: &str = "rename_table = \"crm.members\"\nrename_columns = { tel = \"phone\" }\n\
    where = \"region = 'east'\"\nmask = { phone = \"sha256\" }";

#[test]
fn a_transform_one_way_is_accepted_and_names_its_tables_at_both_ends() {
    let deployment = parse(true, &transform(WHOLE)).expect("accepted");
    let orders = &deployment.channels["orders"];
    let (old, new) = (TableName::new("shop", "users"), TableName::new("crm", "members"));
    let transforms = orders.transforms(&orders.directions[0]);
    let only = transforms.of(&old).expect("it is of this table");
    assert_eq!((only.target(), only.mask("phone")), (&new, Some(Mask::Sha256)));
    let (at_sh, at_bj) = (orders.tables_at("sh.main"), orders.tables_at("bj.main"));
    assert!(at_sh.chooses(&old) && !at_sh.chooses(&new));
    assert!(!at_bj.chooses(&old) && at_bj.chooses(&new));
    let other = TableName::new("shop", "orders");
    assert!(at_sh.chooses(&other) && at_bj.chooses(&other));
}

#[test]
fn a_source_table_that_already_has_the_new_name_stays_behind() {
    let deployment = parse(true, &transform("rename_table = \"shop.members\"")).expect("accepted");
    let orders = &deployment.channels["orders"];
    assert!(!orders.tables_at("sh.main").chooses(&TableName::new("shop", "members")));
    assert!(orders.tables_at("bj.main").chooses(&TableName::new("shop", "members")));
}

#[test]
fn names_alone_are_changed_both_ways_and_changed_back() {
    let renames = "rename_table = \"crm.members\"\nrename_columns = { tel = \"phone\" }";
    let deployment = parse(false, &transform(renames)).expect("accepted");
    let orders = &deployment.channels["orders"];
    let back = orders.transforms(&orders.directions[1]);
    let only = back.of(&TableName::new("crm", "members")).expect("the other way too");
    assert_eq!((only.target(), only.target_column("phone")), (&TableName::new("shop", "users"), "tel"));
    for (keys, field) in [("where = \"a = 1\"", "where"), ("mask = { a = \"null\" }", "mask")] {
        assert_eq!(
            refusal(false, keys),
            format!(
                "config keys channels.orders.transform[0].{field} and channels.orders.between clash: what is left out or \
                 masked on the way cannot come back the same; use from and to"
            )
        );
    }
}

#[test]
fn rules_that_look_at_rows_and_tables_of_two_names_are_not_built_together() {
    let text = format!("conflict = \"site-priority\"\nsite_priority = [\"sh\", \"bj\"]\n{}", transform(""));
    let refused = parse(false, &format!("{text}rename_table = \"shop.members\""));
    let refused = refused.map(|_| ()).expect_err("not built").to_string();
    assert!(refused.contains("channels.orders.transform: a table of two names under a rule"), "{refused}");
}

#[test]
fn what_makes_no_sense_is_refused_with_its_place() {
    for (keys, says) in [
        ("", "transform[0] is not valid: it changes nothing"),
        ("where = \"a = 1 AND\"", "transform[0].where is not valid: at character 10: a column is missing"),
        ("where = \"a LIKE 'x'\"", "at character 3: a comparison"),
        (
            "mask = { a = \"md5\" }",
            "mask.a is not valid: there is no mask \"md5\"; write \"sha256\", \"null\" or \"redact\"",
        ),
        ("rename_table = \"members\"", "\"members\" is not a table"),
        ("rename_table = \"weft.mark\"", "\"weft.mark\" is not a table"),
        ("rename_table = \"shop.*\"", "\"shop.*\" is not a table"),
        ("rename_columns = { a = \"c\", b = \"C\" }", "\"b\" cannot become \"C\""),
        ("where = \"a = 1\"\nfilter = \"b\"", "unknown config key channels.orders.transform[0].filter"),
    ] {
        let refused = refusal(true, keys);
        assert!(refused.contains(says), "{keys}: {refused}");
    }
    let two = format!("{}\n{}", transform("where = \"a = 1\""), transform("mask = { a = \"null\" }"));
    let refused = parse(true, &two).map(|_| ()).expect_err("twice").to_string();
    assert!(refused.contains("both speak of table shop.users"), "{refused}");
    let elsewhere = transform("where = \"a = 1\"").replace("shop.users", "crm.users");
    let refused = parse(true, &elsewhere).map(|_| ()).expect_err("not its table").to_string();
    assert!(refused.contains("the channel does not have table crm.users"), "{refused}");
}

#[test]
fn two_channels_never_write_to_one_table_of_a_target() {
    let other = "[channels.members]\nfrom = \"bj.main\"\nto = \"sh.main\"\ntables = [\"crm.members\"]";
    let clash = parse(true, &format!("{}\n{other}", transform("rename_table = \"crm.members\"")));
    let refused = clash.map(|_| ()).expect_err("back under another name").to_string();
    assert!(refused.contains("both take crm.members between"), "{refused}");
    let same = other.replace("from = \"bj.main\"\nto = \"sh.main\"", "from = \"sh.main\"\nto = \"bj.main\"");
    let clash = parse(true, &format!("{}\n{same}", transform("rename_table = \"crm.members\"")));
    let refused = clash.map(|_| ()).expect_err("two into one").to_string();
    assert!(refused.contains("both write to crm.members at bj.main"), "{refused}");
}

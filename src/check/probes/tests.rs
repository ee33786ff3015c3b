//! Each probe against facts made up for it.

use std::path::Path;

use weft_core::tables::TableName;

use super::*;
use crate::check::facts::{
    BinlogFilters, Cascade, Collation, ColumnFacts, KeyColumn, NativeSource, TableFacts,
};
use crate::check::finding::Level;
use crate::check::grants::Grants;
use crate::config::Deployment;

const CONFIG: &str = include_str!("../../../tests/data/two-sites.toml");

fn deployment() -> Deployment {
    Deployment::parse(Path::new("weft.toml"), CONFIG).expect("the contract's file")
}

/// Facts with nothing to find fault with.
fn good(instance: &str, server_id: u32) -> InstanceFacts {
    let settings = [
        ("log_bin", "ON"),
        ("binlog_format", "ROW"),
        ("binlog_row_image", "FULL"),
        ("binlog_row_metadata", "FULL"),
        ("binlog_expire_logs_seconds", "0"),
        ("log_slave_updates", "ON"),
        ("read_only", "OFF"),
        ("slave_exec_mode", "STRICT"),
        ("slave_run_triggers_for_rbr", "NO"),
        ("max_allowed_packet", "16777216"),
        ("sync_binlog", "1"),
        ("innodb_flush_log_at_trx_commit", "1"),
        ("secure_timestamp", "YES"),
        ("auto_increment_increment", "1"),
        ("auto_increment_offset", "1"),
    ];
    let mut variables: BTreeMap<String, String> =
        settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    variables.insert("server_id".to_owned(), server_id.to_string());
    InstanceFacts {
        instance: instance.to_owned(),
        version: "10.11.19-MariaDB-log".to_owned(),
        host: "127.0.0.1".to_owned(),
        port: u16::try_from(3300 + server_id).expect("small"),
        variables,
        binlog_filters: Some(BinlogFilters::default()),
        native_sources: Some(Vec::new()),
        grants: Grants::parse("root@%", ["GRANT ALL PRIVILEGES ON *.* TO `root`@`%`"]),
        has_weft_schema: true,
        tables: vec![table("orders")],
        ..InstanceFacts::default()
    }
}

fn table(name: &str) -> TableFacts {
    let id = ColumnFacts {
        name: "id".to_owned(),
        column_type: "int(11)".to_owned(),
        collation: None,
        nullable: false,
        auto_increment: false,
    };
    TableFacts {
        name: TableName::new("shop", name),
        engine: "InnoDB".to_owned(),
        transactional: true,
        columns: vec![id],
        keys: vec![KeyColumn {
            key: "PRIMARY".to_owned(),
            column: "id".to_owned(),
            prefix: false,
            collation: None,
        }],
        triggers: Vec::new(),
        cascades: Vec::new(),
    }
}

/// Codes found at one two-way instance whose facts were changed.
fn found(change: impl FnOnce(&mut InstanceFacts)) -> Vec<(Level, &'static str)> {
    let deployment = deployment();
    let mut facts = good("sh.main", 1);
    change(&mut facts);
    let subject = Subject {
        facts: &facts,
        is_source: true,
        is_target: true,
        conflict_window: Duration::from_secs(604_800),
        channels: deployment.channels.values().collect(),
    };
    instance(&subject).iter().map(|finding| (finding.level, finding.code)).collect()
}

#[test]
fn a_column_that_decides_is_in_every_table_and_has_an_order() {
    let rule = "[channels.orders]\nconflict = \"column\"\ncolumn = \"at\"";
    let deployment = Deployment::parse(Path::new("weft.toml"), &CONFIG.replace("[channels.orders]", rule))
        .expect("accepted");
    let found = |column_type: Option<&str>| {
        let mut facts = good("sh.main", 1);
        facts.tables[0].columns.extend(column_type.map(|kind| ColumnFacts {
            name: "at".to_owned(),
            column_type: kind.to_owned(),
            collation: None,
            nullable: true,
            auto_increment: false,
        }));
        let subject = Subject {
            facts: &facts,
            is_source: true,
            is_target: true,
            conflict_window: Duration::from_secs(604_800),
            channels: deployment.channels.values().collect(),
        };
        instance(&subject).iter().map(|finding| (finding.level, finding.code)).collect::<Vec<_>>()
    };
    assert_eq!(found(Some("timestamp(6)")), []);
    assert_eq!(found(None), [(Level::Error, "no-deciding-column")]);
    assert_eq!(found(Some("varchar(20)")), [(Level::Error, "deciding-column-type")]);
}

/// Codes found in the first direction between two ends whose facts were changed.
fn found_between(change: impl FnOnce(&mut InstanceFacts, &mut InstanceFacts)) -> Vec<(Level, &'static str)> {
    let deployment = deployment();
    let (mut from, mut to) = (good("sh.main", 1), good("bj.main", 2));
    change(&mut from, &mut to);
    let channel = &deployment.channels["orders"];
    let both = Link { channel, from: &from, to: &to, first: true, interleave: (2, 2, 1) };
    link(&both).iter().map(|finding| (finding.level, finding.code)).collect()
}

fn set(name: &'static str, value: &'static str) -> impl FnOnce(&mut InstanceFacts) {
    move |facts| {
        facts.variables.insert(name.to_owned(), value.to_owned());
    }
}

#[test]
fn good_servers_have_no_findings() {
    assert_eq!(found(|_| {}), []);
    assert_eq!(found_between(|_, _| {}), []);
    let facts = [good("sh.main", 1), good("bj.main", 2)].map(|facts| (facts.instance.clone(), facts));
    assert_eq!(equal_server_ids(&BTreeMap::from(facts)), []);
}

#[test]
fn each_bad_setting_is_found_by_its_probe() {
    use Level::{Error, Warning};
    for (name, value, expected) in [
        ("log_bin", "OFF", (Error, "binlog-off")),
        ("binlog_format", "STATEMENT", (Error, "binlog-format")),
        ("binlog_format", "MIXED", (Error, "binlog-format")),
        ("binlog_row_image", "MINIMAL", (Error, "row-image")),
        ("binlog_row_image", "NOBLOB", (Error, "row-image")),
        ("binlog_row_metadata", "NO_LOG", (Warning, "row-metadata")),
        ("binlog_expire_logs_seconds", "3600", (Warning, "retention")),
        ("read_only", "ON", (Error, "read-only")),
        ("slave_exec_mode", "IDEMPOTENT", (Error, "slave-exec-mode")),
        ("slave_run_triggers_for_rbr", "YES", (Error, "slave-triggers")),
        ("max_allowed_packet", "1048576", (Error, "max-allowed-packet")),
        ("sync_binlog", "0", (Warning, "durability")),
        ("innodb_flush_log_at_trx_commit", "2", (Warning, "durability")),
        ("secure_timestamp", "NO", (Warning, "set-timestamp")),
    ] {
        assert_eq!(found(set(name, value)), [expected], "{name} = {value}");
    }
}

#[test]
fn an_unknown_and_an_old_version_are_refused_alone() {
    for version in ["10.0.1", "5.7.44", "10.5.29-MariaDB", "5.5.5-10.3.1-MariaDB"] {
        assert_eq!(found(|facts| facts.version = version.to_owned()), [(Level::Error, "unsupported")]);
    }
    for version in ["11.8.2-MariaDB", "8.0.40", "9.7.0"] {
        assert_eq!(found(|facts| facts.version = version.to_owned()), []);
    }
}

#[test]
fn equal_server_ids_are_found_once_a_pair() {
    let facts = [good("sh.main", 7), good("bj.main", 7)].map(|facts| (facts.instance.clone(), facts));
    let findings = equal_server_ids(&BTreeMap::from(facts));
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].instance.as_deref(), Some("sh.main"));
    assert_eq!(findings[0].fix, "SET GLOBAL server_id = 8, and the same in its option file");
}

#[test]
fn binlog_filters_that_hide_the_mark_or_a_replicated_schema_are_errors() {
    let filters = |do_db: &[&str], ignore_db: &[&str]| {
        let own = |list: &[&str]| list.iter().map(|&name| name.to_owned()).collect();
        let filters = BinlogFilters { do_db: own(do_db), ignore_db: own(ignore_db) };
        found(move |facts| facts.binlog_filters = Some(filters))
    };
    let error = (Level::Error, "binlog-filter");
    assert_eq!(filters(&["shop"], &[]), [error]);
    assert_eq!(filters(&[], &["weft"]), [error]);
    assert_eq!(filters(&["weft"], &[]), [error]);
    assert_eq!(filters(&[], &["weft", "shop"]), [error, error]);
    assert_eq!(filters(&["weft", "shop"], &["logs"]), []);
}

#[test]
fn missing_grants_are_told_apart_by_what_they_are_for() {
    let with = |lines: &[&str]| {
        let grants = Grants::parse("weft@%", lines.iter().copied());
        found(move |facts| facts.grants = grants).into_iter().map(|(_, code)| code).collect::<Vec<_>>()
    };
    let global = "GRANT REPLICATION SLAVE, BINLOG MONITOR, BINLOG REPLAY, BINLOG ADMIN ON *.* TO `weft`@`%`";
    let own = "GRANT ALL PRIVILEGES ON `weft`.* TO `weft`@`%`";
    let sql = "GRANT SELECT, INSERT, UPDATE, DELETE ON `shop`.* TO `weft`@`%`";
    assert_eq!(with(&[global, own, sql]), Vec::<&str>::new());
    assert_eq!(with(&[own, sql]), ["grant-binlog", "grant-replay"]);
    assert_eq!(with(&[global, sql]), ["grant-schema"]);
    assert_eq!(with(&[global, own]), ["grant-sql"]);
    assert_eq!(with(&[global, own, "GRANT SELECT ON `shop`.* TO `weft`@`%`"]), ["grant-sql"]);
    let one = "GRANT SELECT, INSERT, UPDATE, DELETE ON `shop`.`orders` TO `weft`@`%`";
    assert_eq!(with(&[global, own, one]), Vec::<&str>::new());
    let replay = "GRANT REPLICATION SLAVE, BINLOG MONITOR, BINLOG REPLAY ON *.* TO `weft`@`%`";
    assert_eq!(with(&[replay, own, sql]), ["grant-replay"]);
}

#[test]
fn mysql_has_privileges_of_its_own() {
    let with = |lines: &[&str]| {
        let grants = Grants::parse("weft@%", lines.iter().copied());
        let change = move |facts: &mut InstanceFacts| {
            facts.version = "9.7.4".to_owned();
            facts.grants = grants;
        };
        found(change).into_iter().map(|(_, code)| code).collect::<Vec<_>>()
    };
    let own = "GRANT ALL PRIVILEGES ON `weft`.* TO `weft`@`%`";
    let sql = "GRANT SELECT, INSERT, UPDATE, DELETE ON `shop`.* TO `weft`@`%`";
    let read = "GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO `weft`@`%`";
    let replay = "GRANT BINLOG_ADMIN,SESSION_VARIABLES_ADMIN ON *.* TO `weft`@`%`";
    let applier = "GRANT REPLICATION_APPLIER,SESSION_VARIABLES_ADMIN ON *.* TO `weft`@`%`";
    assert_eq!(with(&[read, replay, own, sql]), Vec::<&str>::new());
    assert_eq!(with(&[read, applier, own, sql]), Vec::<&str>::new());
    assert_eq!(with(&[read, own, sql]), ["grant-replay"]);
    assert_eq!(with(&[replay, own, sql]), ["grant-binlog"]);
}

#[test]
fn mysql_without_gtids_is_told_of() {
    assert_eq!(found(set("gtid_mode", "OFF")), [(Level::Warning, "no-gtid")]);
    assert_eq!(found(set("gtid_mode", "ON")), []);
}

#[test]
fn between_the_flavours_triggers_fire_and_only_missing_columns_count() {
    let mysql = |_: &mut InstanceFacts, to: &mut InstanceFacts| {
        to.version = "9.7.4".to_owned();
        to.tables[0].columns[0].column_type = "int".to_owned();
    };
    assert_eq!(found_between(mysql), []);
    let firing = |from: &mut InstanceFacts, to: &mut InstanceFacts| {
        mysql(from, to);
        to.tables[0].triggers.push("t".to_owned());
    };
    assert_eq!(found_between(firing), [(Level::Warning, "flavours")]);
    let renamed = |from: &mut InstanceFacts, to: &mut InstanceFacts| {
        mysql(from, to);
        to.tables[0].columns[0].name = "number".to_owned();
    };
    assert_eq!(found_between(renamed), [(Level::Warning, "table-differs")]);
}

#[test]
fn tables_that_cannot_be_replicated_are_errors_of_their_channel() {
    let change = |change: fn(&mut TableFacts)| {
        found(move |facts| change(&mut facts.tables[0])).into_iter().map(|(_, code)| code).collect::<Vec<_>>()
    };
    assert_eq!(change(|table| table.keys.clear()), ["no-primary-key"]);
    assert_eq!(change(|table| table.transactional = false), ["not-transactional"]);
    assert_eq!(
        change(|table| table
            .cascades
            .push(Cascade { constraint: "fk".to_owned(), rule: "ON DELETE CASCADE".to_owned() })),
        ["cascade"]
    );
    assert_eq!(change(|table| table.triggers.push("t".to_owned())), ["triggers"]);
    let collated = |id| Some(Collation { name: "latin1_german2_ci".to_owned(), id });
    let key =
        |collation| KeyColumn { key: "u".to_owned(), column: "id".to_owned(), prefix: false, collation };
    let keyed = move |id| found(move |facts| facts.tables[0].keys.push(key(collated(id))));
    assert_eq!(keyed(31), [(Level::Error, "collation")]);
    assert_eq!(keyed(45), []);
    let prefixed = KeyColumn { prefix: true, ..key(None) };
    assert_eq!(found(|facts| facts.tables[0].keys.push(prefixed)), [(Level::Error, "prefix-key")]);
    let taken_out = |facts: &mut InstanceFacts| {
        facts.tables[0].name = TableName::new("shop", "audit_log");
        facts.tables[0].keys.clear();
    };
    assert_eq!(found(taken_out), []);
}

#[test]
fn native_replication_between_the_ends_is_a_circle() {
    let source = |host: &str, port, server_id| {
        vec![NativeSource { host: host.to_owned(), port, server_id, running: true }]
    };
    let circle = [(Level::Error, "native-circle")];
    assert_eq!(found_between(|from, to| from.native_sources = Some(source("127.0.0.1", to.port, 0))), circle);
    assert_eq!(found_between(|_, to| to.native_sources = Some(source("db1", 3306, 1))), circle);
    assert_eq!(found_between(|_, to| to.native_sources = Some(source("db9", 3306, 9))), []);
}

#[test]
fn auto_increment_that_collides_is_told_with_the_statements_for_both_sites() {
    let counting = |facts: &mut InstanceFacts| facts.tables[0].columns[0].auto_increment = true;
    let collides = [(Level::Warning, "auto-increment")];
    let both = |from: &mut InstanceFacts, to: &mut InstanceFacts| {
        counting(from);
        counting(to);
    };
    assert_eq!(found_between(both), collides);
    let interleaved = |from: &mut InstanceFacts, to: &mut InstanceFacts| {
        both(from, to);
        set("auto_increment_increment", "2")(from);
        set("auto_increment_increment", "2")(to);
        set("auto_increment_offset", "2")(to);
    };
    assert_eq!(found_between(interleaved), []);
}

#[test]
fn clocks_packets_and_shapes_that_differ_are_found() {
    assert_eq!(found_between(|from, _| from.clock_ahead_us = -5_000_000), [(Level::Warning, "clocks")]);
    assert_eq!(found_between(|from, _| from.clock_ahead_us = 900_000), []);
    let larger =
        |from: &mut InstanceFacts, _: &mut InstanceFacts| set("max_allowed_packet", "33554432")(from);
    assert_eq!(found_between(larger), [(Level::Error, "max-allowed-packet")]);
    assert_eq!(found_between(|_, to| to.tables.clear()), [(Level::Warning, "no-table")]);
    let wider = |_: &mut InstanceFacts, to: &mut InstanceFacts| {
        to.tables[0].columns[0].column_type = "bigint(20)".to_owned();
    };
    assert_eq!(found_between(wider), [(Level::Warning, "table-differs")]);
}

#[test]
fn a_standby_must_log_what_it_replicates_and_take_no_writes() {
    let mut standby = good("sh.main", 9);
    standby.variables.insert("read_only".to_owned(), "ON".to_owned());
    assert!(super::standby(&standby).is_empty());
    standby.variables.insert("log_slave_updates".to_owned(), "OFF".to_owned());
    assert_eq!(super::standby(&standby)[0].code, "standby-binlog");
    let found = super::standby(&good("sh.main", 9));
    assert!(found.len() == 1 && found[0].code == "standby-writable", "{found:?}");
}

//! Configuration files: what is accepted, and what is refused with which words.

use std::path::Path;
use std::time::Duration;

use weft::config::raw::RawDeployment;
use weft::config::{ByteSize, Deployment, Direction, Problem};
use weft::mysql::tls::TlsMode;
use weft_core::channel::delivery::Consistency;
use weft_core::filter::decide::ConflictRule;
use weft_core::instance::InstanceId;
use weft_core::tables::TableFilter;

pub const TWO_SITES: &str = include_str!("../data/two-sites.toml");
const FULL: &str = include_str!("../data/full.toml");

fn parse(text: &str) -> Result<Deployment, Problem> {
    Deployment::parse(Path::new("dir/weft.toml"), text)
}

fn refusal(text: &str) -> String {
    let problem = parse(text).map(|_| ()).expect_err("refused").to_string();
    assert!(!problem.contains('\n'), "{problem}");
    problem
}

/// `two-sites.toml` with one piece of text exchanged.
fn with(old: &str, new: &str) -> String {
    assert!(TWO_SITES.contains(old), "{old}");
    TWO_SITES.replacen(old, new, 1)
}

/// `two-sites.toml` with lines added to its channel, which is its last section.
fn with_channel(lines: &str) -> String {
    format!("{TWO_SITES}\n{lines}\n")
}

#[test]
fn the_two_sites_file_is_accepted_with_every_default() {
    let deployment = parse(TWO_SITES).expect("accepted");
    assert_eq!(deployment.cluster, "shop");
    assert_eq!(deployment.sites, ["bj", "sh"]);
    let sh = &deployment.instances["sh.main"];
    assert_eq!(
        (sh.id, sh.buffer, sh.segment),
        (InstanceId::of("sh.main"), ByteSize::gib(64), ByteSize::mib(64))
    );
    assert_eq!(
        (sh.conflict_window, sh.heartbeat),
        (Duration::from_secs(604_800), Some(Duration::from_secs(1)))
    );
    let server = sh.servers().expect("resolved").remove(0);
    assert_eq!((server.to_string().as_str(), server.password.reveal().as_str()), ("root@127.0.0.1:3311", ""));
    let node = deployment.node("sh-1").expect("there");
    assert_eq!(node.peer.to_string(), "127.0.0.1:7411");
    assert_eq!(node.admin().expect("literal").to_string(), "127.0.0.1:7481");
    assert_eq!(node.data().expect("literal"), Path::new("dir/data/sh-1"));
    let orders = &deployment.channels["orders"];
    assert_eq!((orders.rule, orders.consistency), (ConflictRule::LastWriteWins, Consistency::Transaction));
    assert_eq!((orders.shards, orders.batch_rows_max), (8, 5_000));
    assert_eq!((orders.in_flight, orders.fence_timeout), (ByteSize::mib(64), Duration::from_millis(200)));
    assert!(orders.is_two_way() && deployment.is_source("sh.main") && deployment.is_target("sh.main"));
    let into: Vec<&Direction> = deployment.directions_into("bj").map(|(_, direction)| direction).collect();
    assert_eq!(into, [&Direction { from: "sh.main".to_owned(), to: "bj.main".to_owned() }]);
}

#[test]
fn the_full_file_parses_and_its_unbuilt_keys_are_refused_by_name() {
    assert!(RawDeployment::parse(FULL).is_ok());
    assert_eq!(refusal(FULL), "config key tls is not built yet; remove it");
}

#[test]
fn every_key_of_the_full_file_parses_when_its_comment_sign_is_taken_off() {
    for (number, line) in FULL.lines().enumerate() {
        let Some(setting) = line.strip_prefix("# ").filter(|text| text.contains(" = ")) else { continue };
        let in_transform = FULL.lines().position(|line| line.starts_with("# [[")).expect("a transform");
        let setting = match number > in_transform {
            true => format!("[[channels.orders.transform]]\ntable = \"a.b\"\n{setting}"),
            false => setting.replace("[[", "x"),
        };
        if setting.contains("table = \"shop.users\"") {
            continue;
        }
        let lines = FULL.lines().enumerate();
        let text: Vec<&str> =
            lines.map(|(n, line)| if n == number { setting.as_str() } else { line }).collect();
        let parsed = RawDeployment::parse(&text.join("\n"));
        assert!(parsed.is_ok(), "{setting}: {:?}", parsed.err());
    }
}

#[test]
fn unbuilt_keys_at_their_default_are_let_be() {
    let text =
        with_channel("start = \"now\"\nddl = \"stop\"\nconflict = \"last-write-wins\"\ntransform = []");
    assert!(parse(&text).is_ok());
    let text =
        with("[sites.sh.instances", "[admin]\nbind_without_credentials = \"loopback\"\n[sites.sh.instances");
    assert!(parse(&text).is_ok());
}

#[test]
fn unbuilt_settings_are_refused_by_name() {
    for (line, key) in [
        ("start = \"copy\"", "start"),
        ("batch_wait_max = \"5ms\"", "batch_wait_max"),
        ("ddl = \"replicate\"", "ddl"),
        ("ddl = \"ignore\"", "ddl"),
    ] {
        let expected = format!("config key channels.orders.{key} is not built yet; remove it");
        assert_eq!(refusal(&with_channel(line)), expected);
    }
}

#[test]
fn a_start_names_places_of_the_instances_that_the_channel_reads_from() {
    let text =
        with_channel("start = { \"sh.main\" = \"gtid:0-1-2\", \"bj.main\" = \"file:binlog.000007:1234\" }");
    let deployment = parse(&text).expect("accepted");
    let channel = &deployment.channels["orders"];
    let starts =
        ["sh.main", "bj.main", "gz.main"].map(|name| channel.start_at(name).map(|at| at.to_string()));
    assert_eq!(starts, [Some("gtid:0-1-2".to_owned()), Some("file:binlog.000007:1234".to_owned()), None]);
    for (start, cause) in [
        ("{}", "it names no instance"),
        ("{ \"gz.main\" = \"gtid:0-1-2\" }", "the channel does not read from gz.main"),
        ("{ \"sh.main\" = \"0-1-2\" }", "neither with gtid: nor with file:"),
        ("{ \"sh.main\" = \"gtid:0-1\" }", "'0-1' is not a GTID position"),
        ("{ \"sh.main\" = \"file:binlog:4\" }", "has no number at its end"),
    ] {
        let refused = refusal(&with_channel(&format!("start = {start}")));
        assert!(refused.starts_with("config key channels.orders.start"), "{refused}");
        assert!(refused.contains(cause) && !refused.contains('\n'), "{refused}");
    }
}

#[test]
fn tls_of_an_instance_has_a_mode_and_an_authority_beside_the_file() {
    let instance = "url = \"mysql://root@127.0.0.1:3311\"";
    let tls = |tls: &str| with(instance, &format!("{instance}\ntls = {{ {tls} }}"));
    let of = |text: &str| {
        let server =
            parse(text).expect("accepted").instances["sh.main"].servers().expect("resolved").remove(0);
        (server.tls.mode, server.tls.ca)
    };
    assert_eq!(of(TWO_SITES), (TlsMode::Off, None));
    assert_eq!(of(&tls("mode = \"required\"")), (TlsMode::Required, None));
    let verified = of(&tls("mode = \"verify-identity\", ca = \"mysql-ca.pem\""));
    assert_eq!(verified, (TlsMode::VerifyIdentity, Some("dir/mysql-ca.pem".into())));
    assert_eq!(
        refusal(&tls("mode = \"required\", ca = \"mysql-ca.pem\"")),
        "config keys sites.sh.instances.main.tls.ca and sites.sh.instances.main.tls.mode clash: a \
         certificate is given that this mode does not look at; set mode to verify-identity, or take ca out"
    );
    let text = tls("mode = \"verify-ca\"");
    assert_eq!(refusal(&text), "config key sites.sh.instances.main.tls.mode is not built yet; remove it");
}

#[test]
fn an_unknown_key_is_refused_with_its_path_and_what_is_allowed_there() {
    assert_eq!(
        refusal(&with("peer  =", "peeer =")),
        "unknown config key sites.sh.nodes.sh-1.peeer; allowed there: peer, advertise, admin, data, zone"
    );
    let top = refusal(&with("cluster =", "clutser = \"x\"\ncluster ="));
    assert!(top.starts_with("unknown config key clutser; allowed there: cluster, token_file, tls"), "{top}");
    assert!(refusal(&with_channel("shard = 3")).starts_with("unknown config key channels.orders.shard;"));
}

#[test]
fn wrong_types_and_values_are_refused_with_path_and_allowed_values() {
    for (line, said) in [
        ("shards = 0", "config key channels.orders.shards = 0 is out of range; allowed: 1 to 256"),
        ("shards = 257", "config key channels.orders.shards = 257 is out of range; allowed: 1 to 256"),
        ("shards = -1", "config key channels.orders.shards = -1 is out of range; allowed: 1 to 256"),
        (
            "shards = \"8\"",
            "config key channels.orders.shards: invalid type: string \"8\", expected a whole number without quotes",
        ),
        (
            "in_flight = \"1KiB\"",
            "config key channels.orders.in_flight = 1KiB is out of range; allowed: 1MiB to 64GiB",
        ),
        (
            "in_flight = \"64MB\"",
            "config key channels.orders.in_flight: \"64MB\" is not a size; write a size in quotes with KiB, MiB or \
             GiB, such as \"64MiB\"",
        ),
        (
            "fence_timeout = \"2m\"",
            "config key channels.orders.fence_timeout = 2m is out of range; allowed: 1ms to 1m",
        ),
        (
            "consistency = \"rows\"",
            "config key channels.orders.consistency: unknown variant \"rows\", expected one of \"ordered\", \
             \"transaction\", \"row\"",
        ),
        (
            "start = 5",
            "config key channels.orders.start: invalid type: integer \"5\", expected \"now\", \"copy\" or a table of \
             positions by instance",
        ),
    ] {
        assert_eq!(refusal(&with_channel(line)), said);
    }
    let missing = refusal(&with("cluster = \"shop\"", ""));
    assert_eq!(missing, "config key cluster is missing; add it");
    let syntax = refusal(&with("cluster = \"shop\"", "cluster = shop secret"));
    assert!(syntax.starts_with("line 1: not TOML: "), "{syntax}");
}

#[test]
fn instances_have_limits_and_passwords_that_are_not_shown() {
    let url = "url = \"mysql://root@127.0.0.1:3311\"";
    let key = "config key sites.sh.instances.main";
    for (line, said) in [
        (
            "buffer = \"255MiB\"",
            format!("{key}.buffer = 255MiB is out of range; allowed: 256MiB to 1048576GiB"),
        ),
        ("heartbeat = \"1ms\"", format!("{key}.heartbeat = 1ms is out of range; allowed: 100ms to 1h")),
        ("heartbeat = \"on\"", format!("{key}.heartbeat: \"on\" is not a time;")),
        ("conflict_window = \"0s\"", format!("{key}.conflict_window = 0ms is out of range")),
        ("buffer = \"256MiB\"\nsegment = \"128MiB\"", "config keys".to_owned()),
    ] {
        let refused = refusal(&with(url, &format!("{url}\n{line}")));
        assert!(refused.starts_with(&said), "{refused}");
    }
    let off = parse(&with(url, &format!("{url}\nheartbeat = \"off\""))).expect("accepted");
    assert_eq!(off.instances["sh.main"].heartbeat, None);
    let secret = parse(&with("root@127.0.0.1:3311", "root:hunter2@127.0.0.1:3311")).expect("accepted");
    assert!(!format!("{secret:?}").contains("hunter2"));
    let server = secret.instances["sh.main"].servers().expect("resolved").remove(0);
    assert!(!format!("{server:?} {server}").contains("hunter2"));
    assert_eq!(server.password.reveal(), "hunter2");
}

#[test]
fn passwords_of_files_are_read_on_use_and_a_missing_one_is_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("weft.toml");
    let url = "url = \"mysql://root@127.0.0.1:3311\"";
    let text = with(url, &format!("{url}\npassword_file = \"sh.password\""));
    let deployment = Deployment::parse(&file, &text).expect("accepted without the file");
    let refused = deployment.instances["sh.main"].servers().expect_err("no file").to_string();
    assert!(refused.contains("config key sites.sh.instances.main.password_file names"), "{refused}");
    std::fs::write(dir.path().join("sh.password"), "p w\n").expect("written");
    let server = deployment.instances["sh.main"].servers().expect("resolved").remove(0);
    assert_eq!(server.password.reveal(), "p w");
}

#[test]
fn a_variable_is_needed_only_where_it_is_used() {
    let text = with("root@127.0.0.1:3312", "root:${WEFT_TEST_SURELY_NOT_SET}@127.0.0.1:3312");
    let deployment = parse(&text).expect("accepted");
    assert!(deployment.instances["sh.main"].servers().is_ok());
    assert_eq!(
        deployment.instances["bj.main"].servers().expect_err("not set").to_string(),
        "dir/weft.toml: config key sites.bj.instances.main.url needs the environment variable \
         WEFT_TEST_SURELY_NOT_SET, which is not set; set it"
    );
}

#[test]
fn things_that_clash_are_refused() {
    for (old, new, said) in [
        ("127.0.0.1:3312", "127.0.0.1:3311", "they are the same server"),
        ("127.0.0.1:7412", "127.0.0.1:7411", "both listen at 127.0.0.1:7411"),
        ("127.0.0.1:7482", "127.0.0.1:7481", "both listen at 127.0.0.1:7481"),
        ("127.0.0.1:7482", "127.0.0.1:7411", "both listen at 127.0.0.1:7411"),
        ("data/bj-1", "data/sh-1", "both keep their data in data/sh-1"),
        ("sites.bj.nodes.bj-1", "sites.bj.nodes.sh-1", "two nodes have one id"),
        ("127.0.0.1:7412", "10.0.0.1:7412", "10.0.0.1:7412 is not a loopback address"),
        ("127.0.0.1:7482", "0.0.0.0:7482", "0.0.0.0:7482 is not a loopback address"),
        (
            "\"sh.main\", \"bj.main\"",
            "\"sh.main\", \"bj.mian\"",
            "bj.mian, which is not there; known: bj.main, sh.main",
        ),
        ("\"sh.main\", \"bj.main\"", "\"sh.main\", \"sh.main\"", "two different instances"),
        ("\"sh.main\", \"bj.main\"", "\"sh.main\"", "it does not name two instances"),
        ("between =", "from = \"a\"\nbetween =", "a channel has either between, or from and to"),
        ("[\"shop.*\", \"!shop.audit_*\"]", "[\"!shop.audit_*\"]", "nothing takes a table in"),
        ("[\"shop.*\", \"!shop.audit_*\"]", "[]", "nothing takes a table in"),
        ("[\"shop.*\", \"!shop.audit_*\"]", "[\"orders\"]", "\"orders\" matches no table"),
        ("[sites.sh.instances.main]", "[sites.sh.instances.\"a.b\"]", "\"a.b\" is not a name"),
    ] {
        let refused = refusal(&with(old, new));
        assert!(refused.contains(said), "{refused}");
    }
    let second = "[sites.sh.nodes.sh-2]\npeer=\"127.0.0.1:1\"\nadmin=\"127.0.0.1:2\"\ndata=\"d\"";
    let refused = refusal(&with_channel(second));
    assert!(refused.contains("more than one node a site is not built yet"), "{refused}");
}

#[test]
fn conflict_rules_fit_the_direction() {
    assert!(refusal(&with_channel("conflict = \"none\"")).contains("differ for ever"));
    let one_way = |rest: &str| {
        let between = "between = [\"sh.main\", \"bj.main\"]";
        with(between, &format!("from = \"sh.main\"\nto = \"bj.main\"\n{rest}"))
    };
    let accepted = parse(&one_way("conflict = \"none\"")).expect("accepted");
    assert_eq!(accepted.channels["orders"].rule, ConflictRule::None);
    assert!(!accepted.is_target("sh.main") && !accepted.is_source("bj.main"));
    assert!(refusal(&one_way("conflict = \"last-write-wins\"")).contains("a rule needs both directions"));
}

#[test]
fn a_table_is_in_one_channel_between_two_instances_only() {
    let second =
        |ends: &str, tables: &str| with_channel(&format!("[channels.more]\n{ends}\ntables = {tables}"));
    let ways = ["between = [\"bj.main\", \"sh.main\"]", "from = \"bj.main\"\nto = \"sh.main\""];
    for ends in ways {
        for tables in ["[\"shop.*\"]", "[\"shop.orders\"]"] {
            let refused = refusal(&second(ends, tables));
            assert!(
                refused.contains("config keys channels.orders.tables and channels.more.tables clash"),
                "{refused}"
            );
        }
        assert!(parse(&second(ends, "[\"crm.*\", \"shop.audit_log\"]")).is_ok());
    }
}

#[test]
fn rows_that_come_directly_from_their_origin_are_not_passed_on() {
    let third = "[sites.gz.instances.main]\nurl = \"mysql://root@127.0.0.1:3313\"\n\
                 [sites.gz.nodes.gz-1]\npeer = \"127.0.0.1:7413\"\nadmin = \"127.0.0.1:7483\"\ndata = \"data/gz-1\"\n\
                 [channels.gz]\nbetween = [\"gz.main\", \"bj.main\"]\ntables = [\"shop.users\"]\n\
                 [channels.round]\nbetween = [\"gz.main\", \"sh.main\"]\ntables = [\"shop.users\"]\n\
                 [channels.crm]\nbetween = [\"sh.main\", \"bj.main\"]\ntables = [\"crm.*\"]";
    let deployment = parse(&with_channel(third)).expect("accepted");
    let orders = &deployment.channels["orders"];
    let forth = &orders.directions[0];
    let filter = deployment.row_filter(orders, forth);
    assert_eq!(filter.target, InstanceId::of("bj.main"));
    assert_eq!(filter.tables, orders.tables_at("bj.main"));
    assert_eq!(filter.direct, [(InstanceId::of("gz.main"), TableFilter::new(["shop.users"]))]);
    let back = deployment.row_filter(orders, &orders.directions[1]);
    assert_eq!(back.direct, filter.direct);
}

#[test]
fn a_password_in_a_value_of_the_wrong_type_is_not_quoted() {
    let url = "url = \"mysql://root@127.0.0.1:3311\"";
    let refused = refusal(&with(url, "urls = \"mysql://root:hunter2@127.0.0.1:3311\""));
    let said = "config key sites.sh.instances.main.urls: invalid type: string \"…\", expected a sequence";
    assert_eq!(refused, said);
}

#[test]
fn a_file_with_any_byte_changed_is_accepted_or_refused_in_one_line() {
    for at in (0..TWO_SITES.len()).filter(|&at| TWO_SITES.is_char_boundary(at)) {
        let (head, tail) = TWO_SITES.split_at(at);
        let rest = tail.char_indices().nth(1).map_or("", |(next, _)| &tail[next..]);
        for piece in ["", "\"", "\n", "[", "$", "${", "é", "0", ".", "@", ":", "%"] {
            if let Err(problem) = parse(&format!("{head}{piece}{rest}")) {
                assert!(!problem.to_string().contains('\n'), "{problem}");
            }
        }
    }
}

#[test]
fn a_two_way_table_that_reaches_a_site_only_over_another_one_is_refused() {
    let third = "[sites.gz.instances.main]\nurl = \"mysql://root@127.0.0.1:3313\"\n[sites.gz.nodes.gz-1]\n\
                 peer = \"127.0.0.1:7413\"\nadmin = \"127.0.0.1:7483\"\ndata = \"data/gz-1\"\n";
    let channel = |name: &str, a: &str, b: &str| {
        format!("[channels.{name}]\nbetween = [\"{a}.main\", \"{b}.main\"]\ntables = [\"shop.*\"]\n")
    };
    let chain = format!("{TWO_SITES}\n{third}{}", channel("far", "bj", "gz"));
    let refused = refusal(&chain);
    assert!(refused.contains("over bj.main") && refused.contains("add a channel between"), "{refused}");
    let mesh = format!("{chain}{}", channel("straight", "sh", "gz"));
    parse(&mesh).expect("every site reaches every other directly");
    let one_way = chain
        .replace("between = [\"sh.main\", \"bj.main\"]", "from = \"sh.main\"\nto = \"bj.main\"")
        .replace("between = [\"bj.main\", \"gz.main\"]", "from = \"bj.main\"\nto = \"gz.main\"");
    parse(&one_way).expect("copies of copies are all alike");
}

#[test]
fn a_one_way_channel_into_a_table_that_goes_both_ways_with_a_third_instance_is_refused() {
    let third = "[sites.gz.instances.main]\nurl = \"mysql://root@127.0.0.1:3313\"\n[sites.gz.nodes.gz-1]\n\
                 peer = \"127.0.0.1:7413\"\nadmin = \"127.0.0.1:7483\"\ndata = \"data/gz-1\"\n";
    let feeds = |tables: &str| {
        let feed = |name: &str, to: &str| {
            format!("[channels.{name}]\nfrom = \"gz.main\"\nto = \"{to}.main\"\ntables = [\"{tables}\"]\n")
        };
        format!("{TWO_SITES}\n{third}{}{}", feed("near", "bj"), feed("straight", "sh"))
    };
    let refused = refusal(&feeds("shop.orders"));
    let said =
        "config keys channels.near.tables and channels.orders.tables clash: shop.orders goes both ways";
    assert!(refused.starts_with(said) && refused.contains("use between in channels.near"), "{refused}");
    parse(&feeds("crm.*")).expect("its tables go no other way");
}

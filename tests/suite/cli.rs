//! The command line: help, exit statuses and one-line errors.

use crate::config::TWO_SITES;
use crate::program::{ConfigFile, weft};

#[test]
fn every_command_has_help_with_an_example() {
    let commands: [&[&str]; 11] = [
        &[],
        &["node"],
        &["check"],
        &["status"],
        &["channel"],
        &["channel", "pause"],
        &["channel", "resume"],
        &["channel", "skip"],
        &["verify"],
        &["uninstall"],
        &["demo"],
    ];
    for command in commands {
        let ended = weft(&[command, &["--help"]].concat());
        assert_eq!(ended.status, 0, "{ended:?}");
        let example = ended.stdout.split("Example:\n  ").nth(1).unwrap_or("");
        let expected = std::iter::once("weft").chain(command.iter().copied()).collect::<Vec<_>>().join(" ");
        assert!(example.starts_with(&expected), "{command:?}: {}", ended.stdout);
    }
}

#[test]
fn a_bad_command_line_is_one_line_and_exit_status_2() {
    for (arguments, said) in [
        (vec!["check"], "--config <FILE>"),
        (vec!["chek"], "unrecognized subcommand 'chek'"),
        (vec!["status", "--jsn"], "unexpected argument '--jsn'"),
        (vec!["node", "--config", "x"], "--node <ID>"),
        (vec!["demo", "--for", "20"], "\"20\" is not a time"),
        (vec!["status", "--log-format", "xml"], "invalid value 'xml'"),
        (vec!["status", "--log", "a=b=c"], "--log a=b=c"),
        (vec!["status", "--admin", "ftp://127.0.0.1"], "write http://host:port"),
        (vec!["channel", "pause", "a/b"], "\"a/b\" is not a channel's name"),
        (vec!["channel", "pause", "orders", "--scn", "1"], "unexpected argument '--scn'"),
    ] {
        let ended = weft(&arguments);
        assert_eq!(ended.status, 2, "{ended:?}");
        assert!(ended.one_line().contains(said), "{ended:?}");
    }
    assert_eq!(weft(&[]).status, 2);
}

#[test]
fn a_bad_configuration_is_one_line_and_exit_status_2_in_every_command() {
    let file = ConfigFile::new(&TWO_SITES.replace("cluster =", "claster ="));
    for arguments in [
        vec!["check", "--config", file.name()],
        vec!["node", "--config", file.name(), "--node", "sh-1"],
        vec!["verify", "--config", file.name()],
        vec!["uninstall", "--config", file.name(), "--instance", "sh.main"],
    ] {
        let ended = weft(&arguments);
        assert_eq!(ended.status, 2, "{ended:?}");
        let expected = format!("weft: {}: unknown config key claster; allowed there: cluster, ", file.name());
        assert!(ended.one_line().starts_with(&expected), "{ended:?}");
    }
}

#[test]
fn names_that_the_configuration_does_not_have_are_refused() {
    let file = ConfigFile::new(TWO_SITES);
    for (arguments, said) in [
        (vec!["node", "--config", file.name(), "--node", "sh-9"], "no node sh-9 in it; known: bj-1, sh-1"),
        (vec!["check", "--config", file.name(), "--site", "gz"], "no site gz in it; known: bj, sh"),
        (
            vec!["uninstall", "--config", file.name(), "--instance", "sh"],
            "no instance sh in it; known: bj.main, sh.main",
        ),
        (
            vec!["check", "--config", "/nowhere/weft.toml"],
            "/nowhere/weft.toml: the configuration cannot be read",
        ),
    ] {
        let ended = weft(&arguments);
        assert_eq!(ended.status, 2, "{ended:?}");
        assert!(ended.one_line().contains(said), "{ended:?}");
    }
}

#[test]
fn a_node_that_does_not_answer_is_one_line_and_exit_status_1() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", free.local_addr().expect("bound"));
    drop(free);
    for arguments in [
        vec!["status", "--admin", &address],
        vec!["status", "--json", "--admin", &address],
        vec!["channel", "pause", "orders", "--admin", &address],
    ] {
        let ended = weft(&arguments);
        assert_eq!(ended.status, 1, "{ended:?}");
        assert!(ended.one_line().starts_with(&format!("weft: no node answers at {address}: ")), "{ended:?}");
    }
}

/// `two-sites.toml` with ports at which nobody listens.
fn nobody_listens() -> String {
    let bound = [(); 2].map(|()| std::net::TcpListener::bind("127.0.0.1:0").expect("a port"));
    let number = |at: usize| bound[at].local_addr().expect("bound").port().to_string();
    TWO_SITES.replace("3311", &number(0)).replace("3312", &number(1))
}

#[test]
fn a_check_that_finds_errors_prints_them_and_ends_with_1() {
    let file = ConfigFile::new(&nobody_listens());
    let ended = weft(&["check", "--config", file.name()]);
    assert_eq!((ended.status, ended.stderr.as_str()), (1, ""), "{ended:?}");
    let lines: Vec<&str> = ended.stdout.lines().collect();
    assert_eq!(lines.len(), 3, "{ended:?}");
    assert!(
        lines[0].starts_with("error    127.0.0.1:") && lines[0].contains("at bj.main; fix: start"),
        "{ended:?}"
    );
    assert_eq!(lines[2], "not ready: 2 errors, 0 warnings");
    let json = weft(&["check", "--config", file.name(), "--site", "sh", "--json"]);
    let findings: serde_json::Value = serde_json::from_str(&json.stdout).expect("JSON");
    assert_eq!((json.status, findings.as_array().map(Vec::len)), (1, Some(1)));
    for (key, value) in [("level", "error"), ("code", "unreachable"), ("instance", "sh.main")] {
        assert_eq!(findings[0][key], value);
    }
}

#[test]
fn a_variable_that_a_check_needs_and_is_not_set_is_named() {
    let text = TWO_SITES.replace("root@127.0.0.1:3312", "root:${WEFT_TEST_SURELY_NOT_SET}@127.0.0.1:3312");
    let file = ConfigFile::new(&text);
    let ended = weft(&["check", "--config", file.name()]);
    assert_eq!(ended.status, 2);
    assert!(
        ended.one_line().contains("sites.bj.instances.main.url needs the environment variable"),
        "{ended:?}"
    );
}

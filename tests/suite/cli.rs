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

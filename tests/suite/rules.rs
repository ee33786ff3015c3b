//! Conflict rules in the configuration, and which instance decides by them.

use std::path::Path;
use std::time::Duration;

use weft::config::{Deployment, PlainRule, Problem, RuleKind};

use crate::config::TWO_SITES;

fn parse(channel: &str) -> Result<Deployment, Problem> {
    let more = "\n[sites.gz.instances.main]\nurl = \"mysql://root@127.0.0.1:3399\"\n[sites.gz.nodes.gz-1]\n\
                peer = \"127.0.0.1:7499\"\nadmin = \"127.0.0.1:7599\"\ndata = \"gz\"\n";
    let head = TWO_SITES.split("[channels.").next().expect("a text has a beginning");
    Deployment::parse(Path::new("weft.toml"), &format!("{head}{more}{channel}"))
}

fn orders(rule: &str) -> String {
    format!("[channels.orders]\nbetween = [\"sh.main\", \"bj.main\"]\ntables = [\"shop.*\"]\n{rule}\n")
}

/// Three sites, each joined with both others. bj comes first in the first channel by name.
fn mesh(rules: [&str; 3]) -> String {
    [("a", "bj", "sh"), ("b", "sh", "gz"), ("c", "gz", "bj")]
        .iter()
        .zip(rules)
        .map(|((name, from, to), rule)| {
            format!("[channels.{name}]\nbetween = [\"{from}.main\", \"{to}.main\"]\ntables = [\"shop.*\"]\n{rule}\n")
        })
        .collect()
}

fn refusal(channel: &str) -> String {
    let problem = parse(channel).map(|_| ()).expect_err("refused").to_string();
    assert!(!problem.contains('\n') && !problem.contains("secret"), "{problem}");
    problem
}

const PRIORITY: &str = "conflict = \"site-priority\"\nsite_priority = [\"sh\", \"bj\"]";

#[test]
fn each_rule_is_read_with_its_keys() {
    let kind = |rule: &str| {
        let deployment = parse(&orders(rule)).expect("accepted");
        assert_eq!(deployment.channels["orders"].decider.as_deref(), Some("sh.main"));
        deployment.channels["orders"].ruling.clone().expect("a rule").kind
    };
    let column = RuleKind::Plain(PlainRule::Column("at".into()));
    assert_eq!(kind("conflict = \"column\"\ncolumn = \"at\""), column);
    let sites = PlainRule::SitePriority(vec!["sh".into(), "bj".into()]);
    assert_eq!(kind(PRIORITY), RuleKind::Plain(sites));
    let RuleKind::Webhook(hook) =
        kind("conflict = \"webhook\"\nwebhook = { url = \"http://127.0.0.1:1/x\" }")
    else {
        panic!("a webhook")
    };
    assert_eq!((hook.timeout, hook.retries, hook.concurrency), (Duration::from_secs(2), 3, 8));
    assert_eq!(hook.fallback, PlainRule::LastWriteWins);
    let hook = kind(
        "conflict = \"webhook\"\ncolumn = \"at\"\nwebhook = { url = \"${HOOK}\", timeout = \"50ms\", retries = 0, \
         concurrency = 1, fallback = \"column\" }",
    );
    assert_eq!(hook.plain(), &PlainRule::Column("at".into()));
    let RuleKind::Webhook(hook) = hook else { panic!("a webhook") };
    let url = |value: &str| hook.url(&|_: &str| Some(value.to_owned())).map(|url| url.reveal().to_string());
    assert_eq!(url("http://h:1/x").expect("an address"), "http://h:1/x");
    assert!(url("https://secret@h/x").expect_err("refused").to_string().contains("https is not built yet"));
    assert!(parse(&orders("")).expect("accepted").channels["orders"].decider.is_none());
}

#[test]
fn one_site_decides_for_all_channels_that_share_a_table() {
    let all = "conflict = \"column\"\ncolumn = \"at\"";
    let deciders = |text: &str| -> Vec<Option<String>> {
        let deployment = parse(text).expect("accepted");
        deployment.channels.values().map(|channel| channel.decider.clone()).collect()
    };
    assert_eq!(deciders(&mesh([all; 3])), vec![Some("bj.main".to_owned()); 3]);
    let gz = format!("{all}\ndecides = \"gz\"");
    assert_eq!(deciders(&mesh([&gz; 3])), vec![Some("gz.main".to_owned()); 3]);
    assert!(refusal(&mesh([all, &gz, all])).contains("channels.b.decides and channels.a.decides clash"));
    assert!(refusal(&mesh([all, all, ""])).contains("channels.c.conflict and channels.a.conflict clash"));
    let three = "conflict = \"site-priority\"\nsite_priority = [\"gz\", \"sh\", \"bj\"]";
    assert!(parse(&mesh([three; 3])).is_ok());
    assert!(
        refusal(&mesh([PRIORITY; 3]))
            .contains("each of these sites once, the first of them first: bj, gz, sh")
    );
}

#[test]
fn rules_that_lack_something_or_say_too_much_are_refused() {
    let hook = |more: &str| {
        format!("conflict = \"webhook\"\nwebhook = {{ url = \"http://u:secret@127.0.0.1:1/x\", {more} }}")
    };
    for (rule, expected) in [
        ("conflict = \"column\"".to_owned(), "channels.orders.column is missing"),
        ("conflict = \"site-priority\"".to_owned(), "channels.orders.site_priority is missing"),
        ("conflict = \"webhook\"".to_owned(), "channels.orders.webhook is missing"),
        ("column = \"at\"".to_owned(), "channels.orders.column and channels.orders.conflict clash"),
        ("decides = \"sh\"".to_owned(), "channels.orders.decides and channels.orders.conflict clash"),
        (format!("{PRIORITY}\ncolumn = \"at\""), "channels.orders.column and"),
        (format!("{PRIORITY}\ndecides = \"gz\""), "names gz, which is not there; known: bj, sh"),
        ("conflict = \"site-priority\"\nsite_priority = [\"sh\"]".to_owned(), "each of these sites once"),
        (
            "conflict = \"site-priority\"\nsite_priority = [\"sh\", \"sh\"]".to_owned(),
            "each of these sites once",
        ),
        (hook("timeout = \"5ms\""), "webhook.timeout = 5ms is out of range; allowed: 10ms to 1m"),
        (hook("retries = 21"), "webhook.retries = 21 is out of range; allowed: 0 to 20"),
        (hook("concurrency = 0"), "webhook.concurrency = 0 is out of range; allowed: 1 to 64"),
        (hook("fallback = \"column\""), "channels.orders.column is missing"),
        (hook("more = 1"), "unknown config key channels.orders.webhook.more"),
        (
            "conflict = \"webhook\"\nwebhook = { url = \"ftp://secret\" }".to_owned(),
            "it is no http:// address",
        ),
        ("conflict = \"webhook\"\nwebhook = { url = \"secret\" }".to_owned(), "it is no address"),
    ] {
        let problem = refusal(&orders(&rule));
        assert!(problem.contains(expected), "{rule}: {problem}");
    }
    let one_way = orders(PRIORITY)
        .replace("between = [\"sh.main\", \"bj.main\"]", "from = \"sh.main\"\nto = \"bj.main\"");
    assert!(refusal(&one_way).contains("a rule needs both directions"));
}

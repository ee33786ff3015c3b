//! Rules by which conflicts are decided beyond last-write-wins, and where.

use std::time::Duration;

use super::channel::Channel;
use super::deployment::Deployment;
use super::error::{ConfigError, Problem, known};
use super::overlap::shared_glob;
use super::raw::{RawChannel, RawConflict, RawFallback, RawWebhook};
use super::template::{Lookup, Secret, Template};
use super::units::{Count, Span, within};

/// The rule of a channel, and the site that was named to decide by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleOptions {
    pub kind: RuleKind,
    /// `decides`: a site's name.
    pub decides: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuleKind {
    Plain(PlainRule),
    Webhook(Webhook),
}

/// A rule that needs nothing from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlainRule {
    LastWriteWins,
    /// The column's name.
    Column(String),
    /// Names of sites, the first of them first.
    SitePriority(Vec<String>),
}

/// A user's program that is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// There may be a password in it.
    url: Secret<Template>,
    /// Of one try.
    pub timeout: Duration,
    /// Tries after the first.
    pub retries: u32,
    /// Questions under way at a time.
    pub concurrency: u32,
    /// What decides where it does not.
    pub fallback: PlainRule,
}

impl Webhook {
    /// The address, with the variables' values in it.
    ///
    /// # Errors
    /// A variable that is not set, or no http:// address.
    pub fn url(&self, lookup: Lookup<'_>) -> Result<Secret<reqwest::Url>, Problem> {
        let template = self.url.reveal();
        http_url(template.key(), &template.resolve(lookup)?)
    }
}

impl RuleKind {
    /// The rule, or what stands in for it, that needs nothing from outside.
    pub fn plain(&self) -> &PlainRule {
        match self {
            RuleKind::Plain(rule) => rule,
            RuleKind::Webhook(webhook) => &webhook.fallback,
        }
    }
}

/// The text is not quoted: there may be a password in it.
fn http_url(key: &str, text: &str) -> Result<Secret<reqwest::Url>, Problem> {
    let malformed = |cause: &str| Problem::Malformed {
        key: key.to_owned(),
        cause: cause.to_owned(),
        allowed: "a http:// address, such as \"http://127.0.0.1:9000/conflict\"".to_owned(),
    };
    let url = reqwest::Url::parse(text).map_err(|_| malformed("it is no address"))?;
    match url.scheme() {
        "http" => Ok(Secret::new(url)),
        "https" => Err(Problem::NotBuiltHere {
            key: key.to_owned(),
            what: "https".to_owned(),
            fix: "use http:// to a program or proxy on the same machine".to_owned(),
        }),
        _ => Err(malformed("it is no http:// address")),
    }
}

/// The rule of a two-way channel; None: last-write-wins.
pub(super) fn check(key: &str, raw: &RawChannel) -> Result<Option<RuleOptions>, Problem> {
    let of = |field: &str| format!("{key}.{field}");
    let fallback = raw.webhook.as_ref().and_then(|webhook| webhook.fallback);
    let by = |rule, fall_back| {
        raw.conflict == Some(rule)
            || (raw.conflict == Some(RawConflict::Webhook) && fallback == Some(fall_back))
    };
    let unused = [
        ("column", raw.column.is_some() && !by(RawConflict::Column, RawFallback::Column)),
        (
            "site_priority",
            raw.site_priority.is_some() && !by(RawConflict::SitePriority, RawFallback::SitePriority),
        ),
        ("webhook", raw.webhook.is_some() && raw.conflict != Some(RawConflict::Webhook)),
        ("decides", raw.decides.is_some() && !needs_decider(raw.conflict)),
    ];
    if let Some((field, _)) = unused.into_iter().find(|(_, unused)| *unused) {
        return Err(Problem::Clash {
            key: of(field),
            other: of("conflict"),
            what: "the channel's rule does not use it".to_owned(),
            fix: format!("remove {field}, or set conflict to the rule that it is for"),
        });
    }
    let missing = |field: &str| Problem::Missing { key: of(field) };
    let column = || raw.column.clone().map(PlainRule::Column).ok_or_else(|| missing("column"));
    let priority =
        || raw.site_priority.clone().map(PlainRule::SitePriority).ok_or_else(|| missing("site_priority"));
    let kind = match raw.conflict {
        Some(RawConflict::Column) => RuleKind::Plain(column()?),
        Some(RawConflict::SitePriority) => RuleKind::Plain(priority()?),
        Some(RawConflict::Webhook) => {
            let webhook = raw.webhook.as_ref().ok_or_else(|| missing("webhook"))?;
            let fallback = match webhook.fallback.unwrap_or(RawFallback::LastWriteWins) {
                RawFallback::LastWriteWins => PlainRule::LastWriteWins,
                RawFallback::Column => column()?,
                RawFallback::SitePriority => priority()?,
            };
            RuleKind::Webhook(webhook_of(&of("webhook"), webhook, fallback)?)
        }
        Some(RawConflict::LastWriteWins | RawConflict::None) | None => return Ok(None),
    };
    Ok(Some(RuleOptions { kind, decides: raw.decides.clone() }))
}

fn needs_decider(conflict: Option<RawConflict>) -> bool {
    matches!(conflict, Some(RawConflict::Column | RawConflict::SitePriority | RawConflict::Webhook))
}

fn webhook_of(key: &str, raw: &RawWebhook, fallback: PlainRule) -> Result<Webhook, Problem> {
    let of = |field: &str| format!("{key}.{field}");
    let url = Template::parse(&of("url"), &raw.url)?;
    if let Some(literal) = url.literal() {
        http_url(url.key(), literal)?;
    }
    let timeout = within(&of("timeout"), raw.timeout, Span::secs(2), Span::ms(10), Span::secs(60))?;
    let retries = within(&of("retries"), raw.retries, Count(3), Count(0), Count(20))?;
    let concurrency = within(&of("concurrency"), raw.concurrency, Count(8), Count(1), Count(64))?;
    let small = |count: Count| u32::try_from(count.0).expect("within its range");
    Ok(Webhook {
        url: Secret::new(url),
        timeout: timeout.0,
        retries: small(retries),
        concurrency: small(concurrency),
        fallback,
    })
}

/// Finds the one instance that decides for each group of channels that share a table, and holds their
/// rules against each other.
pub(super) fn check_groups(deployment: &mut Deployment) -> Result<(), Problem> {
    let names: Vec<String> = deployment.channels.keys().cloned().collect();
    for name in &names {
        let group = group_of(deployment, name);
        let channel = &deployment.channels[name];
        let first = &deployment.channels[group[0]];
        if let Some(field) = differs(channel, first) {
            return Err(Problem::Clash {
                key: format!("channels.{name}.{field}"),
                other: format!("channels.{}.{field}", first.name),
                what: "channels that share tables and instances decide by one rule at one site".to_owned(),
                fix: "write the same in both".to_owned(),
            });
        }
        let Some(rule) = channel.ruling.clone() else { continue };
        let decider = decider(deployment, name, &rule, &group)?;
        if let PlainRule::SitePriority(sites) = rule.kind.plain() {
            check_priority(deployment, name, sites, &group)?;
        }
        let channel = deployment.channels.get_mut(name).expect("its name is from there");
        channel.decider = Some(decider);
    }
    Ok(())
}

fn differs(channel: &Channel, first: &Channel) -> Option<&'static str> {
    match (&channel.ruling, &first.ruling) {
        (Some(own), Some(other)) if own.kind == other.kind => {
            (own.decides != other.decides).then_some("decides")
        }
        (None, None) => None,
        _ => Some("conflict"),
    }
}

/// The two-way channels that are joined with this one through shared tables and instances, itself
/// included, by name.
fn group_of<'a>(deployment: &'a Deployment, name: &str) -> Vec<&'a str> {
    let all = || deployment.channels.values().filter(|channel| channel.is_two_way());
    let joined = |a: &Channel, b: &Channel| {
        a.instances().any(|instance| {
            b.instances().any(|other| other == instance)
                && shared_glob(&a.tables_at(instance), &b.tables_at(instance)).is_some()
        })
    };
    let mut group: Vec<&Channel> = vec![&deployment.channels[name]];
    let mut next = 0;
    while let Some(channel) = group.get(next).copied() {
        next += 1;
        let new =
            all().filter(|other| joined(channel, other) && group.iter().all(|own| own.name != other.name));
        let new: Vec<&Channel> = new.collect();
        group.extend(new);
    }
    let mut names: Vec<&str> = group.into_iter().map(|channel| channel.name.as_str()).collect();
    names.sort_unstable();
    names
}

fn instances<'a>(deployment: &'a Deployment, group: &[&str]) -> Vec<&'a str> {
    let mut instances: Vec<&str> =
        group.iter().flat_map(|name| deployment.channels[*name].instances()).collect();
    instances.sort_unstable();
    instances.dedup();
    instances
}

/// The instance at the site that is named; else the first of `between` of the group's first channel.
fn decider(
    deployment: &Deployment,
    name: &str,
    rule: &RuleOptions,
    group: &[&str],
) -> Result<String, Problem> {
    let first = &deployment.channels[group[0]];
    let Some(site) = &rule.decides else { return Ok(first.directions[0].from.clone()) };
    let key = format!("channels.{name}.decides");
    let all = instances(deployment, group);
    let at_site: Vec<&&str> =
        all.iter().filter(|instance| deployment.instances[**instance].site == *site).collect();
    match at_site.as_slice() {
        [one] => Ok((**one).to_owned()),
        [] => {
            let sites = sites_of(deployment, &all);
            Err(Problem::NoSuch { key, name: site.clone(), known: known(&sites) })
        }
        _ => Err(Problem::NotBuiltHere {
            key,
            what: format!("to decide at {site}, which has several instances of these channels,"),
            fix: "name a site that has one".to_owned(),
        }),
    }
}

fn sites_of(deployment: &Deployment, instances: &[&str]) -> Vec<String> {
    let mut sites: Vec<String> =
        instances.iter().map(|instance| deployment.instances[*instance].site.clone()).collect();
    sites.sort_unstable();
    sites.dedup();
    sites
}

fn check_priority(
    deployment: &Deployment,
    name: &str,
    named: &[String],
    group: &[&str],
) -> Result<(), Problem> {
    let sites = sites_of(deployment, &instances(deployment, group));
    let mut sorted = named.to_vec();
    sorted.sort_unstable();
    if sorted == sites {
        return Ok(());
    }
    Err(Problem::Malformed {
        key: format!("channels.{name}.site_priority"),
        cause: format!("it names {}", known(named)),
        allowed: format!("each of these sites once, the first of them first: {}", known(&sites)),
    })
}

impl Deployment {
    /// The channels whose conflicts the instance (full name) decides, with their rules.
    pub fn decided_at<'a>(
        &'a self,
        instance: &'a str,
    ) -> impl Iterator<Item = (&'a Channel, &'a RuleOptions)> {
        let here = self.channels.values().filter(move |channel| channel.decider.as_deref() == Some(instance));
        here.filter_map(|channel| channel.ruling.as_ref().map(|rule| (channel, rule)))
    }

    /// Turns a problem that shows only where a value is used into the error of this file.
    pub fn error(&self, problem: Problem) -> ConfigError {
        ConfigError { file: self.file.clone(), problem }
    }
}

//! `weft check`: what stands in the way of replication, found before it does.
//!
//! The facts of every instance are read once ([`facts`]); the probes are pure functions over them
//! ([`probes`]), so that each can be tested without a server.

pub mod facts;
mod finding;
mod gather;
pub mod grants;
pub mod probes;
mod starts;
mod tables;

use std::collections::BTreeMap;

use futures::future::join_all;
use weft_core::tables::TableFilter;

pub use finding::{Finding, Level};

use crate::config::{Channel, ConfigError, Deployment, Direction, Instance, Server};
use facts::InstanceFacts;
use probes::{Link, Subject};

/// Errors that a node can live with: rows go by SQL, the last write stays, or the one channel stops and
/// says so.
const TOLERABLE: [&str; 7] = [
    "grant-replay",
    "no-primary-key",
    "collation",
    "not-transactional",
    "cascade",
    "no-deciding-column",
    "deciding-column-type",
];

/// Checks every instance, or those of one site, and the channels between instances that could be
/// looked at. Errors first.
///
/// # Errors
/// A variable or password file of an instance is missing.
pub async fn run(deployment: &Deployment, site: Option<&str>) -> Result<Vec<Finding>, ConfigError> {
    let wanted = |instance: &&Instance| site.is_none_or(|site| instance.site == site);
    let instances: Vec<&Instance> = deployment.instances.values().filter(wanted).collect();
    let mut findings = Vec::new();
    let mut facts = BTreeMap::new();
    let mut looking = Vec::new();
    for instance in instances {
        let servers = instance.servers()?;
        let filters = filters_of(deployment, &instance.name);
        looking.push(async move { (instance, gather_all(&instance.name, &servers, &filters).await) });
    }
    for (instance, gathered) in join_all(looking).await {
        findings.extend(gathered.unreachable);
        findings.extend(gathered.standbys.iter().flat_map(probes::standby));
        if let Some(read) = gathered.primary {
            findings.extend(of_instance(deployment, instance, &read));
            facts.insert(instance.name.clone(), read);
        }
    }
    findings.extend(probes::equal_server_ids(&facts));
    for (channel, direction) in deployment.directions() {
        if let (Some(from), Some(to)) = (facts.get(&direction.from), facts.get(&direction.to)) {
            let link = link(deployment, channel, direction, from, to);
            findings.extend(probes::link(&link));
        }
    }
    for (channel, direction) in deployment.directions() {
        if let Some(from) = facts.get(&direction.from) {
            findings.extend(starts::look(channel, &deployment.instances[&direction.from], from).await?);
        }
    }
    findings.sort_by_key(|finding| finding.level);
    Ok(findings)
}

/// The errors for which a node must not start to work with the instance (full name): read from the
/// instance alone. A server that cannot be reached is none of them: the node waits for it.
///
/// # Errors
/// A variable or password file of the instance is missing.
///
/// # Panics
/// The deployment has no such instance.
pub async fn fatal(deployment: &Deployment, instance: &str) -> Result<Vec<Finding>, ConfigError> {
    let instance = &deployment.instances[instance];
    let filters = filters_of(deployment, &instance.name);
    let gathered = gather_all(&instance.name, &instance.servers()?, &filters).await;
    let mut findings = gathered.unreachable;
    findings.extend(gathered.primary.iter().flat_map(|facts| of_instance(deployment, instance, facts)));
    findings.retain(|finding| {
        let stays = finding.level == Level::Error && finding.code != "unreachable";
        stays && !TOLERABLE.contains(&finding.code)
    });
    Ok(findings)
}

/// What the servers of an instance say.
struct Gathered {
    /// The one that takes writes; the first that answers where several do.
    primary: Option<InstanceFacts>,
    /// The others.
    standbys: Vec<InstanceFacts>,
    unreachable: Vec<Finding>,
}

async fn gather_all(instance: &str, servers: &[Server], filters: &[TableFilter]) -> Gathered {
    let looking = servers.iter().map(|server| gather::gather(instance, server, filters));
    let mut gathered = Gathered { primary: None, standbys: Vec::new(), unreachable: Vec::new() };
    for looked in join_all(looking).await {
        match looked {
            Ok(facts) => gathered.standbys.push(facts),
            Err(finding) => gathered.unreachable.push(finding),
        }
    }
    let writable = gathered.standbys.iter().position(|facts| !facts.is_on("read_only"));
    // What is wrong with an only server is said of it; of several, a read-only one is no primary.
    if let Some(primary) = writable.or((servers.len() == 1 && !gathered.standbys.is_empty()).then_some(0)) {
        gathered.primary = Some(gathered.standbys.remove(primary));
        // Without it the instance works; it only has nothing to fall back on.
        gathered.unreachable.iter_mut().for_each(|finding| finding.level = Level::Warning);
    } else if gathered.unreachable.len() < servers.len() {
        let what = "none of its servers that can be reached takes writes";
        let fix = "start the primary, or promote a replica: STOP SLAVE; RESET SLAVE ALL; SET GLOBAL read_only = OFF";
        gathered.unreachable.push(Finding::error("unreachable", instance, what, fix));
    }
    gathered
}

/// The table filters of the channels that touch the instance.
fn filters_of(deployment: &Deployment, instance: &str) -> Vec<TableFilter> {
    let touches = |channel: &&Channel| {
        channel.directions.iter().any(|direction| direction.from == instance || direction.to == instance)
    };
    deployment.channels.values().filter(touches).map(|channel| channel.tables_at(instance)).collect()
}

fn of_instance(deployment: &Deployment, instance: &Instance, facts: &InstanceFacts) -> Vec<Finding> {
    let touches = |channel: &&Channel| {
        channel.directions.iter().any(|way| way.from == instance.name || way.to == instance.name)
    };
    probes::instance(&Subject {
        facts,
        is_source: deployment.is_source(&instance.name),
        is_target: deployment.is_target(&instance.name),
        conflict_window: instance.conflict_window,
        channels: deployment.channels.values().filter(touches).collect(),
    })
}

fn link<'a>(
    deployment: &Deployment,
    channel: &'a Channel,
    direction: &'a Direction,
    from: &'a InstanceFacts,
    to: &'a InstanceFacts,
) -> Link<'a> {
    let number_of = |name: &str| deployment.instances.keys().position(|own| own == name).unwrap_or(0) + 1;
    Link {
        channel,
        from,
        to,
        // The two directions of a channel have one look at what concerns both ends alike.
        first: channel.directions.first() == Some(direction),
        interleave: (deployment.instances.len(), number_of(&direction.from), number_of(&direction.to)),
    }
}

//! The referees of this site: one for each instance that decides conflicts by a rule.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::FutureExt;
use ractor::Actor;
use tokio::sync::Semaphore;
use weft_actors::node::supervisor::Child;
use weft_actors::referee::actor::{Asking, ChannelRule, Referee, RefereeArgs, RefereeMetrics, SESSIONS_MAX};
use weft_core::filter::referee::{PureRule, Rule};
use weft_core::instance::InstanceId;

use super::NodeError;
use super::instance::Captured;
use super::webhook::HttpArbiter;
use crate::config::{Deployment, PlainRule, RuleKind, process_environment};
use crate::mysql::target::docket::ServerDocket;

/// The referees as the supervisor starts them.
///
/// # Errors
/// A password or an address cannot be read.
pub fn plan_all(deployment: &Deployment, captured: &[Captured]) -> Result<Vec<Child>, NodeError> {
    let deciding = captured.iter().filter(|one| deployment.decided_at(&one.name).next().is_some());
    deciding.map(|one| Ok(child(plan(deployment, one)?))).collect()
}

fn plan(deployment: &Deployment, captured: &Captured) -> Result<Arc<RefereeArgs>, NodeError> {
    let instance = &deployment.instances[&captured.name];
    let mut rules = BTreeMap::new();
    for (channel, options) in deployment.decided_at(&instance.name) {
        rules.insert(channel.name.clone(), rule(deployment, &instance.name, &options.kind)?);
    }
    let asking = rules.iter().filter(|(_, rule)| rule.asking.is_some()).map(|(name, _)| name.as_str());
    let metrics = RefereeMetrics::new(&instance.name, asking);
    Ok(Arc::new(RefereeArgs {
        instance: instance.name.clone(),
        id: instance.id,
        docket: Arc::new(ServerDocket::new(captured.servers.clone(), &instance.name)),
        ledger: captured.args.ledger.clone(),
        rules,
        metrics,
        sessions: Semaphore::new(SESSIONS_MAX),
    }))
}

fn rule(deployment: &Deployment, decider: &str, kind: &RuleKind) -> Result<ChannelRule, NodeError> {
    let webhook = match kind {
        RuleKind::Plain(plain) => {
            return Ok(ChannelRule { rule: Rule::Pure(pure(deployment, plain)), asking: None });
        }
        RuleKind::Webhook(webhook) => webhook,
    };
    let url =
        webhook.url(&process_environment).map_err(|problem| NodeError::Config(deployment.error(problem)))?;
    let names: BTreeMap<InstanceId, String> =
        deployment.instances.values().map(|instance| (instance.id, instance.name.clone())).collect();
    let arbiter = HttpArbiter::new(url, webhook.timeout, decider, names)
        .map_err(|error| NodeError::NotReady(format!("no HTTP client for the webhook: {error}")))?;
    let permits = Arc::new(Semaphore::new(webhook.concurrency as usize));
    Ok(ChannelRule {
        rule: Rule::Webhook { fallback: pure(deployment, &webhook.fallback) },
        asking: Some(Asking { arbiter: Arc::new(arbiter), retries: webhook.retries, permits }),
    })
}

/// The rule by the ids of the instances at its sites.
fn pure(deployment: &Deployment, plain: &PlainRule) -> PureRule {
    match plain {
        PlainRule::LastWriteWins => PureRule::LastWriteWins,
        PlainRule::Column(name) => PureRule::Column(name.clone()),
        PlainRule::SitePriority(sites) => {
            let ranks = deployment.instances.values().filter_map(|instance| {
                let rank = sites.iter().position(|site| *site == instance.site)?;
                Some((instance.id, u32::try_from(rank).unwrap_or(u32::MAX)))
            });
            PureRule::SitePriority(ranks.collect())
        }
    }
}

fn child(args: Arc<RefereeArgs>) -> Child {
    Child {
        name: format!("referee {}", args.instance),
        start: Arc::new(move |supervisor| {
            let args = args.clone();
            async move { Ok(Actor::spawn_linked(None, Referee, args, supervisor).await?.0.get_cell()) }
                .boxed()
        }),
    }
}

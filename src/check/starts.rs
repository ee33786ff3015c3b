//! Whether channels can begin where they are told to: asked of the servers themselves, as nothing but
//! their binlogs knows.

use std::sync::Arc;
use std::time::Duration;

use weft_actors::ports::{Source, SourceError};
use weft_core::binlog::begin::StartAt;

use super::facts::InstanceFacts;
use super::finding::Finding;
use crate::config::{Channel, ConfigError, Instance, Server};
use crate::mysql::servers::Servers;
use crate::mysql::source::ServerSource;

/// Longest search for one place: up to a whole binlog file is read.
const SEARCH_MAX: Duration = Duration::from_secs(120);
/// Whose dumps these are, in the eyes of the server: no node has this name.
const READER: &str = "(weft check)";

/// What stands in the way of the channel's start at the instance that it reads from; None: nothing, or it
/// is not told where to begin.
///
/// # Errors
/// A variable or password file of the instance is missing.
pub(super) async fn look(
    channel: &Channel,
    instance: &Instance,
    facts: &InstanceFacts,
) -> Result<Option<Finding>, ConfigError> {
    let Some(start) = channel.start_at(&instance.name) else { return Ok(None) };
    let found = match facts.begun.get(&channel.name) {
        Some(asked) => (*asked != start.to_string()).then(|| passed_over(&instance.name, start)),
        None => {
            let endpoints = instance.servers()?.iter().map(Server::endpoint).collect();
            let servers = Arc::new(Servers::new(&instance.name, endpoints));
            let source = ServerSource::among(servers, &instance.name, READER);
            cannot_begin(&source, &instance.name, start).await
        }
    };
    Ok(found.map(|finding| finding.of_channel(&channel.name)))
}

fn passed_over(instance: &str, start: &StartAt) -> Finding {
    let what = format!("the channel has begun already: its start {start} is passed over");
    Finding::warning("start-passed", instance, what, "remove start from the channel")
}

async fn cannot_begin(source: &ServerSource, instance: &str, start: &StartAt) -> Option<Finding> {
    let search = async {
        source.identify(None).await?;
        source.locate(start).await
    };
    let failed = tokio::time::timeout(SEARCH_MAX, search).await.unwrap_or_else(|_| {
        let limit = SEARCH_MAX.as_secs();
        Err(SourceError::Unreachable(format!("the place was not found within {limit} s")))
    });
    let what = format!("the channel cannot begin at {start}: {}", failed.err()?);
    Some(Finding::error("start", instance, what, "correct start of the channel"))
}

//! A MariaDB or MySQL server as a source instance.

use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use weft_actors::ports::{
    CaptureStart, EventStream, Source, SourceError, SourceIdentity, StreamFrom, TableFacts,
};
use weft_core::scn::Scn;
use weft_core::tables::TableName;
use weft_core::time::Micros;

use super::connect::Endpoint;
use super::lane::Lane;
use super::stream::{self, ReplicaIds};
use super::{describe, heartbeat, identify, install};

const CONTROL_TIMEOUT: Duration = Duration::from_secs(30);
/// Short: a heartbeat that comes late says nothing.
const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(5);

/// A server as a source instance. Keeps two connections (one for questions, one for the
/// heartbeat) and opens one for each dump; opens them again by itself.
#[derive(Debug)]
pub struct ServerSource {
    /// Full name, `site.instance`.
    instance: String,
    node: String,
    control: Lane,
    /// Its own, so that no long question delays it.
    heartbeat: Lane,
    replicas: ReplicaIds,
}

impl ServerSource {
    /// `instance` is the full name (`sh.main`), `node` the id of the node that reads (`sh-1`). Does
    /// not connect yet.
    pub fn new(endpoint: Endpoint, instance: &str, node: &str) -> ServerSource {
        ServerSource {
            instance: instance.to_owned(),
            node: node.to_owned(),
            control: Lane::new(endpoint.clone(), CONTROL_TIMEOUT),
            heartbeat: Lane::new(endpoint, HEARTBEAT_TIMEOUT),
            replicas: ReplicaIds::new(node, instance),
        }
    }
}

impl Source for ServerSource {
    fn identify(&self) -> BoxFuture<'_, Result<SourceIdentity, SourceError>> {
        identify::identify(&self.control).boxed()
    }

    fn stream(&self, from: StreamFrom) -> BoxFuture<'_, Result<Box<dyn EventStream>, SourceError>> {
        stream::open(self.control.endpoint(), self.replicas.take(), from).boxed()
    }

    fn describe<'a>(
        &'a self,
        table: &'a TableName,
    ) -> BoxFuture<'a, Result<Option<TableFacts>, SourceError>> {
        describe::describe(&self.control, table).boxed()
    }

    fn install(&self) -> BoxFuture<'_, Result<CaptureStart, SourceError>> {
        install::install(&self.control, &self.instance).boxed()
    }

    fn channel_start<'a>(&'a self, channel: &'a str, now: Scn) -> BoxFuture<'a, Result<Scn, SourceError>> {
        install::channel_start(&self.control, channel, now).boxed()
    }

    fn heartbeat(&self, now: Micros) -> BoxFuture<'_, Result<u32, SourceError>> {
        heartbeat::write(&self.heartbeat, &self.instance, &self.node, now).boxed()
    }
}

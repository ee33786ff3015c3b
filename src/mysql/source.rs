//! A MariaDB or MySQL server as a source instance.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use mysql_async::prelude::Queryable;
use weft_actors::ports::{
    CaptureStart, ChannelStart, EpochStart, EventStream, Source, SourceError, SourceIdentity, StreamFrom,
    TableFacts,
};
use weft_core::binlog::begin::{BinlogPlace, StartAt};
use weft_core::binlog::primary::LastCaptured;
use weft_core::tables::TableName;
use weft_core::time::Micros;

use super::connect::Endpoint;
use super::lane::Lane;
use super::servers::Servers;
use super::stream::{self, ReplicaIds};
use super::{describe, heartbeat, install, locate};

const CONTROL_TIMEOUT: Duration = Duration::from_secs(30);
/// Short: a heartbeat that comes late says nothing.
const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(5);
/// How often it is asked whether the server is still the primary.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// A server as a source instance. Keeps two connections (one for questions, one for the
/// heartbeat) and opens one for each dump; opens them again by itself.
#[derive(Debug)]
pub struct ServerSource {
    /// Full name, `site.instance`.
    instance: String,
    node: String,
    servers: Arc<Servers>,
    control: Lane,
    /// Its own, so that no long question delays it.
    heartbeat: Lane,
    replicas: ReplicaIds,
}

impl ServerSource {
    /// An instance with one server. `instance` is the full name (`sh.main`), `node` the id of the node that
    /// reads (`sh-1`). Does not connect yet.
    pub fn new(endpoint: Endpoint, instance: &str, node: &str) -> ServerSource {
        ServerSource::among(Arc::new(Servers::new(instance, vec![endpoint])), instance, node)
    }

    /// The same with the servers of the instance, which others may share.
    pub fn among(servers: Arc<Servers>, instance: &str, node: &str) -> ServerSource {
        ServerSource {
            instance: instance.to_owned(),
            node: node.to_owned(),
            control: Lane::new(servers.clone(), CONTROL_TIMEOUT),
            heartbeat: Lane::new(servers.clone(), HEARTBEAT_TIMEOUT),
            servers,
            replicas: ReplicaIds::new(node, instance),
        }
    }
}

impl ServerSource {
    /// Asks the server that is captured now; it answers and takes writes.
    async fn is_still_primary(&self, server_id: u32) -> bool {
        const SQL: &str = "SELECT @@GLOBAL.server_id, @@GLOBAL.read_only";
        let asked: Result<Option<(u32, u8)>, SourceError> =
            self.heartbeat.run("asking for the primary", |conn| conn.query_first(SQL).boxed()).await;
        matches!(asked, Ok(Some((id, 0))) if id == server_id)
    }
}

impl Source for ServerSource {
    fn identify(&self, last: Option<LastCaptured>) -> BoxFuture<'_, Result<SourceIdentity, SourceError>> {
        async move { self.servers.find(last.as_ref()).await }.boxed()
    }

    fn moved(&self, last: Arc<dyn Fn() -> LastCaptured + Send + Sync>) -> BoxFuture<'_, ()> {
        async move {
            loop {
                tokio::time::sleep(LOOK_EVERY).await;
                if !self.is_still_primary(last().server_id).await && self.servers.has_moved(&last()).await {
                    return;
                }
            }
        }
        .boxed()
    }

    fn stream(
        &self,
        from: StreamFrom,
        server_id: u32,
    ) -> BoxFuture<'_, Result<Box<dyn EventStream>, SourceError>> {
        async move { stream::open(&self.control.endpoint(), self.replicas.take(), from, server_id).await }
            .boxed()
    }

    fn describe<'a>(
        &'a self,
        table: &'a TableName,
    ) -> BoxFuture<'a, Result<Option<TableFacts>, SourceError>> {
        describe::describe(&self.control, table).boxed()
    }

    fn history(&self) -> BoxFuture<'_, Result<Option<CaptureStart>, SourceError>> {
        install::history(&self.control, &self.instance).boxed()
    }

    fn begin(&self, at: Option<BinlogPlace>) -> BoxFuture<'_, Result<CaptureStart, SourceError>> {
        install::begin(&self.control, &self.instance, at).boxed()
    }

    fn locate<'a>(&'a self, start: &'a StartAt) -> BoxFuture<'a, Result<BinlogPlace, SourceError>> {
        locate::locate(&self.control, &self.replicas, start).boxed()
    }

    fn begin_epoch(&self, epoch: EpochStart) -> BoxFuture<'_, Result<(), SourceError>> {
        install::begin_epoch(&self.control, &self.instance, epoch).boxed()
    }

    fn channel_start<'a>(
        &'a self,
        channel: &'a str,
    ) -> BoxFuture<'a, Result<Option<ChannelStart>, SourceError>> {
        install::channel_start(&self.control, &self.instance, channel).boxed()
    }

    fn begin_channel<'a>(
        &'a self,
        channel: &'a str,
        start: ChannelStart,
    ) -> BoxFuture<'a, Result<ChannelStart, SourceError>> {
        install::begin_channel(&self.control, &self.instance, channel, start).boxed()
    }

    fn heartbeat(&self, now: Micros) -> BoxFuture<'_, Result<u32, SourceError>> {
        heartbeat::write(&self.heartbeat, &self.instance, &self.node, now).boxed()
    }
}

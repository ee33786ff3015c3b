//! The show itself: start, write, wait, compare.

use std::fs;
use std::path::Path;
use std::time::Duration;

use mysql_async::prelude::Queryable;
use tokio::time::{Instant, MissedTickBehavior, interval};
use weft_actors::status::ChannelStatus;

use super::error::DemoError;
use super::probe::{self, Samples};
use super::progress::{Progress, Snapshot};
use super::report::{Applied, Lag, Report};
use super::servers::Server;
use super::sites::{AdminUrl, DIRECTIONS, Node, SITES, SitePorts, channel_of, write_config};
use super::writer::{Counters, Timetable};
use super::{Stage, compare, plan, servers, settle, writer};

/// Every demo writes the same; what meets what is up to the machine.
const SEED: u64 = 20;
const SETTLE_WITHIN: Duration = Duration::from_secs(60);

/// Runs everything in `directory`; what was started is in `stage`, also when it fails or is
/// dropped.
pub async fn show(
    stage: &mut Stage,
    directory: &Path,
    write_for: Duration,
    progress: &Progress,
) -> Result<Report, DemoError> {
    let ports = start_servers(stage, directory, progress).await?;
    let config = write_config(directory, &ports)?;
    progress.step(&format!("starting two nodes, {}-1 and {}-1", SITES[0], SITES[1]));
    for (site, ports) in ports.iter().enumerate() {
        stage.nodes.push(Node::start(&config, site, *ports)?);
    }
    for node in &mut stage.nodes {
        node.wait_until_ready().await?;
    }

    progress.step(&format!("writing on both sides for {} s", write_for.as_secs_f32()));
    let counters = [Counters::default(), Counters::default()];
    let samples = [Samples::default(), Samples::default()];
    write(stage, write_for, &counters, &samples, progress).await?;

    progress.step("waiting until all of it is applied");
    let began = Instant::now();
    let settled = settle::settle(stage, SETTLE_WITHIN).await?.map(|()| began.elapsed());
    progress.step("comparing both sides");
    let channels = channels(&admins(stage)).await;
    Ok(Report {
        wrote_for: write_for,
        written: counters.each_ref().map(Counters::read),
        applied: channels.map(|channel| channel.as_ref().map(applied).unwrap_or_default()),
        lag: samples.each_ref().map(|samples| Lag::of(samples.read())),
        decided: [
            compare::conflicts(0, &stage.servers[0]).await?,
            compare::conflicts(1, &stage.servers[1]).await?,
        ],
        settled,
        verified: compare::verify(&config).await?,
        checksums: compare::checksums(&stage.servers).await?,
    })
}

async fn start_servers(
    stage: &mut Stage,
    directory: &Path,
    progress: &Progress,
) -> Result<[SitePorts; 2], DemoError> {
    progress.step(&format!("starting two MariaDB servers in {}", directory.display()));
    for site in SITES {
        let path = directory.join(site);
        fs::create_dir(&path).map_err(|cause| DemoError::Files { path, cause })?;
    }
    servers::prepare(directory).await?;
    let [a, b, c, d, e, f] = servers::free_ports()?;
    let ports = [SitePorts { server: a, peer: b, admin: c }, SitePorts { server: d, peer: e, admin: f }];
    for (site, ports) in SITES.into_iter().zip(ports) {
        stage.servers.push(Server::start(directory, site, ports.server).await?);
    }
    for (server, site) in stage.servers.iter().zip(SITES) {
        let failed = |cause| DemoError::Query { site, doing: "making the tables", cause };
        let mut conn = server.conn().await?;
        for statement in plan::schema() {
            conn.query_drop(statement).await.map_err(failed)?;
        }
        conn.disconnect().await.map_err(failed)?;
    }
    Ok(ports)
}

/// Writes and measures until the time is over.
async fn write(
    stage: &mut Stage,
    write_for: Duration,
    counters: &[Counters; 2],
    samples: &[Samples; 2],
    progress: &Progress,
) -> Result<(), DemoError> {
    let begin = Instant::now();
    let timetable = Timetable { seed: SEED, begin, end: begin + write_for };
    let ports = [stage.servers[0].port, stage.servers[1].port];
    let writers = (0..2).map(|site| writer::write(site, ports[site], timetable, &counters[site]));
    let probes = DIRECTIONS.iter().zip(samples).map(|(&(from, to), samples)| {
        probe::measure((from, to), (ports[from], ports[to]), timetable.end, samples)
    });
    let work = async {
        tokio::try_join!(futures::future::try_join_all(writers), futures::future::try_join_all(probes))
    };
    tokio::pin!(work);
    let admins = admins(stage);
    let mut ticks = interval(progress.interval());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            done = &mut work => return done.map(|_| ()),
            _ = ticks.tick() => {}
        }
        stage.check_alive()?;
        // The writers go on meanwhile: a node that hangs is seen, and stops nothing.
        let channels = tokio::select! {
            done = &mut work => return done.map(|_| ()),
            channels = channels(&admins) => channels,
        };
        let elapsed = begin.elapsed();
        let written = counters.each_ref().map(Counters::read);
        progress.show(&Snapshot { elapsed, of: write_for, written, channels });
    }
}

fn admins(stage: &Stage) -> Vec<AdminUrl> {
    stage.nodes.iter().map(Node::admin).collect()
}

/// The channel's directions, each as its target's node says.
async fn channels(admins: &[AdminUrl]) -> [Option<ChannelStatus>; 2] {
    let ask = async |(from, to): (usize, usize)| {
        let report = admins[to].status().await.ok()?;
        channel_of(&report, (from, to)).cloned()
    };
    tokio::join!(ask(DIRECTIONS[0]), ask(DIRECTIONS[1])).into()
}

fn applied(channel: &ChannelStatus) -> Applied {
    Applied {
        transactions: channel.transactions_applied,
        rows: channel.rows_applied,
        rows_skipped: channel.rows_skipped,
    }
}

//! The life of a direction, against a target that only counts, on paused time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use ractor::{Actor, ActorRef};
use weft_core::channel::delivery::Consistency;
use weft_core::channel::recovery::StoredWatermark;
use weft_core::channel::schedule::ScheduleConfig;
use weft_core::filter::decide::ConflictRule;
use weft_core::filter::transform::Transforms;
use weft_core::instance::InstanceId;
use weft_core::mark::Epoch;
use weft_core::scn::Scn;
use weft_core::sink::apply::{ApplyConfig, delete_events};
use weft_core::tables::TableFilter;

use super::actor::Channel;
use super::args::ChannelArgs;
use super::message::{ChannelMessage, Command};
use super::metrics::DirectionMetrics;
use super::status::{Board, Phase};
use crate::ports::{Recovered, Session, Target, TargetError, WatermarkStore};
use crate::testing::clock::ModelClock;

/// A target that never answers.
#[derive(Default)]
struct Unreachable {
    recoveries: AtomicU64,
}

impl Target for Unreachable {
    fn recover(&self, _shards: u16, _start: Option<Scn>) -> BoxFuture<'_, Result<Recovered, TargetError>> {
        self.recoveries.fetch_add(1, Ordering::Relaxed);
        async { Err(TargetError::Unreachable("bj.main: connection refused".into())) }.boxed()
    }

    fn session(&self, _shard: u16, _epoch: Epoch) -> BoxFuture<'_, Result<Box<dyn Session>, TargetError>> {
        unreachable!("nothing recovers")
    }

    fn record_skip<'a>(&'a self, _scn: Scn, _what: &'a str) -> BoxFuture<'a, Result<(), TargetError>> {
        unreachable!("nothing is stopped at a change")
    }

    fn owned_by_other(&self) -> BoxFuture<'_, Result<bool, TargetError>> {
        unreachable!("nothing recovers, so nothing is owned")
    }
}

struct NoWatermarks;

impl WatermarkStore for NoWatermarks {
    fn load(&self, _direction: &str) -> Option<StoredWatermark> {
        None
    }

    fn save(&self, _direction: &str, _stored: StoredWatermark) {}
}

fn args(target: Arc<dyn Target>) -> Arc<ChannelArgs> {
    Arc::new(ChannelArgs {
        channel: "orders".into(),
        source: "sh.main".into(),
        target_name: "bj.main".into(),
        schedule: ScheduleConfig {
            consistency: Consistency::Transaction,
            shards: 2,
            window_units_max: 100,
            window_rows_max: 100,
            window_bytes_max: 1 << 20,
            above_watermark_max: 100,
            tables: TableFilter::new(["shop.*"]),
        },
        transforms: Transforms::default(),
        apply: ApplyConfig {
            rule: ConflictRule::None,
            names_versions: false,
            source: InstanceId(1),
            delete_events,
        },
        batch_rows_max: 100,
        fence_timeout: Duration::from_millis(200),
        target,
        ledger: None,
        pulls: Arc::new(|_| unreachable!("nothing recovers, so nothing is pulled")),
        watermarks: Arc::new(NoWatermarks),
        clock: Arc::new(ModelClock::default()),
        board: Board::default(),
        metrics: DirectionMetrics::new("orders", "sh.main", "bj.main"),
    })
}

async fn resume(channel: &ActorRef<ChannelMessage>) {
    let answer = channel.call(|reply| ChannelMessage::Command(Command::Resume, reply), None).await;
    assert!(matches!(answer, Ok(ractor::rpc::CallResult::Success(Ok(())))));
}

/// The target is away, the direction stops and sets its timer; the operator resumes, which fails at
/// once and sets another timer. Each of those once went on by itself for ever.
#[tokio::test(start_paused = true)]
async fn resuming_a_stopped_direction_often_does_not_make_it_retry_more_often() {
    let target = Arc::new(Unreachable::default());
    let args = args(target.clone());
    let (channel, ended) = Actor::spawn(None, Channel, args.clone()).await.expect("it starts");
    for _ in 0..20 {
        resume(&channel).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(args.board.get().phase, Phase::Stopped);
    let before = target.recoveries.load(Ordering::Relaxed);
    assert!(before >= 20, "the operator's word is heard at once, {before} times");
    tokio::time::sleep(Duration::from_secs(30)).await;
    let tries = target.recoveries.load(Ordering::Relaxed) - before;
    assert!((9..=11).contains(&tries), "{tries} tries in 30 s");
    channel.stop(None);
    ended.await.expect("it stops");
}

//! Measures lag from outside: a row is inserted at one side and looked for at the other.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use mysql_async::prelude::Queryable;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::error::DemoError;
use super::servers;
use super::sites::SITES;

const EVERY: Duration = Duration::from_millis(100);
/// Between two looks: the resolution of the measure.
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// A row that is not there by then is left to the verification.
const LOOK_FOR: Duration = Duration::from_secs(10);
/// Ids of different directions lie so far apart.
const DIRECTION_IDS: u64 = 1_000_000_000;

/// From a commit at the source to the first look that saw it at the target.
#[derive(Debug, Default)]
pub struct Samples(Mutex<Vec<Duration>>);

impl Samples {
    fn push(&self, lag: Duration) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(lag);
    }

    pub fn read(&self) -> Vec<Duration> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Measures one direction, given as indexes of sites and ports of their servers, until `end`.
pub async fn measure(
    (from, to): (usize, usize),
    (from_port, to_port): (u16, u16),
    end: Instant,
    samples: &Samples,
) -> Result<(), DemoError> {
    let doing = "measuring lag";
    let failed = |site: usize| move |cause| DemoError::Query { site: SITES[site], doing, cause };
    let mut source = servers::connect(SITES[from], from_port, doing).await?;
    let mut target = servers::connect(SITES[to], to_port, doing).await?;
    let mut ticks = interval_at(Instant::now() + EVERY, EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in 1.. {
        ticks.tick().await;
        if Instant::now() >= end {
            break;
        }
        let id = from as u64 * DIRECTION_IDS + number;
        source
            .query_drop(format!("INSERT INTO shop.probe VALUES ({id}, NOW(6))"))
            .await
            .map_err(failed(from))?;
        let committed = Instant::now();
        let look = format!("SELECT 1 FROM shop.probe WHERE id = {id}");
        while committed.elapsed() < LOOK_FOR {
            let found: Option<u8> = target.query_first(&look).await.map_err(failed(to))?;
            if found.is_some() {
                samples.push(committed.elapsed());
                break;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
    source.disconnect().await.map_err(failed(from))?;
    target.disconnect().await.map_err(failed(to))
}

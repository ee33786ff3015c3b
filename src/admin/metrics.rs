//! The metrics recorder of the process and its Prometheus text.

use std::sync::OnceLock;
use std::time::Duration;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

/// Bounds of every histogram, in seconds: from a fence wait to a long outage. Set, because the
/// exporter makes summaries of histograms without bounds.
const BUCKETS_S: [f64; 16] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// How often histograms are drained; what waits in between costs memory.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// The recorder's handle; the first call installs it for the process.
///
/// # Errors
/// Another recorder was installed in this process, by somebody else.
pub fn install() -> Result<PrometheusHandle, super::AdminError> {
    static HANDLE: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    let installed = HANDLE.get_or_init(|| {
        let builder = PrometheusBuilder::new().set_buckets(&BUCKETS_S).expect("there are bounds");
        let handle = builder.install_recorder().ok()?;
        // To the recorder that is there now: before it, descriptions go nowhere.
        weft_actors::metrics::describe_all();
        Some(handle)
    });
    installed.clone().ok_or(super::AdminError::OtherRecorder)
}

/// Keeps the recorder's memory bounded until it is dropped; spawned beside the server.
pub(super) async fn upkeep(handle: PrometheusHandle) {
    let mut ticks = tokio::time::interval(UPKEEP_INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        handle.run_upkeep();
    }
}

//! Binds the admin address and serves it until it is stopped.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpServer, web};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::task::JoinHandle;

use super::{AdminState, metrics, routes};
use crate::config::Address;

/// Seconds that a request under way gets to end when the server stops.
const SHUTDOWN_TIMEOUT_S: u64 = 2;

/// Why there is no admin HTTP.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    #[error(
        "config key {key}: the address {address} is in use; stop what listens there or choose another port"
    )]
    InUse { key: String, address: Address },
    #[error("config key {key}: cannot listen at {address}: {cause}; choose an address of this machine")]
    Bind { key: String, address: Address, cause: io::Error },
    #[error("another metrics recorder is installed in this process; start the node in its own")]
    OtherRecorder,
}

/// A running server. Stop it with [`AdminServer::stop`]; dropped, it goes on until the runtime ends.
#[derive(Debug)]
pub struct AdminServer {
    handle: ServerHandle,
    serving: JoinHandle<io::Result<()>>,
    upkeep: JoinHandle<()>,
}

/// Binds `address`, the value of the config key `key`, and serves it.
///
/// # Errors
/// The address cannot be bound.
pub fn serve(
    key: &str,
    address: &Address,
    state: Arc<dyn AdminState>,
    prometheus: PrometheusHandle,
) -> Result<AdminServer, AdminError> {
    let listener = bind(key, address)?;
    let app_state = web::Data::from(state);
    let app_metrics = web::Data::new(prometheus.clone());
    let server = HttpServer::new(move || {
        App::new().app_data(app_state.clone()).app_data(app_metrics.clone()).configure(routes::configure)
    })
    .workers(1)
    .disable_signals()
    .shutdown_timeout(SHUTDOWN_TIMEOUT_S)
    .listen(listener)
    .map_err(|cause| AdminError::Bind { key: key.to_owned(), address: address.clone(), cause })?
    .run();
    Ok(AdminServer {
        handle: server.handle(),
        serving: tokio::spawn(server),
        upkeep: tokio::spawn(metrics::upkeep(prometheus)),
    })
}

impl AdminServer {
    /// Takes no more connections, lets requests under way end, and returns when the port is free.
    pub async fn stop(self) {
        self.upkeep.abort();
        self.handle.stop(true).await;
        if let Ok(Err(error)) = self.serving.await {
            tracing::warn!(%error, "admin HTTP ended with an error");
        }
    }
}

/// Binds the first of the host's addresses that can be. The standard listener sets `SO_REUSEADDR`, so a
/// restart does not wait for old connections, and still refuses a port that somebody listens at.
fn bind(key: &str, address: &Address) -> Result<TcpListener, AdminError> {
    TcpListener::bind((address.host.as_str(), address.port)).map_err(|cause| match cause.kind() {
        io::ErrorKind::AddrInUse => AdminError::InUse { key: key.to_owned(), address: address.clone() },
        _ => AdminError::Bind { key: key.to_owned(), address: address.clone(), cause },
    })
}

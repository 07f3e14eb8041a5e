//! The gRPC services on the workload socket and the admin socket.

use std::sync::Arc;
use std::time::SystemTime;

use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::store::Store;
use crate::subscribers::Subscribers;

/// What the services read from.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) store: Arc<Store>,
    pub(crate) subscribers: Arc<Subscribers>,
    pub(crate) info: watch::Receiver<DaemonInfo>,
}

/// What the admin socket says of the daemon itself. Whoever wires the daemon writes it.
#[derive(Debug, Clone)]
pub(crate) struct DaemonInfo {
    /// The daemon's version.
    pub(crate) version: &'static str,
    /// When it started.
    pub(crate) started: SystemTime,
    /// Whether every identity has a published generation.
    pub(crate) ready: bool,
    /// The error of the last reload of the configuration; absent: it succeeded.
    pub(crate) config_error: Option<String>,
}

/// Serves workloads on `listener` until `shutdown`, and then until the streams have ended, for a moment at most.
pub(crate) async fn workload(_listener: UnixListener, _context: Context, shutdown: CancellationToken) {
    shutdown.cancelled().await;
}

/// Serves operators on `listener` until `shutdown`, and then until the streams have ended, for a moment at most.
pub(crate) async fn admin(_listener: UnixListener, _context: Context, shutdown: CancellationToken) {
    shutdown.cancelled().await;
}

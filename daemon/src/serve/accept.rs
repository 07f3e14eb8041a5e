//! Accepting connections, within limits.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use super::limits::Limits;
use super::quota::{Quota, Share};
use super::{STOPPING, connection};
use crate::attest::{Caller, Processes};
use crate::rates::Rates;

/// How long accepting rests when no descriptor or memory is left: at once it would only fail again.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// Serves `routes` on `listener` until `shutdown`, and then for [`STOPPING`] at most.
pub(super) async fn serve(
    listener: UnixListener,
    routes: Routes,
    limits: Limits,
    processes: Arc<Processes>,
    shutdown: CancellationToken,
) {
    let routes = routes.prepare();
    let rates = Arc::new(Rates::new(limits.requests.in_all, limits.requests.per_caller));
    let quota = Quota::new(limits.connections);
    let mut connections = JoinSet::new();
    let mut exhausted = false;
    loop {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    exhausted = false;
                    let Some((caller, share)) = admit(&stream, &processes, &quota) else { continue };
                    let (routes, rates, shutdown) = (routes.clone(), Arc::clone(&rates), shutdown.clone());
                    connections.spawn(connection::serve(stream, caller, share, routes, rates, limits.patience, shutdown));
                }
                Err(error) if is_exhaustion(&error) => {
                    if !exhausted {
                        tracing::warn!(%error, "no further connection can be accepted for now");
                    }
                    exhausted = true;
                    tokio::time::sleep(EXHAUSTED_PAUSE).await;
                }
                Err(error) => tracing::debug!(%error, "a connection was gone before it was accepted"),
            },
        }
    }
    drop(listener);
    // What is left then is cut off with the set.
    let _ = tokio::time::timeout(STOPPING, async { while connections.join_next().await.is_some() {} }).await;
}

/// Who connected, where it may have one more connection. Where not it is closed at once: to let it wait would let it take the
/// places of others in the listener's queue.
fn admit(stream: &UnixStream, processes: &Arc<Processes>, quota: &Arc<Quota>) -> Option<(Caller, Share)> {
    let caller = Caller::of(stream, processes)
        .inspect_err(|error| tracing::debug!(%error, "a caller was gone before it was known"))
        .ok()?;
    match quota.take(caller.party()) {
        Ok(share) => Some((caller, share)),
        Err(full) => {
            let setting = full.setting("connections", "connections_per_caller");
            tracing::debug!(%caller, setting, "refused a connection: too many are open");
            None
        }
    }
}

fn is_exhaustion(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}

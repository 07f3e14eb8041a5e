//! Accepting connections, within limits.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use super::patience::Patience;
use super::quota::{Quota, Share};
use super::{STOPPING, connection};
use crate::attest::Caller;

/// How long accepting rests when no descriptor or memory is left: at once it would only fail again.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// How many connections a socket's callers may have, and how long they may be silent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    connections: usize,
    connections_per_user: usize,
    pub(super) patience: Patience,
}

impl Limits {
    /// Of the admin socket.
    pub(super) const ADMIN: Self = Self::new(64, 32);

    /// So many connections in all, and so many of one user.
    pub(crate) const fn new(connections: usize, connections_per_user: usize) -> Self {
        let patience = Patience { preface: Duration::from_secs(5), silence: Duration::from_secs(30) };
        Self { connections, connections_per_user, patience }
    }
}

/// Serves `routes` on `listener` until `shutdown`, and then for [`STOPPING`] at most.
pub(super) async fn serve(listener: UnixListener, routes: Routes, limits: Limits, shutdown: CancellationToken) {
    let routes = routes.prepare();
    let quota = Quota::new(limits.connections, limits.connections_per_user);
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
                    let Some((caller, share)) = admit(&stream, &quota) else { continue };
                    let (routes, shutdown) = (routes.clone(), shutdown.clone());
                    connections.spawn(connection::serve(stream, caller, share, routes, limits.patience, shutdown));
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
fn admit(stream: &UnixStream, quota: &Arc<Quota>) -> Option<(Caller, Share)> {
    let caller = Caller::of(stream)
        .inspect_err(|error| tracing::debug!(%error, "a caller was gone before it was known"))
        .ok()?;
    let share = quota.take(caller.uid());
    if share.is_none() {
        tracing::debug!(%caller, "refused a connection: too many are open");
    }
    Some((caller, share?))
}

fn is_exhaustion(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}

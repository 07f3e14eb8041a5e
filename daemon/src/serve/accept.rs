//! Accepting connections, within limits.
//!
//! The [`door`] runs on the thread of its [`intake`]. Behind it one loop finds out who each visitor is, one after the other: a party has no
//! more of them waiting than it may have connections, and whoever has hung up meanwhile costs one system call.

mod door;
mod intake;

use std::io;
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use super::STOPPING;
use super::connection::{self, ByteBudget, Meters};
use super::limits::Limits;
use super::turned_away::{Doorkeeper, TurnedAway};
use crate::callers::{Caller, Processes, Rates};
use door::{Visitor, Visitors};
pub(crate) use intake::{Accepting, Intake};

/// Serves `routes` on `listener` until `shutdown`, and then for [`STOPPING`] at most.
pub(super) async fn serve(
    listener: UnixListener,
    routes: Routes,
    limits: Limits,
    processes: Arc<Processes>,
    doorkeeper: Arc<Doorkeeper>,
    shutdown: CancellationToken,
) {
    let routes = routes.prepare();
    let meters = Meters {
        rates: Arc::new(Rates::new(limits.requests.in_all, limits.requests.per_caller)),
        budget: ByteBudget::new(),
        doorkeeper: Arc::clone(&doorkeeper),
    };
    let opened = listener
        .into_std()
        .and_then(|listener| Visitors::of(listener, &limits, Arc::clone(&processes), Arc::clone(&doorkeeper)));
    let mut visitors = match opened {
        Ok(visitors) => visitors,
        Err(error) => return tracing::error!(%error, "connections cannot be accepted"),
    };
    let mut connections = JoinSet::new();
    loop {
        let visitor = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            visitor = visitors.next() => visitor,
        };
        let Some(Visitor { stream, share }) = visitor else { break };
        // A peer that connects in a loop mostly is gone by now, or has lost its place.
        if share.displaced().is_cancelled() || has_hung_up(&stream) {
            continue;
        }
        let Ok(stream) = UnixStream::from_std(stream) else { continue };
        match Caller::of(&stream, &processes) {
            Ok(caller) => {
                let (routes, meters, shutdown) = (routes.clone(), meters.clone(), shutdown.clone());
                connections.spawn(connection::serve(stream, caller, share, routes, meters, limits.patience, shutdown));
            }
            Err(gone) if gone.is_for_want_of_descriptors() => {
                doorkeeper.turned_away(Some(share.party()), TurnedAway::Descriptors);
                connections.spawn(connection::put_off(stream, share, limits.patience));
            }
            Err(gone) => tracing::debug!(error = %gone, "a caller was gone before it was known"),
        }
    }
    drop(visitors);
    // The rest is cut off with the set.
    let _ = tokio::time::timeout(STOPPING, async { while connections.join_next().await.is_some() {} }).await;
}

fn has_hung_up(stream: &std::os::unix::net::UnixStream) -> bool {
    let mut events = [PollFd::new(stream, PollFlags::empty())];
    let looked: io::Result<_> = poll(&mut events, Some(&Timespec::default())).map_err(Into::into);
    looked.is_ok() && events[0].revents().contains(PollFlags::HUP)
}

//! What operators ask of the daemon itself: from the admin socket to the task that decides.

use evercert_core::digest::Digest;
use evercert_core::identity::IdentityId;
use evercert_core::keeper::EndOverlapError;
use tokio::sync::{mpsc, oneshot};

/// How many requests may wait for their turn; further ones wait for that.
const WAITING: usize = 16;

/// What is asked.
pub(crate) enum Request {
    /// Read the configuration and every identity's files again.
    Reload(oneshot::Sender<Reloaded>),
    /// Trust an anchor that is no longer on disk no longer: in one identity, or in all.
    EndOverlap { anchor: Digest, identity: Option<IdentityId>, answer: oneshot::Sender<Ended> },
}

/// In which identities an anchor is trusted no longer, or why it still is.
pub(crate) type Ended = Result<Vec<IdentityId>, EndOverlapError>;

/// How a reload ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reloaded {
    /// Why the configuration was refused; absent: it was taken over.
    pub(crate) config_error: Option<String>,
    /// How many identities are kept now.
    pub(crate) identities: usize,
}

/// Asks the daemon's task.
#[derive(Clone)]
pub(crate) struct Control {
    requests: mpsc::Sender<Request>,
}

impl Control {
    /// One side that asks and one that answers.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Request>) {
        let (requests, asked) = mpsc::channel(WAITING);
        (Self { requests }, asked)
    }

    /// Has configuration and files read again.
    ///
    /// # Errors
    ///
    /// The daemon is stopping.
    pub(crate) async fn reload(&self) -> Result<Reloaded, Stopping> {
        self.ask(Request::Reload).await
    }

    /// Ends the trust in `anchor` where it is retained: in `identity`, or in all.
    ///
    /// # Errors
    ///
    /// The daemon is stopping.
    pub(crate) async fn end_overlap(&self, anchor: Digest, identity: Option<IdentityId>) -> Result<Ended, Stopping> {
        self.ask(|answer| Request::EndOverlap { anchor, identity, answer }).await
    }

    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Result<T, Stopping> {
        let (answer, answered) = oneshot::channel();
        self.requests.send(request(answer)).await.map_err(|_| Stopping)?;
        answered.await.map_err(|_| Stopping)
    }
}

/// Nobody answers any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stopping;

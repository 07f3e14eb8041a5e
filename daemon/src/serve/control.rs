//! Operators' orders to the daemon itself: from the admin socket to the task that decides.

use evercert_core::digest::Digest;
use evercert_core::identity::IdentityId;
use evercert_core::keeper::EndOverlapError;
use tokio::sync::{mpsc, oneshot};

/// The number of orders that may wait for their turn; further ones wait for that.
const WAITING: usize = 16;

/// An operator's order to the daemon itself.
pub(crate) enum Order {
    /// Read the configuration and every identity's files again.
    Reload(oneshot::Sender<Reloaded>),
    /// Trust an anchor that is no longer on disk no longer: in one identity, or in all.
    EndOverlap { anchor: Digest, identity: Option<IdentityId>, answer: oneshot::Sender<OverlapEnd> },
}

/// The identities in which an anchor is trusted no longer, or why it still is.
pub(crate) type OverlapEnd = Result<Vec<IdentityId>, EndOverlapError>;

/// The result of a reload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reloaded {
    /// Why the configuration was refused; absent: it was taken over.
    pub(crate) config_error: Option<String>,
    /// The number of identities kept now.
    pub(crate) identities: usize,
    /// The settings that take effect at the next start.
    pub(crate) needs_restart: Vec<&'static str>,
}

/// Asks the daemon's task.
#[derive(Clone)]
pub(crate) struct Control {
    orders: mpsc::Sender<Order>,
}

impl Control {
    /// One side that asks and one that answers.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Order>) {
        let (orders, asked) = mpsc::channel(WAITING);
        (Self { orders }, asked)
    }

    /// Has configuration and files read again.
    ///
    /// # Errors
    ///
    /// The daemon is stopping.
    pub(crate) async fn reload(&self) -> Result<Reloaded, Stopping> {
        self.ask(Order::Reload).await
    }

    /// Ends the trust in `anchor` where it is retained: in `identity`, or in all.
    ///
    /// # Errors
    ///
    /// The daemon is stopping.
    pub(crate) async fn end_overlap(
        &self,
        anchor: Digest,
        identity: Option<IdentityId>,
    ) -> Result<OverlapEnd, Stopping> {
        self.ask(|answer| Order::EndOverlap { anchor, identity, answer }).await
    }

    async fn ask<T>(&self, order: impl FnOnce(oneshot::Sender<T>) -> Order) -> Result<T, Stopping> {
        let (answer, answered) = oneshot::channel();
        self.orders.send(order(answer)).await.map_err(|_| Stopping)?;
        answered.await.map_err(|_| Stopping)
    }
}

/// Nobody answers any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stopping;

//! One endpoint, as tower's balancer sees it.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use tower::Service;
use tower::load::Load;

use super::set::Slot;
use crate::client::channel::Channel;
use crate::client::readiness::NextChange;

/// The channel of one endpoint, for one balancer: it is ready while it is connected and has room, and so left out while it is not. A call
/// picks it, and is made on it after that.
#[derive(Debug)]
pub(super) struct Candidate {
    slot: Weak<Slot>,
    next_change: Option<NextChange>,
}

impl Candidate {
    pub(super) fn new(slot: &Arc<Slot>) -> Self {
        Self { slot: Arc::downgrade(slot), next_change: None }
    }
}

impl Service<()> for Candidate {
    /// `None` if the endpoint has left the set.
    type Response = Option<Channel>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        match self.slot.upgrade() {
            Some(slot) => slot.channel.poll_room(&mut self.next_change, cx).map(Ok),
            // The set without it is on its way here.
            None => Poll::Pending,
        }
    }

    fn call(&mut self, (): ()) -> Self::Future {
        ready(Ok(self.slot.upgrade().map(|slot| slot.channel.clone())))
    }
}

impl Load for Candidate {
    /// The number of calls whose responses have not ended, of all that use the channel.
    type Metric = usize;

    fn load(&self) -> usize {
        self.slot.upgrade().map_or(usize::MAX, |slot| slot.channel.load())
    }
}

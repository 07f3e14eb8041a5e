//! The entry of one subscriber, as its stream holds it.

use std::sync::Arc;

use evercert_core::identity::IdentityId;

use super::{Disconnect, Report, Subscribers};
use crate::publication::Claim;

/// One subscriber's place in the registry. Dropping it removes the subscriber.
pub(crate) struct Subscription {
    subscribers: Arc<Subscribers>,
    identity: IdentityId,
    id: u64,
    reason: Disconnect,
    /// On the identity's key, if the subscriber is to be given it.
    _claim: Option<Claim>,
}

impl Subscription {
    pub(super) fn new(subscribers: Arc<Subscribers>, identity: IdentityId, id: u64, claim: Option<Claim>) -> Self {
        // A stream that is dropped without a word was cancelled from the other side.
        Self { subscribers, identity, id, reason: Disconnect::ClientClosed, _claim: claim }
    }

    /// Keeps `report` as the subscriber's last word.
    pub(crate) fn report(&self, report: Report) {
        self.subscribers.report(&self.identity, self.id, report);
    }

    /// Removes the subscriber and says why it goes.
    pub(crate) fn end(mut self, reason: Disconnect) {
        self.reason = reason;
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.subscribers.disconnect(&self.identity, self.id, self.reason);
    }
}

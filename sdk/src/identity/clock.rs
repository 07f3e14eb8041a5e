//! Changes of an identity by time alone: the end of its leaf, and whom it trusts.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use evercert_core::clock::{Now, expiry, rfc3339};
use tokio::time::Instant;

use super::change::Change;
use super::{ExpiryPolicy, Shared};
use crate::refusal::Refusal;

/// The longest interval between looks at the wall clock: it may be set meanwhile.
pub(crate) const CLOCK_CHECK: Duration = Duration::from_secs(30);

/// Both clocks, read together. The monotonic one is the runtime's.
pub(crate) fn now() -> Now {
    Now { wall: SystemTime::now(), monotonic: Instant::now().into_std() }
}

/// The clock as seen so far.
#[derive(Debug, Default)]
pub(super) struct Clock {
    /// The end of the leaf that the log said to have expired.
    expired: Option<SystemTime>,
    /// The time up to which it is known what time alone has changed of who is trusted.
    trusted_until: Option<SystemTime>,
}

impl Shared {
    /// Looks whether something has changed, and gives the time until it has to be looked at again.
    pub(super) fn look_at(&self, clock: &mut Clock, now: SystemTime) -> Duration {
        self.look_at_expiry(clock, now).min(self.look_at_trust(clock, now))
    }

    /// Has live connections held against the current generation once more when an anchor or, where stale CRLs are rejected, a CRL has
    /// come to its end since the last look.
    fn look_at_trust(&self, clock: &mut Clock, now: SystemTime) -> Duration {
        let current = self.state.borrow().current.clone();
        let Some((generation, trust)) =
            current.and_then(|current| Some((Arc::clone(&current), current.trust()?.clone())))
        else {
            return CLOCK_CHECK;
        };
        let due = clock.trusted_until.replace(now).and_then(|before| trust.changes_after(before));
        if due.is_some_and(|due| due <= now) && self.state.borrow().withdrawn.is_none() {
            let again = generation.trusting_again().and_then(|again| self.commit(Arc::new(again), Change::Time));
            match again {
                Ok(()) => tracing::info!(identity = %self.name, "who is trusted has changed with time"),
                Err(refusal) => tracing::warn!(identity = %self.name, %refusal, "nobody is trusted any more"),
            }
        }
        let next = trust.changes_after(now).and_then(|next| next.duration_since(now).ok());
        next.map_or(CLOCK_CHECK, |left| left + Duration::from_secs(1)).min(CLOCK_CHECK)
    }

    /// Holds the end of the current leaf against the clock; gives the time until it has to be looked at again.
    fn look_at_expiry(&self, clock: &mut Clock, now: SystemTime) -> Duration {
        let (current, withdrawn) = {
            let state = self.state.borrow();
            (state.current.clone(), state.withdrawn.is_some())
        };
        let Some((generation, end)) = current.and_then(|current| Some((Arc::clone(&current), current.not_after()?)))
        else {
            return CLOCK_CHECK;
        };
        if !generation.has_expired(now) {
            clock.expired = None;
            // The clock was set back.
            if withdrawn && let Err(refusal) = self.commit(generation, Change::Time) {
                tracing::warn!(identity = %self.name, %refusal, "a generation that is valid again cannot be used");
            }
            let left = expiry(end).duration_since(now).unwrap_or_default();
            return left.min(CLOCK_CHECK);
        }
        if clock.expired.replace(end) != Some(end) {
            tracing::error!(
                identity = %self.name, not_after = rfc3339(end), policy = ?self.expiry,
                "the leaf in use has expired and nothing newer has come"
            );
        }
        if self.expiry == ExpiryPolicy::FailClosed && !withdrawn {
            self.withdraw(Refusal::Expired(end));
        }
        CLOCK_CHECK
    }

    fn withdraw(&self, refusal: Refusal) {
        let consumers = self.consumers.lock();
        for consumer in consumers.iter().filter_map(|attached| attached.consumer.upgrade()) {
            consumer.withdraw(&refusal);
        }
        self.state.send_modify(|state| state.withdrawn = Some(refusal));
        drop(consumers);
    }
}

#[cfg(test)]
mod tests {
    use evercert_fixtures::Authority;

    use super::*;
    use crate::identity::Identity;
    use crate::identity::scripted::{Scripted, certified, started};

    #[tokio::test]
    async fn a_clock_that_is_set_back_does_not_make_a_refused_generation_the_current_one() {
        let ca = Authority::new("ca");
        let source = Scripted::new(certified(1, &[&ca]));
        let identity = Identity::from_source("test", Arc::clone(&source) as _);
        let identity = started(identity.expiry_policy(ExpiryPolicy::FailClosed)).await;
        let late = identity.status().not_after.unwrap() + Duration::from_secs(60);
        identity.inner.shared.look_at(&mut Clock::default(), late);
        assert!(identity.state.borrow().withdrawn.is_some());
        // Its bundle is empty. When the identity's task has looked at it, it looks at the clock too, which has never been that late.
        source.deliver(certified(2, &[]));
        identity.state.clone().wait_for(|state| state.withdrawn.is_none()).await.unwrap();
        let status = identity.status();
        assert_eq!((status.generation, status.refused.map(|refused| refused.generation)), (Some(1), Some(2)));
    }
}

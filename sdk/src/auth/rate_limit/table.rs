//! What each principal has used up.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use evercert_core::swept::FIRST_SWEEP;
use evercert_core::throttle::Throttle;
use governor::clock::{Clock as _, DefaultClock};
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::state::keyed::{HashMapStateStore, ShrinkableKeyedStateStore};
use governor::{Quota, RateLimiter};
use parking_lot::Mutex;

use crate::auth::principal::PrincipalKey;

/// The most principals that have a limit of their own at a time. Whoever comes anew while as many are active shares one of [`SHARES`] with
/// others.
const MOST_PRINCIPALS: usize = 65_536;

/// The number of limits for those who have none of their own.
const SHARES: u64 = 1024;

/// The time between two sweeps of a full table.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// A principal in the table, by a keyed hash of its name: names are long and others', and two that are one by chance share a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Key {
    Anonymous,
    Own(u64),
    Shared(u64),
}

/// What each principal has used up of its limit. Who has used nothing is not in it.
#[derive(Debug)]
pub(super) struct Table {
    limiter: RateLimiter<Key, States, DefaultClock>,
    states: States,
    clock: DefaultClock,
    hasher: RandomState,
    sweep_at: AtomicUsize,
    /// The sweeps while there is no place: whoever fills the table must not have it swept for each call.
    sweeps_when_full: Mutex<Throttle>,
    most: usize,
}

impl Table {
    pub(super) fn new(quota: Quota) -> Self {
        let (states, clock) = (States::default(), DefaultClock::default());
        Self {
            limiter: RateLimiter::new(quota, states.clone(), clock.clone()),
            states,
            clock,
            hasher: RandomState::new(),
            sweep_at: AtomicUsize::new(FIRST_SWEEP),
            sweeps_when_full: Mutex::new(Throttle::new(SWEEP_INTERVAL)),
            most: MOST_PRINCIPALS,
        }
    }

    pub(super) fn key(&self, principal: &PrincipalKey<'_>) -> Key {
        Key::Own(self.hasher.hash_one(principal))
    }

    /// One call of this principal's.
    ///
    /// # Errors
    ///
    /// It has used up its limit; the time after which it may call again.
    pub(super) fn take(&self, key: Key) -> Result<(), Duration> {
        let key = match key {
            // Whoever is in it stays there: elsewhere it would begin anew.
            Key::Own(hash) if self.is_full() && !self.states.0.lock().contains_key(&key) => Key::Shared(hash % SHARES),
            key => key,
        };
        self.limiter.check_key(&key).map_err(|until| until.wait_time_from(self.clock.now()))
    }

    /// Whether there is no place for another principal. It is swept when it has grown to twice what was left the last time, so that each
    /// entry is looked at twice at most on average.
    fn is_full(&self) -> bool {
        let sweep_at = self.sweep_at.load(Ordering::Relaxed);
        let len = self.limiter.len();
        if len < sweep_at {
            return false;
        }
        if len >= self.most && self.sweeps_when_full.lock().take(Instant::now()).is_none() {
            return true;
        }
        self.limiter.retain_recent();
        let left = self.limiter.len();
        self.sweep_at.store((2 * left).clamp(FIRST_SWEEP, self.most), Ordering::Relaxed);
        left >= self.most
    }
}

/// What is left to each key, where it can be seen whether there is one.
#[derive(Debug, Clone, Default)]
struct States(Arc<HashMapStateStore<Key>>);

impl StateStore for States {
    type Key = Key;

    fn measure_and_replace<T, F, E>(&self, key: &Key, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        self.0.measure_and_replace(key, measure)
    }
}

impl ShrinkableKeyedStateStore<Key> for States {
    fn retain_recent(&self, drop_below: Nanos) {
        self.0.retain_recent(drop_below);
    }

    fn shrink_to_fit(&self) {
        ShrinkableKeyedStateStore::shrink_to_fit(&*self.0);
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    fn quota(every: Duration, burst: u32) -> Quota {
        Quota::with_period(every).unwrap().allow_burst(NonZeroU32::new(burst).unwrap())
    }

    fn subject(name: &str) -> PrincipalKey<'_> {
        PrincipalKey::SpiffeId(name)
    }

    #[test]
    fn each_principal_has_its_own_limit_and_is_told_when_it_may_call_again() {
        let table = Table::new(quota(Duration::from_secs(3600), 2));
        let (a, b) = (table.key(&subject("a")), table.key(&subject("b")));
        assert_eq!([a, a, b, b].map(|key| table.take(key)), [Ok(()); 4]);
        let wait = table.take(a).unwrap_err();
        assert!(wait > Duration::from_secs(3500) && wait <= Duration::from_secs(3600), "{wait:?}");
        assert!(table.take(b).is_err());
        assert!(table.take(Key::Anonymous).is_ok());
    }

    #[test]
    fn principals_that_are_at_rest_leave_no_trace() {
        let table = Table::new(quota(Duration::from_nanos(1), 1));
        for name in 0..10 * FIRST_SWEEP {
            assert!(table.take(table.key(&subject(&name.to_string()))).is_ok());
        }
        assert!(table.limiter.len() <= FIRST_SWEEP, "{}", table.limiter.len());
    }

    #[test]
    fn a_table_that_is_full_has_the_others_share_and_never_grows_further() {
        let most = 2 * FIRST_SWEEP;
        let table = Table { most, ..Table::new(quota(Duration::from_secs(3600), 1)) };
        let take = |name: usize| table.take(table.key(&subject(&name.to_string())));
        for name in 0..10_000 {
            _ = take(name);
        }
        assert!(table.limiter.len() <= most + usize::try_from(SHARES).unwrap());
        assert!((0..10_000).all(|name| take(name).is_err()), "each share is used up");
    }

    #[test]
    fn a_table_that_is_full_keeps_those_limited_that_are_in_it() {
        let most = 2 * FIRST_SWEEP;
        let table = Table { most, ..Table::new(quota(Duration::from_secs(3600), 1)) };
        let take = |name: usize| table.take(table.key(&subject(&name.to_string())));
        assert!((0..most).all(|name| take(name).is_ok()));
        assert!((0..most).all(|name| take(name).is_err()), "none of them gets a share besides");
        assert_eq!(table.limiter.len(), most);
        assert!(take(most).is_ok(), "whoever is new has a share");
    }
}

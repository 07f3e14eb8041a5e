//! How often something may happen: in all, and for one party.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter};

use super::party::Party;

/// After how many checks parties are forgotten that have been still for long enough to have their whole rate again.
const FORGET_AFTER: u64 = 1024;

/// Two rates that both have to hold.
pub(crate) struct Rates {
    in_all: DefaultDirectRateLimiter,
    per_party: DefaultKeyedRateLimiter<Party>,
    checks: AtomicU64,
}

/// Which rate does not allow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exceeded {
    InAll,
    PerParty,
}

impl Rates {
    /// So often a second, in all and for one party; as much at once where there was a second of rest.
    pub(crate) fn new(in_all: NonZeroU32, per_party: NonZeroU32) -> Self {
        Self {
            in_all: RateLimiter::direct(Quota::per_second(in_all)),
            per_party: RateLimiter::keyed(Quota::per_second(per_party)),
            checks: AtomicU64::new(0),
        }
    }

    /// So many for `party`; where that is too many for now, how long it has to wait until they are not. The rate in all does not count.
    pub(crate) fn wait(&self, party: &Party, count: NonZeroU32) -> Option<Duration> {
        self.forget_at_times();
        match self.per_party.check_key_n(party, count) {
            Ok(Ok(())) => None,
            Ok(Err(until)) => Some(until.wait_time_from(DefaultClock::default().now())),
            // More than there can be at once: as long as all of that takes.
            Err(_) => Some(Duration::from_secs(1)),
        }
    }

    /// Once for `party`. A use refused to one party is not taken from the others.
    ///
    /// # Errors
    ///
    /// That would be too often.
    pub(crate) fn check(&self, party: &Party) -> Result<(), Exceeded> {
        self.forget_at_times();
        self.per_party.check_key(party).map_err(|_| Exceeded::PerParty)?;
        self.in_all.check().map_err(|_| Exceeded::InAll)
    }

    fn forget_at_times(&self) {
        if self.checks.fetch_add(1, Ordering::Relaxed) % FORGET_AFTER == FORGET_AFTER - 1 {
            self.per_party.retain_recent();
            self.per_party.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn rate(number: u32) -> NonZeroU32 {
        NonZeroU32::new(number).unwrap()
    }

    #[test]
    fn a_flood_of_one_party_takes_nothing_from_another() {
        let rates = Rates::new(rate(100), rate(10));
        let flood = (0..10_000).filter(|_| rates.check(&Party::User(1)).is_ok()).count();
        assert!((10..100).contains(&flood), "{flood}");
        assert_eq!(rates.check(&Party::User(1)), Err(Exceeded::PerParty));
        for other in [Party::User(2), Party::Pod("1".into())] {
            assert_eq!(rates.check(&other), Ok(()));
        }
    }

    #[test]
    fn many_parties_are_held_to_the_rate_in_all_and_forgotten_when_they_rest() {
        let rates = Rates::new(rate(100), rate(1000));
        let refused = (0..5000).filter_map(|uid| rates.check(&Party::User(uid)).err()).last();
        assert_eq!(refused, Some(Exceeded::InAll));
        let started = Instant::now();
        while rates.per_party.len() > 2 {
            assert!(started.elapsed() < Duration::from_secs(20), "{} parties are remembered", rates.per_party.len());
            (0..FORGET_AFTER).for_each(|_| _ = rates.check(&Party::User(1)));
        }
    }
}

//! The plan of one attempt to connect to several addresses (RFC 8305 §5): from addresses and time to the next step. It reads no clock and
//! does nothing itself; [`dialer`](super::dialer) carries it out.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// The time an address has before the next one is tried beside it: RFC 8305 §8, "Connection Attempt Delay".
pub(super) const ATTEMPT_DELAY: Duration = Duration::from_millis(250);
/// The number of addresses that are tried at once.
pub(super) const MOST_AT_ONCE: usize = 16;

/// The next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Another address is tried, beside those that are.
    Try(SocketAddr),
    /// One of those that are tried has to fail or to be accepted, or so much time to pass.
    Wait(Option<Duration>),
    /// Every address has failed.
    GiveUp,
}

/// The memory of the plan.
#[derive(Debug)]
pub(super) struct Dialing {
    left: VecDeque<SocketAddr>,
    /// The number of addresses that are being tried.
    running: usize,
    /// The time before which the next is not tried, unless one fails.
    next: Option<Instant>,
}

impl Dialing {
    pub(super) fn new(order: Vec<SocketAddr>) -> Self {
        Self { left: order.into(), running: 0, next: None }
    }

    /// The next step at `now`.
    pub(super) fn step(&mut self, now: Instant) -> Step {
        if self.running < MOST_AT_ONCE && !self.left.is_empty() {
            let wait = self.next.map(|next| next.saturating_duration_since(now)).unwrap_or_default();
            if !wait.is_zero() {
                return Step::Wait(Some(wait));
            }
            if let Some(address) = self.left.pop_front() {
                self.running += 1;
                self.next = Some(now + ATTEMPT_DELAY);
                return Step::Try(address);
            }
        }
        if self.running == 0 { Step::GiveUp } else { Step::Wait(None) }
    }

    /// An address has failed: the next one need not wait.
    pub(super) fn failed(&mut self) {
        self.running = self.running.saturating_sub(1);
        self.next = None;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn addresses(count: u8) -> Vec<SocketAddr> {
        (0..count).map(|n| ([192, 0, 2, n], 443).into()).collect()
    }

    #[test]
    fn an_address_is_tried_beside_those_that_have_not_answered_after_the_delay_of_rfc_8305() {
        let (all, mut now) = (addresses(3), Instant::now());
        let mut dialing = Dialing::new(all.clone());
        for address in &all {
            assert_eq!(dialing.step(now), Step::Try(*address));
            now += ATTEMPT_DELAY / 5;
            if address != &all[2] {
                assert_eq!(dialing.step(now), Step::Wait(Some(ATTEMPT_DELAY * 4 / 5)));
            }
            now += ATTEMPT_DELAY * 4 / 5;
        }
        assert_eq!(dialing.step(now), Step::Wait(None));
        (0..3).for_each(|_| dialing.failed());
        assert_eq!(dialing.step(now), Step::GiveUp);
    }

    #[test]
    fn after_a_failure_the_next_address_is_tried_at_once() {
        let (all, now) = (addresses(2), Instant::now());
        let mut dialing = Dialing::new(all.clone());
        assert_eq!(dialing.step(now), Step::Try(all[0]));
        dialing.failed();
        assert_eq!(dialing.step(now), Step::Try(all[1]));
        assert_eq!(dialing.step(now), Step::Wait(None));
    }

    #[test]
    fn nine_dead_addresses_delay_the_tenth_by_less_than_two_and_a_half_seconds() {
        let (mut dialing, start) = (Dialing::new(addresses(10)), Instant::now());
        let mut now = start;
        let mut tried = 0;
        while tried < 10 {
            match dialing.step(now) {
                Step::Try(_) => tried += 1,
                Step::Wait(Some(wait)) => now += wait,
                other => panic!("{other:?} after {tried}"),
            }
        }
        assert!(now - start < Duration::from_millis(2500), "{:?}", now - start);
    }

    proptest! {
        #[test]
        fn each_address_is_tried_once_and_only_so_many_at_a_time(
            count in 0..80_u8,
            events in prop::collection::vec((0..400_u64, any::<bool>()), 0..400),
        ) {
            let all = addresses(count);
            let (mut dialing, mut now) = (Dialing::new(all.clone()), Instant::now());
            let (mut tried, mut running) = (Vec::new(), 0);
            let mut events = events.into_iter().chain(std::iter::repeat((300, true)));
            loop {
                match dialing.step(now) {
                    Step::Try(address) => {
                        tried.push(address);
                        running += 1;
                        prop_assert!(running <= MOST_AT_ONCE);
                    }
                    Step::Wait(limit) => {
                        prop_assert!(running > 0 && limit.is_none_or(|limit| limit <= ATTEMPT_DELAY));
                        let (passed, fails) = events.next().unwrap();
                        now += Duration::from_millis(passed);
                        if fails {
                            running -= 1;
                            dialing.failed();
                        }
                    }
                    Step::GiveUp => break,
                }
            }
            prop_assert_eq!((tried, running), (all, 0));
        }
    }
}

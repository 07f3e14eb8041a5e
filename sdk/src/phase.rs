//! The point in a span at which something happens, so that what shares the span does not happen all at once.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// The fractional part of the golden ratio, in units of 2⁻⁶⁴: its multiples fill the unit interval evenly, however many there are.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// A point of every span, from 0 up to but not 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Phase(pub(crate) f64);

impl Phase {
    /// One that has nothing to do with any other.
    pub(crate) fn random() -> Self {
        Self::of_bits(random())
    }

    /// The point of this span, from its beginning.
    pub(crate) fn of(self, span: Duration) -> Duration {
        span.mul_f64(self.0)
    }

    fn of_bits(bits: u64) -> Self {
        // 53 bits are what the mantissa holds.
        Self((bits >> 11) as f64 / (1_u64 << 53) as f64)
    }
}

/// Phases that are spread evenly. They begin at random, so that the processes of one service do not act in step.
#[derive(Debug)]
pub(crate) struct Phases(AtomicU64);

impl Phases {
    pub(crate) fn next(&self) -> Phase {
        Phase::of_bits(self.0.fetch_add(GOLDEN, Relaxed))
    }
}

impl Default for Phases {
    fn default() -> Self {
        Self(AtomicU64::new(random()))
    }
}

/// The standard library seeds its hashers at random.
fn random() -> u64 {
    RandomState::new().hash_one(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_phases_are_spread_evenly_from_wherever_they_begin() {
        for start in [0, u64::MAX, random()] {
            let phases = Phases(AtomicU64::new(start));
            let mut tenths = [0; 10];
            for _ in 0..100 {
                tenths[(phases.next().0 * 10.0) as usize] += 1;
            }
            assert!(tenths.iter().all(|count| (8..=12).contains(count)), "{tenths:?} from {start}");
        }
    }
}

//! When which identity is due.

use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime};

use super::numbers::SlotKey;
use crate::clock::Now;

/// When which identity is due, by either clock. Each identity has at most one entry in each; the caller holds what it set.
#[derive(Debug, Default)]
pub(super) struct Timers {
    again: BTreeSet<(Instant, SlotKey)>,
    wake: BTreeSet<(SystemTime, SlotKey)>,
}

/// Why an identity is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// A pause is over: look at its files again.
    Again,
    /// The wall clock shows what was waited for.
    Time,
}

impl Timers {
    /// Sets or clears when files are looked at again.
    pub(super) fn again(&mut self, key: SlotKey, held: &mut Option<Instant>, at: Option<Instant>) {
        if let Some(before) = std::mem::replace(held, at) {
            self.again.remove(&(before, key));
        }
        self.again.extend(at.map(|at| (at, key)));
    }

    /// Sets or clears which time of the wall clock is waited for.
    pub(super) fn wake(&mut self, key: SlotKey, held: &mut Option<SystemTime>, at: Option<SystemTime>) {
        if let Some(before) = std::mem::replace(held, at) {
            self.wake.remove(&(before, key));
        }
        self.wake.extend(at.map(|at| (at, key)));
    }

    /// Takes out who is due.
    pub(super) fn due(&mut self, now: Now) -> Vec<(SlotKey, Due)> {
        let mut due = Vec::new();
        while let Some(first) = self.again.first().copied().filter(|(at, _)| *at <= now.monotonic) {
            self.again.remove(&first);
            due.push((first.1, Due::Again));
        }
        while let Some(first) = self.wake.first().copied().filter(|(at, _)| *at <= now.wall) {
            self.wake.remove(&first);
            due.push((first.1, Due::Time));
        }
        due
    }

    /// How long it is until the next one is due, if neither clock is set.
    pub(super) fn next(&self, now: Now) -> Option<Duration> {
        let again = self.again.first().map(|(at, _)| at.saturating_duration_since(now.monotonic));
        let wake = self.wake.first().map(|(at, _)| at.duration_since(now.wall).unwrap_or_default());
        again.into_iter().chain(wake).min()
    }
}

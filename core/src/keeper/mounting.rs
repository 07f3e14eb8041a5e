//! When the identities are looked at because something was mounted or unmounted.

use std::time::{Duration, Instant};

use super::pace::Pace;
use super::system::System;
use crate::mounts::MountChanges;

/// How many times as long as such a look took nothing is looked at for the same reason: on a node that mounts volumes all day it
/// takes a tenth of one processor at most.
const SHARE: u32 = 9;

/// The changes of the list of mounts, if the kernel tells of them. Where it does not, the tick carries alone.
pub(super) struct Mounting {
    changes: Option<MountChanges>,
    /// It has changed since the last look.
    changed: bool,
    next_look: Instant,
}

impl Mounting {
    pub(super) fn new(now: Instant) -> Self {
        Self { changes: None, changed: false, next_look: now }
    }

    /// Listens from now on.
    pub(super) fn open(&mut self, system: &dyn System) {
        let told = |error: &_| tracing::warn!(%error, "what is mounted or unmounted is only found at the tick");
        self.changes = system.mounts().inspect_err(told).ok();
    }

    /// Waits until the list has changed; for ever, if the kernel does not tell.
    pub(super) async fn heard(&self) {
        match &self.changes {
            Some(changes) => changes.changed().await,
            None => std::future::pending().await,
        }
    }

    /// The list has changed.
    pub(super) fn note(&mut self) {
        self.changed = true;
    }

    /// When [`Mounting::is_due`] will be true, if it will.
    pub(super) fn next(&self) -> Option<Instant> {
        self.changed.then_some(self.next_look)
    }

    /// Whether a look is due, which the caller begins then.
    pub(super) fn is_due(&mut self, now: Instant, pace: &Pace) -> bool {
        let due = self.changed && self.next_look <= now;
        if due {
            self.changed = false;
            self.next_look = now + pace.mounts;
        }
        due
    }

    /// The look took so long.
    pub(super) fn looked(&mut self, now: Instant, took: Duration) {
        self.next_look = self.next_look.max(now + took * SHARE);
    }
}

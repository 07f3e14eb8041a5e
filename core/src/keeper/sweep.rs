//! A look at many identities' files: the periodic one at all, and that behind what was mounted.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::numbers::SlotKey;
use super::pace::Pace;
use super::slot::Slot;
use super::system::System;
use crate::mount::Stamp;
use crate::spec::IdentitySpec;

/// How many threads one sweep may leave behind at mounts that do not answer before it is given up; the identities it met
/// there are left out of the next one.
const THREADS: usize = 16;

/// How many identities a thread is given at a time: the keeper's task copies as much in one go, and shows nothing meanwhile.
pub(super) const GIVEN: usize = 256;

/// One sweep: a thread compares the stamps of all identities, [`GIVEN`] at a time and one after the other. At a mount that does not answer it is
/// left behind, and another goes on with the next identity.
pub(super) struct Sweep {
    pub(super) cause: Cause,
    began: Instant,
    /// Those that no thread was given yet.
    left: std::vec::IntoIter<SlotKey>,
    work: Arc<SweepWork>,
    threads: usize,
    /// How far it had got with that at the last check.
    checked: (Instant, usize),
}

/// Why there is a sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// The tick: it goes through everyone.
    Tick,
    /// The list of mounts changed: it goes through those on the node.
    Mounts,
}

/// The work that the threads of a sweep share.
#[derive(Default)]
pub(super) struct SweepWork {
    items: Vec<Item>,
    next: AtomicUsize,
}

/// One identity, and what its files looked like when they were read.
pub(super) struct Item {
    pub(super) key: SlotKey,
    pub(super) spec: Arc<IdentitySpec>,
    pub(super) stamp: Option<Stamp>,
}

/// How a sweep gets on.
pub(super) enum Progress {
    /// As it should.
    Moving,
    /// It is stuck at this identity; a further thread should run this, or what is given next.
    Stuck(SlotKey, Option<Arc<SweepWork>>),
    /// It is stuck, and no thread is left to go on.
    GivenUp(SlotKey),
}

impl Sweep {
    pub(super) fn new(cause: Cause, keys: Vec<SlotKey>, now: Instant) -> Self {
        Self { cause, began: now, left: keys.into_iter(), work: Arc::default(), threads: 1, checked: (now, 0) }
    }

    /// Those that a thread is to be given next; none, if it is over.
    pub(super) fn next_keys(&mut self) -> Vec<SlotKey> {
        self.left.by_ref().take(GIVEN).collect()
    }

    /// A thread is given these.
    pub(super) fn begin(&mut self, items: Vec<Item>) -> Arc<SweepWork> {
        self.work = Arc::new(SweepWork { items, next: AtomicUsize::new(0) });
        self.checked.1 = 0;
        Arc::clone(&self.work)
    }

    /// How long it has been.
    pub(super) fn took(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.began)
    }

    /// Whether this is what a thread of it was given last.
    pub(super) fn is_of(&self, work: &Arc<SweepWork>) -> bool {
        Arc::ptr_eq(&self.work, work)
    }

    pub(super) fn next_check(&self, pace: &Pace) -> Instant {
        self.checked.0 + pace.sweep_stuck
    }

    /// Whether it has got on since the last check.
    pub(super) fn check(&mut self, now: Instant) -> Progress {
        let next = self.work.next.load(Ordering::Relaxed).min(self.work.items.len());
        let before = std::mem::replace(&mut self.checked, (now, next)).1;
        let stuck = next.checked_sub(1).and_then(|index| self.work.items.get(index)).filter(|_| next == before);
        match stuck.map(|item| item.key) {
            None => Progress::Moving,
            Some(key) if self.threads == THREADS => Progress::GivenUp(key),
            Some(key) => {
                self.threads += 1;
                Progress::Stuck(key, (next < self.work.items.len()).then(|| Arc::clone(&self.work)))
            }
        }
    }
}

impl Item {
    pub(super) fn new(key: SlotKey, slot: &Slot) -> Self {
        Self { key, spec: Arc::clone(&slot.spec), stamp: slot.stamp.clone() }
    }
}

impl SweepWork {
    /// Goes through the identities that no other thread has taken, and tells at once of each whose files do not look as they did:
    /// the next one's mount may not answer.
    pub(super) fn run(&self, system: &dyn System, changed: impl Fn(SlotKey)) {
        while let Some(item) = self.items.get(self.next.fetch_add(1, Ordering::Relaxed)) {
            if item.stamp.as_ref() != Some(system.visit(&item.spec.files).stamp()) {
                changed(item.key);
            }
        }
    }
}

//! The passing of time: pauses that are over, jobs that take too long, a clock that was set, and the periodic tick.

use std::sync::Arc;
use std::time::Instant;

use super::{Task, ThreadReport};
use crate::clock::Now;
use crate::keeper::slot::Slot;
use crate::keeper::sweep::{Cause, Item, Progress, Sweep, SweepWork};
use crate::keeper::timers::Due;
use crate::mount::{self, Stamp};

impl Task {
    /// Does what has become due.
    pub(super) fn pass_time(&mut self) {
        let now = self.system.now();
        for (key, due) in self.timers.due(now) {
            let Some(slot) = self.slots.get_mut(&key) else { continue };
            match due {
                Due::Again => slot.pause_over(now.monotonic),
                Due::Time => {
                    slot.wake_at = None;
                    slot.time_passed(now.monotonic);
                }
            }
            self.queue(key);
        }
        self.compare_clocks(now);
        for job in self.jobs.overdue(now.monotonic, &self.pace) {
            if self.slots.get_mut(&job.key).is_some_and(|slot| slot.take_back(job.number)) {
                self.show(job.key);
                self.queue(job.key);
            }
        }
        self.threads.catch_up();
        self.sweepers.catch_up();
        self.check_sweep(now.monotonic);
        if self.sweep.is_none() && self.mounting.is_due(now.monotonic, &self.pace) {
            self.sweep(Cause::Mounts, now.monotonic);
        }
        if self.may_tick() && self.next_tick <= now.monotonic {
            self.next_tick = now.monotonic + self.tick;
            self.start_sweep(now.monotonic);
            self.write_again(now.monotonic);
            // Identities of pods come and go for as long as this runs.
            self.sweep_store(now);
        }
    }

    /// Has everything judged anew if the wall clock was set.
    fn compare_clocks(&mut self, now: Now) {
        let jump = now.parted(std::mem::replace(&mut self.clock, now));
        if jump > self.pace.clock_jump {
            let seconds = jump.as_secs_f64();
            tracing::warn!(seconds, "the clock was set; everything is judged anew by it");
            let keys: Vec<_> = self.slots.keys().copied().collect();
            for key in keys {
                self.slots.entry(key).and_modify(|slot| slot.time_passed(now.monotonic));
                self.queue(key);
            }
        }
    }

    fn start_sweep(&mut self, now: Instant) {
        if self.watching.open(&*self.system, &*self.observer) {
            self.hint_everyone(now);
        }
        let unwatched: Vec<_> = self.watching.unwatched().iter().copied().collect();
        unwatched.into_iter().for_each(|key| self.hint(key, now));
        if self.sweep.is_none() {
            self.sweep(Cause::Tick, now);
        }
    }

    /// A sweep that is not the tick's is waited for.
    pub(super) fn may_tick(&self) -> bool {
        self.sweep.as_ref().is_none_or(|sweep| sweep.cause == Cause::Tick)
    }

    fn sweep(&mut self, cause: Cause, now: Instant) {
        if cause == Cause::Mounts {
            // Those that a mount is waited for do not wait for the sweep.
            let waiting = self.slots.iter().filter(|(_, slot)| is_behind_mounts(slot) && !is_to_compare(slot, cause));
            let waiting: Vec<_> = waiting.map(|(key, _)| *key).collect();
            waiting.into_iter().for_each(|key| self.hint(key, now));
        }
        self.sweep = Some(Sweep::new(cause, self.slots.keys().copied().collect(), now));
        self.go_on_with_sweep();
    }

    /// Has a thread go through the next identities; the sweep is over where none is left.
    pub(super) fn go_on_with_sweep(&mut self) {
        while let Some(sweep) = &mut self.sweep {
            let (cause, keys) = (sweep.cause, sweep.next_keys());
            if keys.is_empty() {
                self.end_sweep();
                return;
            }
            let slots = keys.into_iter().filter_map(|key| Some((key, self.slots.get(&key)?)));
            let compared = slots.filter(|(_, slot)| is_to_compare(slot, cause));
            let items: Vec<_> = compared.map(|(key, slot)| Item::new(key, slot)).collect();
            if let Some(sweep) = self.sweep.as_mut().filter(|_| !items.is_empty()) {
                let work = sweep.begin(items);
                self.spawn_sweep(work);
                return;
            }
        }
    }

    fn end_sweep(&mut self) {
        let Some(sweep) = self.sweep.take() else { return };
        let now = self.system.now();
        match sweep.cause {
            Cause::Tick => self.observer.scanned(now.wall),
            Cause::Mounts => self.mounting.looked(now.monotonic, sweep.took(now.monotonic)),
        }
    }

    fn spawn_sweep(&self, work: Arc<SweepWork>) {
        let (system, reports) = (Arc::clone(&self.system), self.reports.0.clone());
        let _ = self.sweepers.run(move || {
            // It fails when the keeper is gone, and nobody wants to know.
            let report = |report| drop(reports.blocking_send(report));
            work.run(&*system, |key| report(ThreadReport::Changed(key)));
            report(ThreadReport::Swept(work));
        });
    }

    fn check_sweep(&mut self, now: Instant) {
        let Some(sweep) = self.sweep.as_mut().filter(|sweep| sweep.next_check(&self.pace) <= now) else { return };
        let stuck = match sweep.check(now) {
            Progress::Moving => return,
            Progress::Stuck(key, Some(work)) => {
                self.spawn_sweep(work);
                key
            }
            Progress::Stuck(key, None) => {
                self.go_on_with_sweep();
                key
            }
            Progress::GivenUp(key) => {
                self.end_sweep();
                key
            }
        };
        // Its own look will tell whether the mount answers.
        self.hint(stuck, now);
    }
}

/// Whether a sweep compares what an identity's files look like; otherwise it needs a look of its own, or has one.
fn is_to_compare(slot: &Slot, cause: Cause) -> bool {
    match cause {
        Cause::Tick => slot.is_at_rest(),
        // Where files are missing another directory may look the same, and has to be watched all the same.
        Cause::Mounts => {
            is_behind_mounts(slot) && slot.is_at_rest() && !slot.stamp.as_ref().is_some_and(Stamp::is_waiting)
        }
    }
}

/// Whether something may have been mounted on an identity's directories, or unmounted from them.
fn is_behind_mounts(slot: &Slot) -> bool {
    mount::is_on_the_node(&slot.spec.files)
}

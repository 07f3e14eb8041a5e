//! The passing of time: pauses that are over, jobs that take too long, a clock that was set, and the periodic tick.

use std::sync::Arc;
use std::time::Instant;

use super::{Task, ThreadReport};
use crate::clock::Now;
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
        self.check_sweep(now.monotonic);
        if self.sweep.is_none() && self.mounting.is_due(now.monotonic, &self.pace) {
            self.look_behind_mounts(now.monotonic);
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
        if self.sweep.is_some() {
            return;
        }
        let idle = self.slots.iter().filter(|(_, slot)| slot.is_at_rest());
        let items = idle.map(|(key, slot)| Item::new(*key, slot)).collect();
        self.sweep(Sweep::new(Cause::Tick, items, now));
    }

    /// A sweep that is not the tick's is waited for.
    pub(super) fn may_tick(&self) -> bool {
        self.sweep.as_ref().is_none_or(|sweep| sweep.cause == Cause::Tick)
    }

    /// Looks at those whose directories something may have been mounted on or unmounted from.
    fn look_behind_mounts(&mut self, now: Instant) {
        let (mut items, mut looks) = (Vec::new(), Vec::new());
        for (key, slot) in &self.slots {
            if !mount::is_on_the_node(&slot.spec.files) {
                continue;
            }
            // Where files are missing another directory may look the same, and has to be watched all the same.
            if slot.is_at_rest() && !slot.stamp.as_ref().is_some_and(Stamp::is_waiting) {
                items.push(Item::new(*key, slot));
            } else {
                looks.push(*key);
            }
        }
        looks.into_iter().for_each(|key| self.hint(key, now));
        if !items.is_empty() {
            self.sweep(Sweep::new(Cause::Mounts, items, now));
        }
    }

    fn sweep(&mut self, sweep: Sweep) {
        self.spawn_sweep(sweep.work());
        self.sweep = Some(sweep);
    }

    /// A sweep is over.
    pub(super) fn swept(&mut self, sweep: &Sweep) {
        let now = self.system.now();
        match sweep.cause {
            Cause::Tick => self.observer.scanned(now.wall),
            Cause::Mounts => self.mounting.looked(now.monotonic, sweep.took(now.monotonic)),
        }
    }

    fn spawn_sweep(&self, work: Arc<SweepWork>) {
        let (system, reports) = (Arc::clone(&self.system), self.reports.0.clone());
        let _ = self.threads.run(move || {
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
            Progress::Stuck(key, work) => {
                self.spawn_sweep(work);
                key
            }
            Progress::GivenUp(key) => {
                if let Some(sweep) = self.sweep.take() {
                    self.swept(&sweep);
                }
                key
            }
        };
        // Its own look will tell whether the mount answers.
        self.hint(stuck, now);
    }
}

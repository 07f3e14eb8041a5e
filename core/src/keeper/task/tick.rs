//! What time brings: pauses that are over, jobs that take too long, a clock that was set, and the periodic tick.

use std::sync::Arc;
use std::time::Instant;

use super::{Report, Task};
use crate::clock::Now;
use crate::keeper::sweep::{Item, Progress, Sweep, Work};
use crate::keeper::timers::Due;

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
        if self.next_tick <= now.monotonic {
            self.next_tick = now.monotonic + self.tick;
            self.start_sweep(now.monotonic);
            // Identities of pods come and go for as long as this runs.
            self.sweep_store(now);
        }
    }

    /// Has everything judged anew if the wall clock was set.
    fn compare_clocks(&mut self, now: Now) {
        let jump = now.parted(std::mem::replace(&mut self.clock, now));
        if jump > self.pace.clock_jump {
            tracing::info!(?jump, "the clock was set; everything is judged anew");
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
        let items = idle
            .map(|(key, slot)| Item { key: *key, spec: Arc::clone(&slot.spec), stamp: slot.stamp.clone() })
            .collect();
        let sweep = Sweep::new(items, now);
        self.spawn_sweep(sweep.work());
        self.sweep = Some(sweep);
    }

    fn spawn_sweep(&self, work: Arc<Work>) {
        let (system, reports) = (Arc::clone(&self.system), self.reports.0.clone());
        self.workers.run(move || {
            let changed = work.run(&*system);
            let _ = reports.blocking_send(Report::Sweep(work, changed));
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
                self.sweep = None;
                self.observer.scanned(self.system.now().wall);
                key
            }
        };
        // Its own look will tell whether the mount answers.
        self.hint(stuck, now);
    }
}

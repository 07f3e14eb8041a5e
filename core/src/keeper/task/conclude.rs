//! The conclusion of a job that is done.

use std::sync::Arc;
use std::time::Instant;

use super::Task;
use crate::clock::Now;
use crate::keeper::ending::{End, Ended};
use crate::keeper::job::{Done, LookResult};
use crate::keeper::numbers::SlotKey;
use crate::keeper::slot::Shown;
use crate::lifecycle::Step;
use crate::spec::IdentitySpec;

impl Task {
    /// Takes back what a job brings.
    pub(super) fn finish(&mut self, done: Done) {
        let Done { key, number, spec, lifecycle, step, looked, placed, ended, state_error, since } = done;
        self.jobs.finish(number);
        let now = self.system.now();
        if let Some(error) = state_error {
            self.observer.state_unwritten(&spec.id, &error);
        }
        let Some(slot) = self.slots.get_mut(&key) else {
            placed.into_iter().for_each(|placed| self.watching.abandon(placed));
            self.note(key, &spec, ended);
            return;
        };
        let whole = placed.as_ref().map(|(_, placed)| placed).filter(|placed| placed.problem.is_none());
        let on_the_way = whole.filter(|_| spec.files == slot.spec.files);
        let mut hinted = slot.looked(on_the_way.map(|placed| &placed.interests[..]));
        match placed {
            Some(placed) if spec.files == slot.spec.files => {
                if self.watching.claim(key, &mut slot.interests, placed, &*self.observer) {
                    hinted.get_or_insert(now.monotonic);
                }
            }
            placed => placed.into_iter().for_each(|placed| self.watching.abandon(placed)),
        }
        if self.jobs.is_idle() {
            self.watching.forget_early();
        }
        if slot.unresponsive.take_if(|unresponsive| *unresponsive == number).is_some() {
            slot.reread(now.monotonic);
        }
        if let Some(lifecycle) = lifecycle {
            let keys_changed = slot.give_back(lifecycle);
            if Arc::ptr_eq(&spec, &slot.spec) {
                self.conclude(key, looked, step, since, now, keys_changed);
            } else {
                // Anything read was read by the old spec; another look is wanted already, which may have to wait for its mount.
                slot.apply_spec();
                self.timers.wake(key, &mut slot.wake_at, step.and_then(|step| step.wake_at));
                if slot.shown != Shown::Nothing && (keys_changed || step.is_some_and(|step| step.changed)) {
                    self.show(key);
                }
            }
        }
        self.note(key, &spec, ended);
        // Not before it is known what was seen: a pause that this ends would swallow the hint.
        if let (Some(since), Some(slot)) = (hinted, self.slots.get_mut(&key)) {
            slot.hint(since);
        }
        self.queue(key);
    }

    /// A caller that asked for the end of an overlap finds it done: this comes after the state was shown.
    fn note(&mut self, key: SlotKey, spec: &IdentitySpec, ended: Vec<(End, Option<Ended>)>) {
        for (end, outcome) in ended {
            match (outcome, self.slots.get_mut(&key)) {
                (Some(outcome), _) => self.endings.note(end, &spec.id, outcome),
                (None, Some(slot)) => slot.want_end(end),
                (None, None) => self.endings.note(end, &spec.id, Ended::NotRetained(None)),
            }
        }
    }

    /// Takes what a look and the lifecycle gave, and shows it.
    fn conclude(
        &mut self,
        key: SlotKey,
        looked: Option<LookResult>,
        step: Option<Step>,
        since: Instant,
        now: Now,
        keys_changed: bool,
    ) {
        let Some(slot) = self.slots.get_mut(&key) else { return };
        let read = matches!(looked, Some(LookResult::Read(_)));
        let again = step.as_ref().is_some_and(|step| step.read_again);
        let mut pause = None;
        match looked {
            // Any pause there was goes on, unless it was for files that have come to rest as they were.
            None => pause = slot.remaining_pause(now.monotonic),
            Some(LookResult::Unchanged) if slot.restless.take().is_some() => {}
            Some(LookResult::Unchanged) => pause = slot.remaining_pause(now.monotonic),
            Some(LookResult::Read(stamp)) => (slot.stamp, slot.restless) = (stamp, None),
            Some(LookResult::Restless(restless, rest)) => (slot.restless, pause) = (Some(restless), Some(rest)),
        }
        if again {
            pause = self.pace.again.get(slot.tries).copied();
            slot.tries += 1;
        } else if read {
            slot.tries = 0;
        }
        self.timers.again(key, &mut slot.again_at, pause.map(|pause| now.monotonic + pause));
        if pause.is_some() {
            slot.still_due(since);
        }
        let (changed, reload) = match &step {
            Some(step) => {
                self.timers.wake(key, &mut slot.wake_at, step.wake_at);
                (step.changed, step.reload)
            }
            None => (false, None),
        };
        let changed = changed || (keys_changed && slot.shown != Shown::Nothing);
        if changed || slot.shown == Shown::Unresponsive || (slot.shown == Shown::Nothing && read && !again) {
            self.show(key);
        }
        if let (Some(reload), Some(slot)) = (reload, self.slots.get(&key)) {
            let took = self.system.now().monotonic.saturating_duration_since(since);
            self.observer.reload(&slot.spec.id, reload, took);
        }
    }

    /// Shows an identity's state to the observer.
    pub(super) fn show(&mut self, key: SlotKey) {
        if let Some(slot) = self.slots.get_mut(&key)
            && let Some(state) = slot.state()
        {
            slot.shown = if slot.unresponsive.is_some() { Shown::Unresponsive } else { Shown::State };
            self.observer.state(&slot.spec.id, state);
        }
    }
}

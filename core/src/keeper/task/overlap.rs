//! Anchors retained beyond a replaced bundle: ended by an operator, and remembered.

use std::sync::Arc;
use std::time::Instant;

use super::Task;
use crate::clock::Now;
use crate::keeper::EndOverlapError;
use crate::keeper::ending::{Ended, Request};

impl Task {
    /// Has the identities that retain an anchor let go of it.
    pub(super) fn end_overlap(&mut self, request: Request) {
        let keys: Vec<_> = match &request.identity {
            None => self.slots.keys().copied().collect(),
            Some(id) => match self.keys.get(id) {
                Some(key) => vec![*key],
                None => {
                    let error = EndOverlapError::UnknownIdentity(id.clone());
                    // The caller may have gone.
                    let _ = request.reply.send(Err(error));
                    return;
                }
            },
        };
        let end = self.endings.begin(request);
        for key in keys {
            let Some(slot) = self.slots.get_mut(&key) else { continue };
            self.endings.ask(end);
            match slot.end_overlap(end) {
                Ok(()) => self.queue(key),
                Err(file) => self.endings.note(end, &slot.spec.id, Ended::NotRetained(file)),
            }
        }
        self.endings.one_less(end);
    }

    /// Has what could not be written down, or read, tried once more.
    pub(super) fn write_again(&mut self, now: Instant) {
        let unwritten = self.slots.iter_mut().filter(|(_, slot)| slot.is_unwritten());
        let unwritten = unwritten.map(|(key, slot)| {
            slot.time_passed(now);
            *key
        });
        let keys: Vec<_> = unwritten.collect();
        keys.into_iter().for_each(|key| self.queue(key));
    }

    /// Has the files of which nothing is retained any more removed.
    pub(super) fn sweep_store(&mut self, Now { monotonic, wall }: Now) {
        if self.next_state_sweep > monotonic {
            return;
        }
        self.next_state_sweep = monotonic + self.pace.state_sweep;
        let shared = Arc::clone(&self.shared);
        if shared.store.is_some() {
            let _ = self.threads.run(move || shared.store.iter().for_each(|store| store.sweep(wall)));
        }
    }
}

//! Keys that are wanted, or no longer.

use super::Task;
use crate::keeper::slot::Shown;

impl Task {
    /// Takes in what was said of keys. An identity that is not kept has none.
    pub(super) fn hear_key_requests(&mut self) {
        // A caller that asks for the key of an identity has asked for the identity before.
        if self.wanted.has_changed().unwrap_or(false) {
            self.apply();
        }
        let now = self.system.now().monotonic;
        for (id, wanted) in self.key_requests.take() {
            let Some(key) = self.keys.get(&id).copied() else { continue };
            let Some(slot) = self.slots.get_mut(&key) else { continue };
            if slot.want_keys(wanted, now) && slot.shown != Shown::Nothing {
                self.show(key);
            }
            self.queue(key);
        }
    }
}

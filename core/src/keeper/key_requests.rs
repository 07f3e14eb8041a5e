//! The requests for keys, as the keeper's task is told.

use std::collections::HashMap;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::identity::IdentityId;

/// When private keys are kept in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeyRetention {
    /// From the reading that brings them until they are replaced.
    #[default]
    Always,
    /// While they are wanted: [`Keeper::want_keys`](super::Keeper::want_keys).
    OnDemand,
    /// Only until they are known to be the leaf's.
    Never,
}

/// The requests for keys that the task has not taken in yet: of each identity the last word.
#[derive(Debug, Default)]
pub(super) struct KeyRequests {
    said: Mutex<HashMap<IdentityId, bool>>,
    changed: Notify,
}

impl KeyRequests {
    pub(super) fn say(&self, id: &IdentityId, wanted: bool) {
        self.said.lock().insert(id.clone(), wanted);
        self.changed.notify_one();
    }

    /// Waits until something was said.
    pub(super) async fn heard(&self) {
        self.changed.notified().await;
    }

    pub(super) fn take(&self) -> HashMap<IdentityId, bool> {
        std::mem::take(&mut *self.said.lock())
    }
}

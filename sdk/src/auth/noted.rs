//! What the layers inside of the access log tell it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use super::principal::Principal;

/// What becomes known of a call on its way in. The access log puts it into the request; a cheap clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Noted(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    principal: OnceLock<Principal>,
    is_denied: AtomicBool,
}

impl Noted {
    pub(super) fn made_by(&self, principal: &Principal) {
        _ = self.0.principal.set(principal.clone());
    }

    pub(super) fn denied(&self) {
        self.0.is_denied.store(true, Ordering::Relaxed);
    }

    pub(super) fn principal(&self) -> Option<&Principal> {
        self.0.principal.get()
    }

    pub(super) fn is_denied(&self) -> bool {
        self.0.is_denied.load(Ordering::Relaxed)
    }
}

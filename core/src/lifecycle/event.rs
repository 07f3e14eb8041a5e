//! What goes into a lifecycle, and what comes of it.

use std::time::SystemTime;

use crate::digest::Digest;
use crate::material::Material;

/// Something that happened.
#[derive(Debug)]
pub enum Event {
    /// The files were read.
    Read {
        /// Their content.
        material: Material,
        /// Whether the reading is to be taken as it is, even if it looks half-written.
        final_try: bool,
    },
    /// The deadline [`Step::wake_at`] was reached, or the wall clock was set.
    TimePassed,
    /// This anchor, which left the bundle's file, is to be trusted no longer.
    OverlapEnded(Digest),
}

/// The consequences of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[must_use]
pub struct Step {
    /// Whether [`Lifecycle::state`](super::Lifecycle::state) is another one than before.
    pub changed: bool,
    /// How the reading ended; absent for time, and for a reading that is to be repeated.
    pub reload: Option<Reload>,
    /// The next instant at which time alone changes something: later than the event's, or never.
    pub wake_at: Option<SystemTime>,
    /// The reading looks half-written, was not the final try and was not used: read again shortly.
    pub read_again: bool,
    /// The overlap is to be remembered beyond the process, before the state is shown.
    pub remember: bool,
}

impl Step {
    /// Both, one after the other.
    pub(crate) fn then(self, next: Self) -> Self {
        Self {
            changed: self.changed || next.changed,
            reload: self.reload.or(next.reload),
            wake_at: next.wake_at,
            read_again: self.read_again || next.read_again,
            remember: next.remember,
        }
    }
}

/// How a reading of an identity's files ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reload {
    /// A new generation was published.
    Published,
    /// Credential or bundle were rejected.
    Rejected,
    /// The credential becomes valid later, and is held until then; nothing was rejected.
    Held,
    /// The files hold what is served.
    Unchanged,
}

//! Why a process does nothing, as the kernel shows it. For showing only: the process's number may have gone to another by now.

use std::time::Duration;

use crate::callers::Proc;
use crate::publication::SubscriberStatus;

/// How long a subscriber may be behind before its process is looked at: at a rotation all of them are for a moment.
const PATIENCE: Duration = Duration::from_millis(500);

/// How many processes are looked at for one identity at a time.
pub(crate) const LOOKED_AT: usize = 256;

/// Why the process of a subscriber that is behind or lost does nothing; absent where it is not held up, or that cannot be told.
pub(super) fn of(status: &SubscriberStatus) -> Option<&'static str> {
    let is_late = status.lost_since.is_some() || status.behind_for.is_some_and(|behind| behind >= PATIENCE);
    if status.subscriber.pid == 0 || !is_late {
        return None;
    }
    match Proc(status.subscriber.pid).stat().ok()?.state {
        'T' => Some("its process is stopped (SIGSTOP)"),
        't' => Some("its process is stopped by a debugger"),
        'D' => Some("its process waits for a disk"),
        _ => None,
    }
}

//! Lines of which there may be very many at once, as when one CA ends under every identity of the node.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use evercert_core::finding::Check;
use evercert_core::throttle::Throttle;
use parking_lot::Mutex;

/// How many lines of one kind are written at once, and at which interval further ones.
const BURST: u32 = 50;
const EVERY: Duration = Duration::from_secs(1);

/// The kind of a line. There are as many as there are checks, twice, and a few more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// A finding has come.
    Found(Check),
    /// A finding has gone.
    Gone(Check),
    /// A set of files was rejected.
    Rejected,
    /// A subscriber refused a generation.
    Refused,
    /// A subscriber does not answer any more.
    Lost,
}

/// Counts lines by kind, and says which are too many.
pub(super) struct Floods {
    kinds: Mutex<HashMap<Kind, Throttle>>,
    /// Is told of each line that is left out.
    left_out: Box<dyn Fn() + Send + Sync>,
}

impl Floods {
    /// Tells `left_out` of each line that is.
    pub(super) fn new(left_out: impl Fn() + Send + Sync + 'static) -> Self {
        Self { kinds: Mutex::default(), left_out: Box::new(left_out) }
    }

    /// Whether a line of `kind` may be written at `now`; else it is counted. What was counted before is told first.
    pub(super) fn may_tell(&self, kind: Kind, now: Instant) -> bool {
        let fresh = || Throttle::new(EVERY).with_burst(BURST);
        let left_out = self.kinds.lock().entry(kind).or_insert_with(fresh).take(now);
        if left_out.is_none() {
            (self.left_out)();
        }
        left_out.inspect(|count| kind.tell(*count)).is_some()
    }

    /// Tells what was counted until now.
    pub(super) fn tell(&self) {
        let counted: Vec<_> =
            self.kinds.lock().iter_mut().map(|(kind, throttle)| (*kind, throttle.left_out())).collect();
        counted.into_iter().for_each(|(kind, count)| kind.tell(count));
    }
}

impl Kind {
    fn tell(self, count: u64) {
        if count == 0 {
            return;
        }
        match self {
            Self::Found(check) => tracing::warn!(%check, count, "… and {count} more such findings"),
            Self::Gone(check) => tracing::info!(%check, count, "… and {count} more are no longer so"),
            Self::Rejected => tracing::error!(count, "… and {count} more sets of files were rejected"),
            Self::Refused => tracing::warn!(count, "… and subscribers refused {count} more times"),
            Self::Lost => tracing::warn!(count, "… and {count} more subscribers do not answer any more"),
        }
    }
}

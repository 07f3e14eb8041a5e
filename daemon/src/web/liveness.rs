//! Whether the daemon turns: the one answer for the service manager's watchdog and for whoever asks for `/healthz`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::metrics::Metrics;

/// When the daemon's two loops last turned: the keeper's, which reads files, and the one that decides all else.
#[derive(Clone)]
pub(crate) struct Liveness {
    metrics: Arc<Metrics>,
    turned: Arc<Mutex<Instant>>,
    limit: Duration,
}

impl Liveness {
    /// The liveness of a daemon that starts now; it counts as dead when one of its loops has not turned for longer than `limit`.
    pub(crate) fn new(metrics: Arc<Metrics>, limit: Duration) -> Self {
        Self { metrics, turned: Arc::new(Mutex::new(Instant::now())), limit }
    }

    /// The daemon's own loop turns.
    pub(crate) fn turned(&self) {
        *self.turned.lock() = Instant::now();
    }

    /// For how long one of the loops has not turned.
    pub(crate) fn silence(&self) -> Duration {
        self.metrics.silence().max(self.turned.lock().elapsed())
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.silence() <= self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_loop_that_stands_still_is_dead_and_one_that_turns_again_is_alive() {
        let liveness = Liveness::new(Metrics::new(100, None).unwrap(), Duration::from_secs(30));
        assert!(liveness.is_alive());
        *liveness.turned.lock() -= Duration::from_secs(31);
        assert!(!liveness.is_alive() && liveness.silence() >= Duration::from_secs(31), "the keeper alone turns");
        liveness.turned();
        assert!(liveness.is_alive());
        let impatient = Liveness { limit: Duration::ZERO, ..liveness };
        impatient.turned();
        assert!(!impatient.is_alive(), "the keeper has given no sign since it started");
    }
}

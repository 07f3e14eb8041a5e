//! Whether an identity can be used, for health.

use std::time::{Duration, SystemTime};

use evercert_core::clock::expiry;
use tokio::sync::watch;

use super::status::State;
use super::{CLOCK_CHECK, Identity};

/// Whether an identity can be used. It is no handle on the identity, which may end.
#[derive(Debug)]
pub(crate) struct Usable(watch::Receiver<State>);

impl Identity {
    pub(crate) fn usable(&self) -> Usable {
        Usable(self.state.clone())
    }
}

impl Usable {
    /// Whether handshakes use a generation whose leaf has not expired, and the time after which to look again where nothing changes before.
    pub(crate) fn look(&mut self, now: SystemTime) -> (bool, Duration) {
        let state = self.0.borrow_and_update();
        let Some(current) = state.current.as_ref().filter(|_| state.is_serving()) else {
            return (false, CLOCK_CHECK);
        };
        let left = current.not_after().map(|end| expiry(end).duration_since(now).unwrap_or_default());
        match left {
            Some(Duration::ZERO) => (false, CLOCK_CHECK),
            Some(left) => (true, left.min(CLOCK_CHECK)),
            None => (true, CLOCK_CHECK),
        }
    }

    /// Waits for a change; `false`: the identity is gone. Cancel safe.
    pub(crate) async fn changed(&mut self) -> bool {
        self.0.changed().await.is_ok()
    }
}

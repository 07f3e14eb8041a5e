//! The calls that find no connection.

use std::future::pending;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use evercert_core::throttle::Throttle;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};

/// The least time between two attempts to connect that calls ask for.
pub(super) const APART: Duration = Duration::from_millis(100);
/// The longest time between two attempts that calls ask for by being made, while attempts cost the server a handshake.
const LONGEST_APART: Duration = Duration::from_secs(2);
/// The longest time between two attempts that calls ask for by waiting.
pub(super) const LONGEST_WAITING: Duration = Duration::from_secs(1);

/// The attempts that all channels of the process may make for calls that wait, beside those that they make anyway: a hundred at once, and a
/// hundred a second.
static WAITING: Mutex<Throttle> = Mutex::new(Throttle::new(Duration::from_millis(10)).with_burst(100));

/// Tells the task of a channel of the calls that find no connection, so that it need not wait until it tries again by itself.
#[derive(Debug, Default)]
pub(super) struct Calls {
    told: Notify,
    waiting: AtomicUsize,
}

/// A call that waits for a connection, for as long as this lives.
#[derive(Debug)]
pub(super) struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

impl Calls {
    /// A call has found no connection.
    pub(super) fn tell(&self) {
        self.told.notify_waiters();
    }

    /// A call has found no connection, and waits for one.
    pub(super) fn wait(&self) -> Waiting<'_> {
        self.waiting.fetch_add(1, SeqCst);
        self.tell();
        Waiting(&self.waiting)
    }

    /// Completes once another call has found no connection, but not before so much time has passed. A call that came before has seen how
    /// the last attempt ended, or will.
    async fn next(&self, least: Duration) {
        let start = Instant::now();
        let mut called = pin!(self.told.notified());
        called.as_mut().enable();
        called.await;
        sleep_until(start + least).await;
    }

    /// As [`Calls::next`] after `called`; and after `waiting` where calls wait that were made before, and have nobody else to end the wait.
    pub(super) async fn need(&self, Apart { called, waiting: longest }: Apart) {
        let waiting = async {
            // A timer is made where there is a call for it: without calls an outage costs no more than the attempts.
            while self.waiting.load(SeqCst) > 0 {
                sleep(longest).await;
                if self.waiting.load(SeqCst) > 0 && WAITING.lock().take(std::time::Instant::now()).is_some() {
                    return;
                }
            }
            // Those that come tell.
            pending().await
        };
        tokio::select! {
            biased;
            // First: a call that came before this listened is seen to wait.
            () = self.next(called) => {}
            () = waiting => {}
        }
    }
}

/// The least times between two attempts that calls ask for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Apart {
    /// By being made.
    pub(super) called: Duration,
    /// By waiting.
    pub(super) waiting: Duration,
}

/// How soon calls have another attempt made.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pace {
    /// The number of attempts that failed in a row.
    failed: u32,
    /// The number of those since the last that cost the server nothing.
    costly: u32,
}

impl Pace {
    /// An attempt has failed, which cost the server a handshake or not.
    pub(super) fn fail(&mut self, is_costly: bool) {
        self.failed = self.failed.saturating_add(1);
        self.costly = if is_costly { self.costly.saturating_add(1) } else { 0 };
    }

    /// The times between attempts. A server that does not accept the client is likely not to accept it the next time either, and each time
    /// costs it a handshake.
    pub(super) fn apart(self) -> Apart {
        let called = doubled(self.costly).min(LONGEST_APART);
        Apart { called, waiting: doubled(self.failed).min(LONGEST_WAITING).max(called) }
    }
}

/// The least time, twice as long for each time after the first.
fn doubled(times: u32) -> Duration {
    APART.saturating_mul(2_u32.saturating_pow(times.saturating_sub(1)))
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tokio::time::advance;

    use super::*;

    const LEAST: Duration = Duration::from_millis(100);
    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_call_is_heeded_after_the_least_wait_and_one_of_before_is_not() {
        let (calls, start) = (Calls::default(), Instant::now());
        calls.tell();
        let mut next = pin!(calls.next(LEAST));
        assert!(next.as_mut().now_or_never().is_none());
        advance(LEAST * 5).await;
        assert!(next.as_mut().now_or_never().is_none(), "nobody has called since");
        calls.tell();
        assert!(next.now_or_never().is_some());

        let start = start + LEAST * 5;
        let mut next = pin!(calls.next(LEAST));
        assert!(next.as_mut().now_or_never().is_none());
        calls.tell();
        assert!(next.as_mut().now_or_never().is_none());
        next.await;
        assert_eq!(start.elapsed(), LEAST);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_waits_is_heeded_too_and_no_more_once_it_has_gone() {
        let (calls, mut pace, start) = (Calls::default(), Pace::default(), Instant::now());
        let waiting = calls.wait();
        pace.fail(false);
        calls.need(pace.apart()).await;
        pace.fail(false);
        calls.need(pace.apart()).await;
        assert_eq!(start.elapsed(), LEAST + 2 * LEAST);
        drop(waiting);
        let mut need = pin!(calls.need(pace.apart()));
        assert!(need.as_mut().now_or_never().is_none());
        advance(SECOND * 100).await;
        assert!(need.as_mut().now_or_never().is_none(), "nobody waits");
        calls.tell();
        assert!(need.now_or_never().is_some());
    }

    #[test]
    fn attempts_that_cost_a_handshake_are_asked_for_less_and_less_often_and_others_are_not() {
        let mut pace = Pace::default();
        let mut fail = |is_costly| {
            pace.fail(is_costly);
            let Apart { called, waiting } = pace.apart();
            (called.as_millis(), waiting.as_millis())
        };
        assert_eq!([false; 6].map(&mut fail), [100, 200, 400, 800, 1000, 1000].map(|waiting| (100, waiting)));
        assert_eq!([true; 6].map(&mut fail).map(|(called, _)| called), [100, 200, 400, 800, 1600, 2000]);
        assert_eq!(fail(true), (2000, 2000));
        assert_eq!(fail(false), (100, 1000));
        assert_eq!(Pace { failed: u32::MAX, costly: u32::MAX }.apart().waiting, LONGEST_APART);
    }
}

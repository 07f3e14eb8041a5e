//! The calls that find no connection.

use std::pin::pin;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;

/// Tells the task of a channel of the calls that find no connection, so that it need not wait until it tries again by itself.
#[derive(Debug, Default)]
pub(super) struct Calls(Notify);

impl Calls {
    /// A call has found no connection.
    pub(super) fn tell(&self) {
        self.0.notify_waiters();
    }

    /// Completes once another call has found no connection, but not before so much time has passed. A call that came before has seen how
    /// the last attempt ended, or will.
    pub(super) async fn next(&self, least: Duration) {
        let mut called = pin!(self.0.notified());
        called.as_mut().enable();
        sleep(least).await;
        called.await;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tokio::time::{Instant, advance};

    use super::*;

    const LEAST: Duration = Duration::from_millis(100);

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
}

//! Whether a channel can take a call.

use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::runtime::{Handle, Id};
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::ReusableBoxFuture;

use super::link::Link;

/// The longest time for which a channel says that it is not ready. From then on a call waits for its connection by itself, since only
/// a call has a deadline.
const PATIENCE: Duration = Duration::from_millis(100);

/// Something that may make a link ready.
#[derive(Debug)]
pub(super) struct NextChange(ReusableBoxFuture<'static, ()>);

/// Ready while `link` is what `is_ready` asks for; `next_change` keeps what is waited for from one poll to the next.
pub(super) fn poll_link(
    link: &Arc<Link>,
    is_ready: impl Fn(&Link) -> bool,
    next_change: &mut Option<NextChange>,
    cx: &mut Context<'_>,
) -> Poll<()> {
    loop {
        if is_ready(link) {
            *next_change = None;
            return Poll::Ready(());
        }
        match next_change {
            Some(NextChange(change)) => {
                ready!(change.poll(cx));
                *next_change = None;
            }
            // Asked once more after this: the link may have changed before its changes were waited for.
            None => *next_change = Some(NextChange(ReusableBoxFuture::new(link.change()))),
        }
    }
}

/// The runtime of the caller.
pub(super) fn here() -> Option<Id> {
    Handle::try_current().ok().map(|runtime| runtime.id())
}

/// Whether a runtime runs, and has timers: one that has ended drops whatever is spawned on it at once.
pub(super) fn lives(runtime: &Handle) -> bool {
    let task = runtime.spawn(pending::<()>());
    let lives = !task.is_finished();
    task.abort();
    lives
}

/// The time for which one clone of a channel has not been ready.
#[derive(Debug, Default)]
pub(super) struct Patience {
    began: Option<Instant>,
    end: Option<Pin<Box<Sleep>>>,
    /// The runtime whose timer that is.
    runtime: Option<Id>,
    /// The time until it was ready.
    waited: Duration,
}

impl Patience {
    /// Ready once it is at its end. It begins with the first question, and lasts no longer than `limit`.
    pub(super) fn poll(&mut self, limit: Option<Duration>, cx: &mut Context<'_>) -> Poll<()> {
        // Without a runtime there is no timer: the call waits by itself, or fails.
        let Ok(runtime) = Handle::try_current() else { return Poll::Ready(()) };
        let here = runtime.id();
        let now = Instant::now();
        // Whoever asked before asks no more: it had been woken long ago, or was on a runtime that may have ended.
        let is_stale = self.end.as_ref().is_some_and(|end| end.deadline() + PATIENCE < now);
        if is_stale || self.runtime != Some(here) {
            self.end();
            self.runtime = Some(here);
        }
        if self.began.is_none() && !lives(&runtime) {
            return Poll::Ready(());
        }
        let began = *self.began.get_or_insert(now);
        let end = || Box::pin(sleep_until(began + limit.map_or(PATIENCE, |limit| limit.min(PATIENCE))));
        self.end.get_or_insert_with(end).as_mut().poll(cx)
    }

    /// Whether somebody has asked, and has not been told yet that it is ready.
    pub(super) fn has_begun(&self) -> bool {
        self.began.is_some()
    }

    /// It is ready: the next question begins anew.
    pub(super) fn end(&mut self) {
        self.waited = Duration::ZERO;
        self.end = None;
        if let Some(began) = self.began.take() {
            let waited = began.elapsed();
            // Longer, or elsewhere: what was asked for then was given up, and is no part of the call that comes now.
            if waited <= 2 * PATIENCE && self.runtime == here() {
                self.waited = waited.min(PATIENCE);
            }
        }
    }

    /// The time that the call which follows has waited.
    pub(super) fn waited(&mut self) -> Duration {
        std::mem::take(&mut self.waited)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use futures_util::FutureExt as _;
    use tokio::time::advance;

    use super::*;

    fn asked(patience: &mut Patience) -> bool {
        poll_fn(|cx| patience.poll(None, cx)).now_or_never().is_some()
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_has_waited_while_it_asked_and_not_since_another_gave_up() {
        let mut patience = Patience::default();
        assert!(!asked(&mut patience));
        advance(PATIENCE / 2).await;
        patience.end();
        assert_eq!(patience.waited(), PATIENCE / 2);
        assert_eq!(patience.waited(), Duration::ZERO);

        assert!(!asked(&mut patience));
        advance(PATIENCE * 30).await;
        patience.end();
        assert_eq!(patience.waited(), Duration::ZERO);

        assert!(!asked(&mut patience));
        advance(PATIENCE).await;
        assert!(asked(&mut patience), "no longer than that");
        advance(PATIENCE / 2).await;
        patience.end();
        assert_eq!(patience.waited(), PATIENCE);
    }

    #[test]
    fn without_a_runtime_nobody_waits() {
        assert!(asked(&mut Patience::default()));
    }
}

//! A connection to an address where nobody answers yet.

use std::io;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

use super::calls::Calls;
use super::dialing::ATTEMPT_DELAY;

/// The number of connections to one address that are begun beside each other.
const MOST_AT_ONCE: usize = 4;

/// The first connection that `connect` makes, or its first error.
///
/// The kernel repeats a SYN that nobody answered after a second, and then later and later. Where calls wait for a connection, another is
/// begun beside it, so that a server that is back is found when it is needed.
pub(super) async fn knock<S, C>(calls: &Calls, connect: impl Fn() -> C) -> io::Result<S>
where
    C: Future<Output = io::Result<S>>,
{
    let mut running = FuturesUnordered::from_iter([connect()]);
    loop {
        tokio::select! {
            Some(connected) = running.next() => return connected,
            () = calls.next(ATTEMPT_DELAY), if running.len() < MOST_AT_ONCE => running.push(connect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::pending;
    use std::pin::pin;

    use futures_util::FutureExt as _;
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_call_begins_another_connection_where_the_first_has_no_answer_and_few_are_begun() {
        let (calls, begun, answers) = (Calls::default(), Cell::new(0), Cell::new(usize::MAX));
        let connect = async || {
            begun.set(begun.get() + 1);
            let number = begun.get();
            if number > answers.get() { Ok(number) } else { pending().await }
        };
        let mut knocking = pin!(knock(&calls, connect));
        assert!(knocking.as_mut().now_or_never().is_none());
        for calls_made in 1..10 {
            calls.tell();
            advance(ATTEMPT_DELAY).await;
            assert!(knocking.as_mut().now_or_never().is_none());
            assert_eq!(begun.get(), (calls_made + 1).min(MOST_AT_ONCE));
        }

        begun.set(0);
        let mut knocking = pin!(knock(&calls, connect));
        assert!(knocking.as_mut().now_or_never().is_none());
        answers.set(1);
        advance(ATTEMPT_DELAY * 10).await;
        assert!(knocking.as_mut().now_or_never().is_none(), "nobody needs it");
        calls.tell();
        assert_eq!(knocking.await.unwrap(), 2);
    }
}

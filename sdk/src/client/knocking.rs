//! A connection to an address where nobody answers yet.

use std::io;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

use super::calls::{Apart, Calls, LONGEST_WAITING};
use super::dialing::{self, ATTEMPT_DELAY};

/// The number of connections to one address that are begun beside each other.
const MOST_AT_ONCE: usize = 4;
/// The times between them.
const APART: Apart = Apart { called: ATTEMPT_DELAY, waiting: LONGEST_WAITING };

/// The number of those where so many addresses may be tried at once: no more sockets in all than addresses would have.
pub(super) fn most(addresses: usize) -> usize {
    (dialing::MOST_AT_ONCE / addresses.max(1)).clamp(1, MOST_AT_ONCE)
}

/// The first of at most so many connections that `connect` makes, or the error of the last one.
///
/// The kernel repeats a SYN that nobody answered after a second, and then later and later. Where calls wait for a connection, another is
/// begun beside it, so that a server that is back is found when it is needed.
pub(super) async fn knock<S, C>(calls: &Calls, most: usize, connect: impl Fn() -> C) -> io::Result<S>
where
    C: Future<Output = io::Result<S>>,
{
    let mut running = FuturesUnordered::from_iter([connect()]);
    loop {
        tokio::select! {
            Some(connected) = running.next() => match connected {
                // One of the others may be answered: this one may have failed for want of a descriptor.
                Err(_) if !running.is_empty() => {}
                connected => return connected,
            },
            () = calls.need(APART), if running.len() < most => running.push(connect()),
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
        let mut knocking = pin!(knock(&calls, MOST_AT_ONCE, connect));
        assert!(knocking.as_mut().now_or_never().is_none());
        for calls_made in 1..10 {
            calls.tell();
            advance(ATTEMPT_DELAY).await;
            assert!(knocking.as_mut().now_or_never().is_none());
            assert_eq!(begun.get(), (calls_made + 1).min(MOST_AT_ONCE));
        }

        begun.set(0);
        let mut knocking = pin!(knock(&calls, MOST_AT_ONCE, connect));
        assert!(knocking.as_mut().now_or_never().is_none());
        answers.set(1);
        advance(ATTEMPT_DELAY * 10).await;
        assert!(knocking.as_mut().now_or_never().is_none(), "nobody needs it");
        calls.tell();
        assert_eq!(knocking.await.unwrap(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_fails_beside_another_does_not_end_it() {
        let (calls, begun) = (Calls::default(), Cell::new(0));
        let connect = async || {
            begun.set(begun.get() + 1);
            if begun.get() > 1 {
                return Err(io::Error::other("no descriptor"));
            }
            tokio::time::sleep(ATTEMPT_DELAY * 20).await;
            Ok(())
        };
        let _waiting = calls.wait();
        knock(&calls, MOST_AT_ONCE, connect).await.unwrap();
        assert!(begun.get() > 2, "the call goes on waiting");
        begun.set(1);
        assert!(knock(&calls, MOST_AT_ONCE, connect).await.is_err(), "there is no other");
    }

    #[test]
    fn all_addresses_together_have_no_more_connections_begun_than_addresses_are_tried_at_once() {
        assert_eq!([0, 1, 4, 5, 8, 9, 64].map(most), [4, 4, 4, 3, 2, 1, 1]);
        for addresses in 1..=dialing::MOST_AT_ONCE {
            assert!(most(addresses) * addresses <= dialing::MOST_AT_ONCE);
        }
    }
}

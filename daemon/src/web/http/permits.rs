//! The permits for connections; the connection idle for the longest gives its own to a newcomer.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::web::metrics::Limit;

/// The permits there are.
pub(super) struct Permits {
    most: usize,
    most_scrapes: usize,
    most_followers: usize,
    taken: Mutex<Taken>,
    /// Is told of each limit that is reached.
    reached: Box<dyn Fn(Limit) + Send + Sync>,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    /// By number, hence the oldest first.
    connections: BTreeMap<u64, Connection>,
}

#[derive(Debug)]
struct Connection {
    doing: Doing,
    given_up: CancellationToken,
}

/// The purpose of a connection at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    /// Nothing was asked yet.
    Idle,
    /// It has begun a TLS handshake, and nothing was asked yet.
    Handshaking,
    /// It is given a short answer.
    Short,
    /// It is given all metrics, which may be long.
    Scrape,
    /// It is told what changes, for as long as it listens.
    Following,
}

/// A connection's permit to be there, until it is dropped.
pub(super) struct Permit {
    permits: Arc<Permits>,
    number: u64,
    given_up: CancellationToken,
}

impl Permits {
    /// For `most` connections, of which `most_scrapes` may be given the metrics at a time, and `most_followers` be told what changes.
    /// `reached` is told where one of these limits costs somebody a place.
    pub(super) fn new(
        most: usize,
        most_scrapes: usize,
        most_followers: usize,
        reached: impl Fn(Limit) + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self { most, most_scrapes, most_followers, taken: Mutex::default(), reached: Box::new(reached) })
    }

    /// A permit for a newcomer. Where there is none left the connection that has been idle for the longest loses its own, else the
    /// oldest that has begun a handshake, then the one that was told for the longest what changes, which asks again, or the oldest of all.
    pub(super) fn take(self: &Arc<Self>) -> Permit {
        let mut taken = self.taken.lock();
        if taken.connections.len() >= self.most {
            let waiting =
                [Doing::Idle, Doing::Handshaking, Doing::Following].into_iter().find_map(|doing| taken.oldest(doing));
            let oldest = waiting.or_else(|| taken.connections.keys().next().copied());
            taken.give_up(oldest);
            (self.reached)(Limit::HttpConnections);
        }
        let (number, given_up) = (taken.next, CancellationToken::new());
        taken.next += 1;
        taken.connections.insert(number, Connection { doing: Doing::Idle, given_up: given_up.clone() });
        drop(taken);
        Permit { permits: Arc::clone(self), number, given_up }
    }
}

impl Taken {
    fn oldest(&self, doing: Doing) -> Option<u64> {
        self.connections.iter().find(|(_, connection)| connection.doing == doing).map(|(number, _)| *number)
    }

    fn give_up(&mut self, number: Option<u64>) {
        if let Some(connection) = number.and_then(|number| self.connections.remove(&number)) {
            connection.given_up.cancel();
        }
    }
}

impl Permit {
    /// Waits until it goes to another.
    pub(super) async fn given_up(&self) {
        self.given_up.cancelled().await;
    }

    /// A TLS handshake was begun.
    pub(super) fn handshakes(&self) {
        self.does(Doing::Handshaking);
    }

    /// A short answer was asked for, such as that of a probe.
    pub(super) fn answers(&self) {
        self.does(Doing::Short);
    }

    /// The metrics were asked for. Where too many are read already the oldest reader is cut off: a scrape takes moments, and a reader that
    /// is there for longer reads slowly.
    pub(super) fn scrapes(&self) {
        self.shares(Doing::Scrape, self.permits.most_scrapes, Limit::HttpScrapes);
    }

    /// It was asked what changes. Where too many are told already the oldest is cut off, and may ask again.
    pub(super) fn follows(&self) {
        self.shares(Doing::Following, self.permits.most_followers, Limit::HttpPages);
    }

    /// Does what `most` may do at a time.
    fn shares(&self, doing: Doing, most: usize, limit: Limit) {
        let mut taken = self.permits.taken.lock();
        if taken.connections.values().filter(|connection| connection.doing == doing).count() >= most {
            let oldest = taken.oldest(doing);
            taken.give_up(oldest);
            (self.permits.reached)(limit);
        }
        drop(taken);
        self.does(doing);
    }

    fn does(&self, doing: Doing) {
        if let Some(connection) = self.permits.taken.lock().connections.get_mut(&self.number) {
            connection.doing = doing;
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.permits.taken.lock().connections.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_given_up(permit: &Permit) -> bool {
        permit.given_up.is_cancelled()
    }

    #[test]
    fn a_newcomer_takes_the_place_of_whoever_was_idle_for_the_longest() {
        let permits = Permits::new(3, 2, 2, |_| ());
        let [probe, idle, other] = [permits.take(), permits.take(), permits.take()];
        probe.answers();
        let newcomer = permits.take();
        assert_eq!([&probe, &idle, &other, &newcomer].map(is_given_up), [false, true, false, false]);
        drop(idle);
        let _next = permits.take();
        assert_eq!([&probe, &other, &newcomer].map(is_given_up), [false, true, false]);
        drop(probe);
        let _last = permits.take();
        assert!(!is_given_up(&newcomer));
    }

    #[test]
    fn whoever_has_begun_a_handshake_keeps_its_place_before_those_who_say_nothing() {
        let permits = Permits::new(3, 2, 2, |_| ());
        let [page, scraper, silent] = [permits.take(), permits.take(), permits.take()];
        page.scrapes();
        scraper.handshakes();
        let newcomer = permits.take();
        assert_eq!([&page, &scraper, &silent].map(is_given_up), [false, false, true]);
        newcomer.handshakes();
        let _next = permits.take();
        assert_eq!([&page, &scraper, &newcomer].map(is_given_up), [false, true, false], "then the oldest of those");
    }

    #[test]
    fn each_limit_that_costs_somebody_a_place_is_told() {
        let reached = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&reached);
        let permits = Permits::new(4, 1, 1, move |limit| told.lock().push(limit));
        let there = [permits.take(), permits.take(), permits.take(), permits.take()];
        there[..2].iter().for_each(Permit::scrapes);
        assert_eq!(*reached.lock(), [Limit::HttpScrapes]);
        there[2..].iter().for_each(Permit::follows);
        let _there_again = [permits.take(), permits.take(), permits.take()];
        assert_eq!(*reached.lock(), [Limit::HttpScrapes, Limit::HttpPages, Limit::HttpConnections]);
    }

    #[test]
    fn where_nobody_is_idle_the_oldest_goes() {
        let permits = Permits::new(2, 2, 2, |_| ());
        let [first, second] = [permits.take(), permits.take()];
        first.scrapes();
        second.answers();
        let _newcomer = permits.take();
        assert_eq!([&first, &second].map(is_given_up), [true, false]);
    }

    #[test]
    fn scrapers_take_no_more_than_their_share_and_the_last_one_is_served() {
        let permits = Permits::new(10, 2, 2, |_| ());
        let readers = [permits.take(), permits.take(), permits.take()];
        readers.iter().for_each(Permit::scrapes);
        assert_eq!(readers.each_ref().map(is_given_up), [true, false, false]);
        assert_eq!(permits.taken.lock().connections.len(), 2);
    }

    #[test]
    fn followers_take_no_more_than_their_share_and_give_their_place_to_whoever_comes_before_a_reader_does() {
        let permits = Permits::new(3, 2, 2, |_| ());
        let [reader, first, second] = [permits.take(), permits.take(), permits.take()];
        reader.scrapes();
        [&first, &second].into_iter().for_each(Permit::follows);
        let newcomer = permits.take();
        assert_eq!([&reader, &first, &second].map(is_given_up), [false, true, false]);
        newcomer.answers();
        let third = permits.take();
        assert_eq!([&reader, &second, &newcomer].map(is_given_up), [false, true, false]);
        third.follows();
        drop(reader);
        let fourth = permits.take();
        fourth.follows();
        drop(newcomer);
        let fifth = permits.take();
        fifth.follows();
        assert_eq!([&third, &fourth, &fifth].map(is_given_up), [true, false, false]);
    }
}

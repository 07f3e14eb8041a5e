//! Connections that wait for a handshake of their peer to end.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use evercert_core::throttle::Throttle;
use rustix::process::{Resource, getrlimit};

/// The share of the process's descriptors that may wait: one in so many. Behind them the process has to serve.
const DESCRIPTOR_SHARE: u64 = 4;

/// The least time between two lines of the log on connections that were turned away.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// The connections of peers that have as many unfinished ones as they may. Nothing is read of them.
///
/// They take no place from anybody: where there is no room for one more, or no descriptor, the newest one of the peer that has the most goes.
pub(super) struct Waiting<IO> {
    limit: usize,
    count: usize,
    /// None of them is empty.
    queues: HashMap<IpAddr, VecDeque<IO>>,
    told: Throttle,
}

impl<IO> Waiting<IO> {
    /// So many at most, and no more than a share of the descriptors that the process may have.
    pub(super) fn new(limit: usize) -> Self {
        let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        Self::of(limit.min(usize::try_from(descriptors / DESCRIPTOR_SHARE).unwrap_or(usize::MAX)))
    }

    fn of(limit: usize) -> Self {
        Self { limit, count: 0, queues: HashMap::new(), told: Throttle::new(TELL_EVERY) }
    }

    /// Has the connection wait; one is turned away for it where that is one too many.
    pub(super) fn wait(&mut self, peer: IpAddr, io: IO, now: Instant) {
        let own = self.queues.get(&peer).map_or(0, VecDeque::len);
        if self.count >= self.limit && (self.most() <= own || !self.turn_away(now)) {
            return self.tell(now);
        }
        self.queues.entry(peer).or_default().push_back(io);
        self.count += 1;
    }

    /// The one of a peer that has waited longest.
    pub(super) fn next(&mut self, peer: IpAddr) -> Option<IO> {
        let queue = self.queues.get_mut(&peer)?;
        let io = queue.pop_front();
        self.forget(peer);
        io
    }

    /// Closes the newest one of the peer that has the most; whether there was one.
    pub(super) fn turn_away(&mut self, now: Instant) -> bool {
        let most = self.queues.iter().max_by_key(|(_, queue)| queue.len()).map(|(peer, _)| *peer);
        let Some((peer, queue)) = most.and_then(|peer| Some((peer, self.queues.get_mut(&peer)?))) else {
            return false;
        };
        drop(queue.pop_back());
        self.forget(peer);
        self.tell(now);
        true
    }

    /// One of the peer's connections waits no longer.
    fn forget(&mut self, peer: IpAddr) {
        self.count -= 1;
        if self.queues.get(&peer).is_some_and(VecDeque::is_empty) {
            self.queues.remove(&peer);
        }
    }

    fn most(&self) -> usize {
        self.queues.values().map(VecDeque::len).max().unwrap_or(0)
    }

    /// One more was closed.
    fn tell(&mut self, now: Instant) {
        if let Some(left_out) = self.told.take(now) {
            tracing::warn!(
                left_out,
                "closed a connection before its handshake, since more came at once than may wait. Are they of clients behind one \
                 address, as a proxy or an address translation has it? Then raise AcceptLimits::unfinished_per_peer and \
                 AcceptLimits::waiting, of which no more than a quarter of the descriptors (RLIMIT_NOFILE) is used"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    fn drained(waiting: &mut Waiting<u32>, peer: IpAddr) -> Vec<u32> {
        std::iter::from_fn(|| waiting.next(peer)).collect()
    }

    #[test]
    fn connections_wait_in_turn_up_to_the_limit() {
        let (mut waiting, now) = (Waiting::of(3), Instant::now());
        (1..=5).for_each(|io| waiting.wait(ONE, io, now));
        assert_eq!(drained(&mut waiting, ONE), [1, 2, 3]);
        assert!(waiting.queues.is_empty() && waiting.count == 0);
        assert_eq!(
            waiting.told.take(now + TELL_EVERY),
            Some(1),
            "the first of two is in the log, and the second was left out"
        );
    }

    #[test]
    fn the_peer_with_the_most_makes_room_for_another() {
        let (mut waiting, now) = (Waiting::of(4), Instant::now());
        (1..=4).for_each(|io| waiting.wait(ONE, io, now));
        (11..=14).for_each(|io| waiting.wait(OTHER, io, now));
        assert_eq!(drained(&mut waiting, ONE), [1, 2]);
        assert_eq!(drained(&mut waiting, OTHER), [11, 12]);
    }

    #[test]
    fn nothing_waits_where_nothing_may_and_nothing_is_turned_away_where_nothing_waits() {
        let (mut waiting, now) = (Waiting::of(0), Instant::now());
        waiting.wait(ONE, 1, now);
        assert_eq!(waiting.next(ONE), None);
        assert!(!waiting.turn_away(now));
    }
}

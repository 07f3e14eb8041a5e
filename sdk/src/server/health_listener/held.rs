//! The connections of the port, and which of them goes for the next.

use std::collections::HashMap;
use std::net::IpAddr;

use tokio::task::{AbortHandle, Id};

use crate::server::accept::network;

/// The connections, the oldest first. They are few.
#[derive(Debug, Default)]
pub(super) struct Held(Vec<(AbortHandle, IpAddr)>);

impl Held {
    pub(super) fn began(&mut self, connection: AbortHandle, peer: IpAddr) {
        self.0.push((connection, network(peer)));
    }

    pub(super) fn ended(&mut self, connection: Id) {
        self.0.retain(|(held, _)| held.id() != connection);
    }

    /// Ends the oldest ones of the address that has the most, until there are fewer than the limit.
    pub(super) fn make_room(&mut self, limit: usize) {
        while self.0.len() >= limit
            && let Some(last) = self.to_go()
        {
            self.0.remove(last).0.abort();
        }
    }

    fn to_go(&self) -> Option<usize> {
        let mut counts = HashMap::<_, usize>::new();
        for (_, peer) in &self.0 {
            *counts.entry(peer).or_default() += 1;
        }
        let most = counts.values().max()?;
        self.0.iter().position(|(_, peer)| counts.get(peer) == Some(most))
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use evercert_fixtures::wait::soon;
    use tokio::task::JoinHandle;

    use super::*;

    fn peer(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    /// A connection of each of these peers.
    fn held(peers: &[u8]) -> (Held, Vec<JoinHandle<()>>) {
        let mut held = Held::default();
        let connections: Vec<_> = peers.iter().map(|_| tokio::spawn(pending())).collect();
        connections.iter().zip(peers).for_each(|(task, last)| held.began(task.abort_handle(), peer(*last)));
        (held, connections)
    }

    fn peers(held: &Held) -> Vec<IpAddr> {
        held.0.iter().map(|(_, peer)| *peer).collect()
    }

    #[tokio::test]
    async fn the_oldest_connection_of_the_peer_that_has_the_most_goes() {
        let (mut held, mut connections) = held(&[1, 2, 3, 2, 3, 2]);
        held.make_room(6);
        assert!(soon("its end", connections.remove(1)).await.unwrap_err().is_cancelled());
        assert_eq!(peers(&held), [1, 3, 2, 3, 2].map(peer));
        held.make_room(4);
        assert_eq!(peers(&held), [1, 3, 2].map(peer), "of two with as many the one whose connection is older");
    }

    #[tokio::test]
    async fn nobody_goes_while_there_is_room_and_what_has_ended_takes_none() {
        let (mut held, connections) = held(&[1, 1]);
        held.make_room(3);
        assert_eq!(peers(&held), [1, 1].map(peer));
        held.ended(connections[0].id());
        held.make_room(2);
        assert_eq!(peers(&held), [1].map(peer));
    }
}

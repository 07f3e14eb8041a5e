//! The number of unfinished handshakes of each peer.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

use tokio::task::Id;

/// The number of unfinished handshakes of each peer. Peers without an address are not counted.
pub(super) struct Peers {
    limit: usize,
    counts: HashMap<IpAddr, usize>,
    unfinished: HashMap<Id, IpAddr>,
}

impl Peers {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, counts: HashMap::new(), unfinished: HashMap::new() }
    }

    /// The peer, as it is counted, if it has as many as it may.
    pub(super) fn full(&self, peer: Option<IpAddr>) -> Option<IpAddr> {
        peer.map(network).filter(|peer| self.counts.get(peer).is_some_and(|count| *count >= self.limit))
    }

    pub(super) fn began(&mut self, handshake: Id, peer: Option<IpAddr>) {
        if let Some(peer) = peer.map(network) {
            *self.counts.entry(peer).or_default() += 1;
            self.unfinished.insert(handshake, peer);
        }
    }

    /// One has ended; gives its peer.
    pub(super) fn ended(&mut self, handshake: Id) -> Option<IpAddr> {
        let peer = self.unfinished.remove(&handshake)?;
        if let Some(count) = self.counts.get_mut(&peer) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&peer);
            }
        }
        Some(peer)
    }
}

/// Addresses that one peer can have many of count as one: an IPv6 host is given a /64 (RFC 6177).
pub(in crate::server) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_network_is_one_peer_and_a_mapped_ipv4_address_is_that_address() {
        let network = |address: &str| network(address.parse().unwrap());
        assert_eq!(network("2001:db8:0:1:2:3:4:5"), network("2001:db8:0:1::1"));
        assert_ne!(network("2001:db8:0:1::1"), network("2001:db8:0:2::1"));
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
    }

    #[tokio::test]
    async fn a_peer_is_full_at_its_limit_until_one_of_its_handshakes_ends() {
        let mut peers = Peers::new(2);
        let (one, other) = (Some([192, 0, 2, 1].into()), Some([192, 0, 2, 2].into()));
        let ids: Vec<Id> = (0..4).map(|_| tokio::spawn(async {}).id()).collect();
        peers.began(ids[0], one);
        assert_eq!(peers.full(one), None);
        peers.began(ids[1], one);
        peers.began(ids[2], None);
        assert_eq!([one, other, None].map(|peer| peers.full(peer)), [one, None, None]);
        assert_eq!(peers.ended(ids[2]), None);
        assert_eq!(peers.full(one), one);
        assert_eq!([peers.ended(ids[0]), peers.ended(ids[1])], [one, one]);
        assert!(peers.full(one).is_none() && peers.counts.is_empty() && peers.unfinished.is_empty());
    }
}

//! The order in which the addresses of a name are tried.

use std::collections::HashSet;
use std::net::SocketAddr;

/// The number of addresses of a name that are tried in one attempt to connect.
pub(super) const MOST_ADDRESSES: usize = 64;

/// The memory that a channel has of its endpoint's addresses.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// The address of the last connection that a server accepted.
    good: Option<SocketAddr>,
    /// The addresses that failed since they were last good; the one that failed last is the last.
    failed: Vec<SocketAddr>,
}

impl Known {
    /// The addresses in the order in which they are tried: the one that worked, then those of which nothing is known, the families in
    /// turn and the resolver's first family first (RFC 8305 §4), then those that failed, the latest failure last. Each is there once.
    pub(super) fn order(&mut self, resolved: &[SocketAddr]) -> Vec<SocketAddr> {
        let present: HashSet<_> = resolved.iter().copied().collect();
        self.failed.retain(|address| present.contains(address));
        let failed: HashSet<_> = self.failed.iter().copied().collect();
        let first = self.good.filter(|address| present.contains(address));
        let mut taken: HashSet<_> = first.into_iter().collect();
        let fresh: Vec<_> =
            resolved.iter().copied().filter(|address| !failed.contains(address) && taken.insert(*address)).collect();
        let order = first.into_iter().chain(in_turn(&fresh)).chain(self.failed.iter().copied());
        order.take(MOST_ADDRESSES).collect()
    }

    pub(super) fn accepted(&mut self, address: SocketAddr) {
        self.failed.retain(|failed| *failed != address);
        self.good = Some(address);
    }

    pub(super) fn failed(&mut self, address: SocketAddr) {
        self.good = self.good.filter(|good| *good != address);
        self.failed.retain(|failed| *failed != address);
        self.failed.push(address);
    }
}

/// One address of the first one's family, one of the other family, and so on.
fn in_turn(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let is_of_first =
        |address: &SocketAddr| addresses.first().is_some_and(|first| first.is_ipv6() == address.is_ipv6());
    let (mut ours, mut others) = (Vec::new(), Vec::new());
    addresses.iter().for_each(|address| if is_of_first(address) { ours.push(*address) } else { others.push(*address) });
    let mut others = others.into_iter();
    let mut turns: Vec<_> = ours.into_iter().flat_map(|address| [Some(address), others.next()]).flatten().collect();
    turns.extend(others);
    turns
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn v4(last: u8) -> SocketAddr {
        ([192, 0, 2, last], 443).into()
    }

    fn v6(last: u16) -> SocketAddr {
        ([0x2001, 0xdb8, 0, 0, 0, 0, 0, last], 443).into()
    }

    #[test]
    fn families_take_turns_and_the_resolvers_first_one_begins() {
        let mut known = Known::default();
        assert_eq!(known.order(&[v6(1), v6(2), v6(3), v4(1), v4(2)]), [v6(1), v4(1), v6(2), v4(2), v6(3)]);
        assert_eq!(known.order(&[v4(1), v6(1), v6(2), v6(3)]), [v4(1), v6(1), v6(2), v6(3)]);
        assert_eq!(known.order(&[v4(1), v4(1), v4(2)]), [v4(1), v4(2)]);
        assert_eq!(known.order(&[]), []);
    }

    #[test]
    fn the_address_that_worked_is_first_and_the_one_that_failed_last_is_last() {
        let mut known = Known::default();
        let resolved = [v4(1), v4(2), v4(3), v4(4)];
        known.failed(v4(1));
        known.failed(v4(2));
        known.accepted(v4(3));
        assert_eq!(known.order(&resolved), [v4(3), v4(4), v4(1), v4(2)]);
        known.failed(v4(1));
        assert_eq!(known.order(&resolved), [v4(3), v4(4), v4(2), v4(1)]);
        known.failed(v4(3));
        assert_eq!(known.order(&resolved), [v4(4), v4(2), v4(1), v4(3)]);
        known.accepted(v4(2));
        assert_eq!(known.order(&resolved), [v4(2), v4(4), v4(1), v4(3)]);
    }

    #[test]
    fn what_the_name_no_longer_has_is_forgotten() {
        let mut known = Known::default();
        known.failed(v4(1));
        known.accepted(v4(2));
        assert_eq!(known.order(&[v4(3)]), [v4(3)]);
        assert_eq!(known.order(&[v4(1), v4(3)]), [v4(1), v4(3)], "its failure was of another time");
    }

    proptest! {
        #[test]
        fn every_address_is_tried_once_however_the_others_fared(
            resolved in prop::collection::vec(0..12_u8, 0..40),
            fates in prop::collection::vec((0..12_u8, any::<bool>()), 0..40),
        ) {
            let address = |n: u8| if n.is_multiple_of(2) { v4(n) } else { v6(n.into()) };
            let resolved: Vec<_> = resolved.into_iter().map(address).collect();
            let mut known = Known::default();
            for (n, good) in fates {
                if good { known.accepted(address(n)) } else { known.failed(address(n)) }
            }
            let order = known.order(&resolved);
            let sorted = |addresses: &[SocketAddr]| {
                let mut sorted = addresses.to_vec();
                sorted.sort();
                sorted
            };
            let mut once = sorted(&resolved);
            once.dedup();
            prop_assert_eq!(sorted(&order), once);
        }

        #[test]
        fn no_more_addresses_are_tried_than_the_limit(count in 0..300_u16) {
            let resolved: Vec<_> = (0..count).map(v6).collect();
            prop_assert_eq!(Known::default().order(&resolved).len(), usize::from(count).min(MOST_ADDRESSES));
        }
    }
}

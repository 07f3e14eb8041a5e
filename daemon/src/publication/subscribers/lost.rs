//! Subscribers that stood still until their connection was given up, and whose process lives.
//!
//! A process that is stopped or hangs goes on serving what it has, to peers of its own or as soon as it is continued: to forget it would
//! have a rotation look finished that is not. So it is remembered for as long as it lives or until it connects again.

use std::collections::VecDeque;
use std::time::SystemTime;

use evercert_core::identity::IdentityId;
use tokio_util::task::AbortOnDropHandle;

use crate::callers::Party;

/// The most lost subscribers that are remembered, each of which may cost a descriptor; the oldest goes for a new one.
pub(super) const IN_ALL: usize = 256;

/// The most of one party; its oldest goes.
pub(super) const PER_PARTY: usize = 64;

/// A lost subscriber.
pub(super) struct Lost {
    /// When its connection was given up.
    pub(super) since: SystemTime,
    /// Waits for the end of its process.
    pub(super) _watch: AbortOnDropHandle<()>,
}

/// Where the lost subscribers are, the oldest first.
#[derive(Default)]
pub(super) struct LostQueue(VecDeque<LostEntry>);

struct LostEntry {
    identity: IdentityId,
    id: u64,
    party: Party,
}

impl LostQueue {
    /// Adds one; says which one has to go for it, if any.
    pub(super) fn add(&mut self, identity: IdentityId, id: u64, party: Party) -> Option<(IdentityId, u64)> {
        let of_party = self.0.iter().filter(|entry| entry.party == party).count();
        let oldest = match of_party {
            PER_PARTY.. => self.0.iter().position(|entry| entry.party == party),
            _ => (self.0.len() >= IN_ALL).then_some(0),
        };
        let gone = oldest.and_then(|oldest| self.0.remove(oldest));
        self.0.push_back(LostEntry { identity, id, party });
        gone.map(|entry| (entry.identity, entry.id))
    }

    pub(super) fn remove(&mut self, id: u64) {
        self.0.retain(|entry| entry.id != id);
    }

    /// Forgets those whose identity is not kept any more.
    pub(super) fn retain(&mut self, is_kept: impl Fn(&IdentityId) -> bool) {
        self.0.retain(|entry| is_kept(&entry.identity));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_cost_their_own_party_its_oldest_and_then_all_parties_theirs() {
        let mut queue = LostQueue::default();
        let identity = IdentityId::node("x".parse().unwrap());
        let mut add = |id, uid| queue.add(identity.clone(), id, Party::User(uid)).map(|(_, id)| id);
        assert_eq!(add(0, 7), None);
        for id in 1..=PER_PARTY as u64 {
            assert_eq!(add(id, 8), None);
        }
        assert_eq!(add(1000, 8), Some(1), "the oldest of that party, not of all");
        for id in 2000..2000 + (IN_ALL - PER_PARTY - 1) as u64 {
            assert_eq!(add(id, u32::try_from(id).unwrap()), None);
        }
        assert_eq!(add(9000, 9000), Some(0));
        assert_eq!(queue.0.len(), IN_ALL);
    }
}

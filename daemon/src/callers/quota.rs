//! How much of something there may be at once: in all, and of one party.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::cap::Cap;
use super::party::Party;

/// Counts what is in use, in all and by party.
#[derive(Debug)]
pub(crate) struct Quota {
    cap: Cap<usize>,
    used: Mutex<Used>,
}

#[derive(Debug, Default)]
struct Used {
    in_all: usize,
    next: u64,
    /// Each party's shares, the oldest first; parties that have none are not in it.
    by_party: HashMap<Party, BTreeMap<u64, CancellationToken>>,
}

/// One in use, until it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    quota: Arc<Quota>,
    party: Party,
    number: u64,
    displaced: CancellationToken,
}

/// There is no further one to be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    InAll,
    PerCaller,
}

impl Full {
    /// The setting to raise: of that in all and that of one caller the one that is exhausted.
    pub(crate) fn setting(self, in_all: &'static str, per_caller: &'static str) -> &'static str {
        match self {
            Self::InAll => in_all,
            Self::PerCaller => per_caller,
        }
    }
}

impl Quota {
    /// At most so many in use.
    pub(crate) fn new(cap: Cap<usize>) -> Arc<Self> {
        Arc::new(Self { cap, used: Mutex::default() })
    }

    /// One for this party; where there is none left in all, the newest of the party that has the most, where that still leaves it
    /// no less than this one has then. That party is returned too. The holder of the displaced one has to watch
    /// [`Share::displaced`] and end.
    ///
    /// # Errors
    ///
    /// That would be one too many.
    pub(crate) fn claim(self: &Arc<Self>, party: Party) -> Result<(Share, Option<Party>), Full> {
        let mut used = self.used.lock();
        let own = used.of(&party);
        if own >= self.cap.per_caller {
            return Err(Full::PerCaller);
        }
        let mut loser = None;
        if used.in_all >= self.cap.in_all {
            let largest = used.by_party.iter().max_by_key(|(_, shares)| shares.len());
            let (largest, most) = largest.map(|(party, shares)| (party.clone(), shares.len())).ok_or(Full::InAll)?;
            if most < own + 2 {
                return Err(Full::InAll);
            }
            used.displace_newest(&largest);
            loser = Some(largest);
        }
        Ok((used.add(self, party), loser))
    }
}

impl Used {
    fn of(&self, party: &Party) -> usize {
        self.by_party.get(party).map_or(0, BTreeMap::len)
    }

    fn add(&mut self, quota: &Arc<Quota>, party: Party) -> Share {
        let (number, displaced) = (self.next, CancellationToken::new());
        self.next += 1;
        self.in_all += 1;
        self.by_party.entry(party.clone()).or_default().insert(number, displaced.clone());
        Share { quota: Arc::clone(quota), party, number, displaced }
    }

    fn displace_newest(&mut self, party: &Party) {
        let newest = self.by_party.get(party).and_then(|shares| shares.keys().next_back().copied());
        if let Some(displaced) = newest.and_then(|number| self.remove(party, number)) {
            displaced.cancel();
        }
    }

    fn remove(&mut self, party: &Party, number: u64) -> Option<CancellationToken> {
        let shares = self.by_party.get_mut(party)?;
        let removed = shares.remove(&number)?;
        self.in_all -= 1;
        if shares.is_empty() {
            self.by_party.remove(party);
        }
        Some(removed)
    }
}

impl Share {
    /// Is cancelled when this was given to another party.
    pub(crate) fn displaced(&self) -> &CancellationToken {
        &self.displaced
    }

    pub(crate) fn party(&self) -> &Party {
        &self.party
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        // Nothing is there any more where it was displaced.
        _ = self.quota.used.lock().remove(&self.party, self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_party_cannot_take_what_is_left_for_the_others_and_what_is_dropped_is_free_again() {
        let quota = Quota::new(Cap { in_all: 3, per_caller: 2 });
        let first = quota.claim(Party::User(1)).unwrap();
        let _second = quota.claim(Party::User(1)).unwrap();
        assert_eq!(quota.claim(Party::User(1)).unwrap_err(), Full::PerCaller);
        let other = Party::Pod("1".into());
        let _other = quota.claim(other.clone()).unwrap();
        assert_eq!(quota.claim(other).unwrap_err(), Full::InAll);
        drop(first);
        let (_third, loser) = quota.claim(Party::User(3)).unwrap();
        assert_eq!((loser, quota.used.lock().by_party.len()), (None, 3));
    }

    #[test]
    fn where_all_are_taken_the_largest_party_loses_its_newest_to_a_smaller_one_and_nobody_gains_by_asking_again() {
        let quota = Quota::new(Cap { in_all: 8, per_caller: 4 });
        let [large, other, small] = [1, 2, 3].map(Party::User);
        let of = |party: &Party| (0..4).map(|_| quota.claim(party.clone()).unwrap().0).collect::<Vec<_>>();
        let (mut first, second) = (of(&large), of(&other));
        drop(first.pop());
        let _fifth = quota.claim(Party::User(4)).unwrap();
        // The newest of the party that has the most is displaced, and counts for nothing from then on.
        let (share, loser) = quota.claim(small.clone()).unwrap();
        assert_eq!(loser, Some(other.clone()));
        assert_eq!(
            second.iter().map(|share| share.displaced().is_cancelled()).collect::<Vec<_>>(),
            [false, false, false, true]
        );
        drop(second);
        assert_eq!(quota.used.lock().in_all, 5);
        assert_eq!(quota.used.lock().of(&other), 0);
        drop((first, share));

        let held: Vec<_> = [5, 6, 7, 8, 9, 10, 11].map(|uid| quota.claim(Party::User(uid)).unwrap()).into();
        assert_eq!(quota.claim(small).unwrap_err(), Full::InAll, "nobody has more than it would have");
        drop(held);
    }
}

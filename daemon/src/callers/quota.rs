//! How much of something there may be at once: in all, and of one party.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

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
    by_party: HashMap<Party, BTreeMap<u64, Taken>>,
}

/// What is known of a share that is taken.
#[derive(Debug, Clone, Default)]
struct Taken {
    displaced: CancellationToken,
    uses: Uses,
}

/// How many uses a share is put to. Of [`Party::AllUnseen`] those that are put to none are displaced first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Uses(Arc<AtomicUsize>);

impl Uses {
    /// One more, until it is dropped.
    pub(crate) fn another(&self) -> Use {
        self.0.fetch_add(1, Ordering::Relaxed);
        Use(self.clone())
    }

    pub(crate) fn is_none(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }
}

/// One use of a share.
#[derive(Debug)]
pub(crate) struct Use(Uses);

impl Drop for Use {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One in use, until it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    quota: Arc<Quota>,
    party: Party,
    number: u64,
    taken: Taken,
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
    /// A party that [is many](Party::is_many) may have all, and where none is left for it, a newcomer takes the place of its oldest that is
    /// put to no use, else of its oldest.
    ///
    /// # Errors
    ///
    /// That would be one too many.
    pub(crate) fn claim(self: &Arc<Self>, party: Party) -> Result<(Share, Option<Party>), Full> {
        let mut used = self.used.lock();
        let own = used.of(&party);
        if own >= self.cap.per_caller && !party.is_many() {
            return Err(Full::PerCaller);
        }
        let mut loser = None;
        if used.in_all >= self.cap.in_all {
            let largest = used.by_party.iter().max_by_key(|(_, shares)| shares.len());
            let (largest, most) = largest.map(|(party, shares)| (party.clone(), shares.len())).ok_or(Full::InAll)?;
            let from = match most >= own + 2 {
                true => largest,
                false if party.is_many() && own > 0 => party.clone(),
                false => return Err(Full::InAll),
            };
            used.displace_one(&from);
            loser = Some(from);
        }
        Ok((used.add(self, party), loser))
    }
}

impl Used {
    fn of(&self, party: &Party) -> usize {
        self.by_party.get(party).map_or(0, BTreeMap::len)
    }

    fn add(&mut self, quota: &Arc<Quota>, party: Party) -> Share {
        let (number, taken) = (self.next, Taken::default());
        self.next += 1;
        self.in_all += 1;
        self.by_party.entry(party.clone()).or_default().insert(number, taken.clone());
        Share { quota: Arc::clone(quota), party, number, taken }
    }

    fn displace_one(&mut self, party: &Party) {
        let Some(shares) = self.by_party.get(party) else { return };
        let number = if party.is_many() {
            let unused = shares.iter().find(|(_, taken)| taken.uses.is_none()).map(|(number, _)| *number);
            unused.or_else(|| shares.keys().next().copied())
        } else {
            shares.keys().next_back().copied()
        };
        if let Some(taken) = number.and_then(|number| self.remove(party, number)) {
            taken.displaced.cancel();
        }
    }

    fn remove(&mut self, party: &Party, number: u64) -> Option<Taken> {
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
        &self.taken.displaced
    }

    /// The uses that it is put to.
    pub(crate) fn uses(&self) -> &Uses {
        &self.taken.uses
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
    fn whoever_holds_all_that_is_for_those_who_cannot_be_seen_keeps_no_other_of_them_out() {
        let quota = Quota::new(Cap { in_all: 4, per_caller: 2 });
        let claim = || quota.claim(Party::AllUnseen).unwrap();
        let shares: Vec<_> = (0..4).map(|_| claim().0).collect();
        let lost = || -> Vec<_> { shares.iter().map(|share| share.displaced().is_cancelled()).collect() };
        let uses = [0, 2].map(|at: usize| shares[at].uses().another());
        let (newcomer, loser) = claim();
        assert_eq!(
            (loser, lost()),
            (Some(Party::AllUnseen), vec![false, true, false, false]),
            "the oldest without use"
        );
        let _used = newcomer.uses().another();
        let _next = claim();
        assert_eq!(lost(), [false, true, false, true]);
        let (last, _) = claim();
        let _last = last.uses().another();
        assert_eq!((lost(), newcomer.displaced().is_cancelled()), (vec![false, true, false, true], false));
        drop(uses);
        let (_other, loser) = quota.claim(Party::User(1)).unwrap();
        assert_eq!((loser, lost()), (Some(Party::AllUnseen), vec![true, true, false, true]));
        assert_eq!(quota.used.lock().in_all, 4);
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

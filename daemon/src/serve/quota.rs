//! How much of something there may be at once: in all, and of one party.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::limits::Cap;
use crate::attest::Party;

/// Counts what is in use, in all and by party.
#[derive(Debug)]
pub(super) struct Quota {
    cap: Cap<usize>,
    used: Mutex<Used>,
}

#[derive(Debug, Default)]
struct Used {
    in_all: usize,
    by_party: HashMap<Party, usize>,
}

/// One in use, until it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    quota: Arc<Quota>,
    party: Party,
}

/// There is no further one to be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    InAll,
    PerCaller,
}

impl Full {
    /// The setting to raise: of that in all and that of one caller the one that is exhausted.
    pub(super) fn setting(self, in_all: &'static str, per_caller: &'static str) -> &'static str {
        match self {
            Self::InAll => in_all,
            Self::PerCaller => per_caller,
        }
    }
}

impl Quota {
    /// At most so many in use.
    pub(super) fn new(cap: Cap<usize>) -> Arc<Self> {
        Arc::new(Self { cap, used: Mutex::default() })
    }

    /// One for this party.
    ///
    /// # Errors
    ///
    /// That would be one too many.
    pub(super) fn take(self: &Arc<Self>, party: Party) -> Result<Share, Full> {
        let mut used = self.used();
        let of_party = used.by_party.get(&party).copied().unwrap_or(0);
        if of_party >= self.cap.per_caller {
            return Err(Full::PerCaller);
        }
        if used.in_all >= self.cap.in_all {
            return Err(Full::InAll);
        }
        used.in_all += 1;
        used.by_party.insert(party.clone(), of_party + 1);
        Ok(Share { quota: Arc::clone(self), party })
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut used = self.quota.used();
        used.in_all -= 1;
        if let Some(of_party) = used.by_party.get_mut(&self.party) {
            *of_party -= 1;
            if *of_party == 0 {
                used.by_party.remove(&self.party);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_party_cannot_take_what_is_left_for_the_others_and_what_is_dropped_is_free_again() {
        let quota = Quota::new(Cap { in_all: 3, per_caller: 2 });
        let first = quota.take(Party::User(1)).unwrap();
        let _second = quota.take(Party::User(1)).unwrap();
        assert_eq!(quota.take(Party::User(1)).unwrap_err(), Full::PerCaller);
        let _other = quota.take(Party::Pod("1".into())).unwrap();
        assert_eq!(quota.take(Party::User(3)).unwrap_err(), Full::InAll);
        drop(first);
        assert!(quota.take(Party::User(3)).is_ok());
        assert_eq!(quota.used().by_party.len(), 2);
    }
}

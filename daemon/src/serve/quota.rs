//! How much of something there may be at once: in all, and of one user.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts what is in use, in all and by user.
#[derive(Debug)]
pub(super) struct Quota {
    total: usize,
    per_user: usize,
    used: Mutex<Used>,
}

#[derive(Debug, Default)]
struct Used {
    total: usize,
    by_user: HashMap<u32, usize>,
}

/// One in use, until it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    quota: Arc<Quota>,
    uid: u32,
}

impl Quota {
    /// At most `total` in use, and at most `per_user` of them by one user.
    pub(super) fn new(total: usize, per_user: usize) -> Arc<Self> {
        Arc::new(Self { total, per_user, used: Mutex::default() })
    }

    /// One for this user; nothing where that would be one too many.
    pub(super) fn take(self: &Arc<Self>, uid: u32) -> Option<Share> {
        let mut used = self.used();
        let of_user = used.by_user.get(&uid).copied().unwrap_or(0);
        if used.total >= self.total || of_user >= self.per_user {
            return None;
        }
        used.total += 1;
        used.by_user.insert(uid, of_user + 1);
        Some(Share { quota: Arc::clone(self), uid })
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut used = self.quota.used();
        used.total -= 1;
        if let Some(of_user) = used.by_user.get_mut(&self.uid) {
            *of_user -= 1;
            if *of_user == 0 {
                used.by_user.remove(&self.uid);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_user_cannot_take_what_is_left_for_the_others_and_what_is_dropped_is_free_again() {
        let quota = Quota::new(3, 2);
        let first = quota.take(1).unwrap();
        let _second = quota.take(1).unwrap();
        assert!(quota.take(1).is_none());
        let _other = quota.take(2).unwrap();
        assert!(quota.take(3).is_none());
        drop(first);
        assert!(quota.take(3).is_some());
        assert_eq!(quota.used().by_user.len(), 2);
    }
}

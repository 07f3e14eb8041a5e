//! The wanted keys: those of identities with a subscriber that is to be given the key.

use std::collections::HashMap;
use std::sync::Arc;

use evercert_core::identity::IdentityId;
use evercert_core::keeper::Keeper;
use parking_lot::Mutex;

/// Holds the keys. Called under a lock, in the order in which the words count; must not block.
pub(crate) trait KeyHolder: Send + Sync + 'static {
    /// The key of an identity is wanted, or no longer.
    fn want_keys(&self, identity: &IdentityId, wanted: bool);
}

impl KeyHolder for Keeper {
    fn want_keys(&self, identity: &IdentityId, wanted: bool) {
        self.want_keys(identity, wanted);
    }
}

/// Counts the claims on each identity's key.
pub(crate) struct KeyClaims {
    holder: Arc<dyn KeyHolder>,
    claims: Mutex<HashMap<IdentityId, usize>>,
}

impl KeyClaims {
    /// No claim on any key of `holder`.
    pub(crate) fn new(holder: Arc<dyn KeyHolder>) -> Arc<Self> {
        Arc::new(Self { holder, claims: Mutex::default() })
    }

    /// Claims the key of an identity, until the returned value is dropped.
    #[must_use]
    pub(crate) fn claim(self: &Arc<Self>, identity: IdentityId) -> Claim {
        let mut claims = self.claims.lock();
        *claims.entry(identity.clone()).or_default() += 1;
        // Not only for the first: the identity may have gone and come back, wanted by nobody, since that one came.
        self.holder.want_keys(&identity, true);
        drop(claims);
        Claim { claims: Arc::clone(self), identity }
    }

    fn release(&self, identity: &IdentityId) {
        let mut claims = self.claims.lock();
        let Some(count) = claims.get_mut(identity) else { return };
        *count -= 1;
        if *count == 0 {
            claims.remove(identity);
            // Under the lock: whoever claims it next is heard after this.
            self.holder.want_keys(identity, false);
        }
    }
}

/// One claim on the key of an identity.
pub(crate) struct Claim {
    claims: Arc<KeyClaims>,
    identity: IdentityId,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.claims.release(&self.identity);
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[derive(Default)]
    struct Heard(Mutex<Vec<(String, bool)>>);

    impl KeyHolder for Heard {
        fn want_keys(&self, identity: &IdentityId, wanted: bool) {
            self.0.lock().push((identity.name.to_string(), wanted));
        }
    }

    fn id(name: &str) -> IdentityId {
        IdentityId::node(name.parse().unwrap())
    }

    #[test]
    fn a_key_is_wanted_from_the_first_claim_to_the_end_of_the_last() {
        let heard = Arc::new(Heard::default());
        let claims = KeyClaims::new(Arc::clone(&heard) as _);
        let first = claims.claim(id("a"));
        let second = claims.claim(id("a"));
        drop(first);
        let other = claims.claim(id("b"));
        drop(second);
        drop(other);
        let said = |name: &str, wanted| (name.to_owned(), wanted);
        let expected = [said("a", true), said("a", true), said("b", true), said("a", false), said("b", false)];
        assert_eq!(*heard.0.lock(), expected);
        assert!(claims.claims.lock().is_empty());
    }

    #[test]
    fn the_last_word_is_that_it_is_wanted_however_claims_come_and_go() {
        let heard = Arc::new(Heard::default());
        let claims = KeyClaims::new(Arc::clone(&heard) as _);
        for _ in 0..200 {
            let last = claims.claim(id("a"));
            let next = thread::scope(|scope| {
                let next = scope.spawn(|| claims.claim(id("a")));
                drop(last);
                next.join().unwrap()
            });
            assert_eq!(heard.0.lock().last(), Some(&("a".to_owned(), true)));
            drop(next);
            assert_eq!(heard.0.lock().last(), Some(&("a".to_owned(), false)));
        }
    }
}

//! Equal values in one allocation: a thousand identities that share a bundle file hold its content once.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::bundle::Bundle;
use crate::certificate::CertificateFacts;
use crate::digest::{Digest, DigestWriter};
use crate::mount::Directory;

/// The values in use, so that equal ones share an allocation.
#[derive(Debug, Default)]
pub(crate) struct Interner {
    bundles: Mutex<Table<Digest, Bundle>>,
    facts: Mutex<Table<Digest, CertificateFacts>>,
    /// By a hash, which is small and made quickly: of two directories with one hash one is not shared.
    directories: Mutex<Table<u64, Directory>>,
    hasher: RandomState,
}

/// By what is made of the content. What nobody holds any more is cleared out whenever the table has doubled.
#[derive(Debug)]
struct Table<K, T> {
    held: HashMap<K, Weak<T>>,
    clear_at: usize,
}

/// How many entries a table may have before it is cleared out for the first time.
const FIRST_CLEARING: usize = 64;

impl Interner {
    /// The same bundle, in the allocation that others hold.
    pub(crate) fn bundle(&self, bundle: &Arc<Bundle>) -> Arc<Bundle> {
        let mut writer = DigestWriter::new("evercert bundle");
        bundle.write(&mut writer);
        share(&self.bundles, writer.finish(), bundle)
    }

    /// The same facts, in the allocation that others hold.
    pub(crate) fn facts(&self, facts: &Arc<CertificateFacts>) -> Arc<CertificateFacts> {
        share(&self.facts, facts.fingerprint, facts)
    }

    /// The same directory, whose parent is in the allocation that others hold, in that which others hold of it.
    pub(crate) fn directory(&self, directory: &Arc<Directory>) -> Arc<Directory> {
        share(&self.directories, self.hasher.hash_one(directory), directory)
    }
}

fn share<K: Eq + Hash, T: PartialEq>(table: &Mutex<Table<K, T>>, key: K, value: &Arc<T>) -> Arc<T> {
    let mut table = table.lock().unwrap_or_else(PoisonError::into_inner);
    match table.held.get(&key).and_then(Weak::upgrade) {
        Some(held) if *held == **value => held,
        _ => {
            table.held.insert(key, Arc::downgrade(value));
            if table.held.len() >= table.clear_at {
                table.held.retain(|_, held| held.strong_count() > 0);
                table.clear_at = FIRST_CLEARING.max(2 * table.held.len());
            }
            Arc::clone(value)
        }
    }
}

impl<K, T> Default for Table<K, T> {
    fn default() -> Self {
        Self { held: HashMap::new(), clear_at: FIRST_CLEARING }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_pki::{Entity, bundle};

    #[test]
    fn equal_bundles_are_one_and_what_nobody_holds_is_let_go_of() {
        let (interner, roots) = (Interner::default(), [Entity::root("a"), Entity::root("b")]);
        let [a, again, b] = [&roots[0], &roots[0], &roots[1]].map(|root| interner.bundle(&Arc::new(bundle(&[root]))));
        assert!(Arc::ptr_eq(&a, &again) && a != b);
        drop((a, again));
        let facts = CertificateFacts::from_der(&roots[0].der()).unwrap();
        for n in 0..1000u64 {
            let fingerprint = Digest::fingerprint(&n.to_be_bytes());
            drop(interner.facts(&Arc::new(CertificateFacts { fingerprint, ..facts.clone() })));
        }
        assert!(interner.facts.lock().unwrap().held.len() <= FIRST_CLEARING);
    }
}

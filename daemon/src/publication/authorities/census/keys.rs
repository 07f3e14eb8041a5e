//! The keys of leaves, and the names that each is served for.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use evercert_core::certificate::{self, CertificateFacts};
use evercert_core::credential::Credential;
use evercert_core::digest::Digest;

/// The key of a leaf and what it is served for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LeafKey {
    /// SHA-256 of the `SubjectPublicKeyInfo`.
    pub(super) key: Digest,
    /// A digest of the names, which are the same ones after a renewal.
    names: Digest,
}

/// Which identities serve which key, by the names that they serve it for.
#[derive(Debug)]
pub(super) struct Keys<Id>(HashMap<Digest, BTreeMap<Digest, BTreeSet<Id>>>);

impl LeafKey {
    pub(super) fn of(credential: &Credential) -> Option<Self> {
        let key = certificate::public_key(credential.chain().first()?)?;
        Some(Self { key, names: names(credential.leaf()) })
    }
}

/// The alternative names; the subject, where there is none.
fn names(leaf: &CertificateFacts) -> Digest {
    let dns = leaf.names.dns.iter().map(|name| name.to_ascii_lowercase());
    let mut names: BTreeSet<_> =
        dns.chain(leaf.names.ip.iter().map(ToString::to_string)).chain(leaf.names.uris.iter().cloned()).collect();
    if names.is_empty() {
        names.insert(leaf.subject.text.clone());
    }
    // Quoted, no name can be taken for two.
    let quoted: Vec<_> = names.iter().map(|name| format!("{name:?}")).collect();
    Digest::fingerprint(quoted.join(" ").as_bytes())
}

impl<Id: Ord + Clone> Keys<Id> {
    /// Whether a key is served for other names, too.
    pub(super) fn is_shared(&self, key: &Digest) -> bool {
        self.0.get(key).is_some_and(|served| served.len() > 1)
    }

    /// An identity serves a key. Returned are those that are concerned by it.
    pub(super) fn enter(&mut self, LeafKey { key, names }: &LeafKey, id: &Id) -> Vec<Id> {
        let served = self.0.entry(*key).or_default();
        let was_shared = served.len() > 1;
        served.entry(*names).or_default().insert(id.clone());
        if was_shared == (served.len() > 1) { Vec::new() } else { all(served) }
    }

    /// An identity serves it no more. Returned are those that are concerned by it.
    pub(super) fn leave(&mut self, LeafKey { key, names }: &LeafKey, id: &Id) -> Vec<Id> {
        let Some(served) = self.0.get_mut(key) else { return Vec::new() };
        let was_shared = served.len() > 1;
        if let Some(ids) = served.get_mut(names) {
            ids.remove(id);
            if ids.is_empty() {
                served.remove(names);
            }
        }
        let concerned = if was_shared == (served.len() > 1) { Vec::new() } else { all(served) };
        if served.is_empty() {
            self.0.remove(key);
        }
        concerned
    }
}

fn all<Id: Ord + Clone>(served: &BTreeMap<Digest, BTreeSet<Id>>) -> Vec<Id> {
    served.values().flatten().cloned().collect()
}

impl<Id> Default for Keys<Id> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

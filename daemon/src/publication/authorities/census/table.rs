//! The CAs, the bundles that hold them, and the identities with leaves under them.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use evercert_core::bundle::Bundle;
use evercert_core::certificate::CertificateFacts;
use evercert_core::crypto::is_issued_by;
use evercert_core::digest::Digest;

use super::Published;

/// The most CAs that are known: the certificate of each is read and kept.
pub(super) const COUNTED: usize = 4096;

/// The most CAs of one name: a leaf of that issuer is held against each.
pub(super) const NAMESAKES: usize = 64;

/// The address of a bundle that is held here. Equal bundles are one allocation: a thousand identities of one CA are one look at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct BundleKey(usize);

/// The table.
#[derive(Debug)]
pub(super) struct Table<Id> {
    authorities: HashMap<Digest, Authority<Id>>,
    by_subject: HashMap<String, BTreeSet<Digest>>,
    bundles: HashMap<BundleKey, Held<Id>>,
    /// Those that are too many, or cannot be read, with how often they are held.
    uncounted: HashMap<Digest, usize>,
    /// Those that came since they were last asked for.
    came: Vec<Digest>,
    /// Those of which something changed that concerns others.
    touched: BTreeSet<Digest>,
    /// Those that something let go of.
    released: Vec<Digest>,
}

/// One CA.
#[derive(Debug)]
pub(super) struct Authority<Id> {
    pub(super) facts: Arc<CertificateFacts>,
    der: Box<[u8]>,
    bundles: BTreeSet<BundleKey>,
    /// How many chains it is in.
    chains: usize,
    pub(super) presented_by: BTreeSet<Id>,
    /// The identities whose bundles lost it.
    pub(super) lost_by: BTreeSet<Id>,
}

#[derive(Debug)]
struct Held<Id> {
    /// Its address is another's once it is gone.
    _bundle: Arc<Bundle>,
    anchors: Vec<Digest>,
    trusted_by: BTreeSet<Id>,
}

impl<Id: Ord + Clone> Table<Id> {
    pub(super) fn get(&self, authority: &Digest) -> Option<&Authority<Id>> {
        self.authorities.get(authority)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (&Digest, &Authority<Id>)> {
        self.authorities.iter()
    }

    pub(super) fn has_bundles(&self) -> bool {
        !self.bundles.is_empty()
    }

    pub(super) fn uncounted(&self) -> usize {
        self.uncounted.len()
    }

    /// Whether a CA is held that is one too many, or cannot be read.
    pub(super) fn is_uncounted(&self, authority: &Digest) -> bool {
        self.uncounted.contains_key(authority)
    }

    /// The identities with a bundle that holds a CA.
    pub(super) fn trusted_by<'t>(&'t self, authority: &'t Authority<Id>) -> impl Iterator<Item = &'t Id> {
        authority.bundles.iter().filter_map(move |bundle| self.bundles.get(bundle)).flat_map(|held| &held.trusted_by)
    }

    /// The anchors of a bundle.
    pub(super) fn anchors(&self, bundle: BundleKey) -> &[Digest] {
        self.bundles.get(&bundle).map(|held| &*held.anchors).unwrap_or_default()
    }

    /// Whether one of these bundles holds a CA.
    pub(super) fn is_trusted_by(&self, authority: &Digest, bundles: &[BundleKey]) -> bool {
        self.get(authority).is_some_and(|known| bundles.iter().any(|bundle| known.bundles.contains(bundle)))
    }

    /// Whether any bundle holds a CA.
    pub(super) fn is_trusted(&self, authority: &Digest) -> bool {
        self.get(authority).is_some_and(|known| !known.bundles.is_empty())
    }

    pub(super) fn enter_bundle(&mut self, bundle: &Arc<Bundle>, id: &Id) -> BundleKey {
        let key = BundleKey(Arc::as_ptr(bundle).addr());
        if let Some(held) = self.bundles.get_mut(&key) {
            held.trusted_by.insert(id.clone());
            return key;
        }
        let mut anchors = Vec::with_capacity(bundle.anchors().len());
        for der in bundle.anchors() {
            let anchor = self.enter(der);
            if let Some(known) = self.authorities.get_mut(&anchor) {
                let is_new = known.bundles.is_empty();
                known.bundles.insert(key);
                if is_new {
                    self.touched.insert(anchor);
                }
            }
            anchors.push(anchor);
        }
        let held = Held { _bundle: Arc::clone(bundle), anchors, trusted_by: BTreeSet::from([id.clone()]) };
        self.bundles.insert(key, held);
        key
    }

    pub(super) fn leave_bundle(&mut self, key: BundleKey, id: &Id) {
        let Some(held) = self.bundles.get_mut(&key) else { return };
        held.trusted_by.remove(id);
        if !held.trusted_by.is_empty() {
            return;
        }
        for anchor in self.bundles.remove(&key).map(|held| held.anchors).unwrap_or_default() {
            if let Some(known) = self.authorities.get_mut(&anchor) {
                known.bundles.remove(&key);
                if known.bundles.is_empty() {
                    self.touched.insert(anchor);
                }
            }
            self.release(anchor);
        }
    }

    pub(super) fn enter_chain(&mut self, der: &[u8]) -> Digest {
        let authority = self.enter(der);
        if let Some(known) = self.authorities.get_mut(&authority) {
            known.chains += 1;
        }
        authority
    }

    pub(super) fn leave_chain(&mut self, authority: &Digest) {
        if let Some(known) = self.authorities.get_mut(authority) {
            known.chains -= 1;
        }
        self.release(*authority);
    }

    /// A leaf of this identity is under a CA.
    pub(super) fn present(&mut self, id: &Id, authority: Digest) {
        if let Some(known) = self.authorities.get_mut(&authority) {
            known.presented_by.insert(id.clone());
        }
    }

    /// No leaf of it is any more.
    pub(super) fn absent(&mut self, id: &Id, authority: Digest) {
        if let Some(known) = self.authorities.get_mut(&authority) {
            known.presented_by.remove(id);
        }
    }

    /// The bundles of this identity lost a CA.
    pub(super) fn lose(&mut self, id: &Id, anchor: Digest) {
        if let Some(known) = self.authorities.get_mut(&anchor) {
            known.lost_by.insert(id.clone());
            self.touched.insert(anchor);
        }
    }

    /// They have it again, or nobody misses it.
    pub(super) fn found_again(&mut self, id: &Id, anchor: Digest) {
        if let Some(known) = self.authorities.get_mut(&anchor) {
            known.lost_by.remove(id);
            self.touched.insert(anchor);
            self.released.push(anchor);
        }
    }

    /// What is under a CA changed: whoever lost it is concerned.
    pub(super) fn touch(&mut self, authority: Digest) {
        if self.get(&authority).is_some_and(|known| !known.lost_by.is_empty()) {
            self.touched.insert(authority);
        }
    }

    /// Those of which something changed that concerns others, since this was last asked.
    pub(super) fn touched(&mut self) -> BTreeSet<Digest> {
        std::mem::take(&mut self.touched)
    }

    /// Those that came since this was last asked, with their names and certificates.
    pub(super) fn newcomers(&mut self) -> Vec<(Digest, String, Box<[u8]>)> {
        let came = std::mem::take(&mut self.came);
        let known = came.into_iter().filter_map(|came| Some((came, self.authorities.get(&came)?)));
        known.map(|(came, known)| (came, known.facts.subject.text.clone(), known.der.clone())).collect()
    }

    /// The CAs that a leaf is under: those in its chain, and those that issued some of it.
    pub(super) fn issuers_of(&self, published: &Published) -> Vec<Digest> {
        let in_chain = published.chain.iter().filter(|authority| self.authorities.contains_key(*authority));
        let mut under: BTreeSet<_> = in_chain.copied().collect();
        for (name, _) in &published.issuers {
            for namesake in self.by_subject.get(name).into_iter().flatten() {
                let Some(known) = self.get(namesake) else { continue };
                if !under.contains(namesake) && published.issued_by(name).any(|der| is_issued_by(der, &known.der)) {
                    under.insert(*namesake);
                }
            }
        }
        under.into_iter().collect()
    }

    /// Forgets the CAs that nothing holds any more; returned are those, and the identities with a leaf under them.
    pub(super) fn sweep(&mut self) -> Vec<(Digest, BTreeSet<Id>)> {
        let mut swept = Vec::new();
        for released in std::mem::take(&mut self.released) {
            let is_held =
                |known: &Authority<Id>| !known.bundles.is_empty() || known.chains > 0 || !known.lost_by.is_empty();
            if self.get(&released).is_none_or(is_held) {
                continue;
            }
            let Some(gone) = self.authorities.remove(&released) else { continue };
            if let Some(namesakes) = self.by_subject.get_mut(&gone.facts.subject.text) {
                namesakes.remove(&released);
                if namesakes.is_empty() {
                    self.by_subject.remove(&gone.facts.subject.text);
                }
            }
            swept.push((released, gone.presented_by));
        }
        swept
    }

    /// Something holds a CA.
    fn enter(&mut self, der: &[u8]) -> Digest {
        let fingerprint = Digest::fingerprint(der);
        if self.authorities.contains_key(&fingerprint) {
            return fingerprint;
        }
        if let Some(holders) = self.uncounted.get_mut(&fingerprint) {
            *holders += 1;
            return fingerprint;
        }
        let facts = (self.authorities.len() < COUNTED).then(|| CertificateFacts::from_der(der).ok()).flatten();
        let is_one_too_many = |facts: &CertificateFacts| {
            self.by_subject.get(&facts.subject.text).is_some_and(|namesakes| namesakes.len() >= NAMESAKES)
        };
        let Some(facts) = facts.filter(|facts| !is_one_too_many(facts)) else {
            self.uncounted.insert(fingerprint, 1);
            return fingerprint;
        };
        self.by_subject.entry(facts.subject.text.clone()).or_default().insert(fingerprint);
        let authority = Authority {
            facts: Arc::new(facts),
            der: der.into(),
            bundles: BTreeSet::new(),
            chains: 0,
            presented_by: BTreeSet::new(),
            lost_by: BTreeSet::new(),
        };
        self.authorities.insert(fingerprint, authority);
        self.came.push(fingerprint);
        fingerprint
    }

    /// Something holds it no more.
    fn release(&mut self, authority: Digest) {
        match self.uncounted.get_mut(&authority) {
            Some(1) => {
                self.uncounted.remove(&authority);
            }
            Some(holders) => *holders -= 1,
            None => self.released.push(authority),
        }
    }
}

impl<Id> Default for Table<Id> {
    fn default() -> Self {
        Self {
            authorities: HashMap::new(),
            by_subject: HashMap::new(),
            bundles: HashMap::new(),
            uncounted: HashMap::new(),
            came: Vec::new(),
            touched: BTreeSet::new(),
            released: Vec::new(),
        }
    }
}

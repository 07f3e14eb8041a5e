//! How much uses each CA, counted over and over: metrics tell it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use evercert_core::bundle::Bundle;
use evercert_core::certificate::CertificateFacts;
use evercert_core::crypto::is_issued_by;
use evercert_core::digest::Digest;
use evercert_core::snapshot::Snapshot;

use super::{bundles, issuers};

/// The most CAs that are counted: the certificate of each is read at every count.
const COUNTED: usize = 4096;

/// Counts what uses each CA. A signature is verified once: which CA issued what is remembered from one count to the next.
#[derive(Debug, Default)]
pub(crate) struct AuthorityCensus {
    /// Whether a certificate was issued by a CA of its issuer's name, by the fingerprints of both.
    issued: HashMap<(Digest, Digest), bool>,
}

/// The CAs of what is published.
#[derive(Debug)]
pub(crate) struct AuthorityCounts {
    pub(crate) counts: Vec<AuthorityCount>,
    /// How many there are besides, of which nothing is known.
    pub(crate) uncounted: usize,
}

/// One CA of what is published, and what uses it.
#[derive(Debug)]
pub(crate) struct AuthorityCount {
    pub(crate) facts: CertificateFacts,
    /// What presents a leaf that is under it.
    pub(crate) presents: Users,
    /// What trusts it.
    pub(crate) trusts: Users,
}

/// Identities, and the subscribers of these.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Users {
    pub(crate) identities: usize,
    pub(crate) subscribers: usize,
}

impl Users {
    fn add(&mut self, other: Self) {
        self.identities += other.identities;
        self.subscribers += other.subscribers;
    }
}

/// The anchors of what these identities publish, each with how many subscribers it has: what trusts them alone is counted.
pub(crate) fn trusted(published: &[(&Snapshot, usize)]) -> AuthorityCounts {
    Authorities::trusted(published).counted()
}

impl AuthorityCensus {
    /// The CAs of what these identities publish, each with how many subscribers it has.
    pub(crate) fn count(&mut self, published: &[(&Snapshot, usize)]) -> AuthorityCounts {
        let mut authorities = Authorities::trusted(published);
        for issuer in published.iter().flat_map(|(snapshot, _)| issuers(snapshot)) {
            authorities.place(issuer);
        }
        let before = std::mem::take(&mut self.issued);
        for (snapshot, subscribers) in published {
            let users = Users { identities: 1, subscribers: *subscribers };
            for place in self.presented(snapshot, &authorities, &before) {
                authorities.counts[place].presents.add(users);
            }
        }
        authorities.counted()
    }

    /// The places of the CAs that the leaf of `snapshot` is under.
    fn presented(
        &mut self,
        snapshot: &Snapshot,
        authorities: &Authorities<'_>,
        before: &HashMap<(Digest, Digest), bool>,
    ) -> BTreeSet<usize> {
        let Some(credential) = snapshot.credential() else { return BTreeSet::new() };
        let mut presented: BTreeSet<_> =
            issuers(snapshot).filter_map(|der| authorities.places.get(der)).copied().collect();
        let chain = presented.iter().map(|place| (&authorities.counts[*place].facts, authorities.ders[*place]));
        let leaf = credential.chain().first().map(|der| (credential.leaf(), &**der));
        for (facts, der) in leaf.into_iter().chain(chain).collect::<Vec<_>>() {
            let namesakes = authorities.by_subject.get(&facts.issuer.text).map(Vec::as_slice).unwrap_or_default();
            for place in namesakes {
                let pair = (facts.fingerprint, authorities.counts[*place].facts.fingerprint);
                let known = before.get(&pair).copied();
                let issued = known.unwrap_or_else(|| is_issued_by(der, authorities.ders[*place]));
                self.issued.insert(pair, issued);
                if issued {
                    presented.insert(*place);
                }
            }
        }
        presented
    }
}

/// The CAs that were come upon.
#[derive(Default)]
struct Authorities<'a> {
    counts: Vec<AuthorityCount>,
    /// In the same order.
    ders: Vec<&'a [u8]>,
    places: HashMap<&'a [u8], usize>,
    by_subject: HashMap<String, Vec<usize>>,
    /// Those that are too many, or cannot be read.
    uncounted: HashSet<&'a [u8]>,
}

impl<'a> Authorities<'a> {
    fn trusted(published: &[(&'a Snapshot, usize)]) -> Self {
        let mut authorities = Self::default();
        // Equal bundles are one allocation: a thousand identities of one CA are one look at it.
        let mut trusting: HashMap<Vec<*const Bundle>, (&'a Snapshot, Users)> = HashMap::new();
        for (snapshot, subscribers) in published {
            let key = bundles(snapshot).map(Arc::as_ptr).collect();
            let users = &mut trusting.entry(key).or_insert((snapshot, Users::default())).1;
            users.add(Users { identities: 1, subscribers: *subscribers });
        }
        for (snapshot, users) in trusting.into_values() {
            // An identity may trust one by several bundles.
            let anchors: BTreeSet<&'a [u8]> = super::anchors(snapshot).collect();
            for anchor in anchors {
                if let Some(place) = authorities.place(anchor) {
                    authorities.counts[place].trusts.add(users);
                }
            }
        }
        authorities
    }

    fn counted(self) -> AuthorityCounts {
        AuthorityCounts { counts: self.counts, uncounted: self.uncounted.len() }
    }

    /// The place of the CA with this certificate; absent if it cannot be read, or is one too many.
    fn place(&mut self, der: &'a [u8]) -> Option<usize> {
        if let Some(place) = self.places.get(der) {
            return Some(*place);
        }
        let facts = (self.counts.len() < COUNTED).then(|| CertificateFacts::from_der(der).ok()).flatten();
        let Some(facts) = facts else {
            self.uncounted.insert(der);
            return None;
        };
        let place = self.counts.len();
        self.by_subject.entry(facts.subject.text.clone()).or_default().push(place);
        self.counts.push(AuthorityCount { facts, presents: Users::default(), trusts: Users::default() });
        self.ders.push(der);
        self.places.insert(der, place);
        Some(place)
    }
}

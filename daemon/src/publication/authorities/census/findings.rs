//! What only shows where identities are held against each other.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use evercert_core::certificate::CertificateFacts;
use evercert_core::digest::Digest;
use evercert_core::finding::{Check, Finding, Severity};
use evercert_core::spec::IdentitySpec;

use super::table::BundleKey;
use super::{Census, Published};

/// The identities that are remembered of many: the first that is another than the one that is asked about is among two.
const TWO: usize = 2;

/// What is found of one identity. It names no other: the findings of an identity are told to whoever has that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// Its bundle lost an anchor, and a leaf of another is under that and under nothing else that it trusts.
    AnchorLost(Arc<CertificateFacts>),
    /// The bundle of another lost this anchor, which its leaf is under, and trusts nothing else that it is under.
    LostElsewhere(Arc<CertificateFacts>),
    /// No bundle holds a CA that its leaf is under.
    IssuerUntrusted,
    /// Another serves its key for other names.
    KeyShared(Digest),
}

/// Whether something that a check judges is told by this alone: it replaces the last that was found.
pub(crate) fn is_of_neighbours(check: Check) -> bool {
    matches!(check, Check::AnchorLost | Check::IssuerUntrusted | Check::KeyShared)
}

impl Found {
    /// The finding, for the identity of this specification.
    pub(crate) fn finding(&self, spec: &IdentitySpec) -> Finding {
        let (check, sentence) = match self {
            Self::AnchorLost(anchor) => (
                Check::AnchorLost,
                format!(
                    "the bundle no longer holds {}, and leaves that are served on this node are still under it: peers with one are refused; \
                     put it back until they are reissued",
                    anchor.subject
                ),
            ),
            Self::LostElsewhere(anchor) => (
                Check::AnchorLost,
                format!(
                    "the leaf is under {}, which a bundle on this node no longer holds, and nothing else that it trusts: who has that bundle \
                     refuses the leaf; have it reissued, or that anchor put back until it is",
                    anchor.subject
                ),
            ),
            Self::IssuerUntrusted => (
                Check::IssuerUntrusted,
                "no bundle on this node trusts the issuer of the leaf, so no service here takes it; give its CA to those that are to, or have \
                 it issued by one that they trust"
                    .to_owned(),
            ),
            Self::KeyShared(_) => (
                Check::KeyShared,
                "another identity on this node serves the same key for other names, so who has one can pass for both; give each a key of \
                 its own"
                    .to_owned(),
            ),
        };
        let finding = Finding::new(check, Severity::Warn, sentence);
        let files = spec.files.credential.as_ref();
        let (file, finding) = match self {
            Self::AnchorLost(anchor) => {
                (spec.files.bundle.as_ref().map(|file| file.path()), finding.found(named(anchor)))
            }
            Self::LostElsewhere(anchor) => (files.map(|files| files.chain()), finding.found(named(anchor))),
            Self::IssuerUntrusted => (files.map(|files| files.chain()), finding),
            Self::KeyShared(key) => (files.map(|files| files.chain()), finding.found(format!("public key {key}"))),
        };
        spec.expectations.severities.applied(match file {
            Some(file) => finding.in_file(file),
            None => finding,
        })
    }
}

fn named(anchor: &CertificateFacts) -> String {
    format!("sha256:{}", anchor.fingerprint)
}

/// Bundles that are trusted together, each with two of those that trust them.
type Trusting<Id> = Vec<(Vec<BundleKey>, Vec<Id>)>;

/// What was worked out for many at once.
struct Together<Id> {
    /// By anchor: the bundles that lost it.
    losers: HashMap<Digest, Trusting<Id>>,
    /// By anchor and bundles: two of those with leaves that are under it and under nothing in the bundles.
    missing: HashMap<(Digest, Vec<BundleKey>), Vec<Id>>,
}

impl<Id: Ord + Clone> Census<Id> {
    /// What is found of each identity of which something else is found by now. Unless `is_complete`, bundles may be missing that are not
    /// read yet, and who has a leaf that none trusts is left for later.
    pub(crate) fn news(&mut self, is_complete: bool) -> Vec<(Id, Vec<Found>)> {
        for touched in self.table.touched() {
            let Some(authority) = self.table.get(&touched) else { continue };
            self.changed.extend(authority.presented_by.iter().chain(&authority.lost_by).cloned());
            if authority.presented_by.is_empty() {
                for id in authority.lost_by.clone() {
                    self.table.found_again(&id, touched);
                    self.published
                        .get_mut(&id)
                        .into_iter()
                        .for_each(|entry| entry.lost.retain(|anchor| *anchor != touched));
                }
            }
        }
        self.table.sweep().into_iter().for_each(|gone| self.unlearn(gone));
        let mut together = Together { losers: HashMap::new(), missing: HashMap::new() };
        let mut news: Vec<_> = std::mem::take(&mut self.gone).into_iter().map(|id| (id, Vec::new())).collect();
        let mut later = BTreeSet::new();
        for id in std::mem::take(&mut self.changed) {
            let Some(entry) = self.published.get(&id) else { continue };
            let mut found = Vec::new();
            found.extend(self.anchors_lost(&id, entry, &mut together));
            found.extend(self.lost_elsewhere(&id, entry, &mut together));
            if is_complete {
                found.extend(self.is_untrusted(entry).then_some(Found::IssuerUntrusted));
            } else {
                found.extend(entry.told.iter().find(|told| **told == Found::IssuerUntrusted).cloned());
                later.insert(id.clone());
            }
            let key = entry.key.as_ref().map(|leaf| leaf.key).filter(|key| self.keys.is_shared(key));
            found.extend(key.map(Found::KeyShared));
            if let Some(entry) = self.published.get_mut(&id).filter(|entry| entry.told != found) {
                entry.told.clone_from(&found);
                news.push((id, found));
            }
        }
        self.changed = later;
        news
    }

    /// Whether a leaf has no bundle of its own that would say whether it is trusted, and none of another's does. Public CAs are trusted by
    /// what no bundle holds.
    fn is_untrusted(&self, entry: &Published) -> bool {
        entry.credential.is_some()
            && entry.bundles.is_empty()
            && !entry.is_of_public_ca
            && self.state() == (true, true)
            && !entry.presents.iter().any(|authority| self.table.is_trusted(authority))
    }

    fn anchors_lost(&self, id: &Id, entry: &Published, together: &mut Together<Id>) -> Vec<Found> {
        if self.table.uncounted() > 0 {
            return Vec::new();
        }
        let mut found = Vec::new();
        for anchor in &entry.lost {
            let Some(authority) = self.table.get(anchor) else { continue };
            let key = (*anchor, entry.bundles.clone());
            let missing = together.missing.entry(key).or_insert_with(|| {
                let missing = authority.presented_by.iter().filter(|other| {
                    self.published.get(*other).is_some_and(|leaf| !self.is_trusted(leaf, &entry.bundles))
                });
                missing.take(TWO).cloned().collect()
            });
            if missing.iter().any(|other| other != id) {
                found.push(Found::AnchorLost(Arc::clone(&authority.facts)));
            }
        }
        found
    }

    fn lost_elsewhere(&self, id: &Id, entry: &Published, together: &mut Together<Id>) -> Option<Found> {
        // What its own bundle does not trust, or none, is told by that.
        let is_told =
            if entry.bundles.is_empty() { self.is_untrusted(entry) } else { !self.is_trusted(entry, &entry.bundles) };
        if is_told || self.table.uncounted() > 0 {
            return None;
        }
        entry.presents.iter().find_map(|anchor| {
            let authority = self.table.get(anchor).filter(|authority| !authority.lost_by.is_empty())?;
            let losers = together.losers.entry(*anchor).or_insert_with(|| {
                let mut losers: HashMap<&[BundleKey], Vec<Id>> = HashMap::new();
                for loser in &authority.lost_by {
                    let Some(entry) = self.published.get(loser) else { continue };
                    let some = losers.entry(&entry.bundles).or_default();
                    if some.len() < TWO {
                        some.push(loser.clone());
                    }
                }
                losers.into_iter().map(|(bundles, some)| (bundles.to_vec(), some)).collect()
            });
            let is_refused = losers
                .iter()
                .any(|(bundles, some)| some.iter().any(|other| other != id) && !self.is_trusted(entry, bundles));
            is_refused.then(|| Found::LostElsewhere(Arc::clone(&authority.facts)))
        })
    }

    /// Whether a leaf is under something that one of these bundles holds.
    fn is_trusted(&self, leaf: &Published, bundles: &[BundleKey]) -> bool {
        leaf.presents.iter().any(|authority| self.table.is_trusted_by(authority, bundles))
    }
}

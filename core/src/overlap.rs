//! The overlap of a credential's own anchors: what leaves `ca.crt` stays trusted for a while beside what replaced it.
//!
//! cert-manager rewrites `ca.crt` Secret by Secret, so that for a time some peers still have a leaf of the CA that another
//! Secret no longer names. Pure: time is an argument, and [`store`] remembers it beyond the process.

mod crls;
pub(crate) mod store;

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};

use crate::bundle::{Bundle, MAX_ANCHORS};
use crate::certificate::{CertificateFacts, NotACertificate, parse};
use crate::clock::rfc3339;
use crate::crl::{Crl, NormalName};
use crate::digest::Digest;
use crate::finding::{Check, Finding, Severity};
use crate::spec::IdentitySpec;
use crate::state_file::StateError;
use crls::{Signer, latest};

/// How many anchors a finding names; of more it tells the number.
const NAMED: usize = 8;

/// The anchors that left one `ca.crt` and stay trusted, and the CRLs that left with them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Overlap {
    /// Those that end first at the front.
    anchors: Vec<Retained>,
    /// Without them, whoever was revoked under such an anchor would be let in again.
    crls: Vec<CertificateRevocationListDer<'static>>,
}

/// An anchor that left the credential's `ca.crt` and stays trusted for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetainedAnchor {
    /// The anchor.
    pub facts: CertificateFacts,
    /// When it is no longer trusted.
    pub until: SystemTime,
}

/// The anchors that a state directory tells to stay trusted for an identity, each with its end, as the keeper finds them when it starts.
///
/// # Errors
///
/// The file cannot be read. One that is not believed tells of none.
pub fn retained_in(state_directory: &Path, spec: &IdentitySpec) -> Result<Vec<RetainedAnchor>, StateError> {
    let overlap = store::OverlapStore::new(state_directory.to_owned()).load(spec)?;
    Ok(overlap.anchors.into_iter().map(|retained| retained.told).collect())
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Retained {
    der: CertificateDer<'static>,
    told: RetainedAnchor,
}

impl Overlap {
    /// An overlap as it was remembered.
    ///
    /// # Errors
    ///
    /// One of the anchors is no certificate.
    pub(crate) fn remembered(
        anchors: impl IntoIterator<Item = (CertificateDer<'static>, SystemTime)>,
        crls: Vec<CertificateRevocationListDer<'static>>,
    ) -> Result<Self, NotACertificate> {
        let mut overlap = Self { anchors: Vec::new(), crls };
        for (der, until) in anchors {
            let facts = CertificateFacts::from_der(&der)?;
            overlap.anchors.push(Retained { der, told: RetainedAnchor { facts, until } });
        }
        overlap.bound();
        Ok(overlap)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.anchors.is_empty()
    }

    /// The anchors to be remembered, each with its end.
    pub(crate) fn anchors(&self) -> impl Iterator<Item = (&CertificateDer<'static>, SystemTime)> {
        self.anchors.iter().map(|retained| (&retained.der, retained.told.until))
    }

    pub(crate) fn crls(&self) -> &[CertificateRevocationListDer<'static>] {
        &self.crls
    }

    pub(crate) fn told(&self) -> Arc<[RetainedAnchor]> {
        self.anchors.iter().map(|retained| retained.told.clone()).collect()
    }

    /// Whether this is what was [told](Overlap::told).
    pub(crate) fn is_as(&self, told: &[RetainedAnchor]) -> bool {
        self.anchors.iter().map(|retained| &retained.told).eq(told)
    }

    pub(crate) fn holds(&self, anchor: Digest) -> bool {
        self.anchors.iter().any(|retained| retained.told.facts.fingerprint == anchor)
    }

    /// When the next anchor is no longer trusted.
    pub(crate) fn next_end(&self) -> Option<SystemTime> {
        self.anchors.first().map(|retained| retained.told.until)
    }

    /// `incoming` has taken the place of `outgoing`, beside which these CRLs were held: what left is retained until then, and
    /// what is back is not.
    pub(crate) fn replaced(
        &mut self,
        outgoing: &Bundle,
        crls: &[CertificateRevocationListDer<'static>],
        incoming: &Bundle,
        until: SystemTime,
    ) {
        self.returned(incoming);
        let mut left = false;
        for der in outgoing.anchors() {
            if has(incoming, der) || self.anchors.iter().any(|retained| retained.der == *der) {
                continue;
            }
            // An admitted anchor was parsed.
            if let Ok(facts) = CertificateFacts::from_der(der) {
                self.anchors.push(Retained { der: der.clone(), told: RetainedAnchor { facts, until } });
                left = true;
            }
        }
        if left {
            self.crls.extend_from_slice(crls);
            self.crls = latest(std::mem::take(&mut self.crls));
        }
        self.bound();
    }

    /// Anchors that the file holds are not retained.
    pub(crate) fn returned(&mut self, file: &Bundle) {
        self.anchors.retain(|retained| !has(file, &retained.der));
        self.bound();
    }

    /// Of these lists, which the files hold by now, those are held on to which replace an earlier one, or are of an anchor that is
    /// retained: also when the files no longer have them.
    pub(crate) fn renewed<'c>(&mut self, crls: impl Iterator<Item = &'c CertificateRevocationListDer<'static>>) {
        if self.is_empty() {
            return;
        }
        let anchors = self.anchors.iter().filter_map(|retained| parse(&retained.der).ok());
        let names: Vec<_> = anchors.map(|anchor| NormalName::of_sequence(anchor.subject().as_raw())).collect();
        let signer = |crl| Crl::from_der(crl).ok().as_ref().and_then(Signer::of);
        let signers: Vec<_> = self.crls.iter().filter_map(signer).collect();
        let renews = |crl: &Crl| {
            names.contains(crl.normal_issuer()) || Signer::of(crl).is_some_and(|signer| signers.contains(&signer))
        };
        let mut held: Vec<_> = crls.filter(|der| Crl::from_der(der).is_ok_and(|crl| renews(&crl))).cloned().collect();
        // Of two of one age the one in the files counts.
        held.append(&mut self.crls);
        self.crls = latest(held);
    }

    /// The same without what has come to its end.
    pub(crate) fn passed(mut self, now: SystemTime) -> Self {
        self.anchors.retain(|retained| retained.told.until > now);
        self.bound();
        self
    }

    /// The same with nothing retained beyond `latest`: a clock that was set back, or a setting that was lowered, must not leave
    /// an anchor trusted for longer than is allowed from now on.
    pub(crate) fn capped(mut self, latest: SystemTime) -> Self {
        self.anchors.iter_mut().for_each(|retained| retained.told.until = retained.told.until.min(latest));
        self.bound();
        self
    }

    /// The same without this anchor.
    pub(crate) fn without(&self, anchor: Digest) -> Self {
        let mut overlap = self.clone();
        overlap.anchors.retain(|retained| retained.told.facts.fingerprint != anchor);
        overlap.bound();
        overlap
    }

    /// The bundle in the file, with what is retained beside it.
    pub(crate) fn merge(&self, file: &Arc<Bundle>) -> Arc<Bundle> {
        if self.is_empty() {
            return Arc::clone(file);
        }
        let anchors = file.anchors().iter().chain(self.anchors.iter().map(|retained| &retained.der)).cloned();
        let crls = file.crls().iter().chain(&self.crls).cloned();
        Arc::new(Bundle::new(anchors.collect(), crls.collect()))
    }

    /// A finding for as long as anchors are trusted that are in no file.
    pub(crate) fn finding(&self, spec: &IdentitySpec) -> Option<Finding> {
        if self.is_empty() {
            return None;
        }
        let named = self.anchors.iter().take(NAMED).map(|retained| {
            let RetainedAnchor { facts, until } = &retained.told;
            format!("{} ({}) until {}", facts.fingerprint, facts.subject.text, rfc3339(*until))
        });
        let mut named = named.collect::<Vec<_>>().join(", ");
        if self.anchors.len() > NAMED {
            named.push_str(&format!(", and {} more", self.anchors.len() - NAMED));
        }
        let sentence = format!(
            "anchors that left the bundle stay trusted beside those that replaced them: {named}; peers may still have leaves under \
             them. `evercertd trust drop FINGERPRINT` ends it at once, `overlap` decides how long it may last"
        );
        let finding = Finding::new(Check::TrustOverlap, Severity::Warn, sentence);
        let finding = finding.found(format_args!("{} that are in no file", self.anchors.len())).expected("none");
        Some(match &spec.files.bundle {
            Some(file) => finding.in_file(file.path()),
            None => finding,
        })
    }

    /// Keeps the order and the limit: of too many, those that would end first.
    fn bound(&mut self) {
        self.anchors.sort_by(|a, b| (a.told.until, &a.der.as_ref()).cmp(&(b.told.until, &b.der.as_ref())));
        let excess = self.anchors.len().saturating_sub(MAX_ANCHORS);
        self.anchors.drain(..excess);
        if self.anchors.is_empty() {
            self.crls = Vec::new();
        }
    }
}

fn has(bundle: &Bundle, anchor: &CertificateDer<'_>) -> bool {
    bundle.anchors().binary_search_by(|held| held.as_ref().cmp(anchor.as_ref())).is_ok()
}

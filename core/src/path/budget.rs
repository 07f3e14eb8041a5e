//! The work spent on the path of one peer, who may be anybody: validation comes before anything is proven.
//!
//! webpki has budgets of its own, for each call. Here one is shared by all that is tried of a peer, and it is small: what a hostile
//! chain costs at the most is what a few honest ones do.

use std::borrow::Cow;
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustls_pki_types::{AlgorithmIdentifier, CertificateDer, InvalidSignature, SignatureVerificationAlgorithm};
use webpki::EndEntityCert;

use super::error::PathError;

/// How many certificates besides the leaf may be on its paths, by their names. A path holds seven at the most; the rest is for issuers that
/// are cross-signed or were renewed. Anything else a peer shows is left out of account.
pub(super) const MOST_ISSUERS: usize = 16;

/// How many certificates are looked at while paths are built from one leaf. Honest chains of four certificates, each of them cross-signed,
/// take some twenty.
const MOST_STEPS: usize = 64;

/// How many signatures are verified for one peer, besides those for anchors of one name. An honest path takes as many as it has
/// certificates, and as many again for each way over a cross-signature that turns out not to hold.
const MOST_SIGNATURES: usize = 24;

/// How many more are verified for each anchor that shares its name with others: nothing else tells which of them has signed.
const SIGNATURES_A_NAMESAKE: usize = 4;

/// The most signatures that are verified for one peer whatever the bundle; webpki's own limit for one search.
const MOST_SIGNATURES_OF_ALL: usize = 100;

/// How many signatures are verified for one peer where so many anchors share one name.
pub(super) fn signatures(namesakes: usize) -> usize {
    (MOST_SIGNATURES + SIGNATURES_A_NAMESAKE * namesakes.saturating_sub(1)).min(MOST_SIGNATURES_OF_ALL)
}

/// How many certificates a cheap chain has besides its leaf, at the most: an issuing CA and one above it.
const CHEAP_ISSUERS: usize = 2;

/// How many octets a cheap chain has in all: three certificates with RSA keys of 4096 bits have some 6 KiB. Parsing a large one takes as
/// long as a signature.
const CHEAP_OCTETS: usize = 8 * 1024;

/// How many anchors of one name a cheap chain may end at: a CA that was renewed has two.
const CHEAP_NAMESAKES: usize = 2;

/// How many signatures are verified of a chain that is cheap: of each certificate one, and one more where two anchors share a name. `None`:
/// it is not cheap.
pub(super) fn cheap_signatures(leaf: &[u8], shown: &[CertificateDer<'_>], namesakes: usize) -> Option<usize> {
    let octets = leaf.len() + shown.iter().map(|der| der.len()).sum::<usize>();
    let is_cheap = shown.len() <= CHEAP_ISSUERS && octets <= CHEAP_OCTETS && namesakes <= CHEAP_NAMESAKES;
    is_cheap.then_some(shown.len() + namesakes.max(1))
}

/// The work that may still be spent on one peer.
pub(super) struct Budget {
    steps: Cell<usize>,
    /// Atomic because webpki demands algorithms that threads may share; no other thread has it.
    signatures: AtomicUsize,
    overdrawn: Cell<bool>,
}

impl Budget {
    pub(super) fn new(signatures: usize) -> Self {
        Self { steps: Cell::new(MOST_STEPS), signatures: AtomicUsize::new(signatures), overdrawn: Cell::new(false) }
    }

    /// Takes one step of path building.
    pub(super) fn step(&self) -> Result<(), webpki::Error> {
        // Without signatures left no step leads anywhere.
        let steps = if self.signatures.load(Ordering::Relaxed) == 0 { 0 } else { self.steps.get() };
        let Some(left) = steps.checked_sub(1) else {
            self.overdrawn.set(true);
            return Err(webpki::Error::MaximumPathBuildCallsExceeded);
        };
        self.steps.set(left);
        Ok(())
    }

    /// Whether a search may have ended for want of steps or signatures.
    pub(super) fn is_spent(&self) -> bool {
        self.overdrawn.get() || self.signatures.load(Ordering::Relaxed) == 0
    }

    /// The algorithms, each drawing on this budget.
    pub(super) fn charging<'a>(&'a self, algorithms: &[&'a dyn SignatureVerificationAlgorithm]) -> Vec<Charging<'a>> {
        algorithms.iter().map(|algorithm| Charging { algorithm: *algorithm, left: &self.signatures }).collect()
    }
}

/// A signature algorithm that verifies nothing once the budget is spent.
#[derive(Debug)]
pub(super) struct Charging<'a> {
    algorithm: &'a dyn SignatureVerificationAlgorithm,
    left: &'a AtomicUsize,
}

impl SignatureVerificationAlgorithm for Charging<'_> {
    fn verify_signature(&self, public_key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        let left = self.left.load(Ordering::Relaxed).checked_sub(1).ok_or(InvalidSignature)?;
        self.left.store(left, Ordering::Relaxed);
        self.algorithm.verify_signature(public_key, message, signature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.algorithm.public_key_alg_id()
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.algorithm.signature_alg_id()
    }
}

/// The certificates of `shown` that may be on a path from `leaf`, by their names. webpki would parse all of them again at each step.
///
/// # Errors
///
/// [`PathError::TooComplex`]: there are more than [`MOST_ISSUERS`].
pub(super) fn issuers<'p>(
    leaf: &EndEntityCert<'_>,
    shown: &'p [CertificateDer<'p>],
) -> Result<Cow<'p, [CertificateDer<'p>]>, PathError> {
    if shown.len() <= MOST_ISSUERS {
        return Ok(Cow::Borrowed(shown));
    }
    let mut left: Vec<(EndEntityCert<'p>, &'p CertificateDer<'p>)> =
        shown.iter().filter_map(|der| Some((EndEntityCert::try_from(der).ok()?, der))).collect();
    let mut found: Vec<CertificateDer<'p>> = Vec::with_capacity(MOST_ISSUERS);
    let mut names = vec![leaf.issuer().to_vec()];
    while let Some(name) = names.pop() {
        let (named, others) = left.into_iter().partition::<Vec<_>, _>(|(parsed, _)| parsed.subject() == name);
        left = others;
        for (parsed, der) in named {
            if found.iter().any(|known| known.as_ref() == der.as_ref()) {
                continue;
            }
            if found.len() == MOST_ISSUERS {
                return Err(PathError::TooComplex);
            }
            found.push(CertificateDer::from(der.as_ref()));
            names.push(parsed.issuer().to_vec());
        }
    }
    Ok(Cow::Owned(found))
}

#[cfg(test)]
mod tests;

//! Revocation by the CRLs of a bundle (RFC 5280 §6.3).
//!
//! A list speaks for the key that signed it. For anchors that is established once, when the validator is built; for an intermediate,
//! which only the peer shows, when a path over it is first validated, and then it is known. A list that cannot be used, or by
//! another key of its issuer's name (a CA that was renewed under a new key), fails nobody: to refuse everybody under a CA for
//! a bad file would be an outage. Where stale lists are to be rejected nobody passes for want of a list either.

use std::cell::Cell;
use std::collections::HashMap;
use std::fmt;
use std::sync::OnceLock;
use std::time::SystemTime;

use webpki::{Cert, VerifiedPath, spki_for_anchor};
use x509_parser::prelude::X509Certificate;

use super::StaleCrls;
use super::error::{CrlProblem, PathError};
use crate::bundle::Bundle;
use crate::certificate::{may_sign_crls, parse};
use crate::crl::{Crl, NormalName};
use crate::crypto::Signature;
use crate::extensions::{Extensions, KeyUsage};

/// How many more signatures of lists that turn out to be by another key are verified for one peer than there are lists: one path takes no
/// more than there are, but a peer may show several, and a list may be a megabyte long.
const SPARE_SIGNATURES: usize = 8;

/// The lists of a bundle.
#[derive(Default)]
pub(super) struct Revocation {
    /// Of each issuer, the newest first.
    by_issuer: HashMap<NormalName, Vec<List>>,
    /// When each list is to be replaced, the soonest first.
    next_updates: Vec<SystemTime>,
    /// The keys of anchors that may not sign lists, as DER.
    silent: Vec<Vec<u8>>,
    /// Some list cannot be read: nobody knows whom it revokes.
    has_unreadable: bool,
}

struct List {
    crl: Crl,
    /// The keys of anchors that signed it, as DER.
    signers: Vec<Vec<u8>>,
    /// The key of the intermediate that turned out to have signed it.
    learned: OnceLock<Vec<u8>>,
}

/// The work that may still be spent on lists for one peer.
pub(super) enum CrlBudget {
    /// How many signatures that turn out to be by another key are still verified.
    Open(Cell<usize>),
    /// None is, since for one a whole list is hashed, however long it is. Lists count whose signers are known.
    Closed {
        /// Another list was asked for.
        was_asked: Cell<bool>,
    },
}

impl CrlBudget {
    pub(super) fn closed() -> Self {
        Self::Closed { was_asked: Cell::new(false) }
    }

    /// Whether a list counted for nothing because it is closed.
    pub(super) fn is_spent(&self) -> bool {
        matches!(self, Self::Closed { was_asked } if was_asked.get())
    }
}

impl Revocation {
    pub(super) fn new(bundle: &Bundle) -> Self {
        let mut revocation = Self::default();
        if bundle.crls().is_empty() {
            return revocation;
        }
        let anchors: Vec<X509Certificate<'_>> =
            bundle.anchors().iter().filter_map(|anchor| parse(anchor).ok()).collect();
        let mut keys: HashMap<NormalName, Vec<&[u8]>> = HashMap::new();
        for anchor in &anchors {
            let key = anchor.public_key().raw;
            if may_sign_crls(anchor) {
                keys.entry(NormalName::of_sequence(anchor.subject().as_raw())).or_default().push(key);
            } else {
                revocation.silent.push(key.to_vec());
            }
        }
        // One key may be in two certificates.
        revocation.silent.retain(|key| !keys.values().flatten().any(|signing| signing == key));
        for der in bundle.crls() {
            let Ok(crl) = Crl::from_der(der) else {
                revocation.has_unreadable = true;
                continue;
            };
            let named = keys.get(crl.normal_issuer()).map_or(&[][..], Vec::as_slice);
            let signers = named.iter().filter(|key| crl.signature_by(key) == Signature::Valid);
            let signers = signers.map(|key| key.to_vec()).collect();
            revocation.next_updates.extend(crl.next_update());
            let lists = revocation.by_issuer.entry(crl.normal_issuer().clone()).or_default();
            lists.push(List { crl, signers, learned: OnceLock::new() });
        }
        revocation.next_updates.sort();
        revocation.by_issuer.values_mut().for_each(|lists| lists.sort_by(|a, b| b.crl.age().cmp(&a.crl.age())));
        revocation
    }

    pub(super) fn len(&self) -> usize {
        self.by_issuer.values().map(Vec::len).sum()
    }

    /// A budget for one peer.
    pub(super) fn budget(&self) -> CrlBudget {
        CrlBudget::Open(Cell::new(self.len() + SPARE_SIGNATURES))
    }

    /// The next instant at which a list is stale.
    pub(super) fn stale_after(&self, now: SystemTime) -> Option<SystemTime> {
        let after = self.next_updates.partition_point(|next_update| *next_update <= now);
        self.next_updates.get(after).copied()
    }

    /// Holds every certificate of a path, whose signatures are verified, against the lists of its issuer.
    pub(super) fn check(
        &self,
        path: &VerifiedPath<'_>,
        stale: StaleCrls,
        now: SystemTime,
        budget: &CrlBudget,
    ) -> Result<(), PathError> {
        if self.has_unreadable && stale == StaleCrls::Reject {
            return Err(PathError::Crl(CrlProblem::Unusable));
        }
        let anchor = || {
            let key = spki_for_anchor(path.anchor());
            let may_sign = !self.silent.iter().any(|silent| *silent == key.as_ref());
            (key, may_sign)
        };
        let mut certificate: &Cert<'_> = path.end_entity();
        let mut is_authority = false;
        for issuer in path.intermediate_certificates() {
            let key = || (issuer.subject_public_key_info(), signs_crls(issuer));
            self.check_one(certificate, is_authority, key, stale, now, budget)?;
            (certificate, is_authority) = (issuer, true);
        }
        self.check_one(certificate, is_authority, anchor, stale, now, budget)
    }

    fn check_one<K: AsRef<[u8]>>(
        &self,
        certificate: &Cert<'_>,
        is_authority: bool,
        issuer: impl FnOnce() -> (K, bool),
        stale: StaleCrls,
        now: SystemTime,
        budget: &CrlBudget,
    ) -> Result<(), PathError> {
        let Some(lists) = self.by_issuer.get(&NormalName::of(certificate.issuer())) else { return Ok(()) };
        let (key, may_sign) = issuer();
        let mut newest: Vec<&Crl> = Vec::with_capacity(1);
        for list in lists.iter().filter(|list| list.crl.covers(is_authority)) {
            // Of two of one age nobody can tell which replaces the other: both count.
            let replaces = |newer: &&Crl| newer.scope() == list.crl.scope() && newer.age() > list.crl.age();
            if newest.iter().any(replaces) {
                continue;
            }
            if !may_sign || !list.is_by(key.as_ref(), budget)? {
                if stale == StaleCrls::Reject && !list.is_of_another_key(key.as_ref()) {
                    return Err(PathError::Crl(CrlProblem::Unusable));
                }
                continue;
            }
            newest.push(&list.crl);
            if let (StaleCrls::Reject, Some(next_update)) = (stale, list.crl.next_update())
                && next_update <= now
            {
                return Err(PathError::Crl(CrlProblem::Stale { next_update }));
            }
            if list.crl.revokes(certificate.serial()) {
                return Err(PathError::Revoked);
            }
        }
        Ok(())
    }
}

impl List {
    /// Whether the key signed it. A peer that shows one key after the other runs out of budget, and is refused.
    fn is_by(&self, key: &[u8], budget: &CrlBudget) -> Result<bool, PathError> {
        if self.signers.iter().any(|signer| signer == key) {
            return Ok(true);
        }
        if !self.signers.is_empty() {
            return Ok(false);
        }
        if let Some(learned) = self.learned.get() {
            return Ok(learned == key);
        }
        let left = match budget {
            CrlBudget::Open(left) => left,
            CrlBudget::Closed { was_asked } => {
                was_asked.set(true);
                return Err(PathError::TooComplex);
            }
        };
        match self.crl.signature_by(key) {
            Signature::Valid => {
                // Another handshake may have been first, with the same.
                let _ = self.learned.set(key.to_vec());
                Ok(true)
            }
            Signature::Unsupported => Ok(false),
            Signature::Invalid => {
                left.set(left.get().checked_sub(1).ok_or(PathError::TooComplex)?);
                Ok(false)
            }
        }
    }

    fn is_of_another_key(&self, key: &[u8]) -> bool {
        let known = self.signers.iter().chain(self.learned.get());
        known.clone().next().is_some() && known.into_iter().all(|signer| signer != key)
    }
}

/// The same as [`may_sign_crls`], of an issuer in a handshake: nothing but its extensions is parsed.
fn signs_crls(issuer: &Cert<'_>) -> bool {
    Extensions::of(&issuer.der()).is_ok_and(|extensions| extensions.key_usage.is_none_or(KeyUsage::signs_crls))
}

impl fmt::Debug for Revocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Revocation").field("lists", &self.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

//! What uses one CA, as it was last caught up with: to ask again verifies nothing again.

use std::collections::BTreeMap;
use std::sync::Arc;

use evercert_core::certificate::CertificateFacts;
use evercert_core::digest::Digest;

use super::Census;
use super::table::{COUNTED, NAMESAKES};

/// What uses one CA.
#[derive(Debug)]
pub(crate) struct AuthorityUses<Id> {
    pub(crate) facts: Arc<CertificateFacts>,
    /// In the order of the identities.
    pub(crate) uses: Vec<AuthorityUse<Id>>,
}

/// One identity that uses it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct AuthorityUse<Id> {
    pub(crate) id: Id,
    /// The published leaf is under it.
    pub(crate) presents: bool,
    /// A published bundle holds it.
    pub(crate) trusts: bool,
}

/// A CA that is held, and of which nothing is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "what uses this CA is not known, although its certificate is published here: no more than {COUNTED} CAs are told apart, and {NAMESAKES} \
     of one name, or it cannot be read; take out of the bundles what nobody needs"
)]
pub(crate) struct Uncounted;

impl<Id: Ord + Clone> Census<Id> {
    /// What uses the CA whose certificate has this fingerprint; none where nothing holds that certificate: a leaf names its issuer, and
    /// only by the issuer's certificate it can be told whether that is the one.
    ///
    /// # Errors
    ///
    /// Something holds it, and it is one of too many.
    pub(crate) fn uses(&self, authority: &Digest) -> Result<Option<AuthorityUses<Id>>, Uncounted> {
        if self.table.is_uncounted(authority) {
            return Err(Uncounted);
        }
        let Some(known) = self.table.get(authority) else { return Ok(None) };
        let mut uses: BTreeMap<&Id, (bool, bool)> = BTreeMap::new();
        known.presented_by.iter().for_each(|id| uses.entry(id).or_default().0 = true);
        self.table.trusted_by(known).for_each(|id| uses.entry(id).or_default().1 = true);
        let uses = uses.into_iter().map(|(id, (presents, trusts))| AuthorityUse { id: id.clone(), presents, trusts });
        Ok(Some(AuthorityUses { facts: Arc::clone(&known.facts), uses: uses.collect() }))
    }
}

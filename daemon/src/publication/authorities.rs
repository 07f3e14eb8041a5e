//! What uses a CA: whether it may go is asked of every node before it leaves a bundle, or ends.

mod census;

use std::sync::Arc;

use evercert_core::bundle::Bundle;
use evercert_core::certificate::CertificateFacts;
use evercert_core::crypto::is_issued_by;
use evercert_core::digest::Digest;
use evercert_core::keeper::IdentityState;
use evercert_core::snapshot::Snapshot;

pub(crate) use census::{AuthorityCount, AuthorityCounts, Census, Found, Users, is_of_neighbours, trusted};

/// What uses one CA.
pub(crate) struct AuthorityUses {
    /// Its subject; empty where no publication holds the certificate.
    pub(crate) subject: String,
    /// The identities that use it.
    pub(crate) uses: Vec<AuthorityUse>,
}

/// One identity that uses it.
pub(crate) struct AuthorityUse {
    pub(crate) state: Arc<IdentityState>,
    /// The published leaf is under it.
    pub(crate) presents: bool,
    /// A published bundle holds it.
    pub(crate) trusts: bool,
}

/// What uses the CA with this fingerprint. Its certificate is looked for in all publications, since a leaf need not be beside a bundle with
/// the root that it is under.
pub(crate) fn uses(states: Vec<Arc<IdentityState>>, fingerprint: Digest) -> AuthorityUses {
    let published = || states.iter().filter_map(|state| state.snapshot.as_deref());
    let is_it = |der: &&[u8]| Digest::fingerprint(der) == fingerprint;
    let authority = published().find_map(|snapshot| anchors(snapshot).chain(issuers(snapshot)).find(is_it));
    let Some(authority) = authority.map(<[u8]>::to_vec) else {
        return AuthorityUses { subject: String::new(), uses: Vec::new() };
    };
    let subject = CertificateFacts::from_der(&authority).map(|facts| facts.subject.text).unwrap_or_default();
    let uses = states.into_iter().filter_map(|state| {
        let snapshot = state.snapshot.as_deref()?;
        let (presents, trusts) = (presents(snapshot, &authority), anchors(snapshot).any(|anchor| anchor == authority));
        (presents || trusts).then_some(AuthorityUse { state, presents, trusts })
    });
    AuthorityUses { subject, uses: uses.collect() }
}

fn bundles(snapshot: &Snapshot) -> impl Iterator<Item = &Arc<Bundle>> {
    let bundles = snapshot.bundles();
    bundles.own.iter().chain(bundles.federated.values())
}

fn anchors(snapshot: &Snapshot) -> impl Iterator<Item = &[u8]> {
    bundles(snapshot).flat_map(|bundle| bundle.anchors()).map(AsRef::as_ref)
}

/// The certificates after the leaf.
fn issuers(snapshot: &Snapshot) -> impl Iterator<Item = &[u8]> {
    snapshot.credential().into_iter().flat_map(|credential| credential.chain()).skip(1).map(AsRef::as_ref)
}

/// Whether a CA is in the chain, or issued some of it.
fn presents(snapshot: &Snapshot, authority: &[u8]) -> bool {
    let chain = snapshot.credential().map(|credential| credential.chain()).unwrap_or_default();
    issuers(snapshot).any(|issuer| issuer == authority)
        || chain.iter().any(|certificate| is_issued_by(certificate, authority))
}

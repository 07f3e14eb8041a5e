//! One generation's trust.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use evercert_core::bundle::Bundles;
use evercert_core::path::PathValidator;
#[doc(inline)]
pub use evercert_core::path::{CrlProblem, PathError, PathPolicy, Role, UnusableAnchor};
use evercert_core::spiffe::TrustDomain;
use rustls_pki_types::CertificateDer;

use crate::refusal::Refusal;
use crate::tls::roots::{Public, Roots};

/// One generation's trust: the anchors and CRLs of its own bundle, and those of federated trust domains.
///
/// A peer whose SPIFFE ID is of a federated trust domain is held against that domain's bundle and no other, and every other peer
/// against the own bundle (X509-SVID §5, SPIFFE Federation §2): a partner's CA vouches for the partner alone, and no other CA does.
/// A partner's CA vouches only for SPIFFE IDs: it may write any DNS name into a leaf, so a server under it is never verified by name.
#[derive(Debug, Clone)]
pub struct Trust {
    bundles: Bundles,
    policy: PathPolicy,
    own: Option<Arc<PathValidator>>,
    federated: BTreeMap<TrustDomain, Arc<PathValidator>>,
    /// Asked about what the bundles say nothing of.
    public: Option<Public>,
}

impl Trust {
    /// Loads bundles; `None` where there is none.
    ///
    /// # Errors
    ///
    /// [`Refusal::Bundle`]: no anchor of a bundle can be used.
    pub fn load(bundles: &Bundles, policy: PathPolicy) -> Result<Option<Self>, Refusal> {
        if bundles.own.is_none() && bundles.federated.is_empty() {
            return Ok(None);
        }
        let load = |bundle| PathValidator::new(bundle).map(|validator| Arc::new(validator.with_policy(policy)));
        let own = bundles.own.as_deref().map(load).transpose();
        let own = own.map_err(|error| Refusal::Bundle(error.to_string()))?;
        let federated = bundles.federated.iter().map(|(domain, bundle)| {
            let validator = load(bundle);
            let refused = |error| Refusal::Bundle(format!("of the federated trust domain {domain}: {error}"));
            validator.map(|validator| (domain.clone(), validator)).map_err(refused)
        });
        let federated = federated.collect::<Result<_, _>>()?;
        Ok(Some(Self { bundles: bundles.clone(), policy, own, federated, public: None }))
    }

    /// The trust of a client that verifies servers by these roots; `None` where there are none. `bundles` is that of its generation.
    pub(super) fn by(roots: &Roots, bundles: Option<&Arc<Self>>) -> Option<Arc<Self>> {
        let bundles = bundles.filter(|_| roots.has_bundle());
        let Some(public) = roots.of_public() else { return bundles.cloned() };
        let none = || Self {
            bundles: Bundles::default(),
            policy: PathPolicy::default(),
            own: None,
            federated: BTreeMap::new(),
            public: None,
        };
        let bundles = bundles.map_or_else(none, |bundles| Self::clone(bundles));
        Some(Arc::new(Self { public: Some(public.clone()), ..bundles }))
    }

    /// Whether both are the same roots as they were loaded once.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let same = |one: &Arc<PathValidator>, other: &Arc<PathValidator>| Arc::ptr_eq(one, other);
        let are_same = |one: Option<&Arc<_>>, other: Option<&Arc<_>>| match (one, other) {
            (Some(one), Some(other)) => same(one, other),
            (one, other) => one.is_none() && other.is_none(),
        };
        are_same(self.own.as_ref(), other.own.as_ref())
            && self.public == other.public
            && self.federated.len() == other.federated.len()
            && self
                .federated
                .iter()
                .zip(&other.federated)
                .all(|((one, by), (other, by_other))| one == other && same(by, by_other))
    }

    /// The loaded bundles.
    #[must_use]
    pub fn bundles(&self) -> &Bundles {
        &self.bundles
    }

    /// The same, loaded again. Code that tells by its address whether a peer was held against it will do so once more.
    pub(super) fn again(&self) -> Result<Option<Self>, Refusal> {
        Self::load(&self.bundles, self.policy)
    }

    /// The next instant at which time alone changes who is trusted.
    #[must_use]
    pub fn changes_after(&self, now: SystemTime) -> Option<SystemTime> {
        self.own.iter().chain(self.federated.values()).filter_map(|validator| validator.changes_after(now)).min()
    }

    /// Validates the path of a peer in `role` at `now`; names are not looked at, but for the trust domain that chooses the bundle.
    ///
    /// # Errors
    ///
    /// Why the path does not hold.
    pub fn validate(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        role: Role,
        now: SystemTime,
    ) -> Result<(), PathError> {
        let by_bundle = match self.validator(leaf) {
            Some(validator) => validator.validate(leaf, intermediates, role, now),
            None => Err(PathError::NoAnchor),
        };
        match (&by_bundle, &self.public) {
            // What a bundle knows of the peer counts, and so does what a peer says it is that no public CA vouches for.
            (Err(PathError::NoAnchor | PathError::NoUsableAnchor { .. } | PathError::UnknownIssuer), Some(public))
                if TrustDomain::claimed_by(leaf).is_none() =>
            {
                public.0.validate(leaf, intermediates, role, now)
            }
            _ => by_bundle,
        }
    }

    /// The same, where that is sure to cost no more than a cheap chain does; else `None`, and nothing is said of the chain.
    pub(super) fn validate_cheap(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        role: Role,
        now: SystemTime,
    ) -> Option<Result<(), PathError>> {
        let Some(validator) = self.validator(leaf) else { return Some(Err(PathError::NoAnchor)) };
        validator.validate_cheap(leaf, intermediates, role, now)
    }

    fn validator(&self, leaf: &CertificateDer<'_>) -> Option<&PathValidator> {
        self.federated(leaf).map(|(_, validator)| validator).or(self.own.as_deref())
    }

    /// The federated trust domain that `leaf` says it is of; its bundle is what vouches for it.
    pub(super) fn federated_domain(&self, leaf: &CertificateDer<'_>) -> Option<&TrustDomain> {
        self.federated(leaf).map(|(domain, _)| domain)
    }

    fn federated(&self, leaf: &CertificateDer<'_>) -> Option<(&TrustDomain, &PathValidator)> {
        if self.federated.is_empty() {
            return None;
        }
        let (domain, validator) = self.federated.get_key_value(&TrustDomain::claimed_by(leaf)?)?;
        Some((domain, validator.as_ref()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use evercert_core::bundle::Bundle;
    use evercert_fixtures::{Authority, Leaf};

    use super::*;

    fn bundle(authority: &Authority) -> Arc<Bundle> {
        Arc::new(Bundle::new(vec![authority.ca_der().to_vec().into()], Vec::new()))
    }

    fn trusts(trust: &Trust, authority: &Authority, leaf: Leaf) -> bool {
        let leaf = CertificateDer::from(authority.issue(leaf).leaf_der);
        trust.validate(&leaf, &[], Role::Client, SystemTime::now()).is_ok()
    }

    #[test]
    fn a_partners_ca_vouches_for_the_partners_trust_domain_alone_and_nobody_elses_for_it() {
        let (own, partner) = (Authority::new("own"), Authority::new("partner"));
        let federated = BTreeMap::from([("partner.example.org".parse().unwrap(), bundle(&partner))]);
        let trust =
            Trust::load(&Bundles { own: Some(bundle(&own)), federated }, PathPolicy::default()).unwrap().unwrap();
        let of = |uri: &str| Leaf::for_dns("a.example.org").uri(uri);
        assert!(trusts(&trust, &own, Leaf::for_dns("a.example.org")));
        assert!(trusts(&trust, &own, of("spiffe://example.org/a")));
        assert!(trusts(&trust, &partner, of("spiffe://partner.example.org/a")));
        assert!(!trusts(&trust, &own, of("spiffe://partner.example.org/a")));
        assert!(!trusts(&trust, &own, of("spiffe://partner.example.org")), "nor for the trust domain itself");
        assert!(!trusts(&trust, &partner, of("spiffe://example.org/a")));
        assert!(!trusts(&trust, &partner, Leaf::for_dns("a.example.org")));
        let two = of("spiffe://partner.example.org/a").uri("spiffe://example.org/a");
        assert!(!trusts(&trust, &partner, two), "of two URIs neither says who it is");
    }

    #[test]
    fn federated_bundles_alone_trust_nobody_else() {
        let partner = Authority::new("partner");
        let federated = BTreeMap::from([("partner.example.org".parse().unwrap(), bundle(&partner))]);
        let trust = Trust::load(&Bundles { own: None, federated }, PathPolicy::default()).unwrap().unwrap();
        assert!(trusts(&trust, &partner, Leaf::for_dns("a.example.org").uri("spiffe://partner.example.org/a")));
        assert!(!trusts(&trust, &partner, Leaf::for_dns("a.example.org")));
    }

    #[test]
    fn a_list_that_cannot_be_used_is_no_reason_to_refuse_a_generation() {
        let own = Authority::new("own");
        let mut damaged = own.crl(&[]).der;
        *damaged.last_mut().unwrap() ^= 1;
        for list in [damaged, vec![0x30, 0]] {
            let anchors = vec![own.ca_der().to_vec().into()];
            let bundles =
                Bundles { own: Some(Arc::new(Bundle::new(anchors, vec![list.into()]))), ..Bundles::default() };
            let trust = Trust::load(&bundles, PathPolicy::default()).unwrap().unwrap();
            assert!(trusts(&trust, &own, Leaf::for_dns("a.example.org")));
        }
    }

    #[test]
    fn no_bundle_is_no_trust() {
        assert!(Trust::load(&Bundles::default(), PathPolicy::default()).unwrap().is_none());
    }
}

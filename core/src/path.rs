//! The one path validator: admission, both sides of the SDK and re-verification of live connections use it.

mod anchors;
mod budget;
mod constraints;
mod error;
mod explain;
mod keys;
mod policy;
mod revocation;
mod uris;
pub(crate) mod words;

use std::cell::RefCell;
use std::fmt;
use std::time::SystemTime;

use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, ExtendedKeyUsageValidator, KeyPurposeIdIter, VerifiedPath};

pub use error::{CrlProblem, PathError, UnusableAnchor};
pub(crate) use explain::outside_of;
pub(crate) use keys::unsupported as unsupported_key;
pub use policy::{PathPolicy, SigningLeaves, StaleCrls};

use crate::bundle::Bundle;
use crate::clock::unix_time;
use crate::crypto;
use crate::digest::Digest;
use crate::extensions::{Extensions, KeyUsage};
use anchors::Anchors;
use budget::Budget;

use revocation::Revocation;
use uris::WithoutUris;

/// The role a peer plays in a handshake: it decides which extended key usage its leaf needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// The peer that accepts the connection.
    Server,
    /// The peer that opens it.
    Client,
}

impl Role {
    /// The word for it: `server` or `client`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Validates certificate paths (RFC 5280 §6.1) against the anchors and CRLs of one bundle, by rustls-webpki and what that
/// leaves to its callers. Built once for a generation; validation takes no lock.
///
/// Beyond webpki: an anchor counts only within its validity; one with a critical extension that is not understood, a key that is not
/// accepted, or that may not issue, vouches for nobody (a self-signed certificate that is no CA vouches for itself); an intermediate
/// whose key usage does not let it sign certificates issues none; name constraints on URIs are evaluated; every list by the key of an
/// issuer revokes what it lists.
///
/// Not looked at, as by rustls: the path length and the extended key usages of an anchor, which Go and OpenSSL heed.
pub struct PathValidator {
    anchors: Anchors,
    revocation: Revocation,
    policy: PathPolicy,
    algorithms: &'static [&'static dyn SignatureVerificationAlgorithm],
}

impl PathValidator {
    /// A validator for the anchors and CRLs of `bundle`.
    ///
    /// # Errors
    ///
    /// No anchor can be used. A CRL that cannot be used is no error: it revokes nobody, and fails nobody but where
    /// [`StaleCrls::Reject`] asks for it.
    pub fn new(bundle: &Bundle) -> Result<Self, PathError> {
        let anchors = Anchors::new(bundle.anchors());
        if anchors.is_empty() {
            return Err(anchors.none_usable());
        }
        Ok(Self {
            anchors,
            revocation: Revocation::new(bundle),
            policy: PathPolicy::default(),
            algorithms: crypto::verification_algorithms(),
        })
    }

    /// The same, with other answers where more than one is sensible.
    #[must_use]
    pub fn with_policy(self, policy: PathPolicy) -> Self {
        Self { policy, ..self }
    }

    /// Validates the path from `leaf` over `intermediates` to an anchor, for a peer in `role` at `now`. Names are not
    /// looked at.
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
        self.validate_for(leaf, intermediates, Some(role), now)
    }

    /// The same, where that is sure to cost no more than a cheap chain does, from a leaf over one or two issuers to the anchor. `None`:
    /// it may cost more, and nothing is said of the chain; [`PathValidator::validate`] tells.
    #[must_use]
    pub fn validate_cheap(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        role: Role,
        now: SystemTime,
    ) -> Option<Result<(), PathError>> {
        let signatures = budget::cheap_signatures(leaf, intermediates, self.anchors.namesakes)?;
        let (budget, lists) = (Budget::new(signatures), revocation::CrlBudget::closed());
        let outcome = self.validate_within(&budget, &lists, leaf, intermediates, Some(role), now);
        let is_undecided = outcome.is_err() && (budget.is_spent() || lists.is_spent());
        (!is_undecided).then_some(outcome)
    }

    /// As [`PathValidator::validate`], for a peer whose role is not known: extended key usages are not looked at.
    pub(crate) fn validate_for(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        role: Option<Role>,
        now: SystemTime,
    ) -> Result<(), PathError> {
        let budget = Budget::new(budget::signatures(self.anchors.namesakes));
        self.validate_within(&budget, &self.revocation.budget(), leaf, intermediates, role, now)
    }

    fn validate_within(
        &self,
        budget: &Budget,
        lists: &revocation::CrlBudget,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        role: Option<Role>,
        now: SystemTime,
    ) -> Result<(), PathError> {
        let end_entity = EndEntityCert::try_from(leaf).map_err(|error| PathError::of(error, role))?;
        let intermediates = budget::issuers(&end_entity, intermediates)?;
        let search = Search {
            leaf: &end_entity,
            intermediates: &intermediates,
            role,
            now: unix_time(now),
            budget,
            lists,
            refused: RefCell::default(),
        };
        let anchors = self.anchors.valid_at(search.now);
        let mut reached = self.reach(&search, &anchors).map(drop);
        // Of several paths webpki tells what is wrong with one: a path that it refused for a URI may be behind any error but the end of
        // what is spent.
        if let Err(error) = &reached
            && *error != PathError::TooComplex
            && let Some(without) = WithoutUris::of(&intermediates, &anchors)
        {
            match self.reach_without_uris(&search, &without) {
                Err(_) if *error != PathError::NameConstraint => {}
                again => reached = again,
            }
        }
        if let Err(error) = reached {
            match self.anchors.pinned(leaf) {
                Some(anchor) => {
                    // However many anchors have the leaf's name, this one costs a signature.
                    let (budget, lists) = (Budget::new(budget::signatures(1)), self.revocation.budget());
                    let again = Search { budget: &budget, lists: &lists, refused: RefCell::default(), ..search };
                    self.reach(&again, std::slice::from_ref(anchor)).map(drop)?;
                }
                None => return Err(self.explain(error, &search)),
            }
        }
        match self.policy.signing_leaves {
            SigningLeaves::Accept => Ok(()),
            SigningLeaves::Refuse => no_authority(leaf),
        }
    }

    /// The anchors of the bundle that vouch for nobody, by the SHA-256 of their DER, and why.
    #[must_use]
    pub fn unusable_anchors(&self) -> &[(Digest, UnusableAnchor)] {
        &self.anchors.unusable
    }

    /// The next instant at which time alone changes who is accepted: an anchor becomes valid or has expired or, where stale CRLs are
    /// rejected, a CRL is stale.
    #[must_use]
    pub fn changes_after(&self, now: SystemTime) -> Option<SystemTime> {
        let stale = match self.policy.stale_crls {
            StaleCrls::Accept => None,
            StaleCrls::Reject => self.revocation.stale_after(now),
        };
        let anchors = self.anchors.changes_after(unix_time(now)).map(system_time);
        [anchors, stale].into_iter().flatten().min()
    }

    /// The anchor that the path ends in.
    fn reach<'p>(
        &self,
        search: &'p Search<'p>,
        anchors: &'p [TrustAnchor<'p>],
    ) -> Result<&'p TrustAnchor<'p>, PathError> {
        search.run(self.algorithms, anchors, search.intermediates, &|candidate| self.judge(candidate, search))
    }

    /// Whether there is a path that keeps the constraints on URIs.
    fn reach_without_uris(&self, search: &Search<'_>, without: &WithoutUris<'_>) -> Result<(), PathError> {
        let restoring = without.restoring(self.algorithms);
        let algorithms: Vec<_> =
            restoring.iter().map(|algorithm| algorithm as &dyn SignatureVerificationAlgorithm).collect();
        let judge = |candidate: &VerifiedPath<'_>| {
            if !without.hold(candidate) {
                return Err(PathError::NameConstraint);
            }
            self.judge(candidate, search)
        };
        search.run(&algorithms, &without.anchors, &without.intermediates, &judge).map(drop)
    }

    /// Judges what webpki leaves to its callers, of a path that holds by its signatures, names and constraints.
    fn judge(&self, candidate: &VerifiedPath<'_>, search: &Search<'_>) -> Result<(), PathError> {
        for issuer in candidate.intermediate_certificates() {
            let der = issuer.der();
            let extensions = extensions(&der)?;
            if !extensions.key_usage.is_none_or(KeyUsage::signs_certificates) {
                return Err(PathError::IssuerMayNotSign { issuer: explain::subject(&der) });
            }
        }
        self.revocation.check(candidate, self.policy.stale_crls, system_time(search.now), search.lists)
    }
}

/// A search for a path, and what may still be spent on it.
struct Search<'p> {
    leaf: &'p EndEntityCert<'p>,
    intermediates: &'p [CertificateDer<'p>],
    role: Option<Role>,
    now: UnixTime,
    budget: &'p Budget,
    lists: &'p revocation::CrlBudget,
    /// Why a path that webpki found was refused.
    refused: RefCell<Option<PathError>>,
}

impl<'p> Search<'p> {
    /// Lets webpki look for a path that `judge` has nothing against, and gives the anchor that it ends in.
    fn run<'s>(
        &'s self,
        algorithms: &[&dyn SignatureVerificationAlgorithm],
        anchors: &'s [TrustAnchor<'s>],
        intermediates: &'s [CertificateDer<'s>],
        judge: &dyn Fn(&VerifiedPath<'_>) -> Result<(), PathError>,
    ) -> Result<&'s TrustAnchor<'s>, PathError> {
        let verify = |candidate: &VerifiedPath<'_>| {
            judge(candidate).map_err(|refused| {
                self.refused.borrow_mut().get_or_insert(refused);
                // Another path may hold; if none does, the reason that is told is the one noted above.
                webpki::Error::CertRevoked
            })
        };
        let charging = self.budget.charging(algorithms);
        let algorithms: Vec<_> =
            charging.iter().map(|algorithm| algorithm as &dyn SignatureVerificationAlgorithm).collect();
        let found = self.leaf.verify_for_usage(
            &algorithms,
            anchors,
            intermediates,
            self.now,
            RoleUsage(self),
            None,
            Some(&verify),
        );
        match found {
            Ok(path) => Ok(path.anchor()),
            Err(_) if self.budget.is_spent() || self.lists.is_spent() => Err(PathError::TooComplex),
            Err(error) => Err(self.refused.take().unwrap_or_else(|| PathError::of(error, self.role))),
        }
    }
}

/// Refuses a leaf that may sign certificates or CRLs, or that constrains names.
fn no_authority(leaf: &[u8]) -> Result<(), PathError> {
    let extensions = extensions(leaf)?;
    if extensions.constrains_names {
        return Err(PathError::LeafConstrainsNames);
    }
    match extensions.key_usage {
        Some(usage) if usage.signs_certificates() || usage.signs_crls() => Err(PathError::LeafMaySign),
        _ => Ok(()),
    }
}

fn extensions(certificate: &[u8]) -> Result<Extensions<'_>, PathError> {
    Extensions::of(certificate).map_err(|_| PathError::Malformed(webpki::Error::BadDer))
}

/// The extended key usage that a role needs. webpki asks for it at every certificate of every path it tries, and at no other point does it
/// ask anything: so this is where its steps are counted.
struct RoleUsage<'p>(&'p Search<'p>);

impl ExtendedKeyUsageValidator for RoleUsage<'_> {
    fn validate(&self, found: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        let Self(search) = self;
        search.budget.step()?;
        match search.role {
            Some(Role::Server) => webpki::KeyUsage::server_auth().validate(found),
            Some(Role::Client) => webpki::KeyUsage::client_auth().validate(found),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for PathValidator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PathValidator")
            .field("anchors", &self.anchors.len())
            .field("unusable", &self.anchors.unusable)
            .field("crls", &self.revocation.len())
            .finish_non_exhaustive()
    }
}

/// The certificates that vouch for nobody, by the SHA-256 of their DER, and why.
pub(crate) fn unusable(anchors: &[CertificateDer<'static>]) -> Vec<(Digest, UnusableAnchor)> {
    Anchors::new(anchors).unusable
}

fn system_time(time: UnixTime) -> SystemTime {
    SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(time.as_secs())
}

#[cfg(test)]
mod tests;

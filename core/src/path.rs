//! The one path validator: admission, both sides of the SDK and re-verification of live connections use it.

mod anchors;
mod crls;
mod error;
mod leaf;
pub(crate) mod words;

use std::fmt;
use std::time::SystemTime;

use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{
    CertRevocationList, EndEntityCert, ExpirationPolicy, ExtendedKeyUsageValidator, KeyPurposeIdIter, KeyUsage,
    RevocationCheckDepth, RevocationOptionsBuilder, UnknownStatusPolicy,
};

pub use error::{PathError, UnusableAnchor};

use crate::bundle::Bundle;
use crate::crypto;
use crate::digest::Digest;
use anchors::Anchors;
use crls::Crls;
use error::unix_time;

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
/// Beyond webpki: an anchor counts only within its validity; one with a critical extension that is not understood, or that
/// may not issue, vouches for nobody (a self-signed certificate that is no CA vouches for itself); a leaf that may sign
/// certificates or CRLs, or that constrains names, is refused.
pub struct PathValidator {
    anchors: Anchors,
    crls: Crls,
    stale_crls: StaleCrls,
    algorithms: WebPkiSupportedAlgorithms,
}

/// What becomes of peers whose issuer's CRL should have been replaced by a newer one (RFC 5280 §5.1.2.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StaleCrls {
    /// The list holds on: whoever it revokes is refused, everybody else accepted. Losing the distribution of CRLs is no outage.
    #[default]
    Accept,
    /// They are refused: nobody knows what was revoked since.
    Reject,
}

impl PathValidator {
    /// A validator for the anchors and CRLs of `bundle`.
    ///
    /// # Errors
    ///
    /// No anchor can be used, or a CRL cannot be parsed: to pass over it would be to accept what it revokes.
    pub fn new(bundle: &Bundle) -> Result<Self, PathError> {
        let anchors = Anchors::new(bundle.anchors());
        if anchors.is_empty() {
            return Err(PathError::NoAnchor);
        }
        Ok(Self {
            anchors,
            crls: Crls::new(bundle).map_err(PathError::Crl)?,
            stale_crls: StaleCrls::default(),
            algorithms: crypto::provider().signature_verification_algorithms,
        })
    }

    /// The same, with another answer to stale CRLs than to accept them.
    #[must_use]
    pub fn with_stale_crls(self, stale_crls: StaleCrls) -> Self {
        Self { stale_crls, ..self }
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

    /// As [`PathValidator::validate`], for a peer whose role is not known: extended key usages are not looked at.
    pub(crate) fn validate_for(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        role: Option<Role>,
        now: SystemTime,
    ) -> Result<(), PathError> {
        let now = unix_time(now);
        let end_entity = EndEntityCert::try_from(leaf).map_err(|error| PathError::of(error, role))?;
        let path = Path { leaf: &end_entity, intermediates, role, now };
        if let Err(error) = self.reach(&path, &self.anchors.valid_at(now)) {
            match self.anchors.pinned(leaf) {
                Some(anchor) => self.reach(&path, std::slice::from_ref(anchor)).map(|_| ())?,
                None => return Err(self.explain(error, &path)),
            }
        }
        leaf::check(leaf)
    }

    /// The anchors of the bundle that vouch for nobody, by the SHA-256 of their DER, and why.
    #[must_use]
    pub fn unusable_anchors(&self) -> &[(Digest, UnusableAnchor)] {
        &self.anchors.unusable
    }

    /// The CRLs of the bundle that revoke nobody, by their place in it: of the anchors with their issuer's name none signed them, or
    /// none may.
    pub(crate) fn unusable_crls(&self) -> impl Iterator<Item = usize> {
        self.crls.unusable.iter().copied()
    }

    /// The next instant at which time alone changes who is accepted: an anchor becomes valid or has expired or, where stale CRLs are
    /// rejected, a CRL is stale.
    #[must_use]
    pub fn changes_after(&self, now: SystemTime) -> Option<SystemTime> {
        let now = unix_time(now);
        let stale = match self.stale_crls {
            StaleCrls::Accept => None,
            StaleCrls::Reject => self.crls.stale_after(now),
        };
        [self.anchors.changes_after(now), stale].into_iter().flatten().min().map(system_time)
    }

    /// The anchor that the path ends in.
    fn reach<'p>(&self, path: &'p Path<'p>, anchors: &'p [TrustAnchor<'p>]) -> Result<&'p TrustAnchor<'p>, PathError> {
        let foreign = self.crls.foreign_to(path.intermediates);
        if self.crls.suit_every_anchor() {
            return self.reach_with(path, anchors, &self.crls.all_but(&foreign));
        }
        let mut outcome = Err(PathError::UnknownIssuer);
        for anchor in anchors {
            match self.reach_with(path, std::slice::from_ref(anchor), &self.crls.of(anchor, &foreign)) {
                Ok(anchor) => return Ok(anchor),
                // What another anchor says of a path that is not its own says less.
                Err(error) if matches!(outcome, Err(PathError::UnknownIssuer | PathError::BadSignature)) => {
                    outcome = Err(error);
                }
                Err(_) => {}
            }
        }
        outcome
    }

    fn reach_with<'p>(
        &self,
        path: &'p Path<'p>,
        anchors: &'p [TrustAnchor<'p>],
        crls: &[&CertRevocationList<'_>],
    ) -> Result<&'p TrustAnchor<'p>, PathError> {
        let expiration = match self.stale_crls {
            StaleCrls::Accept => ExpirationPolicy::Ignore,
            StaleCrls::Reject => ExpirationPolicy::Enforce,
        };
        // A certificate that no CRL covers passes: nothing says that each issuer has one.
        let revocation = RevocationOptionsBuilder::new(crls).ok().map(|options| {
            options
                .with_depth(RevocationCheckDepth::Chain)
                .with_status_policy(UnknownStatusPolicy::Allow)
                .with_expiration_policy(expiration)
                .build()
        });
        path.leaf
            .verify_for_usage(
                self.algorithms.all,
                anchors,
                path.intermediates,
                path.now,
                Demand(path.role),
                revocation,
                None,
            )
            .map(|verified| verified.anchor())
            .map_err(|error| PathError::of(error, path.role))
    }

    /// Tells an anchor that has expired from one that is not there, or that has been renewed under another key: the first is
    /// mended by another anchor, the others perhaps by another leaf.
    fn explain(&self, error: PathError, path: &Path<'_>) -> PathError {
        if !matches!(error, PathError::UnknownIssuer | PathError::BadSignature) {
            return error;
        }
        let (anchors, validity) = self.anchors.invalid_at(path.now);
        let reached = self.reach(path, &anchors).ok();
        match reached.and_then(|reached| anchors.iter().position(|anchor| std::ptr::eq(anchor, reached))) {
            Some(i) => PathError::AnchorNotValid {
                now: system_time(path.now),
                not_before: system_time(validity[i].not_before),
                not_after: system_time(validity[i].not_after),
            },
            None => error,
        }
    }
}

/// A path to validate.
struct Path<'p> {
    leaf: &'p EndEntityCert<'p>,
    intermediates: &'p [CertificateDer<'p>],
    role: Option<Role>,
    now: UnixTime,
}

/// The extended key usage that a role needs.
struct Demand(Option<Role>);

impl ExtendedKeyUsageValidator for Demand {
    fn validate(&self, found: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        match self.0 {
            Some(Role::Server) => KeyUsage::server_auth().validate(found),
            Some(Role::Client) => KeyUsage::client_auth().validate(found),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for PathValidator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PathValidator")
            .field("anchors", &self.anchors.len())
            .field("unusable", &self.anchors.unusable)
            .field("crls", &self.crls.len())
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

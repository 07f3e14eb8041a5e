//! Why a path does not hold, and why an anchor takes no part.

use std::time::SystemTime;

use rustls_pki_types::UnixTime;

use super::{Role, system_time};
use crate::clock::rfc3339;

/// Why a path does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PathError {
    /// The bundle has no anchor that can be used.
    #[error("the bundle holds no usable trust anchor")]
    NoAnchor,
    /// A certificate of the path cannot be parsed, or breaks RFC 5280's rules for its structure.
    #[error("a certificate of the path is malformed: {0}")]
    Malformed(webpki::Error),
    /// A certificate of the path has expired.
    #[error("a certificate of the path expired at {}", rfc3339(*.not_after))]
    Expired {
        /// The time of validation.
        now: SystemTime,
        /// The last instant of the certificate's validity.
        not_after: SystemTime,
    },
    /// A certificate of the path is not valid yet.
    #[error("a certificate of the path is valid only from {}", rfc3339(*.not_before))]
    NotYetValid {
        /// The time of validation.
        now: SystemTime,
        /// The first instant of the certificate's validity.
        not_before: SystemTime,
    },
    /// The path leads to an anchor outside of its validity, and to no other.
    #[error("the path ends in an anchor that is valid only from {} to {}", rfc3339(*.not_before), rfc3339(*.not_after))]
    AnchorNotValid {
        /// The time of validation.
        now: SystemTime,
        /// The first instant of the anchor's validity.
        not_before: SystemTime,
        /// The last instant of the anchor's validity.
        not_after: SystemTime,
    },
    /// No anchor, nor an intermediate that leads to one, has issued a certificate of the path.
    #[error("no trust anchor of the bundle leads to the certificate")]
    UnknownIssuer,
    /// A signature is not its issuer's.
    #[error("a signature of the path is not its issuer's")]
    BadSignature,
    /// A signature's or key's algorithm, or a key's size, is not supported.
    #[error("a signature or key of the path uses an algorithm or size that is not supported")]
    UnsupportedAlgorithm,
    /// A certificate of the path has an extended key usage without the one that the role needs (RFC 5280 §4.2.1.12).
    #[error("a certificate of the path may not be used as a {role}'s: its extended key usages are [{}]", .found.join(", "))]
    ExtendedKeyUsage {
        /// The role that was asked for.
        role: Role,
        /// The extended key usages that were found, as dotted object identifiers.
        found: Vec<String>,
    },
    /// The leaf is a CA (RFC 5280 §4.2.1.9).
    #[error("the leaf is a CA certificate")]
    LeafIsCa,
    /// The leaf's key usage allows to sign certificates or CRLs (RFC 5280 §4.2.1.3).
    #[error("the leaf's key usage allows to sign certificates or CRLs")]
    LeafMaySign,
    /// The leaf carries name constraints, which only a CA may (RFC 5280 §4.2.1.10).
    #[error("the leaf carries name constraints, which only a CA certificate may")]
    LeafConstrainsNames,
    /// An intermediate is no CA, or may not sign certificates.
    #[error("an issuer of the path is not allowed to issue certificates")]
    IssuerIsNoCa,
    /// The path is longer than its issuers, or this validator, allow (RFC 5280 §4.2.1.9).
    #[error("the path is longer than its issuers allow")]
    TooLong,
    /// A name of the path is outside of an issuer's name constraints (RFC 5280 §4.2.1.10).
    #[error("a name of the path is outside of its issuers' name constraints")]
    NameConstraint,
    /// An extension is marked critical and not understood (RFC 5280 §4.2).
    #[error("a certificate of the path has a critical extension that is not understood")]
    CriticalExtension,
    /// A CRL of the bundle revokes a certificate of the path (RFC 5280 §6.3).
    #[error("a certificate of the path is revoked")]
    Revoked,
    /// A CRL of the bundle that covers the path cannot be used.
    #[error("a CRL that covers the path cannot be used: {0}")]
    Crl(webpki::Error),
    /// The certificates need more work to validate than is spent on one path.
    #[error("the certificates need more work to validate than is spent on one path")]
    TooComplex,
    /// Any other reason.
    #[error("the path does not hold: {0}")]
    Other(webpki::Error),
}

impl PathError {
    /// The stable name: in logs and as a metric label.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::NoAnchor => "no-anchor",
            Self::Malformed(_) => "malformed",
            Self::Expired { .. } => "expired",
            Self::NotYetValid { .. } => "not-yet-valid",
            Self::AnchorNotValid { .. } => "anchor-not-valid",
            Self::UnknownIssuer => "unknown-issuer",
            Self::BadSignature => "bad-signature",
            Self::UnsupportedAlgorithm => "unsupported-algorithm",
            Self::ExtendedKeyUsage { .. } => "extended-key-usage",
            Self::LeafIsCa => "leaf-is-ca",
            Self::LeafMaySign => "leaf-may-sign",
            Self::LeafConstrainsNames => "leaf-constrains-names",
            Self::IssuerIsNoCa => "issuer-is-no-ca",
            Self::TooLong => "too-long",
            Self::NameConstraint => "name-constraint",
            Self::CriticalExtension => "critical-extension",
            Self::Revoked => "revoked",
            Self::Crl(_) => "crl",
            Self::TooComplex => "too-complex",
            Self::Other(_) => "other",
        }
    }

    /// What webpki says of a path; without a role, extended key usages were not looked at.
    #[expect(deprecated, reason = "webpki still has the variants that carry no context")]
    pub(super) fn of(error: webpki::Error, role: Option<Role>) -> Self {
        use webpki::Error as E;
        match error {
            E::CertExpired { time, not_after } => {
                Self::Expired { now: system_time(time), not_after: system_time(not_after) }
            }
            E::CertNotValidYet { time, not_before } => {
                Self::NotYetValid { now: system_time(time), not_before: system_time(not_before) }
            }
            E::UnknownIssuer => Self::UnknownIssuer,
            E::InvalidSignatureForPublicKey => Self::BadSignature,
            E::UnsupportedSignatureAlgorithm
            | E::UnsupportedSignatureAlgorithmContext(_)
            | E::UnsupportedSignatureAlgorithmForPublicKey
            | E::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => Self::UnsupportedAlgorithm,
            E::RequiredEkuNotFoundContext(ref context) => match role {
                Some(role) => {
                    Self::ExtendedKeyUsage { role, found: context.present.iter().map(|oid| dotted(oid)).collect() }
                }
                None => Self::Other(error),
            },
            E::CaUsedAsEndEntity => Self::LeafIsCa,
            E::EndEntityUsedAsCa => Self::IssuerIsNoCa,
            E::PathLenConstraintViolated | E::MaximumPathDepthExceeded => Self::TooLong,
            E::NameConstraintViolation => Self::NameConstraint,
            E::UnsupportedCriticalExtension => Self::CriticalExtension,
            E::CertRevoked => Self::Revoked,
            E::MaximumSignatureChecksExceeded
            | E::MaximumPathBuildCallsExceeded
            | E::MaximumNameConstraintComparisonsExceeded => Self::TooComplex,
            E::CrlExpired { .. }
            | E::InvalidCrlNumber
            | E::InvalidCrlSignatureForPublicKey
            | E::IssuerNotCrlSigner
            | E::UnknownRevocationStatus
            | E::UnsupportedCrlSignatureAlgorithm
            | E::UnsupportedCrlSignatureAlgorithmContext(_)
            | E::UnsupportedCrlSignatureAlgorithmForPublicKey
            | E::UnsupportedCrlSignatureAlgorithmForPublicKeyContext(_) => Self::Crl(error),
            E::BadDer
            | E::BadDerTime
            | E::EmptyEkuExtension
            | E::ExtensionValueInvalid
            | E::InvalidCertValidity
            | E::InvalidNetworkMaskConstraint
            | E::InvalidSerialNumber
            | E::MalformedDnsIdentifier
            | E::MalformedExtensions
            | E::MalformedNameConstraint
            | E::SignatureAlgorithmMismatch
            | E::TrailingData(_)
            | E::UnsupportedCertVersion => Self::Malformed(error),
            _ => Self::Other(error),
        }
    }
}

/// Why a certificate of a bundle vouches for nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnusableAnchor {
    /// It cannot be parsed.
    #[error("it cannot be parsed: {0}")]
    Malformed(String),
    /// An extension is marked critical and not understood (RFC 5280 §4.2).
    #[error("its extension {0} is critical and not understood")]
    CriticalExtension(String),
    /// It has no subject, so that nothing can name it as its issuer (RFC 5280 §4.1.2.6).
    #[error("its subject is empty")]
    EmptySubject,
    /// It is no CA certificate and not self-signed: it may not issue, and no path leads to it.
    #[error("it is no CA certificate")]
    NotCa,
}

fn dotted(oid: &[usize]) -> String {
    oid.iter().map(usize::to_string).collect::<Vec<_>>().join(".")
}

/// A system time as webpki counts; times before 1970 are 1970, when nothing was valid.
pub(super) fn unix_time(time: SystemTime) -> UnixTime {
    UnixTime::since_unix_epoch(time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}

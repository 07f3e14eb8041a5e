//! Why a path does not hold, and why an anchor takes no part.

use std::time::SystemTime;

use super::{Role, system_time, words};
use crate::clock::rfc3339;
use crate::crypto::{UNKNOWN_SIGNATURE, signature_name};

/// Why a path does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PathError {
    /// The bundle has no anchor that can be used.
    #[error("the bundle holds no usable trust anchor")]
    NoAnchor,
    /// No certificate of the bundle can be used as an anchor.
    #[error("no certificate of the bundle can be used as an anchor; of the first, {first}")]
    NoUsableAnchor {
        /// Why the first of them cannot.
        first: UnusableAnchor,
    },
    /// The path leads to a certificate of the bundle that cannot be used as an anchor, and to no other.
    #[error("the path ends in a certificate of the bundle that cannot be used as an anchor: {reason}")]
    IssuerUnusable {
        /// Why it cannot.
        reason: UnusableAnchor,
    },
    /// A certificate of the path cannot be parsed, or breaks RFC 5280's rules for its structure.
    #[error("a certificate of the path is malformed: {}", words::of(.0))]
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
    /// A signature of the path uses an algorithm that is not accepted, such as SHA-1 or MD5.
    #[error("a certificate of the path is signed with {algorithm}, which is not accepted")]
    UnsupportedSignature {
        /// The algorithm by its usual name or, without one, as a dotted object identifier.
        algorithm: String,
    },
    /// The key of an issuer of the path is of a kind or size that is not accepted, such as RSA of 1024 bits.
    #[error("the key of the issuer {issuer} is {key}, which is not accepted")]
    UnsupportedKey {
        /// The issuer's subject.
        issuer: String,
        /// The kind of key.
        key: String,
    },
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
    /// An intermediate is no CA (RFC 5280 §4.2.1.9).
    #[error("an issuer of the path is no CA certificate")]
    IssuerIsNoCa,
    /// An intermediate's key usage does not allow it to sign certificates (RFC 5280 §4.2.1.3).
    #[error("the key usage of the issuer {issuer} does not allow it to sign certificates")]
    IssuerMayNotSign {
        /// The issuer's subject.
        issuer: String,
    },
    /// The path is longer than its issuers, or this validator, allow (RFC 5280 §4.2.1.9).
    #[error("the path is longer than its issuers allow")]
    TooLong,
    /// A name of the path is outside of an issuer's name constraints (RFC 5280 §4.2.1.10).
    #[error("a name of the path is outside of its issuers' name constraints")]
    NameConstraint,
    /// An issuer constrains names of a kind that is not supported here, and the path has a name of that kind: whether it is inside of the
    /// constraint is not known, so it is refused (RFC 5280 §4.2.1.10).
    #[error("an issuer of the path constrains {kind}, and constraints of that kind are not supported")]
    UnsupportedNameConstraint {
        /// The kind of name: `e-mail addresses`, `directory names` and so on.
        kind: &'static str,
    },
    /// An extension is marked critical and not understood (RFC 5280 §4.2).
    #[error("a certificate of the path has a critical extension that is not understood")]
    CriticalExtension,
    /// A CRL of the bundle revokes a certificate of the path (RFC 5280 §6.3).
    #[error("a certificate of the path is revoked")]
    Revoked,
    /// A CRL of the bundle that covers the path cannot be used.
    #[error("a CRL that covers the path {0}, and peers are to be refused then")]
    Crl(CrlProblem),
    /// The certificates need more work to validate than is spent on one path.
    #[error("the certificates need more work to validate than is spent on one path")]
    TooComplex,
    /// Any other reason.
    #[error("the path does not hold: {}", words::of(.0))]
    Other(webpki::Error),
}

impl PathError {
    /// The stable name: in logs and as a metric label.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::NoAnchor => "no-anchor",
            Self::NoUsableAnchor { .. } => "no-usable-anchor",
            Self::IssuerUnusable { .. } => "issuer-unusable",
            Self::Malformed(_) => "malformed",
            Self::Expired { .. } => "expired",
            Self::NotYetValid { .. } => "not-yet-valid",
            Self::AnchorNotValid { .. } => "anchor-not-valid",
            Self::UnknownIssuer => "unknown-issuer",
            Self::BadSignature => "bad-signature",
            Self::UnsupportedSignature { .. } => "unsupported-signature",
            Self::UnsupportedKey { .. } => "unsupported-key",
            Self::ExtendedKeyUsage { .. } => "extended-key-usage",
            Self::LeafIsCa => "leaf-is-ca",
            Self::LeafMaySign => "leaf-may-sign",
            Self::LeafConstrainsNames => "leaf-constrains-names",
            Self::IssuerIsNoCa => "issuer-is-no-ca",
            Self::IssuerMayNotSign { .. } => "issuer-may-not-sign",
            Self::TooLong => "too-long",
            Self::NameConstraint => "name-constraint",
            Self::UnsupportedNameConstraint { .. } => "unsupported-name-constraint",
            Self::CriticalExtension => "critical-extension",
            Self::Revoked => "revoked",
            Self::Crl(_) => "crl",
            Self::TooComplex => "too-complex",
            Self::Other(_) => "other",
        }
    }

    /// From webpki's error about a path; without a role, extended key usages were not looked at.
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
            E::UnsupportedSignatureAlgorithmContext(context) => {
                Self::UnsupportedSignature { algorithm: signature_name(&context.signature_algorithm_id) }
            }
            E::UnsupportedSignatureAlgorithmForPublicKeyContext(context) => {
                Self::UnsupportedSignature { algorithm: signature_name(&context.signature_algorithm_id) }
            }
            E::UnsupportedSignatureAlgorithm | E::UnsupportedSignatureAlgorithmForPublicKey => {
                Self::UnsupportedSignature { algorithm: UNKNOWN_SIGNATURE.to_owned() }
            }
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

/// Why a path is refused for a CRL that does not revoke it, where [`StaleCrls::Reject`](super::StaleCrls::Reject) asks for that.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CrlProblem {
    /// It was to be replaced by now (RFC 5280 §5.1.2.5).
    #[error("was to be replaced at {}", rfc3339(*.next_update))]
    Stale {
        /// By when the next one was promised.
        next_update: SystemTime,
    },
    /// It is damaged, or its signature cannot be verified.
    #[error("cannot be used")]
    Unusable,
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
    /// No signature by its key is accepted: it is too short, or of an unusual kind.
    #[error("its key is {0}, which is not accepted")]
    Key(String),
    /// It is no CA certificate and not self-signed: it may not issue, and no path leads to it.
    #[error("it is no CA certificate")]
    NotCa,
}

fn dotted(oid: &[usize]) -> String {
    oid.iter().map(usize::to_string).collect::<Vec<_>>().join(".")
}

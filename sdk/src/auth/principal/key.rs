//! By what name a principal is known.

use std::fmt;

use evercert_core::digest::Digest;
use evercert_core::text;

use super::Principal;

/// The name under which a principal is counted and written into logs, the same for each of its calls. Two kinds of names are never
/// equal, whatever they say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PrincipalKey<'a> {
    /// A token's subject, which its issuer knows by that name. It comes first: many users may call by one gateway's certificate.
    #[non_exhaustive]
    Subject {
        /// `iss`; empty for a JWT-SVID that names none.
        issuer: &'a str,
        /// `sub`.
        subject: &'a str,
    },
    /// The SPIFFE ID of a certificate.
    SpiffeId(&'a str),
    /// SHA-256 of a certificate without a SPIFFE ID: its renewal is another principal.
    Fingerprint(Digest),
}

impl<'a> PrincipalKey<'a> {
    pub(super) fn of(principal: &'a Principal) -> Self {
        if let Some(claims) = principal.claims() {
            return Self::Subject { issuer: claims.issuer(), subject: claims.subject() };
        }
        if let Some(id) = principal.spiffe_id() {
            return Self::SpiffeId(id.as_str());
        }
        // A principal has proven one of the two.
        let fingerprint = principal.certificate().map(|certificate| certificate.fingerprint());
        Self::Fingerprint(fingerprint.unwrap_or_else(|| Digest::from([0; 32])))
    }
}

/// As one word for logs: `issuer/subject`, the SPIFFE ID, or `sha256:` and the fingerprint. What is not seen in the names of others is
/// written out.
impl fmt::Display for PrincipalKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Subject { issuer: "", subject } => f.write_str(&text::word(subject)),
            Self::Subject { issuer, subject } => write!(f, "{}/{}", text::word(issuer), text::word(subject)),
            Self::SpiffeId(id) => f.write_str(&text::word(id)),
            Self::Fingerprint(fingerprint) => write!(f, "sha256:{fingerprint}"),
        }
    }
}

//! SPIFFE IDs and trust domains (SPIFFE-ID §2), and the one that a leaf has (X509-SVID §2, §5.2).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use der::{Tag, TagNumber, Tagged as _};

use crate::elements::{all, content};
use crate::extensions::Extensions;

/// The scheme of every SPIFFE ID, with what separates it from the trust domain.
pub const SCHEME: &str = "spiffe://";

/// The longest SPIFFE ID, in bytes (SPIFFE-ID §2.3).
pub const SPIFFE_ID_LIMIT: usize = 2048;

/// The longest name of a trust domain, in bytes (SPIFFE-ID §2.3).
pub const TRUST_DOMAIN_LIMIT: usize = 255;

/// The kind of a URI among a certificate's names (RFC 5280 §4.2.1.6).
const URI: TagNumber = TagNumber(6);

/// How much of a text that breaks the rules its error repeats, in characters: the text may come from a peer.
const NAMED_IN_ERRORS: usize = 256;

/// The name of a trust domain (SPIFFE-ID §2.1): lower-case letters, digits, dots, dashes and underscores, without user or port.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrustDomain(Arc<str>);

/// A SPIFFE ID (SPIFFE-ID §2): `spiffe://`, a trust domain, and a path that may be empty.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpiffeId {
    uri: Arc<str>,
    trust_domain: TrustDomain,
}

impl TrustDomain {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The trust domain that a DER leaf claims to be of: the one in its only URI, if that is a SPIFFE ID. Its bundle alone can vouch for
    /// the leaf, also where the ID has no path and so is nobody's.
    #[must_use]
    pub fn claimed_by(leaf: &[u8]) -> Option<Self> {
        only_id(leaf).map(|id| id.trust_domain)
    }
}

impl SpiffeId {
    /// The ID of a DER leaf that is an X.509-SVID: the only URI among its subject alternative names, which has a path. A leaf with two
    /// URIs has no ID, even if one of them is none that can be read, since it is anyone's guess which one was meant.
    #[must_use]
    pub fn of_leaf(leaf: &[u8]) -> Option<Self> {
        only_id(leaf).filter(|id| !id.path().is_empty())
    }

    /// The whole ID.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.uri
    }

    /// The trust domain.
    #[must_use]
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// The path with its leading slash; empty for the trust domain itself.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.uri[SCHEME.len() + self.trust_domain.as_str().len()..]
    }
}

fn only_id(leaf: &[u8]) -> Option<SpiffeId> {
    let names = all(content(Extensions::of(leaf).ok()?.subject_alt_names?)).ok()?;
    let mut uris = names.iter().filter(|name| matches!(name.tag(), Tag::ContextSpecific { number: URI, .. }));
    match (uris.next(), uris.next()) {
        (Some(uri), None) => str::from_utf8(uri.value()).ok()?.parse().ok(),
        _ => None,
    }
}

impl FromStr for TrustDomain {
    type Err = InvalidTrustDomain;

    fn from_str(name: &str) -> Result<Self, InvalidTrustDomain> {
        let is_named = (1..=TRUST_DOMAIN_LIMIT).contains(&name.len())
            && name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_'));
        if is_named { Ok(Self(name.into())) } else { Err(InvalidTrustDomain(beginning(name))) }
    }
}

impl FromStr for SpiffeId {
    type Err = InvalidSpiffeId;

    fn from_str(uri: &str) -> Result<Self, InvalidSpiffeId> {
        let parts = uri.strip_prefix(SCHEME).filter(|_| uri.len() <= SPIFFE_ID_LIMIT);
        let parts = parts.map(|rest| rest.split_at(rest.find('/').unwrap_or(rest.len())));
        match parts.map(|(name, path)| (name.parse(), path)) {
            Some((Ok(trust_domain), path)) if is_path(path) => Ok(Self { uri: uri.into(), trust_domain }),
            _ => Err(InvalidSpiffeId(beginning(uri))),
        }
    }
}

/// SPIFFE-ID §2.2: no empty segment, so neither a trailing slash, and none that a reader of URIs would resolve or decode.
fn is_path(path: &str) -> bool {
    let is_segment = |segment: &str| {
        !matches!(segment, "" | "." | "..")
            && segment.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
    };
    path.is_empty() || path.strip_prefix('/').is_some_and(|path| path.split('/').all(is_segment))
}

fn beginning(text: &str) -> String {
    text.chars().take(NAMED_IN_ERRORS).collect()
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.uri)
    }
}

impl fmt::Debug for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.uri, f)
    }
}

/// A text that is no trust domain's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not the name of a trust domain: write lower-case letters, digits, '.', '-' and '_', at most {TRUST_DOMAIN_LIMIT} of them, \
     without spiffe:// and path"
)]
pub struct InvalidTrustDomain(pub String);

/// A text that is no SPIFFE ID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a SPIFFE ID: write spiffe://TRUST-DOMAIN/PATH, in lower case up to the path, without a port or a query"
)]
pub struct InvalidSpiffeId(pub String);

#[cfg(test)]
mod tests;

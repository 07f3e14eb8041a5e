//! SPIFFE IDs.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The longest SPIFFE ID, in bytes (SPIFFE-ID §2.3).
pub const SPIFFE_ID_LIMIT: usize = 2048;

const SCHEME: &str = "spiffe://";

/// A SPIFFE ID (SPIFFE-ID §2): `spiffe://`, a trust domain, and a path that may be empty.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpiffeId {
    uri: Arc<str>,
    path: usize,
}

impl SpiffeId {
    /// The whole ID.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.uri
    }

    /// The trust domain's name.
    #[must_use]
    pub fn trust_domain(&self) -> &str {
        &self.uri[SCHEME.len()..self.path]
    }

    /// The path with its leading slash; empty for the trust domain itself.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.uri[self.path..]
    }
}

impl FromStr for SpiffeId {
    type Err = InvalidSpiffeId;

    fn from_str(uri: &str) -> Result<Self, InvalidSpiffeId> {
        let invalid = || InvalidSpiffeId(uri.chars().take(NAMED_IN_ERRORS).collect());
        let rest = uri.strip_prefix(SCHEME).filter(|_| uri.len() <= SPIFFE_ID_LIMIT).ok_or_else(invalid)?;
        let (trust_domain, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let named = !trust_domain.is_empty()
            && trust_domain.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_'));
        let segments = path.is_empty() || path[1..].split('/').all(is_segment);
        if named && segments {
            Ok(Self { path: SCHEME.len() + trust_domain.len(), uri: uri.into() })
        } else {
            Err(invalid())
        }
    }
}

/// How much of a text that is no SPIFFE ID its error repeats, in characters: it may come from a peer.
const NAMED_IN_ERRORS: usize = 256;

fn is_segment(segment: &str) -> bool {
    !matches!(segment, "" | "." | "..")
        && segment.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
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

/// A text that is no SPIFFE ID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a SPIFFE ID: write spiffe://TRUST-DOMAIN/PATH, in lower case up to the path, without a port or a query"
)]
pub struct InvalidSpiffeId(pub String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spiffe_id_is_taken_apart_into_trust_domain_and_path() {
        let id: SpiffeId = "spiffe://example.org/ns/my-app/sa/Greeter_1".parse().unwrap();
        assert_eq!((id.trust_domain(), id.path()), ("example.org", "/ns/my-app/sa/Greeter_1"));
        let bare: SpiffeId = "spiffe://example.org".parse().unwrap();
        assert_eq!((bare.trust_domain(), bare.path()), ("example.org", ""));
    }

    #[test]
    fn what_the_standard_forbids_is_no_spiffe_id() {
        for bad in [
            "",
            "spiffe://",
            "spiffe:///a",
            "SPIFFE://example.org/a",
            "https://example.org/a",
            "spiffe://Example.org/a",
            "spiffe://example.org:443/a",
            "spiffe://user@example.org/a",
            "spiffe://example.org/",
            "spiffe://example.org/a/",
            "spiffe://example.org/a//b",
            "spiffe://example.org/../a",
            "spiffe://example.org/a?b",
            "spiffe://example.org/a#b",
            "spiffe://example.org/%61",
            &format!("spiffe://example.org/{}", "x".repeat(SPIFFE_ID_LIMIT)),
        ] {
            assert!(bad.parse::<SpiffeId>().is_err(), "{bad}");
        }
    }
}

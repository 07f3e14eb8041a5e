//! What stands for several methods, SPIFFE IDs or subjects.

use std::fmt;
use std::str::FromStr;

use evercert_core::spiffe::{InvalidSpiffeId, SpiffeId, TrustDomain};

use crate::auth::claims::Claims;
use crate::auth::method::Method;

/// At the end of a pattern: everything beneath it.
const BENEATH: &str = "/*";

/// Methods that a rule is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum MethodPattern {
    /// `/package.Service/Method`.
    Method(Box<str>),
    /// `/package.Service/*`: all of a service, here by its name alone.
    Service(Box<str>),
    /// `/*`: all.
    All,
}

impl MethodPattern {
    /// The pattern for all methods.
    pub(super) const ALL: &str = BENEATH;

    /// Whether it stands for all methods that the other one does.
    pub(super) fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::All, _) => true,
            (Self::Service(service), Self::Method(path)) => {
                Method::of_path(path).is_some_and(|method| method.service() == &**service)
            }
            _ => self == other,
        }
    }
}

impl FromStr for MethodPattern {
    type Err = InvalidMethodPattern;

    fn from_str(text: &str) -> Result<Self, InvalidMethodPattern> {
        if text == Self::ALL {
            return Ok(Self::All);
        }
        let Some(service) = text.strip_suffix(BENEATH) else {
            return Method::of_path(text).map(|method| Self::Method(method.path().into())).ok_or(InvalidMethodPattern);
        };
        // A service by itself has no form to be held against; with a method it has.
        let method = format!("{service}/Method");
        Method::of_path(&method).map(|method| Self::Service(method.service().into())).ok_or(InvalidMethodPattern)
    }
}

impl fmt::Display for MethodPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Method(path) => f.write_str(path),
            Self::Service(service) => write!(f, "/{service}{BENEATH}"),
            Self::All => f.write_str(Self::ALL),
        }
    }
}

/// A text that stands for no methods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "this is no method: write /package.Service/Method, /package.Service/* for all of a service, or /* for all there are"
)]
pub(super) struct InvalidMethodPattern;

/// SPIFFE IDs: one, or all beneath a segment of a path, as in `spiffe://example.org/ns/payments/*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SpiffePattern {
    Id(SpiffeId),
    /// With the slash at its end.
    Beneath {
        prefix: Box<str>,
        trust_domain: TrustDomain,
    },
}

impl SpiffePattern {
    /// The pattern of a text; an ID without a path is nobody's, and told by `None`.
    pub(super) fn parse(text: &str) -> Result<Option<Self>, InvalidSpiffeId> {
        if let Some(above) = text.strip_suffix(BENEATH) {
            let above: SpiffeId = above.parse()?;
            let prefix = format!("{}/", above.as_str()).into();
            return Ok(Some(Self::Beneath { prefix, trust_domain: above.trust_domain().clone() }));
        }
        let id: SpiffeId = text.parse()?;
        Ok((!id.path().is_empty()).then_some(Self::Id(id)))
    }

    pub(super) fn fits(&self, id: &SpiffeId) -> bool {
        match self {
            Self::Id(this) => this == id,
            Self::Beneath { prefix, .. } => id.as_str().starts_with(&**prefix),
        }
    }

    pub(super) fn trust_domain(&self) -> &TrustDomain {
        match self {
            Self::Id(id) => id.trust_domain(),
            Self::Beneath { trust_domain, .. } => trust_domain,
        }
    }
}

impl fmt::Display for SpiffePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Beneath { prefix, .. } => write!(f, "{prefix}*"),
        }
    }
}

/// The namespace in a SPIFFE ID of the form `spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/ACCOUNT`, as Istio and others give them.
pub(super) fn namespace(id: &SpiffeId) -> Option<&str> {
    let mut segments = id.path().strip_prefix('/')?.split('/');
    let parts = [segments.next()?, segments.next()?, segments.next()?, segments.next()?];
    match (parts, segments.next()) {
        (["ns", namespace, "sa", _], None) => Some(namespace),
        _ => None,
    }
}

/// Subjects of tokens, as Istio writes them: `ISSUER/SUBJECT`, or `ISSUER/*` for all of an issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RequestPrincipal {
    text: Box<str>,
}

impl RequestPrincipal {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (issuer, subject) = text.rsplit_once('/')?;
        let is_pattern = subject == "*" || !subject.contains('*');
        (!issuer.is_empty() && !subject.is_empty() && is_pattern && !issuer.contains('*'))
            .then(|| Self { text: text.into() })
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    pub(super) fn issuer(&self) -> &str {
        self.text.rsplit_once('/').map_or(&self.text, |(issuer, _)| issuer)
    }

    /// Whether it stands for the subject of this token. A subject with a slash could be read as another one of a longer issuer, so it is
    /// told apart only where that may deny a call, not where it may allow one: there `sub` has to be asked by `when`.
    pub(super) fn fits(&self, claims: &Claims, may_allow: bool) -> bool {
        let (issuer, subject) = (claims.issuer(), claims.subject());
        match self.text.strip_suffix(BENEATH) {
            Some(this) if may_allow => issuer == this,
            Some(this) => issuer.strip_prefix(this).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
            None if may_allow && subject.contains('/') => false,
            None => self
                .text
                .strip_prefix(issuer)
                .and_then(|rest| rest.strip_prefix('/'))
                .is_some_and(|rest| rest == subject),
        }
    }
}

impl fmt::Display for RequestPrincipal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

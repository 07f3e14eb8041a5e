//! What a caller has to be for a rule, as it is written.

use serde::Deserialize;
use toml::Spanned;

use super::list::{List, add, unwritten};

/// What a caller has to prove for a rule to fit: all of what is named here, and of each list one. A token proves roles, scopes and other
/// claims, a certificate DNS names; a SPIFFE ID is that of the certificate, or of a JWT-SVID where there is no certificate with one.
/// A list that is given again goes on: roles of two calls are one list, of which one has to be there.
#[derive(Debug, Clone)]
pub struct Caller(pub(super) Who);

#[derive(Debug, Clone)]
pub(super) enum Who {
    /// Nothing has to be proven.
    Anyone,
    /// Anything has to be.
    Authenticated,
    Proven(Box<Proven>),
}

/// What has to be proven, as it is written.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Proven {
    pub(super) certificate: bool,
    pub(super) token: bool,
    pub(super) spiffe_ids: List,
    pub(super) trust_domains: List,
    pub(super) namespaces: List,
    pub(super) dns_names: List,
    pub(super) roles: List,
    pub(super) scopes: List,
    pub(super) request_principals: List,
    pub(super) when: Vec<Spanned<WrittenWhen>>,
}

/// A demand on an attribute, as it is written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenWhen {
    pub(super) key: Spanned<String>,
    #[serde(default)]
    pub(super) values: List,
    #[serde(default)]
    pub(super) not_values: List,
}

impl Caller {
    /// Anyone, whether they prove anything or not: it makes methods public.
    #[must_use]
    pub fn anyone() -> Self {
        Self(Who::Anyone)
    }

    /// Anyone who has proven who they are, by certificate or token. What follows asks for more.
    #[must_use]
    pub fn authenticated() -> Self {
        Self(Who::Authenticated)
    }

    /// One who has shown a certificate.
    #[must_use]
    pub fn certificate(self) -> Self {
        self.and(|proven| proven.certificate = true)
    }

    /// One who has sent a token.
    #[must_use]
    pub fn token(self) -> Self {
        self.and(|proven| proven.token = true)
    }

    /// One whose token has one of these roles.
    #[must_use]
    pub fn roles<T: Into<String>>(self, roles: impl IntoIterator<Item = T>) -> Self {
        self.and(|proven| add(&mut proven.roles, roles))
    }

    /// One whose token has one of these scopes.
    #[must_use]
    pub fn scopes<T: Into<String>>(self, scopes: impl IntoIterator<Item = T>) -> Self {
        self.and(|proven| add(&mut proven.scopes, scopes))
    }

    /// One of these SPIFFE IDs. With `/*` at its end a pattern stands for all beneath it: `spiffe://example.org/ns/payments/*`.
    #[must_use]
    pub fn spiffe_ids<T: Into<String>>(self, ids: impl IntoIterator<Item = T>) -> Self {
        self.and(|proven| add(&mut proven.spiffe_ids, ids))
    }

    /// One whose SPIFFE ID is of one of these trust domains.
    #[must_use]
    pub fn trust_domains<T: Into<String>>(self, trust_domains: impl IntoIterator<Item = T>) -> Self {
        self.and(|proven| add(&mut proven.trust_domains, trust_domains))
    }

    /// One in one of these Kubernetes namespaces, by a SPIFFE ID of the form `/ns/NAMESPACE/sa/ACCOUNT`. Another trust domain may have a
    /// namespace of the same name, so a rule that allows has to name trust domains beside it.
    #[must_use]
    pub fn namespaces<T: Into<String>>(self, namespaces: impl IntoIterator<Item = T>) -> Self {
        self.and(|proven| add(&mut proven.namespaces, namespaces))
    }

    /// One whose certificate has one of these DNS names. Where bundles of federated trust domains are trusted, their CAs may write any
    /// name: name SPIFFE IDs or trust domains there.
    #[must_use]
    pub fn dns_names<T: Into<String>>(self, names: impl IntoIterator<Item = T>) -> Self {
        self.and(|proven| add(&mut proven.dns_names, names))
    }

    /// One whose token is of one of these `ISSUER/SUBJECT`, or `ISSUER/*`. A subject that has a slash in it fits none that would allow
    /// anything; ask for its claim `sub` by [`Caller::claim`].
    #[must_use]
    pub fn request_principals<T: Into<String>>(self, principals: impl IntoIterator<Item = T>) -> Self {
        self.and(|proven| add(&mut proven.request_principals, principals))
    }

    /// One who has one of these texts in the claim at this path, as a whole or as one of its elements.
    #[must_use]
    pub fn claim<T: Into<String>>(self, path: &str, values: impl IntoIterator<Item = T>) -> Self {
        let key = unwritten(format!("request.auth.claims[{path}]"));
        let mut when = WrittenWhen { key, values: None, not_values: None };
        add(&mut when.values, values);
        self.and(|proven| proven.when.push(unwritten(when)))
    }

    fn and(self, set: impl FnOnce(&mut Proven)) -> Self {
        let mut proven = match self.0 {
            Who::Proven(proven) => proven,
            // Whoever proves something is anyone who does.
            Who::Anyone | Who::Authenticated => Box::default(),
        };
        set(&mut proven);
        Self(Who::Proven(proven))
    }
}

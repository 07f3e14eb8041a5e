//! What a verified token says.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use evercert_core::spiffe::SpiffeId;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// The claims of a token that was verified (RFC 7519). A cheap clone. There is no way to make one but by verification.
#[derive(Clone)]
pub struct Claims(Arc<Inner>);

struct Inner {
    issuer: String,
    subject: String,
    expires: SystemTime,
    spiffe_id: Option<SpiffeId>,
    all: Map<String, Value>,
}

impl Claims {
    /// The claims of a token whose signature, issuer, audience and times have been verified. `spiffe_id` is the subject of a JWT-SVID.
    pub(crate) fn verified(
        issuer: String,
        subject: String,
        expires: SystemTime,
        spiffe_id: Option<SpiffeId>,
        all: Map<String, Value>,
    ) -> Self {
        Self(Arc::new(Inner { issuer, subject, expires, spiffe_id, all }))
    }

    /// Who issued it: `iss`. Empty for a JWT-SVID that names none.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.0.issuer
    }

    /// Whom it is about: `sub`.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.0.subject
    }

    /// The instant from which it is not taken any more: `exp`, and what clocks may differ by ([`Tokens::leeway`](super::Tokens::leeway)).
    #[must_use]
    pub fn expires(&self) -> SystemTime {
        self.0.expires
    }

    /// The SPIFFE ID, if it is a JWT-SVID.
    #[must_use]
    pub fn spiffe_id(&self) -> Option<&SpiffeId> {
        self.0.spiffe_id.as_ref()
    }

    /// The claim at this path, whose parts are separated by dots: `realm_access.roles`. A claim whose name is the whole path comes first.
    #[must_use]
    pub fn at(&self, path: &str) -> Option<&Value> {
        if let Some(claim) = self.0.all.get(path) {
            return Some(claim);
        }
        let (first, rest) = path.split_once('.')?;
        rest.split('.').try_fold(self.0.all.get(first)?, |value, name| value.get(name))
    }

    /// The texts of the claim at this path: those of an array, or the one text that it is, whole, whatever blanks it has.
    pub fn texts_at<'a>(&'a self, path: &str) -> impl Iterator<Item = &'a str> {
        let claim = self.at(path);
        let array = claim.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        array.chain(claim.and_then(Value::as_str))
    }

    /// The scopes of the claim at this path: the texts of an array, or the words of one text, as `scope` has them (RFC 8693 §4.2).
    pub fn scopes_at<'a>(&'a self, path: &str) -> impl Iterator<Item = &'a str> {
        let claim = self.at(path);
        let array = claim.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        let words =
            claim.and_then(Value::as_str).into_iter().flat_map(|text| text.split(' ')).filter(|word| !word.is_empty());
        array.chain(words)
    }

    /// All of them as a type of one's own.
    ///
    /// # Errors
    ///
    /// They are of another form.
    pub fn deserialize<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        T::deserialize(&self.0.all)
    }
}

/// Without the claims beside issuer and subject, which may be about people.
impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claims")
            .field("issuer", &self.issuer())
            .field("subject", &self.subject())
            .field("expires", &self.expires())
            .finish_non_exhaustive()
    }
}

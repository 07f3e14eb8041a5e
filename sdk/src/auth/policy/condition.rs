//! What a caller has to prove, ready to be held against one.

use evercert_core::spiffe::{SCHEME, SpiffeId, TrustDomain};
use http::HeaderName;
use serde_json::Value;

use crate::auth::claims::Claims;
use crate::auth::principal::Principal;
use crate::peer::PeerIdentity;

use super::pattern::{RequestPrincipal, SpiffePattern, namespace};
use super::question::Question;

/// What a rule does where it fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// It allows.
    Allow,
    /// It denies, whatever else allows.
    Deny,
}

/// One demand. In doubt one of a rule that allows does not hold, and one of a rule that denies does.
#[derive(Debug)]
pub(super) enum Condition {
    Authenticated,
    Certificate,
    Token,
    SpiffeIds(Box<[SpiffePattern]>),
    TrustDomains(Box<[TrustDomain]>),
    Namespaces(Box<[Box<str>]>),
    /// In lower case.
    DnsNames(Box<[Box<str>]>),
    Roles(ClaimTexts),
    Scopes(ClaimTexts),
    RequestPrincipals(Box<[RequestPrincipal]>),
    When(When),
}

/// Texts of which a claim has to have one.
#[derive(Debug)]
pub(super) struct ClaimTexts {
    pub(super) path: Box<str>,
    /// Whether a text is one of several words, as in `scope`. A role may have a blank in its name.
    pub(super) is_words: bool,
    pub(super) any_of: Box<[Box<str>]>,
}

/// A demand on an attribute.
#[derive(Debug)]
pub(super) struct When {
    pub(super) attribute: Attribute,
    /// Whether it must not be one of them.
    pub(super) is_negated: bool,
    pub(super) values: Box<[Box<str>]>,
}

/// An attribute of a call.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Attribute {
    Claim(Box<str>),
    Namespace,
    Header(HeaderName),
}

/// How a demand, or all of a rule's, fits a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    /// It does.
    Fits,
    /// It does not for want of a proof that the caller could have brought.
    Lacks(Proof),
    /// It does not.
    Differs,
}

/// What proves who a caller is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proof {
    /// A certificate in the handshake.
    Certificate,
    /// A token with the call.
    Token,
    /// One or the other.
    Either,
}

impl Fit {
    fn of(is_so: bool) -> Self {
        if is_so { Self::Fits } else { Self::Differs }
    }
}

impl Condition {
    pub(super) fn fit(&self, question: &Question<'_>, effect: Effect) -> Fit {
        let claims = || question.principal.and_then(Principal::claims);
        let certificate = || question.principal.and_then(Principal::certificate);
        let by_token =
            |fits: &dyn Fn(&Claims) -> bool| claims().map_or(Fit::Lacks(Proof::Token), |claims| Fit::of(fits(claims)));
        match self {
            Self::Authenticated => question.principal.map_or(Fit::Lacks(Proof::Either), |_| Fit::Fits),
            Self::Certificate => certificate().map_or(Fit::Lacks(Proof::Certificate), |_| Fit::Fits),
            Self::Token => by_token(&|_| true),
            Self::SpiffeIds(any_of) => by_id(question, effect, |id| any_of.iter().any(|pattern| pattern.fits(id))),
            Self::TrustDomains(any_of) => by_id(question, effect, |id| any_of.contains(id.trust_domain())),
            Self::Namespaces(any_of) => {
                let is_named = |this: &str| any_of.iter().any(|name| **name == *this);
                by_id(question, effect, |id| namespace(id).is_some_and(is_named))
            }
            Self::DnsNames(any_of) => certificate().map_or(Fit::Lacks(Proof::Certificate), |peer| {
                let has = |name: &str| peer.dns_names().iter().any(|this| is_dns_name(this, name, effect));
                Fit::of(any_of.iter().any(|name| has(name)))
            }),
            Self::Roles(texts) | Self::Scopes(texts) => by_token(&|claims| texts.fits(claims, effect)),
            Self::RequestPrincipals(any_of) => {
                let may_allow = effect == Effect::Allow;
                by_token(&|claims| any_of.iter().any(|principal| principal.fits(claims, may_allow)))
            }
            Self::When(when) => when.fit(question, effect),
        }
    }

    /// What has to be brought for it to hold; `None` for what needs no proof.
    pub(super) fn proof(&self) -> Option<Proof> {
        match self {
            Self::Certificate | Self::DnsNames(_) => Some(Proof::Certificate),
            Self::Token | Self::Roles(_) | Self::Scopes(_) | Self::RequestPrincipals(_) => Some(Proof::Token),
            Self::Authenticated | Self::SpiffeIds(_) | Self::TrustDomains(_) | Self::Namespaces(_) => {
                Some(Proof::Either)
            }
            Self::When(When { attribute: Attribute::Claim(_), .. }) => Some(Proof::Token),
            Self::When(When { attribute: Attribute::Namespace, .. }) => Some(Proof::Either),
            Self::When(When { attribute: Attribute::Header(_), .. }) => None,
        }
    }
}

impl Condition {
    /// Whether it is about a SPIFFE ID, which a certificate has and no token but a JWT-SVID.
    pub(super) fn is_about_spiffe_id(&self) -> bool {
        match self {
            Self::SpiffeIds(_) | Self::TrustDomains(_) | Self::Namespaces(_) => true,
            Self::When(When { attribute, .. }) => *attribute == Attribute::Namespace,
            _ => false,
        }
    }
}

/// Whether a certificate's DNS name is this one. What denies fits also what could be taken for it: a name with the dot of the root, and
/// one with wildcards.
fn is_dns_name(of_certificate: &str, name: &str, effect: Effect) -> bool {
    if effect == Effect::Allow {
        return of_certificate.eq_ignore_ascii_case(name);
    }
    let of_certificate = of_certificate.strip_suffix('.').unwrap_or(of_certificate);
    let (labels, wanted) = (of_certificate.split('.'), name.split('.'));
    labels.clone().count() == wanted.clone().count()
        && labels.zip(wanted).all(|(label, wanted)| label.contains('*') || label.eq_ignore_ascii_case(wanted))
}

/// How a demand on the caller's SPIFFE ID fits. One is allowed by the ID that counts, and denied by any that is proven.
fn by_id(question: &Question<'_>, effect: Effect, fits: impl Fn(&SpiffeId) -> bool) -> Fit {
    let Some(principal) = question.principal else { return Fit::Lacks(Proof::Either) };
    match effect {
        Effect::Allow => match (principal.spiffe_id(), principal.certificate()) {
            (Some(id), _) => Fit::of(fits(id)),
            (None, None) => Fit::Lacks(Proof::Certificate),
            (None, Some(_)) => Fit::Differs,
        },
        Effect::Deny => Fit::of(has_doubtful_id(principal) || ids(principal).any(fits)),
    }
}

/// All SPIFFE IDs that a caller has proven.
fn ids(principal: &Principal) -> impl Iterator<Item = &SpiffeId> {
    let certificate = principal.certificate().and_then(PeerIdentity::spiffe_id);
    certificate.into_iter().chain(principal.claims().and_then(Claims::spiffe_id))
}

/// Whether a certificate has something of SPIFFE's in it and yet no SPIFFE ID, as with two of them: it is anyone's guess whose it is.
fn has_doubtful_id(principal: &Principal) -> bool {
    principal.certificate().is_some_and(|certificate| {
        let is_of_spiffe =
            |uri: &String| uri.get(..SCHEME.len()).is_some_and(|start| start.eq_ignore_ascii_case(SCHEME));
        certificate.spiffe_id().is_none() && certificate.uris().iter().any(is_of_spiffe)
    })
}

impl ClaimTexts {
    fn fits(&self, claims: &Claims, effect: Effect) -> bool {
        let is_named = |text: &str| self.any_of.iter().any(|this| **this == *text);
        let text = |text: &str| if self.is_words { text.split(' ').any(is_named) } else { is_named(text) };
        match claims.at(&self.path) {
            None | Some(Value::Null) => false,
            Some(Value::String(this)) => text(this),
            Some(Value::Array(texts)) if texts.iter().filter_map(Value::as_str).any(is_named) => true,
            Some(Value::Array(texts)) => effect == Effect::Deny && !texts.iter().all(Value::is_string),
            Some(_) => effect == Effect::Deny,
        }
    }
}

impl When {
    fn fit(&self, question: &Question<'_>, effect: Effect) -> Fit {
        let is_named = |text: &str| self.values.iter().any(|value| **value == *text);
        let found = match &self.attribute {
            Attribute::Claim(path) => match question.principal.and_then(Principal::claims) {
                Some(claims) => in_claim(claims.at(path), &is_named),
                None => Found::Unproven(Proof::Token),
            },
            Attribute::Namespace => in_id(question, effect, &is_named, self.is_negated),
            Attribute::Header(name) => in_header(question, name, &is_named),
        };
        match (found, effect) {
            (Found::Texts(is_one), _) => Fit::of(is_one != self.is_negated),
            (Found::Unproven(proof), Effect::Allow) => Fit::Lacks(proof),
            (Found::Absent | Found::Unclear, Effect::Allow) => Fit::Differs,
            (Found::Unclear, Effect::Deny) => Fit::Fits,
            (Found::Absent | Found::Unproven(_), Effect::Deny) => Fit::of(self.is_negated),
        }
    }
}

/// What was found of an attribute.
enum Found {
    /// Texts, and whether one is among those asked for.
    Texts(bool),
    /// It is of a form that cannot be compared with texts.
    Unclear,
    Absent,
    /// It would be in a proof that is not there.
    Unproven(Proof),
}

/// Of several SPIFFE IDs each is looked at, and the one decides that has the demand hold.
fn in_id(question: &Question<'_>, effect: Effect, is_named: &impl Fn(&str) -> bool, is_negated: bool) -> Found {
    let Some(principal) = question.principal else { return Found::Unproven(Proof::Either) };
    let found = |id: &SpiffeId| namespace(id).map_or(Found::Absent, |namespace| Found::Texts(is_named(namespace)));
    match effect {
        Effect::Allow => match (principal.spiffe_id(), principal.certificate()) {
            (Some(id), _) => found(id),
            (None, None) => Found::Unproven(Proof::Certificate),
            (None, Some(_)) => Found::Absent,
        },
        Effect::Deny if has_doubtful_id(principal) => Found::Unclear,
        Effect::Deny => {
            let holds = |found: &Found| match found {
                Found::Texts(is_one) => *is_one != is_negated,
                _ => is_negated,
            };
            let mut all = ids(principal).map(found).peekable();
            if all.peek().is_none() {
                return Found::Absent;
            }
            all.find(holds).unwrap_or(Found::Texts(is_negated))
        }
    }
}

fn in_claim(claim: Option<&Value>, is_named: &impl Fn(&str) -> bool) -> Found {
    // Numbers and truth values are compared as JSON writes them; fractions have several ways to be written.
    let scalar = |value: &Value| match value {
        Value::String(text) => Some(is_named(text)),
        Value::Bool(_) | Value::Number(_) if !value.is_f64() => Some(is_named(&value.to_string())),
        _ => None,
    };
    match claim {
        None | Some(Value::Null) => Found::Absent,
        Some(Value::Array(values)) => match values.iter().map(scalar).try_fold(false, |any, one| Some(any | one?)) {
            Some(any) => Found::Texts(any),
            None => Found::Unclear,
        },
        Some(value) => scalar(value).map_or(Found::Unclear, Found::Texts),
    }
}

/// Several headers of one name are doubtful: whoever reads them next may read the first, the last or all.
fn in_header(question: &Question<'_>, name: &HeaderName, is_named: &impl Fn(&str) -> bool) -> Found {
    let mut values = question.headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Found::Absent,
        (Some(value), None) => value.to_str().map_or(Found::Unclear, |value| Found::Texts(is_named(value))),
        (Some(_), Some(_)) => Found::Unclear,
    }
}

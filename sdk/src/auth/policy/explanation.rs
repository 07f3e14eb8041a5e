//! Why a policy decides as it does, for those who write it.

use std::fmt;
use std::sync::Arc;

use evercert_core::text;

use crate::auth::exemption::{Exemption, Reflection};
use crate::auth::method::Method;

use super::condition::{Attribute, ClaimTexts, Condition, Effect, Fit, Proof, When};
use super::decision::Decision;
use super::question::Question;
use super::rules::Compiled;
use super::snapshot::Policy;
use super::supposed::Supposed;

/// What a policy decides about a call, and what each of its rules about the method had to say. It is for those who write policies:
/// nothing of it is for callers.
#[derive(Debug)]
pub struct Explanation {
    decision: Decision,
    considered: Vec<Considered>,
    exemption: Option<&'static str>,
}

/// What is said of the two methods of health checks.
const OF_HEALTH: &str = "health checks are answered whoever asks, and no policy is asked about them";

/// What is said of reflection.
const OF_REFLECTION: &str = "a server asks the policy about reflection where it has Reflection::ByPolicy; with \
    Reflection::Authenticated it is for everybody who is known, and otherwise there is no such method";

/// A rule that was considered, or a document that is included.
#[derive(Debug)]
#[non_exhaustive]
pub struct Considered {
    /// Its name.
    pub name: String,
    /// Whether it fits; of an included document, whether it allows the call.
    pub is_fitting: bool,
    /// The whole in a sentence: what it would do, and why it fits or does not.
    pub sentence: String,
}

impl Explanation {
    /// The decision.
    #[must_use]
    pub fn decision(&self) -> &Decision {
        &self.decision
    }

    /// Why a server does not ask the policy about this method, or may not.
    #[must_use]
    pub fn exemption(&self) -> Option<&'static str> {
        self.exemption
    }

    /// Whether the policy is never asked about this method: everybody may call it.
    #[must_use]
    pub fn is_exempt(&self) -> bool {
        self.exemption == Some(OF_HEALTH)
    }

    /// What was considered, in its order. Rules about other methods are left out.
    #[must_use]
    pub fn considered(&self) -> &[Considered] {
        &self.considered
    }
}

impl Policy {
    /// What is decided about a call that is supposed, and why.
    #[must_use]
    pub fn explain(&self, supposed: &Supposed) -> Explanation {
        supposed.ask(|question| {
            // As a server does that has reflection; what it is otherwise is said in words.
            if Exemption::of(question.path, Reflection::ByPolicy) == Exemption::Anybody {
                let decision = Decision::exempt(Arc::clone(&self.name));
                return Explanation { decision, considered: Vec::new(), exemption: Some(OF_HEALTH) };
            }
            let exemption = Reflection::is_asked_by(question.path).then_some(OF_REFLECTION);
            Explanation { decision: self.decide(question), considered: self.considered(question), exemption }
        })
    }

    fn considered(&self, question: &Question<'_>) -> Vec<Considered> {
        let Some(method) = Method::of_path(question.path) else { return Vec::new() };
        let about = |effect| self.rules.iter().flat_map(move |rules| rules.about(method, effect));
        let own = about(Effect::Deny).chain(about(Effect::Allow)).map(|rule| rule.considered(question));
        let included = self.included.iter().map(|included| {
            let decision = included.policy.decide(question);
            let by = match decision.rule {
                Some(rule) => format!("by its rule {}", quoted(rule)),
                None => "since none of its rules fits".to_owned(),
            };
            let does = if decision.allowed { "allows" } else { "denies" };
            let dry_run = if included.is_dry_run { ", which is not enforced: a dry run" } else { "" };
            let name = included.name.to_string();
            let sentence = format!("document {} {does} it {by}{dry_run}", quoted(&name));
            Considered { name, is_fitting: decision.allowed, sentence }
        });
        own.chain(included).collect()
    }
}

impl Compiled {
    fn considered(&self, question: &Question<'_>) -> Considered {
        let fit = self.fit(question);
        let effect = match self.effect {
            Effect::Allow => "allows",
            Effect::Deny => "denies",
        };
        let dry_run = if self.is_dry_run { ", which is not enforced: a dry run" } else { "" };
        let name = quoted(&self.name);
        let sentence = if fit == Fit::Fits {
            format!("rule {name} fits: it {effect} the call{dry_run}")
        } else {
            let reason = |conditions: &[Condition]| {
                let reasons = conditions.iter().filter_map(|condition| condition.reason(question, self.effect));
                reasons.collect::<Vec<_>>().join(", and ")
            };
            let reasons: Vec<_> = self.alternatives.iter().map(|alternative| reason(&alternative.0)).collect();
            format!(
                "rule {name}, which {effect}, does not fit: {}{dry_run}",
                reasons.join("; nor another caller of its: ")
            )
        };
        Considered { name: self.name.to_string(), is_fitting: fit == Fit::Fits, sentence }
    }
}

impl Condition {
    /// Why it does not hold; `None` where it does.
    fn reason(&self, question: &Question<'_>, effect: Effect) -> Option<String> {
        match self.fit(question, effect) {
            Fit::Fits => None,
            Fit::Lacks(proof) => Some(format!("there is not {proof}, and {self}")),
            Fit::Differs => Some(self.to_string()),
        }
    }
}

/// What it demands, as a part of a sentence.
impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Authenticated => write!(f, "the caller has to prove who they are"),
            Self::Certificate => write!(f, "a certificate is asked for"),
            Self::Token => write!(f, "a token is asked for"),
            Self::SpiffeIds(ids) => write!(f, "the SPIFFE ID has to be {}", one_of(ids.iter())),
            Self::TrustDomains(names) => write!(f, "the trust domain has to be {}", one_of(names.iter())),
            Self::Namespaces(names) => write!(f, "the namespace has to be {}", one_of(names.iter())),
            Self::DnsNames(names) => write!(f, "the certificate has to have the DNS name {}", one_of(names.iter())),
            Self::Roles(texts) => write!(f, "the role has to be {texts}"),
            Self::Scopes(texts) => write!(f, "the scope has to be {texts}"),
            Self::RequestPrincipals(names) => write!(f, "the token has to be of {}", one_of(names.iter())),
            Self::When(when) => write!(f, "{when}"),
        }
    }
}

impl fmt::Display for ClaimTexts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, in the claim {}", one_of(self.any_of.iter()), text::word(&self.path))
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is = if self.is_negated { "must be there and not be" } else { "has to be" };
        write!(f, "{} {is} {}", self.attribute, one_of(self.values.iter()))
    }
}

/// As a document names it.
impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Claim(path) => write!(f, "request.auth.claims[{}]", text::word(path)),
            Self::Namespace => f.write_str("source.namespace"),
            Self::Header(name) => write!(f, "request.headers[{name}]"),
        }
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Certificate => "a certificate",
            Self::Token => "a token",
            Self::Either => "a certificate or a token",
        })
    }
}

fn one_of(texts: impl Iterator<Item = impl fmt::Display>) -> String {
    texts.map(|text| quoted(&text.to_string())).collect::<Vec<_>>().join(" or ")
}

fn quoted(text: &str) -> String {
    format!("{:?}", text::word(text))
}

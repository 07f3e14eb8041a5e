//! gRPC's own authorisation policies (proposal A43, audited as in A59), decided as grpc-go decides them.
//!
//! ```json
//! {
//!   "name": "payments",
//!   "deny_rules": [{ "name": "no_purge", "request": { "paths": ["/pay.v1.Admin/Purge"] } }],
//!   "allow_rules": [
//!     { "name": "till", "source": { "principals": ["spiffe://example.org/till"] }, "request": { "paths": ["/pay.v1.Pay/*"] } }
//!   ]
//! }
//! ```
//!
//! A rule that denies and fits denies; else one that allows and fits allows; else the call is denied. A rule fits if one of its principals,
//! one of its paths and each of its headers fit, of those that it has. A pattern is `*` (one line that is not empty), `a*`, `*a` or the
//! whole text. Principals are compared with the first that a certificate has of URIs, DNS names and its subject, the latter as Go writes
//! it: `CN=a,OU=b,O=c`. A caller without TLS fits no principal, and one without a certificate `""` alone. Tokens are nothing to these
//! policies.
//!
//! # Where it refuses what grpc-go takes
//!
//! | what | grpc-go | here |
//! |---|---|---|
//! | two rules of one list have one name | keeps the last one | an error |
//! | a key of an object is there twice, in whatever case | merges both | an error |
//! | something follows the object | is not looked at | an error |
//! | bytes that are no UTF-8, and half surrogates | become U+FFFD | an error |
//! | a logger's configuration nests deeper than 120 objects and arrays | is taken up to 10,000 | an error |
//! | the key of a header that HTTP knows none by, as `a b` | never fits | an error |
//! | more than 1 MiB | is read | an error |
//! | a rule that denies health checks (`Check` and `Watch` of `grpc.health.v1.Health`), but for one about all paths | denies them | an error where a server reads the document, since they are answered whoever asks |
//! | a `-bin` header that a rule asks for has bits behind its last byte | they are cut off | the call is denied |
//! | the caller's leaf has an alternative name that cannot be read, of a kind that Go does not look at | is passed over | the call is refused before any policy is asked |

mod audit;
mod call;
#[cfg(test)]
mod differential;
mod document;
mod error;
mod headers;
mod object;
mod pattern;
pub(super) mod place;
mod prefixes;
mod rules;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::fmt;

use http::HeaderName;

pub(super) use pattern::Pattern;

pub use audit::{AuditCondition, AuditLoggerConfig, AuditOptions, STDOUT_LOGGER};
pub use error::{InvalidA43, RuleList};

use super::DOCUMENT_LIMIT;
use super::question::Question;
use call::Call;
use document::{Document, Header};
use headers::Demand;
use object::Read;
use rules::{Rule, Rules};

/// A policy in gRPC's own form.
pub struct A43Policy {
    name: String,
    deny: Rules,
    allow: Rules,
    audit: AuditOptions,
    /// The `-bin` headers that rules ask for.
    binary: Box<[HeaderName]>,
}

/// What a policy decides about a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct A43Decision<'a> {
    /// Whether it may be made.
    pub allowed: bool,
    /// The first rule that fits, as audit events name it: the policy's name, an underscore and its own. `None` if none fits, or the call
    /// is refused whatever the rules are.
    pub rule: Option<&'a str>,
}

impl A43Policy {
    /// Reads a policy.
    ///
    /// # Errors
    ///
    /// It is none that grpc-go would read, or one that is refused beyond that, as the [module's](self) table has it.
    pub fn parse(json: &[u8]) -> Result<Self, InvalidA43> {
        if json.len() > DOCUMENT_LIMIT {
            return Err(InvalidA43::TooLong { length: json.len() });
        }
        let Read(document) = serde_json::from_slice::<Read<Document>>(json)?;
        let Document { name, deny_rules, allow_rules, audit } = document;
        if name.is_empty() {
            return Err(InvalidA43::NoName);
        }
        if allow_rules.is_empty() {
            return Err(InvalidA43::NoAllowRules);
        }
        let audit = AuditOptions::of(audit.0)?;
        let deny = rules(&name, RuleList::Deny, deny_rules)?;
        let allow = rules(&name, RuleList::Allow, allow_rules)?;
        let demands = [&deny, &allow].into_iter().flat_map(|rules| rules.all()).flat_map(|rule| &rule.headers);
        let binary = demands.map(|demand| &demand.key).filter(|key| headers::is_binary(key));
        let binary = binary.collect::<HashSet<_>>().into_iter().cloned().collect();
        Ok(Self { name, deny, allow, audit, binary })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What of its decisions is audited.
    #[must_use]
    pub fn audit(&self) -> &AuditOptions {
        &self.audit
    }

    /// The names of its rules as decisions have them, those that deny first.
    pub fn rules(&self) -> impl Iterator<Item = &str> {
        self.deny.all().iter().chain(self.allow.all()).map(|rule| &*rule.name)
    }

    /// The patterns of the paths that rules which deny name, with the names of the rules.
    pub(super) fn denied_paths(&self) -> impl Iterator<Item = (&str, &Pattern)> {
        self.deny.all().iter().flat_map(|rule| rule.paths.iter().map(|path| (&*rule.name, path)))
    }

    /// The patterns of the paths that its rules name, with the names of the rules.
    pub(super) fn paths(&self) -> impl Iterator<Item = (&str, &Pattern)> {
        let rules = self.deny.all().iter().chain(self.allow.all());
        rules.flat_map(|rule| rule.paths.iter().map(|path| (&*rule.name, path)))
    }

    /// Whether a rule that allows is about this path.
    pub(super) fn has_rule_for(&self, path: &str) -> bool {
        let is_about = |rule: &Rule| rule.paths.is_empty() || rule.paths.iter().any(|this| this.fits(path.as_bytes()));
        self.allow.all().iter().any(is_about)
    }

    /// The names of the rules that allow and fit whoever calls: they name no principals, or the one that is empty, as that of callers
    /// without a certificate is.
    pub(super) fn public(&self) -> impl Iterator<Item = (&str, Vec<String>)> {
        let public = self.allow.all().iter().filter(|rule| rule.fits_anonymous());
        public.map(|rule| {
            let paths = rule.paths.iter().map(ToString::to_string).collect::<Vec<_>>();
            (&*rule.name, if paths.is_empty() { vec!["*".to_owned()] } else { paths })
        })
    }

    /// Whether a rule names a principal, as certificates have them.
    pub(super) fn names_principals(&self) -> bool {
        self.deny
            .all()
            .iter()
            .chain(self.allow.all())
            .any(|rule| rule.principals.iter().any(|pattern| !pattern.fits(b"")))
    }

    /// Decides about a call.
    #[must_use]
    pub fn decide(&self, question: &Question<'_>) -> A43Decision<'_> {
        Call::of(question).map_or(A43Decision::REFUSED, |call| self.decide_about(&call))
    }

    fn decide_about(&self, call: &Call<'_>) -> A43Decision<'_> {
        if !headers::are_readable(&self.binary, call.headers) {
            return A43Decision::REFUSED;
        }
        if let Some(rule) = self.deny.first(call) {
            return A43Decision { allowed: false, rule: Some(&rule.name) };
        }
        let rule = self.allow.first(call);
        A43Decision { allowed: rule.is_some(), rule: rule.map(|rule| &*rule.name) }
    }
}

impl A43Decision<'_> {
    /// Of a call that is refused whatever the rules are.
    const REFUSED: Self = Self { allowed: false, rule: None };
}

/// Without what headers are compared with, which may be nobody's business.
impl fmt::Debug for A43Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("A43Policy").field("name", &self.name).field("audit", &self.audit).finish_non_exhaustive()
    }
}

fn rules(policy: &str, list: RuleList, written: Vec<Read<document::Rule>>) -> Result<Rules, InvalidA43> {
    let mut names = HashSet::new();
    let mut rules = Vec::with_capacity(written.len());
    for (index, Read(document::Rule { name, source, request })) in written.into_iter().enumerate() {
        if name.is_empty() {
            return Err(InvalidA43::RuleWithoutName { list, index });
        }
        let demands = request.0.headers.into_iter().enumerate();
        let demands = demands.map(|(index, Read(header))| demand(list, &name, index, header));
        let rule = Rule {
            name: format!("{policy}_{name}").into(),
            principals: patterns(&source.0.principals),
            headers: demands.collect::<Result<_, _>>()?,
            paths: patterns(&request.0.paths),
        };
        rules.push(rule);
        if !names.insert(name.clone()) {
            return Err(InvalidA43::DuplicateRule { list, rule: name });
        }
    }
    Ok(Rules::new(rules))
}

fn demand(list: RuleList, rule: &str, index: usize, header: Header) -> Result<Demand, InvalidA43> {
    let Header { key, values } = header;
    let rule = rule.to_owned();
    if key.is_empty() {
        return Err(InvalidA43::HeaderWithoutKey { list, rule, index });
    }
    let lower = key.to_lowercase();
    if headers::is_unsupported(&lower) {
        return Err(InvalidA43::UnsupportedHeader { list, rule, key });
    }
    if values.is_empty() {
        return Err(InvalidA43::HeaderWithoutValues { list, rule, key });
    }
    match HeaderName::try_from(lower) {
        Ok(key) => Ok(Demand { key, patterns: patterns(&values) }),
        Err(_) => Err(InvalidA43::ImpossibleHeader { list, rule, key }),
    }
}

fn patterns(texts: &[String]) -> Box<[Pattern]> {
    texts.iter().map(|text| Pattern::of(text)).collect()
}

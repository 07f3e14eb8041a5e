//! Rules that deny, and are escaped by whoever shows less.

use std::fmt;

use crate::auth::method::Method;

use super::condition::{Condition, Effect, Proof, When};
use super::pattern::MethodPattern;
use super::rules::{Alternative, Compiled, Rules};
use super::snapshot::Policy;

/// A rule that denies by a proof, where another one allows the same without it: a caller that keeps the proof back is not denied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Escape<'a> {
    deny: &'a str,
    allow: &'a str,
    proof: Proof,
}

impl Policy {
    /// The rules that deny what callers are allowed who show less, one escape of each. Documents of gRPC's own form and dry runs are not
    /// looked at.
    #[must_use]
    pub fn escapes(&self) -> Vec<Escape<'_>> {
        let Some(rules) = &self.rules else { return Vec::new() };
        // A document that allows nothing without a certificate has everybody show one.
        let needs_certificate =
            self.included.iter().any(|included| !included.is_dry_run && included.policy.public().next().is_none());
        let denying = rules.all().iter().filter(|rule| rule.effect == Effect::Deny && !rule.is_dry_run);
        denying
            .filter_map(|deny| {
                let proofs = deny.alternatives.iter().flat_map(Alternative::escaped_without);
                let mut proofs = proofs.filter(|proof| !needs_certificate || *proof == Proof::Token);
                proofs.find_map(|proof| {
                    let allow = rules.allowing_without(deny, proof)?;
                    Some(Escape { deny: &deny.name, allow: &allow.name, proof })
                })
            })
            .collect()
    }
}

impl Rules {
    /// The first rule that allows some of what `deny` is about to callers without this proof.
    fn allowing_without(&self, deny: &Compiled, proof: Proof) -> Option<&Compiled> {
        let is_open = |rule: &&Compiled| {
            !rule.is_dry_run && rule.alternatives.iter().any(|alternative| !alternative.asks_for(proof))
        };
        deny.methods.iter().find_map(|pattern| match pattern {
            MethodPattern::Method(path) => self.about(Method::of_path(path)?, Effect::Allow).find(is_open),
            MethodPattern::Service(_) | MethodPattern::All => {
                let is_about = |rule: &&Compiled| {
                    rule.methods.iter().any(|method| method.covers(pattern) || pattern.covers(method))
                };
                self.all().iter().filter(|rule| rule.effect == Effect::Allow).filter(is_about).find(is_open)
            }
        })
    }
}

impl Alternative {
    /// The proofs without each of which it does not fit.
    fn escaped_without(&self) -> impl Iterator<Item = Proof> {
        // One that must not be something holds where there is nothing.
        let is_negated = |condition: &&Condition| matches!(condition, Condition::When(When { is_negated: true, .. }));
        self.0.iter().filter(move |condition| !is_negated(condition)).filter_map(usual_proof)
    }

    fn asks_for(&self, proof: Proof) -> bool {
        self.0.iter().filter_map(usual_proof).any(|asked| proof == Proof::Either || asked == proof)
    }
}

/// What a condition is usually proven by: a SPIFFE ID is in a certificate, unless tokens are JWT-SVIDs.
fn usual_proof(condition: &Condition) -> Option<Proof> {
    if condition.is_about_spiffe_id() { Some(Proof::Certificate) } else { condition.proof() }
}

impl fmt::Display for Escape<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { deny, allow, proof } = self;
        match proof {
            Proof::Certificate => write!(
                f,
                "rule {deny:?} denies by what a certificate says, and rule {allow:?} allows to callers who show none; unless the server \
                 requires client certificates, add `certificate = true` there"
            ),
            Proof::Token => write!(
                f,
                "rule {deny:?} denies by what a token says, and rule {allow:?} allows to callers who send none; add `token = true` there"
            ),
            Proof::Either => write!(
                f,
                "rule {deny:?} denies callers who have proven who they are, and rule {allow:?} allows to those who prove nothing; make it \
                 \"authenticated\", or remove one"
            ),
        }
    }
}

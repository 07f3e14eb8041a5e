//! Whether a policy goes with the server that it is for.

use crate::auth::exemption::{Reflection, SERVICES_OF_REFLECTION};

use super::condition::{Condition, Proof};
use super::pattern::MethodPattern;
use super::rules::Rules;
use super::snapshot::Policy;

/// What a server takes as a proof, and what it asks the policy about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Setting {
    /// Whether callers may prove themselves by tokens.
    pub(crate) takes_tokens: bool,
    /// Whether those tokens are JWT-SVIDs, which have SPIFFE IDs.
    pub(crate) takes_jwt_svids: bool,
    /// Whether they may by certificates.
    pub(crate) takes_certificates: bool,
    /// Who may ask for descriptors.
    pub(crate) reflection: Reflection,
}

impl Setting {
    /// Of a server about which nothing is known.
    pub(super) const UNKNOWN: Self =
        Self { takes_tokens: true, takes_jwt_svids: true, takes_certificates: true, reflection: Reflection::ByPolicy };
}

/// A policy that asks for what its server does not have, or about what it is not asked: its rules would not do what they say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Contradiction {
    /// It asks for tokens, roles or scopes, which nobody could have.
    #[error(
        "the policy asks for tokens, or for roles or scopes in them, and no token is taken: set `SecurityBuilder::tokens`, or \
         leave those rules out"
    )]
    Tokens,
    /// It asks for certificates, or for SPIFFE IDs that no token has either.
    #[error(
        "the policy asks for client certificates or for what is in them, and the server does not: set \
         `client_certificates(ClientCertificates::Optional)` or `Required`, or leave those rules out"
    )]
    Certificates,
    /// It has rules for server reflection, about which it is not asked.
    #[error(
        "the policy names methods of server reflection, about which it is not asked: set `reflection(Reflection::ByPolicy)`, or \
         leave those rules out"
    )]
    Reflection,
}

impl Policy {
    /// Holds it against the server that it is for.
    ///
    /// # Errors
    ///
    /// They do not go together.
    pub(crate) fn fits(&self, setting: Setting) -> Result<(), Contradiction> {
        if !setting.takes_tokens && self.asks_for_tokens() {
            return Err(Contradiction::Tokens);
        }
        if !setting.takes_certificates && self.asks_for_certificates(setting.takes_jwt_svids) {
            return Err(Contradiction::Certificates);
        }
        if setting.reflection != Reflection::ByPolicy && self.is_about_reflection() {
            return Err(Contradiction::Reflection);
        }
        Ok(())
    }

    fn asks_for_tokens(&self) -> bool {
        self.conditions().any(|condition| condition.proof() == Some(Proof::Token))
    }

    fn asks_for_certificates(&self, takes_jwt_svids: bool) -> bool {
        let is_by_certificate = |condition: &Condition| match condition.proof() {
            Some(Proof::Certificate) => true,
            _ => !takes_jwt_svids && condition.is_about_spiffe_id(),
        };
        self.conditions().any(is_by_certificate)
            || self.included.iter().any(|included| included.policy.names_principals())
    }

    /// What is said of all methods there are is said of these by the way, and no contradiction.
    fn is_about_reflection(&self) -> bool {
        let own = self.rules.iter().flat_map(Rules::all).flat_map(|rule| &rule.methods).any(|pattern| match pattern {
            MethodPattern::Method(path) => Reflection::is_asked_by(path),
            MethodPattern::Service(service) => Reflection::is_asked_by(&format!("/{service}/")),
            MethodPattern::All => false,
        });
        let mut included = self.included.iter().flat_map(|included| included.policy.paths());
        own || included.any(|(_, pattern)| SERVICES_OF_REFLECTION.iter().any(|service| pattern.may_fit(service)))
    }

    fn conditions(&self) -> impl Iterator<Item = &Condition> {
        let rules = self.rules.iter().flat_map(Rules::all).flat_map(|rule| &rule.alternatives);
        rules.flat_map(|alternative| &alternative.0)
    }
}

//! Whether a security and a server go together.

use super::Security;
use crate::auth::policy::Contradiction;
use crate::tls::ClientCertificates;

impl Security {
    /// Whether a server that asks clients for certificates in this way, and has one identity or several, can keep what is promised.
    ///
    /// # Errors
    ///
    /// It cannot.
    pub(crate) fn fits(&self, certificates: ClientCertificates, has_several_identities: bool) -> Result<(), Unfit> {
        if has_several_identities {
            return Err(Unfit::SeveralIdentities);
        }
        if certificates != ClientCertificates::None {
            return Ok(());
        }
        self.policy.without_certificates()?;
        let policy = self.policy.policy();
        match &self.tokens {
            Some(tokens) if tokens.requires_certificates() => Err(Unfit::BoundTokens),
            Some(_) => Ok(()),
            None if self.rate_limit.is_some() => Err(Unfit::NobodyToLimit),
            None if policy.public().is_empty() => Err(Unfit::NobodyKnown),
            None => Ok(()),
        }
    }
}

/// A server's settings that contradict its [`Security`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unfit {
    /// The policy asks for what the server does not.
    #[error(transparent)]
    Policy(#[from] Contradiction),
    /// The server has several identities, each with a trust bundle of its own, and a policy knows callers by their names alone: the CA of
    /// one of them could vouch for the callers of another.
    #[error(
        "the server has several identities (`identity_for`), and a policy does not see whose CA vouched for a caller: serve each \
         identity by a server of its own, with its own security"
    )]
    SeveralIdentities,
    /// Only tokens that are bound to a certificate are taken, and the server asks for none.
    #[error(
        "tokens have to be bound to client certificates, and the server asks for none: set \
         `client_certificates(ClientCertificates::Optional)` or `Required`, or leave `Tokens::require_bound` out"
    )]
    BoundTokens,
    /// Each principal has a limit, and nobody is one.
    #[error(
        "the rate limit is for each principal, and callers have neither tokens nor certificates to be told apart by: set \
         `SecurityBuilder::tokens`, or have the server ask for client certificates"
    )]
    NobodyToLimit,
    /// Nobody could call what is not for anybody.
    #[error(
        "the policy is for callers that are known, and nobody can be: set `SecurityBuilder::tokens`, or have the server ask for \
         client certificates"
    )]
    NobodyKnown,
}

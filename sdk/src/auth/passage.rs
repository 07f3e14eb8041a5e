//! What authentication tells the layers inside of it.

use super::principal::Principal;

/// How far a call has come. It is in the extensions of a request that passed an [`AuthenticationLayer`](super::AuthenticationLayer), and
/// of no other: nobody outside of this module can make one, and a layer that finds none refuses the call.
#[derive(Debug, Clone)]
pub(super) enum Passage {
    /// It is anybody's to make.
    Exempt,
    /// It is for whoever is authenticated, as this caller is.
    Authenticated(Principal),
    /// A policy decides; `None` for a caller that has proven nothing.
    ByPolicy(Option<Principal>),
}

impl Passage {
    pub(super) fn principal(&self) -> Option<&Principal> {
        match self {
            Self::Exempt => None,
            Self::Authenticated(principal) => Some(principal),
            Self::ByPolicy(principal) => principal.as_ref(),
        }
    }
}

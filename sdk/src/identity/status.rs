//! How an identity stands.

use std::sync::Arc;
use std::time::SystemTime;

use evercert_core::digest::Digest;

use crate::source::Refusal;
use crate::tls::Generation;

/// How an identity stands at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityStatus {
    /// The identity's name.
    pub name: Arc<str>,
    /// The number of the generation that new handshakes use; `None` before the first one.
    pub generation: Option<u64>,
    /// Its digest.
    pub digest: Option<Digest>,
    /// The end of its leaf; `None` for an identity that only trusts.
    pub not_after: Option<SystemTime>,
    /// Whether the source can deliver the next generation now.
    pub source_connected: bool,
    /// What the source says is wrong.
    pub trouble: Option<Arc<str>>,
    /// The newest generation, where this process could not use it; the one before is kept.
    pub refused: Option<RefusedGeneration>,
}

/// A generation that this process could not use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedGeneration {
    /// Its number.
    pub generation: u64,
    /// Its digest.
    pub digest: Digest,
    /// Why.
    pub refusal: Refusal,
}

impl IdentityStatus {
    pub(super) fn of(name: &Arc<str>, state: &State) -> Self {
        let current = state.current.as_deref();
        Self {
            name: Arc::clone(name),
            generation: current.map(|generation| generation.snapshot().generation()),
            digest: current.map(|generation| generation.snapshot().digest()),
            not_after: current.and_then(Generation::not_after),
            source_connected: state.connected,
            trouble: state.trouble.clone(),
            refused: state.refused.clone(),
        }
    }
}

/// What the identity's task publishes to its clones.
#[derive(Debug, Clone, Default)]
pub(super) struct State {
    pub(super) current: Option<Arc<Generation>>,
    /// Counts the swaps; a generation of equal digest under another number is none.
    pub(super) swaps: u64,
    pub(super) connected: bool,
    pub(super) trouble: Option<Arc<str>>,
    pub(super) refused: Option<RefusedGeneration>,
}

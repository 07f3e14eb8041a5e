//! The status of an identity.

use std::sync::Arc;
use std::time::SystemTime;

use evercert_core::digest::Digest;

use super::Shared;
use crate::refusal::Refusal;
use crate::source::Attachment;
use crate::tls::Generation;

/// The status of an identity at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct IdentityStatus {
    /// The identity's name.
    pub name: Arc<str>,
    /// The number of the generation that new handshakes use; `None` before the first one.
    pub generation: Option<u64>,
    /// Its digest.
    pub digest: Option<Digest>,
    /// The end of its leaf; `None` for an identity that only trusts.
    pub not_after: Option<SystemTime>,
    /// Whether that is over.
    pub expired: bool,
    /// The number of connections of the identity's servers and channels.
    pub connections: u64,
    /// The number of them made with an older generation.
    pub connections_on_older: u64,
    /// Whether none is older, and no handshake goes on that may make one, as far as it is known: never while a rustls
    /// config of the user's own may use the identity.
    pub settled: bool,
    /// Whether the source can deliver the next generation now.
    pub source_connected: bool,
    /// The fault the source reports.
    pub trouble: Option<Arc<str>>,
    /// The newest generation, where this process could not use it; the one before is kept.
    pub refused: Option<RefusedGeneration>,
    /// Whether the daemon is told what is served, for an identity over a directory. It changes nothing of what is served.
    pub observer: Option<Attachment>,
}

/// A generation that this process could not use.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RefusedGeneration {
    /// Its number.
    pub generation: u64,
    /// Its digest.
    pub digest: Digest,
    /// Why.
    pub refusal: Refusal,
}

impl Shared {
    pub(super) fn status(&self) -> IdentityStatus {
        let state = self.state.borrow();
        let current = state.current.as_deref();
        let not_after = current.and_then(Generation::not_after);
        let count = self.tally.count();
        IdentityStatus {
            name: Arc::clone(&self.name),
            generation: current.map(|generation| generation.snapshot().generation()),
            digest: current.map(|generation| generation.snapshot().digest()),
            not_after,
            expired: current.is_some_and(|generation| generation.has_expired(SystemTime::now())),
            connections: count.all,
            connections_on_older: count.older,
            settled: current.is_some() && self.is_settled(count),
            source_connected: state.connected,
            trouble: state.trouble.clone(),
            refused: state.refused.clone(),
            observer: self.source.attachment(),
        }
    }
}

/// State the task publishes to an identity's clones.
#[derive(Debug, Clone, Default)]
pub(super) struct State {
    pub(super) current: Option<Arc<Generation>>,
    /// Counts the swaps; a generation of equal digest under another number is none.
    pub(super) swaps: u64,
    pub(super) connected: bool,
    pub(super) trouble: Option<Arc<str>>,
    pub(super) refused: Option<RefusedGeneration>,
    /// Why no handshake uses the current generation.
    pub(super) withdrawn: Option<Refusal>,
}

impl State {
    /// Whether handshakes use a generation.
    pub(super) fn is_serving(&self) -> bool {
        self.current.is_some() && self.withdrawn.is_none()
    }
}

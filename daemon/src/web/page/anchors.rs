//! Who is trusted, and until when: the anchors of all identities, each once.

use std::sync::Arc;

use evercert_core::keeper::IdentityState;
use serde::Serialize;

use crate::publication::{AuthorityCounts, trusted};
use crate::status::Certificate;

/// The most anchors that are told, those that end first.
const TOLD: usize = 200;

/// The anchors that are published.
#[derive(Serialize, Default)]
pub(super) struct Anchors {
    /// Those that end first, first.
    anchors: Vec<Anchor>,
    /// How many there are besides.
    more: usize,
}

/// A certificate by which peers are trusted.
#[derive(Serialize)]
struct Anchor {
    #[serde(flatten)]
    facts: Certificate,
    /// How many identities trust by it.
    identities: usize,
}

impl Anchors {
    /// The anchors of what these publish.
    pub(super) fn of(states: &[Arc<IdentityState>]) -> Self {
        let published = states.iter().filter_map(|state| state.snapshot.as_deref());
        let AuthorityCounts { counts, uncounted } = trusted(published);
        let all = counts.len() + uncounted;
        let counts = counts.into_iter();
        let mut anchors: Vec<_> = counts
            .map(|count| Anchor { facts: Certificate::from(&*count.facts), identities: count.trusts.identities })
            .collect();
        anchors.sort_by_cached_key(|anchor| (anchor.facts.not_after.0, anchor.facts.sha256));
        anchors.truncate(TOLD);
        Self { more: all - anchors.len(), anchors }
    }
}

//! Who is trusted, and until when: the anchors of all identities, each once.

use std::collections::HashMap;
use std::sync::Arc;

use evercert_core::bundle::Bundle;
use evercert_core::certificate::CertificateFacts;
use evercert_core::keeper::IdentityState;
use serde::Serialize;

use crate::status::Certificate;

/// The most anchors that are told, those that end first.
const TOLD: usize = 200;

/// The most anchors that are read for it: more would take longer than a look should.
const READ: usize = 4096;

/// The anchors that are published.
#[derive(Serialize, Default)]
pub(super) struct Anchors {
    /// Those that end first, first.
    anchors: Vec<Anchor>,
    /// How many there are besides, as far as they were counted.
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
        // Equal bundles are one allocation: a thousand identities of one CA are one look at it.
        let mut bundles: HashMap<*const Bundle, (&Bundle, usize)> = HashMap::new();
        for state in states {
            let Some(snapshot) = &state.snapshot else { continue };
            let published = snapshot.bundles();
            for bundle in published.own.iter().chain(published.federated.values()) {
                bundles.entry(Arc::as_ptr(bundle)).or_insert((&**bundle, 0)).1 += 1;
            }
        }
        let mut identities: HashMap<&[u8], usize> = HashMap::new();
        for (bundle, count) in bundles.into_values() {
            for anchor in bundle.anchors() {
                if identities.len() < READ || identities.contains_key(&**anchor) {
                    *identities.entry(anchor).or_default() += count;
                }
            }
        }
        let all = identities.len();
        let read = identities.into_iter().filter_map(|(der, identities)| {
            Some(Anchor { facts: Certificate::from(&CertificateFacts::from_der(der).ok()?), identities })
        });
        let mut anchors: Vec<_> = read.collect();
        anchors.sort_by_cached_key(|anchor| (anchor.facts.not_after.0, anchor.facts.sha256));
        anchors.truncate(TOLD);
        Self { more: all - anchors.len(), anchors }
    }
}

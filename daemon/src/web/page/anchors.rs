//! Who is trusted, and until when: the anchors of all identities, each once.

use std::sync::Arc;

use evercert_core::keeper::IdentityState;
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::Value;

use super::row::told;
use crate::publication::{AuthorityCounts, Store, trusted};
use crate::status::Certificate;
use crate::web::metrics::{Limit, Metrics};

/// The most anchors that are told, those that end first.
const TOLD: usize = 200;

/// The anchors that are published.
#[derive(Serialize)]
struct Anchors {
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

/// What is told of the anchors: counted once after each change of what is published, however many follow it.
pub(super) struct Trust {
    store: Arc<Store>,
    metrics: Arc<Metrics>,
    /// With the number of the change after which they were counted.
    latest: Mutex<Option<(u64, Arc<Value>)>>,
}

impl Trust {
    /// Of what is in `store`; nothing is counted yet. `metrics` are told whenever there are more anchors than are told.
    pub(super) fn new(store: Arc<Store>, metrics: Arc<Metrics>) -> Self {
        Self { store, metrics, latest: Mutex::default() }
    }

    /// As it is now.
    pub(super) fn now(&self) -> Arc<Value> {
        // Before the states: what changes in between is counted again.
        let change = *self.store.changes().borrow();
        let mut latest = self.latest.lock();
        if let Some((counted, value)) = &*latest
            && *counted == change
        {
            return Arc::clone(value);
        }
        let anchors = Anchors::of(&self.store.all());
        if anchors.more > 0 {
            self.metrics.limit_reached(Limit::PageAnchors);
        }
        let value = Arc::new(told(&anchors));
        *latest = Some((change, Arc::clone(&value)));
        value
    }
}

impl Anchors {
    /// The anchors of what these publish.
    fn of(states: &[Arc<IdentityState>]) -> Self {
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use evercert_core::identity::IdentityId;
    use evercert_core::keeper::Observer as _;
    use evercert_core::lifecycle::Lifecycle;
    use evercert_core::spec::{Expectations, FileSet, IdentitySpec};

    use super::*;

    #[test]
    fn however_many_ask_the_anchors_are_counted_once_after_each_change() {
        let store = Store::new(1);
        let trust = Trust::new(Arc::clone(&store), Metrics::new(1, None).unwrap());
        let before = trust.now();
        assert!(Arc::ptr_eq(&before, &trust.now()), "nothing has changed");
        let id = IdentityId::node("a".parse().unwrap());
        let files = FileSet::cert_manager(Path::new("/tls"));
        let spec = IdentitySpec {
            id: id.clone(),
            files,
            expectations: Expectations::default(),
            overlap: IdentitySpec::OVERLAP,
        };
        store.state(&id, Arc::clone(Lifecycle::new(spec.into()).state()));
        let after = trust.now();
        assert!(!Arc::ptr_eq(&before, &after), "an identity has come");
        assert!(Arc::ptr_eq(&after, &trust.now()));
    }
}

//! What is known of the endpoints at which identities are served.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use super::Metrics;
use super::exposition::{Family, seconds};
use crate::served::{EndpointObserver, Key, Served};

const REACHABLE: Family = Family::gauge(
    "evercert_endpoint_reachable",
    "Whether an endpoint of `serves` presented a certificate when it was last asked: 0 or 1. Where it did not, nothing else is known of it.",
);
const STALE: Family = Family::gauge(
    "evercert_endpoint_stale",
    "Whether an endpoint presents another certificate than the published one, two minutes after a rotation or later: 0 or 1.",
);
const NOT_BEFORE: Family = Family::gauge(
    "evercert_endpoint_not_before_timestamp_seconds",
    "When the leaf that an endpoint presents became valid.",
);
const NOT_AFTER: Family =
    Family::gauge("evercert_endpoint_not_after_timestamp_seconds", "When the leaf that an endpoint presents expires.");

/// What each endpoint was last found to present.
#[derive(Debug, Default)]
pub(super) struct Endpoints(Mutex<BTreeMap<Key, Served>>);

impl EndpointObserver for Metrics {
    fn asked(&self, key: &Key, served: Served) {
        self.endpoints.0.lock().insert(key.clone(), served);
    }

    fn forgotten(&self, key: &Key) {
        self.endpoints.0.lock().remove(key);
    }
}

/// The value for an endpoint, if it has one.
type Value = fn(&Served) -> Option<i64>;

const FAMILIES: [(Family, Value); 4] = [
    (REACHABLE, |served| Some(i64::from(*served != Served::Unknown))),
    (STALE, |served| match served {
        Served::Leaf { is_stale, .. } => is_stale.map(i64::from),
        Served::Unknown => None,
    }),
    (NOT_BEFORE, |served| match served {
        Served::Leaf { not_before, .. } => Some(seconds(*not_before)),
        Served::Unknown => None,
    }),
    (NOT_AFTER, |served| match served {
        Served::Leaf { not_after, .. } => Some(seconds(*not_after)),
        Served::Unknown => None,
    }),
];

impl Endpoints {
    /// Appends the families.
    pub(super) fn write(&self, text: &mut String) {
        let known = self.0.lock();
        for (family, value) in &FAMILIES {
            family.begin(text);
            for ((identity, endpoint), served) in known.iter() {
                let endpoint = endpoint.to_string();
                if let Some(value) = value(served) {
                    family.sample(text, &[("identity", identity.name.as_str()), ("endpoint", &endpoint)], value);
                }
            }
        }
    }
}

//! A source under a test's hands.

use std::collections::BTreeMap;
use std::sync::Arc;

use evercert_core::bundle::{Bundle, Bundles};
use evercert_core::credential::{Credential, PrivateKey};
use evercert_core::snapshot::Snapshot;
use evercert_fixtures::Authority;
use tokio::runtime::Handle;
use tokio::sync::watch;
use zeroize::Zeroizing;

use super::{Identity, IdentityBuilder};
use crate::source::{Report, Source, SourceState};

pub(super) struct Scripted(watch::Sender<SourceState>);

impl Scripted {
    pub(super) fn new(snapshot: Snapshot) -> Arc<Self> {
        let scripted = Arc::new(Self(watch::Sender::default()));
        scripted.deliver(snapshot);
        scripted
    }

    pub(super) fn deliver(&self, snapshot: Snapshot) {
        self.0.send_replace(SourceState { snapshot: Some(Arc::new(snapshot)), connected: true, trouble: None });
    }
}

impl Source for Scripted {
    fn state(&self) -> watch::Receiver<SourceState> {
        self.0.subscribe()
    }

    fn report(&self, _: Report) {}
}

/// A snapshot that trusts these, with a leaf of another.
pub(super) fn certified(generation: u64, anchors: &[&Authority]) -> Snapshot {
    let issued = Authority::new("ca").issue_dns("a.example.org");
    let key = PrivateKey::from_pkcs8(Zeroizing::new(issued.key_der.clone())).unwrap();
    let credential = Credential::new(vec![issued.leaf_der.clone().into()], key).unwrap();
    Snapshot::new(generation, Some(Arc::new(credential)), trusting(anchors), None)
}

/// A snapshot that trusts these, and has no credential.
pub(super) fn uncertified(generation: u64, anchors: &[&Authority]) -> Snapshot {
    Snapshot::new(generation, None, trusting(anchors), None)
}

fn trusting(anchors: &[&Authority]) -> Bundles {
    let anchors = anchors.iter().map(|authority| authority.ca_der().to_vec().into()).collect();
    Bundles { own: Some(Arc::new(Bundle::new(anchors, Vec::new()))), federated: BTreeMap::new() }
}

/// Starts an identity on the test's own runtime, whose task does nothing while the test does not wait, and whose clock is the test's.
pub(super) async fn started(builder: IdentityBuilder) -> Identity {
    let mut identity = builder.start_pending_on(&Handle::current()).unwrap();
    identity.changed().await;
    identity
}

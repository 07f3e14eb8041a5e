use evercert_core::keeper::Observer as _;
use evercert_core::lifecycle::Lifecycle;
use evercert_core::spec::{Expectations, FileSet, IdentitySpec};

use super::*;
use crate::publication::KeyHolder;

struct Deaf;

impl SubscriberObserver for Deaf {
    fn acknowledged(&self, _: &IdentityId, _: Duration) {}
    fn disconnected(&self, _: &IdentityId, _: Disconnect) {}
}

impl KeyHolder for Deaf {
    fn want_keys(&self, _: &IdentityId, _: bool) {}
}

#[test]
fn what_had_subscribers_and_is_gone_is_forgotten() {
    let store = Store::new(1);
    let subscribers = Subscribers::new(Arc::clone(&store), Arc::new(Deaf), KeyClaims::new(Arc::new(Deaf)));
    for pod in 0..1000 {
        let id = IdentityId::pod(pod.to_string(), "tls".parse().unwrap());
        let spec = IdentitySpec {
            id: id.clone(),
            files: FileSet::default(),
            expectations: Expectations::default(),
            overlap: IdentitySpec::OVERLAP,
        };
        store.state(&id, Arc::clone(Lifecycle::new(Arc::new(spec)).state()));
        let subscriber = NewSubscriber {
            pid: 1,
            uid: 1,
            command: String::new(),
            sdk_version: String::new(),
            deliver: Delivery::Full,
            is_attested: true,
            pod: None,
            unit: None,
            life: None,
        };
        drop(subscribers.connect(id.clone(), subscriber));
        store.removed(&id);
    }
    let remembered = subscribers.registry.lock().identities.values().len();
    assert!(remembered <= 100, "{remembered}");
}

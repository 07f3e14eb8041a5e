use evercert_core::keeper::Observer as _;
use evercert_core::lifecycle::Lifecycle;
use evercert_core::spec::{Expectations, FileSet, IdentitySpec};

use super::*;
use crate::publication::KeyHolder;

struct Deaf;

impl SubscriberObserver for Deaf {
    fn acknowledged(&self, _: &IdentityId, _: Duration) {}
    fn refused(&self, _: &IdentityId, _: &NewSubscriber, _: &Report, _: &Refused) {}
    fn lost(&self, _: &IdentityId, _: &NewSubscriber, _: Option<u64>) {}
    fn disconnected(&self, _: &IdentityId, _: Disconnect) {}
}

impl KeyHolder for Deaf {
    fn want_keys(&self, _: &IdentityId, _: bool) {}
}

fn subscriber() -> NewSubscriber {
    NewSubscriber {
        pid: 1,
        uid: 1,
        command: String::new(),
        sdk_version: String::new(),
        deliver: Delivery::Full,
        is_attested: true,
        pod: None,
        unit: None,
        life: None,
    }
}

#[test]
fn those_who_are_taken_at_their_word_are_no_more_than_they_may_be_and_keep_out_nobody_who_is_known() {
    let subscribers = Subscribers::new(Store::new(1), Arc::new(Deaf), KeyClaims::new(Arc::new(Deaf)));
    let id = IdentityId::node("tls".parse().unwrap());
    let told = || NewSubscriber { is_attested: false, ..subscriber() };
    let mut all: Vec<_> =
        (0..UNATTESTED_PER_IDENTITY).map(|_| subscribers.connect(id.clone(), told()).unwrap()).collect();
    assert_eq!(subscribers.connect(id.clone(), told()).err(), Some(TooManyUnattested));
    let _known = subscribers.connect(id.clone(), subscriber()).unwrap();
    all.pop();
    let _next = subscribers.connect(id, told()).unwrap();
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
        drop(subscribers.connect(id.clone(), subscriber()).unwrap());
        store.removed(&id);
    }
    let remembered = subscribers.registry.lock().identities.values().len();
    assert!(remembered <= 100, "{remembered}");
}

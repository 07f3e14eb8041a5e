use evercert_core::keeper::Observer as _;
use evercert_core::lifecycle::Lifecycle;
use evercert_core::spec::{Expectations, FileSet, IdentitySpec};

use super::*;
use crate::callers::{Caller, Processes};
use crate::publication::KeyHolder;

/// Remembers which limits were reached.
#[derive(Default)]
struct Told(Mutex<Vec<SubscriberLimit>>);

impl SubscriberObserver for Told {
    fn acknowledged(&self, _: &IdentityId, _: Duration) {}
    fn refused(&self, _: &IdentityId, _: &NewSubscriber, _: &Report, _: &Refused) {}
    fn lost(&self, _: &IdentityId, _: &NewSubscriber, _: Option<u64>) {}
    fn disconnected(&self, _: &IdentityId, _: Disconnect) {}

    fn limit_reached(&self, limit: SubscriberLimit) {
        self.0.lock().push(limit);
    }
}

impl KeyHolder for Told {
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

/// Has `store` hold an identity of which nothing was read.
fn keep(store: &Store, id: &IdentityId) {
    let spec = IdentitySpec {
        id: id.clone(),
        files: FileSet::default(),
        expectations: Expectations::default(),
        overlap: IdentitySpec::OVERLAP,
    };
    store.state(id, Arc::clone(Lifecycle::new(Arc::new(spec)).state()));
}

#[test]
fn those_who_are_taken_at_their_word_are_no_more_than_they_may_be_and_keep_out_nobody_who_is_known() {
    let seen = Arc::new(Told::default());
    let subscribers = Subscribers::new(Store::new(1), Arc::clone(&seen) as _, KeyClaims::new(Arc::clone(&seen) as _));
    let id = IdentityId::node("tls".parse().unwrap());
    let told = || NewSubscriber { is_attested: false, ..subscriber() };
    let mut all: Vec<_> =
        (0..UNATTESTED_PER_IDENTITY).map(|_| subscribers.connect(id.clone(), told()).unwrap()).collect();
    assert_eq!(subscribers.connect(id.clone(), told()).err(), Some(TooManyUnattested));
    let _known = subscribers.connect(id.clone(), subscriber()).unwrap();
    assert_eq!(*seen.0.lock(), [SubscriberLimit::UnattestedPerIdentity]);
    all.pop();
    let _next = subscribers.connect(id, told()).unwrap();
}

#[test]
fn what_had_subscribers_and_is_gone_is_forgotten() {
    let store = Store::new(1);
    let seen = Arc::new(Told::default());
    let subscribers = Subscribers::new(Arc::clone(&store), Arc::clone(&seen) as _, KeyClaims::new(seen));
    for pod in 0..1000 {
        let id = IdentityId::pod(pod.to_string(), "tls".parse().unwrap());
        keep(&store, &id);
        drop(subscribers.connect(id.clone(), subscriber()).unwrap());
        store.removed(&id);
    }
    let remembered = subscribers.registry.lock().identities.values().len();
    assert!(remembered <= 100, "{remembered}");
}

#[tokio::test]
async fn one_lost_subscriber_too_many_costs_the_oldest_its_place_and_that_is_told() {
    let (seen, store) = (Arc::new(Told::default()), Store::new(1));
    let subscribers =
        Subscribers::new(Arc::clone(&store), Arc::clone(&seen) as _, KeyClaims::new(Arc::clone(&seen) as _));
    let (_peer, stream) = tokio::net::UnixStream::pair().unwrap();
    let life = Caller::of(&stream, &Processes::new(Vec::new())).unwrap().life();
    assert!(life.is_some(), "this process is known to itself");
    for number in 0..=lost::PER_PARTY {
        assert_eq!(*seen.0.lock(), []);
        let id = IdentityId::node(format!("x{number}").parse().unwrap());
        keep(&store, &id);
        let one = NewSubscriber { life: life.clone(), ..subscriber() };
        subscribers.connect(id, one).unwrap().end(Disconnect::Timeout);
    }
    assert_eq!(*seen.0.lock(), [SubscriberLimit::Lost]);
}

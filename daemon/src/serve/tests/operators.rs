use evercert_fixtures::Leaf;
use prost::Message as _;
use v1::admin_client::AdminClient;
use v1::event::Event as Kind;

use super::*;
use crate::callers::PodName;
use crate::inventory::pods::{Doubt, Naming, PodNames};
use crate::publication::{Delivery, NewSubscriber};
use crate::serve::pages::{BYTES, IDENTITIES, SUBSCRIBERS};
use crate::serve::trust;

async fn admin(node: &Node) -> AdminClient<Channel> {
    AdminClient::new(channel(UnixStream::connect(node.home.path().join("admin.sock")).await.unwrap()).await)
}

const POD: &str = "0b3f1c9e-3c44-4c7f-9d0a-6f1a2b3c4d5e";

fn cart() -> v1::Pod {
    let (namespace, name) = ("shop".to_owned(), "cart-0".to_owned());
    v1::Pod { uid: POD.to_owned(), namespace, name, name_doubt: v1::NameDoubt::Unspecified.into() }
}

/// The same name on the node and in a pod that is called by its name.
fn with_a_pod(node: &Node) -> (Kept<'_>, Kept<'_>) {
    let name = PodName { namespace: "shop".into(), name: "cart-0".into() };
    node.wanted.send_modify(|wanted| Arc::make_mut(wanted).pods = [(Arc::from(POD), name)].into());
    (node.keep("x", &files()), node.keep_in(POD, "x", &files()))
}

fn subscriber(pid: u32, pod: Option<&str>) -> NewSubscriber {
    NewSubscriber {
        is_attested: true,
        pid,
        uid: 0,
        command: "greeter".to_owned(),
        sdk_version: "test".to_owned(),
        deliver: Delivery::Digest,
        pod: pod.map(Arc::from),
        unit: None,
        life: None,
    }
}

async fn whole(admin: &mut AdminClient<Channel>) -> v1::StatusResponse {
    let pages = admin.status(v1::StatusRequest {}).await.unwrap().into_inner();
    evercert_api::whole_status(pages).await.unwrap()
}

async fn next(events: &mut Streaming<v1::Event>) -> Kind {
    soon("an event", events.message()).await.unwrap().unwrap().event.unwrap()
}

async fn identity(events: &mut Streaming<v1::Event>) -> v1::IdentityStatus {
    match next(events).await {
        Kind::Identity(status) => status,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_status_shows_identities_and_their_subscribers() {
    let node = Node::start();
    let _kept = node.keep("x", &files());
    let mut watched = node.watch("x").await;
    watched.update().await;
    let status = whole(&mut admin(&node).await).await;
    assert_eq!((status.epoch, &*status.version, status.ready), (EPOCH, "0.0.0", true));
    let [identity] = &status.identities[..] else { panic!("{status:?}") };
    assert_eq!((&*identity.identity, &*identity.scope, identity.generation, identity.anchors), ("x", "node", 1, 1));
    assert_eq!(identity.files.len(), 4);
    let [subscriber] = &identity.subscribers[..] else { panic!("{status:?}") };
    assert_eq!(subscriber.pid, std::process::id());
    assert_eq!(subscriber.state(), v1::SubscriberState::Behind);
    assert!(!subscriber.command.is_empty());
    assert_eq!(subscriber.behind_since, identity.published);
}

#[tokio::test]
async fn a_status_of_many_subscribers_and_identities_comes_in_pages_that_add_up() {
    let node = Node::start();
    let many = 2 * SUBSCRIBERS + 1;
    let kept: Vec<_> = (0..=IDENTITIES).map(|number| node.keep(&format!("x{number:03}"), &files())).collect();
    let connect = |_| node.subscribers.connect(kept[0].id(), subscriber(0, None));
    let _subscriptions: Vec<_> = (0..many).map(connect).collect();
    let mut admin = admin(&node).await;
    let mut pages = admin.status(v1::StatusRequest {}).await.unwrap().into_inner();
    let mut sizes = Vec::new();
    while let Some(page) = soon("a page", pages.message()).await.unwrap() {
        let subscribers = page.identities.iter().map(|identity| identity.subscribers.len()).sum::<usize>();
        sizes.push((page.identities.len(), subscribers));
    }
    assert_eq!(sizes, [(1, SUBSCRIBERS), (1, SUBSCRIBERS), (IDENTITIES, 1), (1, 0)]);

    let status = whole(&mut admin).await;
    assert_eq!((status.epoch, status.identities.len()), (EPOCH, IDENTITIES + 1));
    let ids: Vec<_> = status.identities[0].subscribers.iter().map(|subscriber| subscriber.id).collect();
    assert_eq!((ids.len(), ids.is_sorted_by(|one, next| one < next)), (many, true));
    assert!(status.identities.iter().all(|identity| !identity.continued && identity.generation == 1));
}

#[tokio::test]
async fn a_page_of_the_status_ends_before_it_is_large_whatever_certificates_hold() {
    let node = Node::start();
    let name = "n".repeat(60);
    let leaf = (0..600).fold(Leaf::new("x"), |leaf, number| leaf.dns(&format!("{number}.{name}.example.org")));
    let files = Authority::new("Test CA").issue(leaf).files();
    let kept: Vec<_> = (0..IDENTITIES).map(|number| node.keep(&format!("x{number:03}"), &files)).collect();
    let of_last = kept[IDENTITIES - 1].id();
    let _subscriptions = [(); 3].map(|()| node.subscribers.connect(of_last.clone(), subscriber(0, None)));
    let mut admin = admin(&node).await;
    let mut pages = admin.status(v1::StatusRequest {}).await.unwrap().into_inner();
    let (mut count, mut largest, mut own) = (0, 0, 0);
    while let Some(page) = soon("a page", pages.message()).await.unwrap() {
        count += 1;
        largest = largest.max(page.encoded_len());
        own = page.identities.iter().map(v1::IdentityStatus::encoded_len).max().unwrap_or(0).max(own);
    }
    assert!(largest < BYTES + own, "{largest} bytes");
    assert!((32 * 1024..64 * 1024).contains(&own), "{own} bytes are an identity's own");
    assert!((2..IDENTITIES / 8).contains(&count), "{count} pages");
    let whole = whole(&mut admin).await;
    assert_eq!((whole.identities.len(), whole.identities[IDENTITIES - 1].subscribers.len()), (IDENTITIES, 3));
}

#[tokio::test]
async fn events_begin_with_every_identity_and_go_on_with_what_changes() {
    let node = Node::start();
    let mut kept = node.keep("x", &files());
    let other = node.keep("y", &files());
    let mut events = admin(&node).await.events(v1::EventsRequest {}).await.unwrap().into_inner();
    assert_eq!(identity(&mut events).await.identity, "x");
    assert_eq!(identity(&mut events).await.identity, "y");
    assert_eq!(next(&mut events).await, Kind::Synced(v1::Synced {}));
    kept.swap(&files());
    let changed = identity(&mut events).await;
    assert_eq!((&*changed.identity, changed.generation), ("x", 2));
    let mut watched = node.watch("x").await;
    watched.update().await;
    assert_eq!(identity(&mut events).await.subscribers.len(), 1);
    drop(watched);
    assert_eq!(identity(&mut events).await.subscribers.len(), 0);
    node.store.removed(&other.id());
    assert_eq!(next(&mut events).await, Kind::Removed("y".to_owned()));
    node.shutdown.cancel();
    let error = soon("the end", events.message()).await.unwrap_err();
    assert_eq!(error.code(), tonic::Code::Unavailable);
}

#[tokio::test]
async fn a_node_without_identities_is_synced_at_once() {
    let node = Node::start();
    let mut events = admin(&node).await.events(v1::EventsRequest {}).await.unwrap().into_inner();
    assert_eq!(next(&mut events).await, Kind::Synced(v1::Synced {}));
    let _kept = node.keep("x", &files());
    assert_eq!(identity(&mut events).await.identity, "x");
}

#[tokio::test]
async fn pods_are_shown_and_asked_for_by_what_they_are_called_and_by_their_uid() {
    let node = Node::start();
    let (on_node, in_pod) = with_a_pod(&node);
    let _subscription = node.subscribers.connect(in_pod.id(), subscriber(0, Some(POD)));
    let mut admin = admin(&node).await;
    let status = whole(&mut admin).await;
    let [first, second] = &status.identities[..] else { panic!("{status:?}") };
    assert_eq!((&first.pod, &second.pod), (&None, &Some(cart())));
    assert_eq!(second.subscribers[0].pod, Some(cart()));
    assert_eq!(second.subscribers[0].reason, "it has not reported yet");

    let pods = node.wanted.borrow().pods.clone();
    for (name, id) in [("x", on_node.id()), ("shop/cart-0/x", in_pod.id()), (&*format!("pod/{POD}/x"), in_pod.id())] {
        let found = trust::asked_for(&node.store, &pods, name).unwrap();
        assert_eq!(found.iter().map(|state| &state.spec.id).collect::<Vec<_>>(), [&id]);
    }
    let unknown = trust::asked_for(&node.store, &pods, "pod/other/x").unwrap_err();
    assert!(unknown.message().contains("there are x, shop/cart-0/x"), "{unknown}");

    let mut events = admin.events(v1::EventsRequest {}).await.unwrap().into_inner();
    while next(&mut events).await != Kind::Synced(v1::Synced {}) {}
    node.wanted.send_modify(|wanted| Arc::make_mut(wanted).pods = PodNames::new());
    node.store.removed(&in_pod.id());
    let removed = soon("an event", events.message()).await.unwrap().unwrap();
    assert_eq!((removed.event, removed.pod), (Some(Kind::Removed("x".to_owned())), Some(cart())));
}

#[tokio::test]
async fn pods_whose_names_are_in_doubt_are_told_by_themselves_and_with_what_is_theirs() {
    let node = Node::start();
    let uid = |number: usize| -> Arc<str> { format!("{number:032x}").into() };
    let doubts = (0..100).map(|number| (uid(number), Naming::Doubt(Doubt::Namespace)));
    let names = doubts.chain([(POD.into(), Naming::Doubt(Doubt::LogDirectories))]).collect();
    node.wanted.send_modify(|wanted| Arc::make_mut(wanted).pods = names);
    let in_pod = node.keep_in(POD, "x", &files());
    let _subscription = node.subscribers.connect(in_pod.id(), subscriber(0, Some(&uid(1))));
    let status = whole(&mut admin(&node).await).await;
    let [identity] = &status.identities[..] else { panic!("{status:?}") };
    let of = |pod: &Option<v1::Pod>| pod.as_ref().unwrap().name_doubt();
    assert_eq!(of(&identity.pod), v1::NameDoubt::LogDirectories);
    assert_eq!(of(&identity.subscribers[0].pod), v1::NameDoubt::Namespace);
    assert_eq!(status.pods_in_doubt.len(), 64);
    let first = v1::Pod { uid: uid(0).to_string(), name_doubt: v1::NameDoubt::Namespace.into(), ..v1::Pod::default() };
    assert_eq!(status.pods_in_doubt[0], first);
}

#[tokio::test]
async fn that_the_process_of_a_subscriber_that_is_behind_was_stopped_is_told() {
    let node = Node::start();
    let kept = node.keep("x", &files());
    let mut process = std::process::Command::new("sleep").arg("600").spawn().unwrap();
    let _subscription = node.subscribers.connect(kept.id(), subscriber(process.id(), None));
    let mut events = admin(&node).await.events(v1::EventsRequest {}).await.unwrap().into_inner();
    assert_eq!(identity(&mut events).await.subscribers[0].reason, "it has not reported yet");
    assert_eq!(next(&mut events).await, Kind::Synced(v1::Synced {}));
    let pid = rustix::process::Pid::from_child(&process);
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    let stopped = identity(&mut events).await.subscribers[0].reason.clone();
    rustix::process::kill_process(pid, rustix::process::Signal::CONT).unwrap();
    let goes_on = identity(&mut events).await.subscribers[0].reason.clone();
    process.kill().unwrap();
    process.wait().unwrap();
    assert_eq!(stopped, "its process is stopped (SIGSTOP); it has not reported yet");
    assert_eq!(goes_on, "it has not reported yet");
}

use v1::admin_client::AdminClient;
use v1::event::Event as Kind;

use super::*;

async fn admin(node: &Node) -> AdminClient<Channel> {
    AdminClient::new(channel(UnixStream::connect(node.home.path().join("admin.sock")).await.unwrap()).await)
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
    let status = admin(&node).await.status(v1::StatusRequest {}).await.unwrap().into_inner();
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

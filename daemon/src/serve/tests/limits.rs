use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::serve::patience::Patience;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

pub(super) fn impatient() -> Limits {
    let (preface, silence) = (Duration::from_millis(50), Duration::from_millis(300));
    let mut limits = generous();
    limits.patience = Patience { preface, silence, ..limits.patience };
    limits
}

/// Reads until the other side closes.
async fn closed(mut stream: UnixStream) {
    soon("the end", async { while stream.read(&mut [0; 4096]).await.is_ok_and(|read| read > 0) {} }).await;
}

#[tokio::test]
async fn a_peer_that_never_finishes_its_preface_is_cut_off() {
    let node = Node::start_with(impatient());
    let mut stream = UnixStream::connect(node.socket()).await.unwrap();
    stream.write_all(&PREFACE[..10]).await.unwrap();
    closed(stream).await;
}

#[tokio::test]
async fn a_peer_that_answers_no_ping_is_cut_off() {
    let node = Node::start_with(impatient());
    let mut stream = UnixStream::connect(node.socket()).await.unwrap();
    stream.write_all(PREFACE).await.unwrap();
    closed(stream).await;
}

#[tokio::test]
async fn a_peer_that_answers_pings_stays() {
    let node = Node::start_with(impatient());
    let mut kept = node.keep("x", &files());
    let mut watched = node.watch("x").await;
    watched.update().await;
    tokio::time::sleep(Duration::from_millis(900)).await;
    kept.swap(&files());
    assert_eq!(watched.update().await.generation, 2);
}

#[tokio::test]
async fn a_connection_too_many_is_closed_at_once() {
    let node = Node::start_with(Limits { connections: Cap { in_all: 100, per_caller: 2 }, ..generous() });
    let mut first = [node.agent().await, node.agent().await];
    for agent in &mut first {
        agent.list(v1::ListRequest::default()).await.unwrap();
    }
    closed(UnixStream::connect(node.socket()).await.unwrap()).await;
    assert_eq!(*node.seen.turned_away.lock(), [TurnedAway::TooMany]);
    drop(first);
    until("there is room again", || true).await;
    soon("a connection", async {
        loop {
            let stream = UnixStream::connect(node.socket()).await.unwrap();
            // It may be closed before anything is said.
            if let Ok(channel) = try_channel(stream).await
                && AgentClient::new(channel).list(v1::ListRequest::default()).await.is_ok()
            {
                break;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_flood_of_requests_by_one_caller_leaves_another_served() {
    let per_caller = NonZeroU32::new(20).unwrap();
    let requests = Cap { per_caller, ..generous().requests };
    let node = Node::start_with(Limits { requests, ..generous() });
    let (mut other, uid) = node.agent_of_another().await;
    let mut flood = node.agent().await;
    let mut refused = 0;
    for _ in 0..200 {
        if let Err(error) = flood.list(v1::ListRequest::default()).await {
            assert_eq!(error.code(), tonic::Code::ResourceExhausted);
            assert!(error.message().contains("`requests_per_second_per_caller` of [limits]"), "{}", error.message());
            refused += 1;
        }
    }
    assert!(refused > 0);
    assert_eq!(*node.seen.turned_away.lock(), vec![TurnedAway::AsksTooOften; refused]);
    // Where this process may be no other user there is but one caller.
    if uid != rustix::process::getuid().as_raw() {
        other.list(v1::ListRequest::default()).await.unwrap();
    }
}

#[tokio::test]
async fn health_checks_are_requests_like_others() {
    use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
    let once = NonZeroU32::MIN;
    let node = Node::start_with(Limits { requests: Cap { in_all: once, per_caller: once }, ..generous() });
    let mut health = HealthClient::new(channel(UnixStream::connect(node.socket()).await.unwrap()).await);
    let mut check = async || health.check(HealthCheckRequest::default()).await;
    check().await.unwrap();
    let refused = soon("a refusal", async {
        loop {
            if let Err(refused) = check().await {
                break refused;
            }
        }
    });
    assert_eq!(refused.await.code(), tonic::Code::ResourceExhausted);
    assert_eq!(*node.seen.turned_away.lock(), [TurnedAway::AsksTooOften]);
}

#[tokio::test]
async fn more_requests_of_all_callers_than_there_may_be_are_refused_with_the_setting_and_told() {
    let requests = Cap { in_all: NonZeroU32::MIN, ..generous().requests };
    let node = Node::start_with(Limits { requests, ..generous() });
    let mut agent = node.agent().await;
    let refused = soon("a refusal", async {
        loop {
            if let Err(refused) = agent.list(v1::ListRequest::default()).await {
                break refused;
            }
        }
    });
    assert!(refused.await.message().contains("`requests_per_second` of [limits]"));
    assert_eq!(*node.seen.turned_away.lock(), [TurnedAway::AsksTooOftenInAll]);
}

#[tokio::test]
async fn a_stream_too_many_is_refused_with_the_setting_and_one_that_ends_makes_room() {
    let node = Node::start_with(Limits { streams: Cap { in_all: 100, per_caller: 1 }, ..generous() });
    let _kept = node.keep("x", &files());
    let mut watched = node.watch("x").await;
    watched.update().await;
    let refused = Watched::open(node.agent().await, open("x")).await.err().unwrap();
    assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
    assert!(refused.message().contains("`streams_per_caller` of [limits]"), "{}", refused.message());
    drop(watched);
    until("it is gone", || !node.seen.disconnected.lock().is_empty()).await;
    soon("room", async { while Watched::open(node.agent().await, open("x")).await.is_err() {} }).await;
}

#[tokio::test]
async fn health_that_is_watched_takes_a_place_as_a_followed_identity_does() {
    use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
    let node = Node::start_with(Limits { streams: Cap { in_all: 100, per_caller: 2 }, ..generous() });
    let mut health = HealthClient::new(channel(UnixStream::connect(node.socket()).await.unwrap()).await);
    let mut watch = async || health.watch(HealthCheckRequest::default()).await;
    let _watched = [watch().await.unwrap(), watch().await.unwrap()];
    let refused = watch().await.err().unwrap();
    assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
    assert!(refused.message().contains("`streams_per_caller` of [limits]"), "{}", refused.message());
    assert!(Watched::open(node.agent().await, open("x")).await.is_err());
}

#[tokio::test]
async fn a_digest_of_another_length_is_refused_before_anything_is_kept_of_it() {
    let node = Node::start();
    let kept = node.keep("x", &files());
    let held = v1::Open { held_digest: vec![7; 33], ..open("x") };
    let refused = Watched::open(node.agent().await, held).await.err().unwrap();
    assert_eq!(refused.code(), tonic::Code::InvalidArgument);
    assert!(refused.message().contains("33 bytes: a digest has 32"), "{}", refused.message());
    let mut watched = node.watch("x").await;
    watched.update().await;
    watched.report(EPOCH, 1, &[7; 4096], v1::report::Outcome::Stage(1)).await;
    assert_eq!(watched.error().await.code(), tonic::Code::InvalidArgument);
    until("nothing is left of it", || node.subscribers.of(&kept.id()).is_empty()).await;
}

#[tokio::test]
async fn a_message_that_is_larger_than_any_of_use_is_refused_and_told_whether_it_is_the_first_or_a_later_one() {
    let node = Node::start();
    let kept = node.keep("x", &files());
    let long = v1::Open { sdk_version: "v".repeat(crate::serve::REQUEST_LIMIT), ..open("x") };
    let refused = Watched::open(node.agent().await, long).await.err().unwrap();
    assert_eq!(refused.code(), tonic::Code::OutOfRange);
    assert_eq!(*node.seen.turned_away.lock(), [TurnedAway::MessageTooLarge]);
    let mut watched = node.watch("x").await;
    watched.update().await;
    watched.report(EPOCH, 1, &vec![7; crate::serve::REQUEST_LIMIT], v1::report::Outcome::Stage(1)).await;
    assert_eq!(watched.error().await.code(), tonic::Code::OutOfRange);
    assert_eq!(*node.seen.turned_away.lock(), [TurnedAway::MessageTooLarge; 2]);
    until("nothing is left of it", || node.subscribers.of(&kept.id()).is_empty()).await;
}

#[tokio::test]
async fn whoever_connects_too_often_is_closed_before_it_is_looked_at_and_others_are_served() {
    let node = Node::start_with(Limits { connections: Cap { in_all: 10_000, per_caller: 10_000 }, ..generous() });
    let (mut other, uid) = node.agent_of_another().await;
    soon("a connection that is turned away", async {
        while node.seen.turned_away.lock().is_empty() {
            // The kernel's queue may be full: that is what is to be seen to.
            drop(UnixStream::connect(node.socket()).await);
        }
    })
    .await;
    assert!(node.seen.turned_away.lock().iter().all(|reason| *reason == TurnedAway::TooOften));
    if uid != rustix::process::getuid().as_raw() {
        other.list(v1::ListRequest::default()).await.unwrap();
    }
}

#[tokio::test]
#[ignore = "needs root, to be other users"]
async fn when_all_connections_are_taken_the_largest_caller_gives_its_newest_to_another_and_its_streams_are_told_why() {
    let node = Node::start_with(Limits { connections: Cap { in_all: 3, per_caller: 3 }, ..generous() });
    let mut kept = node.keep("x", &files());
    let [mut first, mut second, mut third] = [node.watch("x").await, node.watch("x").await, node.watch("x").await];
    for watched in [&mut first, &mut second, &mut third] {
        watched.update().await;
    }
    let (mut other, _) = node.agent_of_another().await;
    other.list(v1::ListRequest::default()).await.unwrap();
    let told = third.error().await;
    assert_eq!(told.code(), tonic::Code::ResourceExhausted);
    assert!(told.message().contains("`connections` of [limits]"), "{}", told.message());
    assert_eq!(*node.seen.turned_away.lock(), [TurnedAway::Displaced]);
    assert_eq!(*node.seen.disconnected.lock(), [Disconnect::Displaced]);
    kept.swap(&files());
    for watched in [&mut first, &mut second] {
        assert_eq!(watched.update().await.generation, 2);
    }
}

#[tokio::test]
async fn what_one_caller_sends_is_read_no_faster_than_it_may_send() {
    let node = Node::start();
    let mut stream = UnixStream::connect(node.socket()).await.unwrap();
    stream.write_all(PREFACE).await.unwrap();
    // Frames of an unknown type, which cost their reader nothing else (RFC 9113 §4.1).
    let frame = [&[0, 0x40, 0, 0xfa, 0, 0, 0, 0, 0][..], &[0; 0x4000]].concat();
    let (started, mut sent) = (Instant::now(), 0_u64);
    while started.elapsed() < Duration::from_secs(2) {
        if let Ok(written) = tokio::time::timeout(Duration::from_millis(100), stream.write_all(&frame)).await {
            written.unwrap();
            sent += frame.len() as u64;
        }
    }
    // A second's worth at once, two in two seconds, and what the socket holds.
    assert!((1 << 20..5 << 20).contains(&sent), "{sent} bytes were read");
    let reached = node.seen.limits_reached.lock().clone();
    assert!(!reached.is_empty() && reached.iter().all(|limit| *limit == ServingLimit::BytesPerSecond), "{reached:?}");
}

#[tokio::test]
#[ignore = "needs root, to be other users"]
async fn when_all_streams_are_taken_the_largest_caller_gives_its_newest_to_another_and_keeps_its_connections() {
    let node = Node::start_with(Limits { streams: Cap { in_all: 3, per_caller: 3 }, ..generous() });
    let mut kept = node.keep("x", &files());
    let agent = node.agent().await;
    let mut watched = Vec::new();
    for _ in 0..3 {
        watched.push(Watched::open(agent.clone(), open("x")).await.unwrap());
        watched.last_mut().unwrap().update().await;
    }
    let (mut other, _) = node.agent_of_another().await;
    other.list(v1::ListRequest::default()).await.unwrap();
    let told = watched.pop().unwrap().error().await;
    assert_eq!(told.code(), tonic::Code::ResourceExhausted);
    assert!(told.message().contains("`streams` of [limits]"), "{}", told.message());
    assert_eq!(*node.seen.turned_away.lock(), [TurnedAway::StreamDisplaced]);
    assert_eq!(*node.seen.disconnected.lock(), [Disconnect::Displaced]);
    kept.swap(&files());
    for watched in &mut watched {
        assert_eq!(watched.update().await.generation, 2);
    }
}

#[tokio::test]
#[ignore = "needs root, to be other users"]
async fn a_stream_that_gives_way_ends_whatever_it_waits_for() {
    use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
    let node = Node::start_with(Limits { streams: Cap { in_all: 2, per_caller: 2 }, ..generous() });
    let kept = node.keep("x", &files());
    let (mut other, _) = node.agent_of_another().await;
    let mut held = Watched::open(node.agent().await, open("x")).await.unwrap();
    held.update().await;

    // For its first request.
    let mut agent = node.agent().await;
    let (_requests, stream) = mpsc::channel(1);
    let unopened = tokio::spawn(async move { agent.watch(ReceiverStream::new(stream)).await.err() });
    displaces_one(&node, &mut other, 1).await;
    assert_eq!(unopened.await.unwrap().unwrap().code(), tonic::Code::ResourceExhausted);

    // For a change of another service.
    let mut health = HealthClient::new(channel(UnixStream::connect(node.socket()).await.unwrap()).await);
    let mut watched = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    watched.message().await.unwrap();
    displaces_one(&node, &mut other, 2).await;
    assert_eq!(soon("its end", watched.message()).await.unwrap_err().code(), tonic::Code::ResourceExhausted);

    // For its peer, which takes nothing: what is on its way goes with the connection.
    let narrow = untaken::narrow(UnixStream::connect(node.socket()).await.unwrap(), 0).await;
    let untaken = tokio::spawn(Watched::open(narrow, open("x")));
    until("it is a subscriber", || node.subscribers.of(&kept.id()).len() == 2).await;
    displaces_one(&node, &mut other, 3).await;
    until("it is ended", || node.seen.disconnected.lock().last() == Some(&Disconnect::Displaced)).await;
    drop(untaken);
    assert_eq!(node.subscribers.of(&kept.id()).len(), 1);
}

/// Asks, until somebody had to make room for that so often.
async fn displaces_one(node: &Node, other: &mut AgentClient<Channel>, times: usize) {
    soon("a stream that gives way", async {
        while node.seen.turned_away.lock().len() < times {
            other.list(v1::ListRequest::default()).await.unwrap();
        }
    })
    .await;
}

//! Channels and identities that are kept in a static, and the runtimes of the tests that share them.

use std::future::poll_fn;
use std::sync::{Arc, LazyLock};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use evercert::Identity;
use evercert::client::{Channel, ChannelError, ConnectFailure};
use evercert::source::{DirectorySource, Report, Source, SourceState};
use evercert_fixtures::{Authority, KubeletVolume};
use futures_util::FutureExt as _;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tower::{Service as _, ServiceExt as _};

use super::peers::{DEADLINE, Publisher, Server, call, server_leaf, soon, stream, until_generation};

/// A server on a runtime that stays, and a channel to it.
struct World {
    channel: Channel,
    identity: Identity,
    publisher: Arc<Publisher>,
    ca: Authority,
    server: Server,
    _serving: Runtime,
}

impl World {
    fn new() -> Self {
        let ca = Authority::new("ca");
        let serving = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let publisher = Publisher::of(&ca);
        let start = async || (Server::start(&ca).await, publisher.identity().await);
        // On a thread of its own: a test that begins with this is on a runtime already.
        let (server, identity) = thread::scope(|scope| scope.spawn(|| serving.block_on(start())).join()).unwrap();
        let channel = server.endpoint().connect_lazy(&identity);
        Self { channel, identity, publisher, ca, server, _serving: serving }
    }
}

/// As `#[tokio::test]` makes it.
fn of_a_test() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

static SHARED: LazyLock<World> = LazyLock::new(World::new);

async fn calls_are_answered() {
    for _ in 0..20 {
        soon(call(&SHARED.channel)).await.unwrap();
    }
}

#[tokio::test]
async fn a_static_channel_answers_one_test() {
    calls_are_answered().await;
}

#[tokio::test]
async fn a_static_channel_answers_another_test() {
    calls_are_answered().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_static_channel_answers_a_third_test() {
    calls_are_answered().await;
}

#[test]
fn a_channel_answers_on_each_runtime_after_the_one_before_has_ended() {
    let world = World::new();
    for runtime in 1..=3 {
        of_a_test().block_on(soon(call(&world.channel))).unwrap();
        assert_eq!(world.server.connections(), runtime);
    }
    // What ends with its runtime is forgotten.
    of_a_test().block_on(async {
        soon(call(&world.channel)).await.unwrap();
        let links = format!("{:?}", world.channel);
        assert_eq!(links.matches("ChannelState").count(), 1, "{links}");
    });
}

#[test]
fn a_runtime_that_ends_fails_no_call_of_another() {
    let world = World::new();
    let others = of_a_test();
    others.block_on(async {
        let mut health = soon(stream(&world.channel)).await;
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..10 {
                        of_a_test().block_on(soon(call(&world.channel))).unwrap();
                    }
                });
            }
        });
        world.server.health.set_service_status("", tonic_health::ServingStatus::NotServing).await;
        soon(health.message()).await.unwrap().unwrap();
        soon(call(&world.channel)).await.unwrap();
    });
}

#[test]
fn a_runtime_that_is_kept_and_not_run_holds_up_no_call_of_another() {
    let world = World::new();
    let idle = of_a_test();
    idle.block_on(soon(call(&world.channel))).unwrap();
    of_a_test().block_on(soon(call(&world.channel))).unwrap();
    idle.block_on(soon(call(&world.channel))).unwrap();
    assert_eq!(world.server.connections(), 2);
}

#[test]
fn a_call_that_moved_to_another_runtime_connects_there_when_its_first_one_ends() {
    let (first, second) = (of_a_test(), of_a_test());
    let world = World::new();
    let mut waiting = Box::pin(call(&world.channel));
    first.block_on(async {
        // Begun here: it is waiting for the connection of this runtime.
        assert!((&mut waiting).now_or_never().is_none());
    });
    drop(first);
    second.block_on(soon(waiting)).unwrap();
}

#[test]
fn a_call_where_no_runtime_runs_fails_and_says_so() {
    let world = World::new();
    let failed = |failed: Result<(), tonic::Status>| {
        let status = failed.unwrap_err();
        assert_eq!(status.code(), tonic::Code::Unavailable);
        assert!(status.message().contains("no tokio runtime"), "{status}");
    };
    failed(call(&world.channel).now_or_never().unwrap());
    let ended = of_a_test();
    let handle = ended.handle().clone();
    drop(ended);
    failed(handle.block_on(call(&world.channel)));
    let connecting = world.server.endpoint().connect(&world.identity);
    match connecting.now_or_never().unwrap() {
        Err(ChannelError::NotConnected { cause, .. }) => {
            assert!(matches!(cause.failure, ConnectFailure::NoRuntime), "{cause}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_call_with_a_deadline_where_no_runtime_runs_fails_and_says_so() {
    let world = World::new();
    let failed = |failed: Result<(), tonic::Status>| {
        let status = failed.unwrap_err();
        assert!(status.code() == tonic::Code::Unavailable && status.message().contains("no tokio runtime"), "{status}");
    };
    let channel = world.server.endpoint().timeout(DEADLINE).connect_lazy(&world.identity);
    failed(call(&channel).now_or_never().unwrap());
    let ended = of_a_test();
    let handle = ended.handle().clone();
    drop(ended);
    failed(handle.block_on(call(&channel)));

    // One that is connected elsewhere has no timer here either.
    of_a_test().block_on(async {
        soon(call(&channel)).await.unwrap();
        let elsewhere = thread::spawn(move || call(&channel).now_or_never().unwrap());
        failed(elsewhere.join().unwrap());
    });
}

#[test]
fn the_state_asked_for_before_there_is_a_runtime_is_that_of_the_first() {
    let world = World::new();
    let early = world.channel.state();
    let runtime = of_a_test();
    runtime.block_on(soon(call(&world.channel))).unwrap();
    assert!(early.borrow().generation.is_some());
    assert!(world.channel.state().borrow().generation.is_some());
}

#[test]
fn a_rotation_reaches_the_channel_whatever_runtime_the_identity_was_started_on() {
    let world = World::new();
    of_a_test().block_on(async {
        soon(call(&world.channel)).await.unwrap();
    });
    let next = world.ca.issue_dns("client");
    let generation = world.publisher.publish(&next, Some(&world.ca));
    of_a_test().block_on(async {
        soon(call(&world.channel)).await.unwrap();
        until_generation(&world.channel, generation).await;
        soon(call(&world.channel)).await.unwrap();
    });
    assert!(world.server.has_seen(&next));
}

#[test]
fn an_identity_from_a_directory_takes_up_the_next_generation_after_its_first_runtime_has_ended() {
    let ca = Authority::new("ca");
    let (first, second) = (ca.issue(server_leaf()), ca.issue(server_leaf()));
    let volume = KubeletVolume::new(&first.files());
    let mut identity = of_a_test().block_on(async { Identity::from_directory(volume.path()).await }).unwrap();
    volume.swap(&second.files());
    of_a_test().block_on(async {
        let serves = |identity: &Identity| {
            let credential = identity.current().unwrap().snapshot().credential().cloned();
            credential.is_some_and(|credential| credential.chain()[0].as_ref() == second.leaf_der)
        };
        soon(async {
            while !serves(&identity) {
                identity.changed().await;
            }
        })
        .await;
        assert!(identity.status().source_connected);
    });
}

/// A source of the user's own, which a task of the current runtime feeds.
struct Fed(watch::Receiver<SourceState>);

impl Fed {
    fn from(source: Arc<DirectorySource>) -> Self {
        let mut states = source.state();
        let (sender, fed) = watch::channel(states.borrow_and_update().clone());
        tokio::spawn(async move {
            while states.changed().await.is_ok() {
                sender.send_replace(states.borrow_and_update().clone());
            }
            drop(source);
        });
        Self(fed)
    }
}

impl Source for Fed {
    fn state(&self) -> watch::Receiver<SourceState> {
        self.0.clone()
    }

    fn report(&self, _: Report) {}
}

#[test]
fn an_identity_whose_source_ended_with_its_runtime_says_so() {
    let ca = Authority::new("ca");
    let volume = KubeletVolume::new(&ca.issue(server_leaf()).files());
    let (runtime, other) = (of_a_test(), of_a_test());
    let source = {
        let _of_the_source = runtime.enter();
        Arc::new(Fed::from(DirectorySource::start(&volume.path().into()).unwrap()))
    };
    let identity = runtime.block_on(async { Identity::from_source("test", source).await }).unwrap();
    assert!(identity.status().source_connected);
    drop(runtime);
    other.block_on(soon(async {
        while identity.status().source_connected {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }));
    let trouble = identity.status().trouble.unwrap();
    assert!(trouble.contains("the source has ended"), "{trouble}");
}

#[test]
fn a_directory_source_goes_on_after_the_runtime_that_it_was_started_on() {
    let ca = Authority::new("ca");
    let volume = KubeletVolume::new(&ca.issue(server_leaf()).files());
    let (runtime, other) = (of_a_test(), of_a_test());
    let mut identity = runtime
        .block_on(async { Identity::from_source("test", DirectorySource::start(&volume.path().into()).unwrap()).await })
        .unwrap();
    drop(runtime);
    _ = volume.swap(&ca.issue(server_leaf()).files());
    other.block_on(soon(async { while identity.changed().await.snapshot().generation() < 2 {} }));
}

#[test]
fn a_balanced_channel_first_used_on_a_runtime_that_stands_still_serves_another_and_the_same_clone_there() {
    let world = World::new();
    let channel = world.identity.channel_balanced(vec![world.server.endpoint()]);
    let (still, running) = (of_a_test(), of_a_test());
    let mut first = channel.clone();
    let asked = still.block_on(async { poll_fn(|cx| Poll::Ready(first.poll_ready(cx).is_ready())).await });
    assert!(!asked, "nothing is connected yet");
    running.block_on(async {
        soon(HealthClient::new(channel.clone()).check(HealthCheckRequest::default())).await.unwrap();
        assert!(first.ready().now_or_never().is_some(), "what it waited for is not on this runtime");
    });
    drop(still);
    running.block_on(async {
        soon(HealthClient::new(first).check(HealthCheckRequest::default())).await.unwrap();
    });
}

//! The fate of connections when trust and time change.

use std::time::{Duration, Instant, SystemTime};

use evercert::Channel;
use evercert::client::ConnectFailure;
use evercert::identity::ExpiryPolicy;
use evercert_fixtures::wait::until_so;
use evercert_fixtures::{Authority, Leaf};
use tonic::{Code, Status};
use tonic_health::ServingStatus;

use crate::peers::{DEADLINE, Publisher, Server, call, server_leaf, stream, until, until_generation, until_trouble};

const UNTRUSTED: Duration = Duration::from_millis(500);

/// A leaf that is valid for so long from now.
fn short(leaf: Leaf, seconds: u64) -> Leaf {
    let now = SystemTime::now();
    leaf.valid(now - Duration::from_secs(60), now + Duration::from_secs(seconds))
}

/// Calls until one fails.
async fn failure(channel: &Channel) -> Status {
    let start = Instant::now();
    loop {
        if let Err(status) = call(channel).await {
            return status;
        }
        assert!(start.elapsed() < DEADLINE, "no call fails");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_ca_ends_only_its_connections() {
    let (own, removed) = (Authority::new("own"), Authority::new("removed"));
    let stays = Server::showing(&own, &own.issue(server_leaf())).await;
    let goes = Server::showing(&own, &removed.issue(server_leaf())).await;
    let publisher = Publisher::new();
    publisher.publish_trusting(&own.issue_dns("client"), &[&own, &removed]);
    let identity = publisher.identity().await;
    // With the span of an hour, the one that moves does so since it must.
    let hour = Duration::from_secs(60 * 60);
    let endpoint = |server: &Server| server.endpoint().rotation_spread(hour).untrusted_timeout(UNTRUSTED);
    let staying = endpoint(&stays).connect(&identity).await.unwrap();
    let going = endpoint(&goes).connect(&identity).await.unwrap();
    let orphan = endpoint(&goes).connect(&identity).await.unwrap();
    let (mut stayed, mut ended, mut orphaned) = (stream(&staying).await, stream(&going).await, stream(&orphan).await);
    drop(orphan);

    let start = Instant::now();
    let shrunk = publisher.publish_trusting(&own.issue_dns("client"), &[&own]);
    let status = failure(&going).await;
    assert_eq!(status.code(), Code::Unavailable);
    let told = status.message();
    assert!(told.contains(&goes.uri()) && told.contains(&format!("generation {shrunk}")), "{told}");
    let state = until_trouble(&going).await;
    assert!(matches!(state.trouble.unwrap().failure, ConnectFailure::Tls(_)));
    for stream in [&mut ended, &mut orphaned] {
        let cut = stream.message().await.unwrap_err();
        assert_eq!(cut.code(), Code::Unavailable);
        assert!(cut.message().contains("does not trust") && cut.message().contains(&goes.uri()), "{cut}");
        assert!(start.elapsed() >= UNTRUSTED, "streams have their time");
    }
    assert_eq!(stays.connections(), 1, "the other server's channel has nothing to fear");
    call(&staying).await.unwrap();
    stays.health.set_service_status("", ServingStatus::NotServing).await;
    assert_eq!(stayed.message().await.unwrap().unwrap().status, ServingStatus::NotServing as i32);

    goes.present(&own, &own.issue(server_leaf()));
    until_generation(&going, shrunk).await;
    call(&going).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trust_that_comes_back_in_time_spares_the_calls_that_run() {
    let (own, other) = (Authority::new("own"), Authority::new("other"));
    let server = Server::showing(&own, &other.issue(server_leaf())).await;
    let publisher = Publisher::new();
    publisher.publish_trusting(&own.issue_dns("client"), &[&own, &other]);
    let endpoint = server.endpoint().untrusted_timeout(Duration::from_secs(2));
    let channel = endpoint.connect(&publisher.identity().await).await.unwrap();
    let mut running = stream(&channel).await;
    publisher.publish_trusting(&own.issue_dns("client"), &[&own]);
    failure(&channel).await;
    let restored = publisher.publish_trusting(&own.issue_dns("client"), &[&own, &other]);
    until_generation(&channel, restored).await;
    call(&channel).await.unwrap();
    let silent = tokio::time::timeout(Duration::from_secs(3), running.message()).await;
    assert!(silent.is_err(), "{silent:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_whose_leaf_is_about_to_end_is_asked_for_its_next_one_in_time() {
    let ca = Authority::new("ca");
    let server = Server::showing(&ca, &ca.issue(short(server_leaf(), 5))).await;
    let identity = Publisher::of(&ca).identity().await;
    let channel = server.endpoint().connect(&identity).await.unwrap();
    let mut running = stream(&channel).await;
    server.present(&ca, &ca.issue(server_leaf()));

    let cut = async { running.message().await.unwrap_err() };
    tokio::pin!(cut);
    let cut = loop {
        tokio::select! {
            biased;
            cut = &mut cut => break cut,
            called = call(&channel) => called.unwrap(),
        }
    };
    assert_eq!(cut.code(), Code::Unavailable);
    assert!(cut.message().contains("the server's certificate expired"), "{cut}");
    call(&channel).await.unwrap();
    assert_eq!(server.connections(), 2);
    until_so("the end of the connection that was cut", || identity.status().connections == 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_keeps_its_leaf_is_asked_a_few_times_and_left_at_its_end() {
    let ca = Authority::new("ca");
    let server = Server::showing(&ca, &ca.issue(short(server_leaf(), 5))).await;
    let channel = server.endpoint().connect(&Publisher::of(&ca).identity().await).await.unwrap();
    let status = failure(&channel).await;
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("xpired"), "{status}");
    assert!((2..=4).contains(&server.connections()), "{} connections", server.connections());

    server.present(&ca, &ca.issue(server_leaf()));
    until(&channel, |state| state.generation.is_some()).await;
    call(&channel).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_own_leaf_that_expired_ends_the_channels_of_an_identity_that_fails_closed() {
    let ca = Authority::new("ca");
    let server = Server::start(&ca).await;
    let publisher = Publisher::new();
    publisher.publish(&ca.issue(short(Leaf::for_dns("client"), 3)), Some(&ca));
    let identity = publisher.identity_with(ExpiryPolicy::FailClosed).await;
    let channel = server.endpoint().untrusted_timeout(UNTRUSTED).connect(&identity).await.unwrap();
    let mut running = stream(&channel).await;

    let status = failure(&channel).await;
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("fail closed") && status.message().contains(&server.uri()), "{status}");
    assert_eq!(channel.state().borrow().generation, None);
    let cut = running.message().await.unwrap_err();
    assert!(cut.code() == Code::Unavailable && cut.message().contains("fail closed"), "{cut}");
    let start = Instant::now();
    while identity.status().connections > 0 {
        assert!(start.elapsed() < DEADLINE);
        tokio::task::yield_now().await;
    }

    let renewed = publisher.publish(&ca.issue_dns("client"), Some(&ca));
    until_generation(&channel, renewed).await;
    call(&channel).await.unwrap();
}

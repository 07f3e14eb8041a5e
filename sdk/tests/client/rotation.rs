use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Instant;

use evercert::client::ConnectFailure;
use evercert::source::Outcome;
use evercert_fixtures::Authority;
use tokio::task::JoinSet;
use tonic::Code;
use tonic_health::ServingStatus;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::peers::{DEADLINE, Publisher, Server, call, until_generation, until_trouble};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_rotations_under_load_fail_no_call_and_every_certificate_is_seen() {
    let ca = Authority::new("ca");
    let server = Server::start(&ca).await;
    let publisher = Publisher::of(&ca);
    let channel = server.endpoint().connect(&publisher.identity().await).await.unwrap();

    server.health.set_service_status("rotations", ServingStatus::NotServing).await;
    let request = HealthCheckRequest { service: "rotations".into() };
    let mut watching = HealthClient::new(channel.clone()).watch(request).await.unwrap().into_inner();
    watching.message().await.unwrap().unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let mut workers = JoinSet::new();
    for _ in 0..8 {
        let (channel, done) = (channel.clone(), Arc::clone(&done));
        workers.spawn(async move {
            let mut calls = 0_u64;
            while !done.load(SeqCst) {
                call(&channel).await.unwrap();
                calls += 1;
            }
            calls
        });
    }
    for rotation in 0..20 {
        let issued = ca.issue_dns("client");
        let generation = publisher.publish(&issued, Some(&ca));
        until_generation(&channel, generation).await;
        call(&channel).await.unwrap();
        assert!(server.has_seen(&issued), "rotation {rotation}");
        let status = if rotation % 2 == 0 { ServingStatus::Serving } else { ServingStatus::NotServing };
        server.health.set_service_status("rotations", status).await;
        let message = watching.message().await.unwrap().unwrap();
        assert_eq!(message.status, status as i32, "the stream of the first connection goes on");
    }
    done.store(true, SeqCst);
    let calls = workers.join_all().await;
    assert!(calls.iter().all(|calls| *calls > 20), "{calls:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_certificate_leaves_the_old_connection_in_use_until_a_good_one_comes() {
    let (ca, stranger) = (Authority::new("ca"), Authority::new("stranger"));
    let server = Server::start(&ca).await;
    let publisher = Publisher::new();
    let good = publisher.publish(&ca.issue_dns("client"), Some(&ca));
    let channel = server.endpoint().connect(&publisher.identity().await).await.unwrap();

    let bad = publisher.publish(&stranger.issue_dns("client"), Some(&ca));
    let state = until_trouble(&channel).await;
    let trouble = state.trouble.unwrap();
    assert_eq!((state.generation, trouble.generation), (Some(good), Some(bad)));
    assert!(matches!(trouble.failure, ConnectFailure::NotAccepted(_)), "{trouble}");
    assert!(trouble.to_string().contains("UnknownCA") && trouble.to_string().contains(&server.uri()), "{trouble}");
    call(&channel).await.unwrap();

    let issued = ca.issue_dns("client");
    let mended = publisher.publish(&issued, Some(&ca));
    assert!(until_generation(&channel, mended).await.trouble.is_none());
    call(&channel).await.unwrap();
    assert!(server.has_seen(&issued));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_was_restarted_is_found_again() {
    let ca = Authority::new("ca");
    let server = Server::start(&ca).await;
    let publisher = Publisher::new();
    let generation = publisher.publish(&ca.issue_dns("client"), Some(&ca));
    let identity = publisher.identity().await;
    let channel = server.endpoint().connect(&identity).await.unwrap();
    let patient = server.endpoint().wait_for_ready(true).connect(&identity).await.unwrap();

    let address = server.stop().await;
    until_trouble(&channel).await;
    let error = call(&channel).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    assert!(error.message().contains(&address.to_string()), "{error}");
    let waiting = tokio::spawn(async move { call(&patient).await });

    let _server = Server::start_at(&ca, address).await;
    until_generation(&channel, generation).await;
    call(&channel).await.unwrap();
    waiting.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_on_a_connection_that_the_server_drains_go_to_the_next_one() {
    let ca = Authority::new("ca");
    let old = Server::start(&ca).await;
    let publisher = Publisher::new();
    let issued = ca.issue_dns("client");
    publisher.publish(&issued, Some(&ca));
    // For a moment nothing listens.
    let channel = old.endpoint().wait_for_ready(true).connect(&publisher.identity().await).await.unwrap();
    // A stream keeps the connection open, so that only the GOAWAY tells that it takes no more.
    let request = HealthCheckRequest { service: String::new() };
    let mut stream = HealthClient::new(channel.clone()).watch(request).await.unwrap().into_inner();
    stream.message().await.unwrap().unwrap();

    old.drain();
    let new = Server::start_at(&ca, old.address).await;
    let start = Instant::now();
    while !new.has_seen(&issued) {
        call(&channel).await.unwrap();
        assert!(start.elapsed() < DEADLINE);
    }
    old.health.set_service_status("", ServingStatus::NotServing).await;
    assert_eq!(stream.message().await.unwrap().unwrap().status, ServingStatus::NotServing as i32);
}

#[tokio::test]
async fn a_generation_that_a_channel_cannot_use_is_refused_and_the_last_good_stays() {
    let ca = Authority::new("ca");
    let server = Server::start(&ca).await;
    let publisher = Publisher::new();
    let good = publisher.publish(&ca.issue_dns("client"), Some(&ca));
    let channel = server.endpoint().connect(&publisher.identity().await).await.unwrap();

    let trustless = publisher.publish(&ca.issue_dns("client"), None);
    let start = Instant::now();
    let report = loop {
        match publisher.report_on(trustless) {
            Some(report) => break report,
            None => tokio::task::yield_now().await,
        }
        assert!(start.elapsed() < DEADLINE);
    };
    assert!(matches!(report.outcome, Outcome::Refused(_)), "{report:?}");
    assert_eq!(channel.state().borrow().generation, Some(good));
    call(&channel).await.unwrap();
}

#[tokio::test]
async fn no_task_outlives_a_channel_and_its_calls() {
    let ca = Authority::new("ca");
    let server = Server::start(&ca).await;
    let publisher = Publisher::of(&ca);
    let identity = publisher.identity().await;
    // The server's tasks count too: it sees every connection end.
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let base = tasks();
    for _ in 0..3 {
        let channel = server.endpoint().connect(&identity).await.unwrap();
        let generation = publisher.publish(&ca.issue_dns("client"), Some(&ca));
        until_generation(&channel, generation).await;
        call(&channel).await.unwrap();
        let request = HealthCheckRequest { service: String::new() };
        let mut stream = HealthClient::new(channel.clone()).watch(request).await.unwrap().into_inner();
        drop(channel);
        stream.message().await.unwrap().expect("a stream outlives its channel");
        assert!(tasks() > base);
        drop(stream);
        let start = Instant::now();
        while tasks() != base {
            assert!(start.elapsed() < DEADLINE, "{} tasks instead of {base}", tasks());
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn a_rotation_is_not_settled_while_a_connection_is_being_made_with_the_former_leaf() {
    let ca = Authority::new("ca");
    let publisher = Publisher::of(&ca);
    let mut identity = publisher.identity().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("https://{}", listener.local_addr().unwrap());
    let channel = identity.channel(uri).unwrap();
    let calling = tokio::spawn(async move { call(&channel).await });
    let (silent, _) = listener.accept().await.unwrap();
    publisher.publish(&ca.issue_dns("client"), Some(&ca));
    identity.changed().await;
    let status = identity.status();
    assert_eq!((status.connections, status.settled), (0, false));
    drop((silent, listener));
    calling.await.unwrap().unwrap_err();
    assert!(identity.status().settled);
}

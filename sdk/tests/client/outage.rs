//! Servers that are away, and come back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use evercert::client::Endpoint;
use evercert_fixtures::Authority;
use tokio::net::TcpListener;
use tokio::time::sleep;
use tonic::Code;
use tower::ServiceExt as _;

use crate::peers::{DEADLINE, Publisher, SERVER, Server, acceptor, call, server_leaf, until, until_trouble};
use crate::wire::{outcome, send};

/// Longer than any of these tests.
const LONG: Duration = Duration::from_secs(600);
/// The time between two attempts that calls ask for.
const CALLS_APART: Duration = Duration::from_millis(100);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_back_is_found_by_the_next_call_and_not_by_the_end_of_the_wait() {
    let ca = Authority::new("ca");
    let server = Server::start(&ca).await;
    let endpoint = server.endpoint().backoff(LONG, LONG);
    let channel = endpoint.connect(&Publisher::of(&ca).identity().await).await.unwrap();
    call(&channel).await.unwrap();
    let address = server.stop().await;
    until_trouble(&channel).await;
    assert_eq!(call(&channel).await.unwrap_err().code(), Code::Unavailable, "calls do not wait meanwhile");

    let _server = Server::start_at(&ca, address).await;
    let start = Instant::now();
    while call(&channel).await.is_err() {
        assert!(start.elapsed() < DEADLINE, "{channel:?}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_waits_is_answered_soon_after_the_server_is_back() {
    let ca = Authority::new("ca");
    let address = Server::start(&ca).await.stop().await;
    let endpoint = Endpoint::new(format!("https://{address}")).unwrap().server_name(SERVER).unwrap();
    let endpoint = endpoint.backoff(LONG, LONG).wait_for_ready(true);
    let channel = endpoint.connect_lazy(&Publisher::of(&ca).identity().await);
    let waiting = send(&channel, "");
    until_trouble(&channel).await;

    let _server = Server::start_at(&ca, address).await;
    let back = Instant::now();
    outcome(waiting).await.unwrap();
    assert!(back.elapsed() < Duration::from_secs(3), "{:?}", back.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_asks_whether_a_channel_is_ready_has_it_connect_before_there_is_a_call() {
    let ca = Authority::new("ca");
    let address = Server::start(&ca).await.stop().await;
    let endpoint = Endpoint::new(format!("https://{address}")).unwrap().server_name(SERVER).unwrap();
    let endpoint = endpoint.backoff(LONG, LONG).wait_for_ready(true);
    let mut channel = endpoint.connect_lazy(&Publisher::of(&ca).identity().await);
    channel.ready().await.unwrap();
    until_trouble(&channel).await;

    let _server = Server::start_at(&ca, address).await;
    channel.ready().await.unwrap();
    until(&channel, |state| state.generation.is_some()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_in_an_outage_ask_for_an_attempt_now_and_then_and_for_no_more() {
    let ca = Authority::new("ca");
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let attempts = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&attempts);
    let resolver = move |_: &str, _| {
        count.fetch_add(1, Relaxed);
        std::future::ready(Ok(vec![closed]))
    };
    let endpoint = Endpoint::new(format!("https://{SERVER}")).unwrap().resolver(resolver).backoff(LONG, LONG);
    let channel = endpoint.connect_lazy(&Publisher::of(&ca).identity().await);
    let start = Instant::now();
    while attempts.load(Relaxed) < 6 {
        assert_eq!(call(&channel).await.unwrap_err().code(), Code::Unavailable);
        tokio::task::yield_now().await;
        assert!(start.elapsed() < DEADLINE, "{attempts:?} attempts");
    }
    let made = attempts.load(Relaxed);
    let most = 1 + start.elapsed().as_millis() / CALLS_APART.as_millis();
    assert!(u128::from(made) <= most, "{made} attempts within {:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_to_a_server_that_refuses_the_client_ask_for_fewer_and_fewer_handshakes() {
    let (ca, other) = (Authority::new("ca"), Authority::new("other"));
    let tls = acceptor(&other, &ca.issue(server_leaf()), &[b"h2"]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint::new(format!("https://{}", listener.local_addr().unwrap())).unwrap();
    let handshakes = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&handshakes);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            count.fetch_add(1, Relaxed);
            _ = tls.accept(stream).await;
        }
    });
    let endpoint = endpoint.server_name(SERVER).unwrap().backoff(LONG, LONG);
    let channel = endpoint.connect_lazy(&Publisher::of(&ca).identity().await);
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(3) {
        assert_eq!(call(&channel).await.unwrap_err().code(), Code::Unavailable);
        sleep(Duration::from_millis(5)).await;
    }
    // After 0, 0.1, 0.3, 0.7, 1.5 and 3.1 seconds.
    let made = handshakes.load(Relaxed);
    assert!((3..=6).contains(&made), "{made} handshakes");
}

//! What a channel says of itself to layers and balancers.

use std::marker::PhantomData;
use std::time::{Duration, Instant};

use evercert::Channel;
use evercert::client::{BalancedChannel, ChannelError, Endpoint};
use evercert_fixtures::Authority;
use futures_util::FutureExt as _;
use http::Request;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tonic::Code;
use tonic::body::Body;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tower::load_shed::LoadShed;
use tower::load_shed::error::Overloaded;
use tower::{Service as _, ServiceExt as _};

use crate::peers::{ALLOWED, DEADLINE, Publisher, SERVER, Server, call, until_trouble};
use crate::wire::{Hand, outcome, send};

/// Whether a channel says at once that it is ready.
fn is_ready(channel: &mut Channel) -> bool {
    let ready: Option<Result<_, ChannelError>> = channel.ready().now_or_never();
    ready.is_some_and(|ready| ready.is_ok())
}

fn another() -> Request<Body> {
    Request::post("/test.v1.Test/Call").body(Body::empty()).unwrap()
}

#[tokio::test]
async fn a_channel_is_not_ready_until_it_is_connected_and_wakes_who_waits_for_that() {
    let ca = Authority::new("ca");
    let server = Server::start(&ca).await;
    let mut channel = server.endpoint().connect_lazy(&Publisher::of(&ca).identity().await);
    assert!(!is_ready(&mut channel), "nor was anything connected before it was asked");
    // Whoever asks is not kept waiting for longer than a tenth of a second, in which a busy machine makes no connection.
    let connected = async {
        loop {
            channel.ready().await.unwrap();
            if is_ready(&mut channel) {
                return;
            }
        }
    };
    timeout(DEADLINE, connected).await.expect("it is woken");
    call(&channel).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_for_which_a_server_has_no_room_is_shed_where_load_is() {
    let ca = Authority::new("ca");
    let (hand, endpoint) = Hand::start(&ca).await;
    let channel = endpoint.connect_lazy(&Publisher::of(&ca).identity().await);
    let first = send(&channel, "first");
    let mut wire = hand.accept_allowing(1).await;
    let taken = wire.request().await.unwrap();

    let mut shedding = LoadShed::new(channel.clone());
    let shed = shedding.ready().await.unwrap().call(another()).await.unwrap_err();
    assert!(shed.is::<Overloaded>(), "{shed}");

    wire.answer(taken.stream).await;
    drop(outcome(first).await.unwrap());
    let served = tokio::spawn(wire.serve());
    timeout(DEADLINE, channel.clone().ready()).await.expect("it is woken").unwrap();
    shedding.ready().await.unwrap().call(another()).await.unwrap();
    drop((channel, shedding));
    assert_eq!(served.await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn room_is_for_whoever_calls_and_not_kept_for_one_that_asked_once() {
    let ca = Authority::new("ca");
    let (hand, endpoint) = Hand::start(&ca).await;
    let channel = endpoint.connect_lazy(&Publisher::of(&ca).identity().await);
    let first = send(&channel, "first");
    let mut wire = hand.accept_allowing(1).await;
    let taken = wire.request().await.unwrap();
    let mut idle = LoadShed::new(channel.clone());
    assert!(idle.ready().await.unwrap().call(another()).await.is_err(), "there is no room");

    wire.answer(taken.stream).await;
    drop(outcome(first).await.unwrap());
    tokio::spawn(wire.serve());
    timeout(DEADLINE, channel.clone().call(another())).await.expect("there is room").unwrap();
    drop(idle);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_balanced_call_that_waits_for_room_is_made_once_there_is_some() {
    let ca = Authority::new("ca");
    let (hand, endpoint) = Hand::start(&ca).await;
    let channel = Publisher::of(&ca).identity().await.channel_balanced(vec![endpoint]);
    let mut one = channel.clone();
    let first = tokio::spawn(async move { one.ready().await.unwrap().call(another()).await });
    let mut wire = hand.accept_allowing(1).await;
    let taken = wire.request().await.unwrap();
    let mut two = channel.clone();
    // Ready although there is no room: its call waits by itself.
    timeout(DEADLINE, two.ready()).await.unwrap().unwrap();
    let mut second = two.call(another());
    assert!((&mut second).now_or_never().is_none());

    wire.answer(taken.stream).await;
    drop(first.await.unwrap().unwrap());
    tokio::spawn(wire.serve());
    timeout(DEADLINE, second).await.expect("there is room").unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_streams_over_a_balanced_channel_than_the_server_allows_take_turns() {
    let ca = Authority::new("ca");
    let server = Server::start(&ca).await;
    let channel = Publisher::of(&ca).identity().await.channel_balanced(vec![server.endpoint()]);
    let mut clients = JoinSet::new();
    for _ in 0..2 * ALLOWED {
        let mut client = HealthClient::new(channel.clone());
        clients.spawn(async move {
            for _ in 0..3 {
                let mut stream = client.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
                stream.message().await.unwrap();
                // The stream keeps its place for a while.
                sleep(Duration::from_millis(50)).await;
            }
        });
    }
    timeout(DEADLINE, clients.join_all()).await.expect("each has its turn");
}

#[tokio::test]
async fn a_channel_in_trouble_is_ready_and_its_calls_say_why() {
    let ca = Authority::new("ca");
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let endpoint = Endpoint::new(format!("https://{address}")).unwrap().backoff(DEADLINE, DEADLINE);
    let identity = Publisher::of(&ca).identity().await;
    let mut channel = endpoint.clone().connect_lazy(&identity);
    assert!(!is_ready(&mut channel));
    until_trouble(&channel).await;
    assert!(is_ready(&mut channel));
    let status = call(&channel).await.unwrap_err();
    assert!(status.code() == Code::Unavailable && status.message().contains("refused"), "{status}");

    let mut patient = endpoint.wait_for_ready(true).connect_lazy(&identity);
    assert!(!is_ready(&mut patient));
    until_trouble(&patient).await;
    assert!(!is_ready(&mut patient), "its calls wait");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_nobody_can_take_is_not_kept_from_its_own_deadline() {
    let ca = Authority::new("ca");
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint::new(format!("https://{}", silent.local_addr().unwrap())).unwrap();
    let channel = endpoint.server_name(SERVER).unwrap().connect_lazy(&Publisher::of(&ca).identity().await);
    let mut client = HealthClient::new(channel);
    let mut request = tonic::Request::new(HealthCheckRequest::default());
    request.set_timeout(Duration::from_millis(50));
    let start = Instant::now();
    let status = client.check(request).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
    assert!(start.elapsed() < Endpoint::HANDSHAKE_TIMEOUT / 2, "{:?}", start.elapsed());
}

#[test]
fn channels_may_be_shared_between_threads_and_kept_in_statics() {
    fn is_shared<T: Clone + Send + Sync + Unpin + 'static>(_: PhantomData<T>) {}
    is_shared(PhantomData::<Channel>);
    is_shared(PhantomData::<BalancedChannel>);
}

//! What a channel says of itself to layers and balancers.

use std::marker::PhantomData;
use std::time::{Duration, Instant};

use evercert::Channel;
use evercert::client::{BalancedChannel, ChannelError, Endpoint};
use evercert_fixtures::Authority;
use futures_util::FutureExt as _;
use http::Request;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tonic::Code;
use tonic::body::Body;
use tower::load_shed::LoadShed;
use tower::load_shed::error::Overloaded;
use tower::{Service as _, ServiceExt as _};

use crate::peers::{DEADLINE, Publisher, SERVER, Server, call, until_trouble};
use crate::wire::{Hand, outcome, send};

/// Whether a channel says at once that it is ready.
fn is_ready(channel: &mut Channel) -> bool {
    let ready: Option<Result<_, ChannelError>> = channel.ready().now_or_never();
    ready.is_some_and(|ready| ready.is_ok())
}

#[tokio::test]
async fn a_channel_is_not_ready_until_it_is_connected_and_wakes_who_waits_for_that() {
    let ca = Authority::new("ca");
    let server = Server::start(&ca).await;
    let mut channel = server.endpoint().connect_lazy(&Publisher::of(&ca).identity().await);
    assert!(!is_ready(&mut channel), "nor was anything connected before it was asked");
    timeout(DEADLINE, channel.ready()).await.expect("it is woken").unwrap();
    assert!(is_ready(&mut channel));
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
    let another = || Request::post("/test.v1.Test/Call").body(Body::empty()).unwrap();
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
    let mut client = tonic_health::pb::health_client::HealthClient::new(channel);
    let mut request = tonic::Request::new(tonic_health::pb::HealthCheckRequest::default());
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
